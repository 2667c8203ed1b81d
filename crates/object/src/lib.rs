//! A Kubernetes object as data: identity, YAML, merge, patch, diff, field ownership.
//!
//! Objects are `serde_json::Value`s throughout; this crate gives them names and operations. It has no client, does
//! no IO and knows no cluster. Kubernetes' own types are deliberately not here: whoever needs them parses.
#![forbid(unsafe_code)]

mod identity;
pub mod yaml;

pub use identity::{Gvk, Key, annotations, api_version, kind, labels, name, namespace, uid};
