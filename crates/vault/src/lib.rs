//! The client side of Vault: requests with people's errors, logins, policy and role synchronisation, and the agent
//! that renders secrets and certificates into files and keeps them fresh.
//!
//! Talks to any Vault-compatible address and never asks whether it is the embedded one. Secrets live in memory only;
//! what is written to disk is what a template or file asked for. Owns no server and no command line.
#![forbid(unsafe_code)]

pub mod agent;
mod client;
pub mod consul_template;
mod error;
mod files;
mod introduce;
mod jitter;
mod keep;
mod kv;
mod sources;
mod sync;

pub use client::{Client, Config, Identity, Method};
pub use error::{BuildError, Denial, DeniedReason, Error};
pub use introduce::{ClusterLogin, Introduced, introduce};
pub use keep::{keep_token, read_token};
pub use kv::Mount;
pub use sources::{Fetcher, RenderError};
pub use sync::{Held, KubernetesRole, Owned, Scope, Write, look, note, write};

/// The longest time that is reckoned with: a hundred years. Clocks overflow somewhere beyond.
pub(crate) const LONGEST: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 24 * 3600);
