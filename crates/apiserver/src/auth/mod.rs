//! Who asks, and whether they may: certificates and tokens to users, RBAC, and what node agents may see and change.
//!
//! Must not know HTTP beyond the text of a bearer token, and must not write objects (except the default roles at the
//! first start).

mod agents;
mod bootstrap;
mod escalation;
mod node;
mod pod_status;
mod rbac;
mod token;
mod user;

pub use agents::Agents;
pub use bootstrap::{bootstrap_roles, default_objects};
pub(crate) use escalation::Escalation;
pub(crate) use node::{View, restrict, restrict_token};
pub(crate) use pod_status::PodStatus;
pub use rbac::{Attributes, Decision, Rbac};
pub(crate) use rbac::{allows, rules_status};
pub use token::{ISSUER, TokenError, TokenRequest, Tokens};
pub use user::{User, user_of_certificate};
