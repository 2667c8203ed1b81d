//! The fabric: the process that owns the cluster's network namespace, and the handle by which the control plane asks
//! it to dial, to listen, to publish services and to run node agents. Must not know Kubernetes objects.

pub(crate) mod ancillary;
pub(crate) mod cgroups;
mod dns;
mod handle;
pub(crate) mod link;
pub(crate) mod namespaces;
mod nft;
mod pid_one;
pub(crate) mod policy;
pub(crate) mod process;
mod proxy;
mod types;
mod udp;
mod upstream;
pub(crate) mod wall;
pub(crate) mod wire;
mod zone;

pub use cgroups::remove_cgroups;
pub use handle::Fabric;
pub use link::device;
pub use policy::{
    Judge, Peers, PolicyPod, PolicySnapshot, PortRange, Profile, ProfileRule, Transport, is_pod_address,
    short,
};
pub use types::*;
pub use wire::Channel;
