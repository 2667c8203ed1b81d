//! A Kubernetes object as data: identity, YAML, merge, patch, diff, field ownership.
//!
//! Objects are `serde_json::Value`s throughout; this crate gives them names and operations. It has no client, does
//! no IO and knows no cluster. Kubernetes' own types are here as facts only ([`schema`]): whoever needs values of them
//! parses.
#![forbid(unsafe_code)]

mod cause;
pub mod field;
mod identity;
pub mod ownership;
pub mod pod_security;
pub mod quantity;
pub mod references;
pub mod schema;
pub mod strategic;
pub mod strict;
pub mod yaml;

pub use cause::Cause;
pub use identity::{Gvk, Key, annotations, api_version, kind, labels, name, namespace, uid};
