//! Versioned key-value store with watch and compare-and-set, for one process on one machine.
//!
//! Everything is held in memory in key order and written ahead to one redb file by one writer thread, which commits
//! whatever has gathered since its last commit at once (group commit): a thousand concurrent writers share a few
//! syncs. One monotonic revision counts all transactions. Watchers read an in-process bus; nothing polls.
//!
//! Must not know what the values mean: Kubernetes objects and sealed secrets are both just bytes here.
#![forbid(unsafe_code)]

mod bus;
mod disk;
mod op;
mod state;
mod store;

pub use bus::{Bus, Gone, Reader};
pub use op::{Change, Conflict, Entry, Expect, Op, OpenError, TxnError, Write};
pub use store::{Pending, Store, Watch};
