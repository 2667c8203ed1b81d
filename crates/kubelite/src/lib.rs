//! Kubernetes for one machine: puts the API server, the control plane and the nodes together and watches over them.
//! Owns their order of start and end, and nothing of what they do.

mod cluster;
mod old_logs;

pub use cluster::{Config, Kubelite, StartError};
