//! What rendering adds to objects: whose they are, where they come from, the namespace itself, the secrets agent.

mod agent;
mod dress;
mod namespace;

pub use agent::inject;
pub(crate) use agent::{containers, pod};
pub(crate) use dress::{Dress, annotate, label_value, out_of_namespace, stamp};
pub(crate) use namespace::{DEPLOYER, ENFORCE, bare_namespace, namespace};
