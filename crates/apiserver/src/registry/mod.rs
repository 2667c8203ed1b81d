//! The registry: every object of the cluster, parsed once, with the rules that hold for all writers.
//!
//! Owns identity (uid, creationTimestamp, generation, resourceVersion), optimistic concurrency, finalizers and graceful
//! deletion, defaults, validation and the ordered stream of events. Must not know HTTP, users or media types.

mod catalog;
mod default;
mod delete;
mod endpoint_rules;
mod event;
mod index;
mod kinds;
mod meta;
mod names;
mod pod_rules;
mod service;
mod status;
mod storage_rules;
mod strategy;
mod uses;
mod validate;
mod write;

pub use catalog::{Catalog, Resource};
pub use delete::{DeleteOptions, Propagation};
pub use event::{Event, EventKind, Subscription};
pub use herder_store::Gone;
pub(crate) use index::Index;
pub use index::{OpenError, Registry};
pub use status::{Cause, Status};
pub(crate) use strategy::{schema_of, stamp};
pub(crate) use write::Part;
pub use write::WriteOptions;
