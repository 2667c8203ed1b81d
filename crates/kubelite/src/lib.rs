//! API server, controllers, scheduler and node agent for one machine.

pub mod fabric;
mod internal;

pub use internal::internal_main;
