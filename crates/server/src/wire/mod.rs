//! Adapters between neighbours that do not know each other.

pub(crate) mod actions;
pub(crate) mod definitions;
pub(crate) mod edge;
pub(crate) mod hosts;
pub(crate) mod journal;
pub(crate) mod pods;
pub(crate) mod remotes;
pub(crate) mod rollouts;
