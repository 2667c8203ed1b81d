//! API server, controllers, scheduler and node agent for one machine.
//!
//! The registry is the single place where objects change; the HTTP server, the controllers and the node agents are
//! its clients and see each other only through it.

mod admission;
pub mod api;
pub mod auth;
mod cluster;
pub mod controllers;
mod doors;
pub mod fabric;
mod internal;
mod node;
mod old_logs;
pub mod pki;
#[cfg(test)]
mod random;
pub mod registry;
mod scheduler;
mod stream;

pub use cluster::{Config, Kubelite, StartError};
pub use internal::internal_main;
