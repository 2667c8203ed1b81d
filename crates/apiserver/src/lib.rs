//! The Kubernetes API: the registry, the single place where objects change; admission, authentication and authorisation;
//! and the server that speaks HTTP.
//!
//! Controllers and node agents are its clients and see each other only through it; it knows neither.

pub mod admission;
pub mod api;
pub mod auth;
pub mod images;
pub mod pki;
#[cfg(test)]
mod random;
pub mod registry;
