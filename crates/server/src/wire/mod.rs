//! Adapters between crates that do not know each other.

pub mod journal;
