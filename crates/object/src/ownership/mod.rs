//! Field ownership: who manages which field (`managedFields`), and server-side apply on top of it.
//!
//! Follows structured-merge-diff: an applier owns what it names, another's change of an owned field is a conflict, and
//! what an applier no longer names goes unless someone else owns it.

mod apply;
mod managers;
mod set;
mod shape;

pub use apply::{Applied, ApplyError, Conflict, apply};
pub use managers::{Manager, Operation, read, record, write};
pub use set::FieldSet;
pub use shape::Schema;
