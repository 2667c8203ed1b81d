//! The fabric: the process that owns the cluster's network namespace, and the handle by which the control plane asks
//! it to dial, to listen, to publish services and to run node agents. Must not know Kubernetes objects.

mod cgroups;
mod handle;
mod types;

pub use cgroups::remove_cgroups;
pub use handle::Fabric;
pub use types::*;
