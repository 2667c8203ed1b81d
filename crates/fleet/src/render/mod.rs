//! What rendering adds to objects: whose they are, where they come from, the namespace itself, the secrets agent.

mod agent;
mod dress;
mod namespace;

pub(crate) use agent::containers;
pub use agent::inject;
pub(crate) use dress::{Dress, label_value};
pub(crate) use namespace::{bare_namespace, namespace};
