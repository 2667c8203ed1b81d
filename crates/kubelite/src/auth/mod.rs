//! Who asks, and whether they may: certificates and tokens to users, and RBAC.
//!
//! Must not know HTTP beyond the text of a bearer token, and must not write objects (except the default roles at the
//! first start).

mod bootstrap;
mod rbac;
mod token;
mod user;

pub use bootstrap::{bootstrap_roles, default_objects};
pub use rbac::{Attributes, Decision, Rbac};
pub(crate) use rbac::{allows, rules_status};
pub use token::{ISSUER, TokenError, TokenRequest, Tokens};
pub use user::{User, user_of_certificate};
