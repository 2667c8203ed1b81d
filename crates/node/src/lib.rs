//! The node agent: runs the pods the API server assigns to this node; and [`fabric`], the network between pods. It is
//! pid 1 of its own pid namespace; when it ends, everything it started ends. Must not know controllers or the store: the
//! API server is all it talks to.

mod agent;
mod client;
mod container;
mod devices;
pub mod doors;
mod enter;
pub(crate) mod env;
mod events;
mod exec;
pub mod fabric;
mod groups;
mod guests;
mod ids;
mod image;
mod image_user;
mod internal;
mod ipam;
mod launch;
mod life;
mod logs;
mod machine;
mod masks;
mod meter;
mod mounts;
mod names;
mod pod;
mod probe;
mod probe_grpc;
pub mod probe_tls;
mod reaper;
mod register;
mod root;
mod root_image;
mod sandbox;
mod seal;
mod seccomp;
pub(crate) mod shim;
mod spec;
mod state;
mod status;
pub mod stream;
mod sysctls;
mod taps;
pub mod terminal;
mod usage;
mod user;
mod users;
mod visit;
mod volumes;
mod words;

use crate::fabric::NodeConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub use internal::internal_main;
pub(crate) use machine::main;

/// What an agent is told at its start, on standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AgentConfig {
    /// The data directory.
    pub(crate) dir: PathBuf,
    /// The `herder` binary.
    pub(crate) exe: PathBuf,
    /// Names the cluster's cgroups.
    pub(crate) cluster_id: String,
    /// Root, or an ordinary user in a user namespace.
    pub(crate) root: bool,
    /// The node.
    pub(crate) node: NodeConfig,
}
