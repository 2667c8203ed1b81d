//! Supervisor, configuration, the flow, platform API, dashboard.
//!
//! The only crate that binds sockets for the parts below it, spawns top-level tasks and joins neighbours. What is to
//! happen is decided by `plan`; this crate moves values along the arrows of ARCHITECTURE.md.
#![forbid(unsafe_code)]

mod allowed;
mod api;
mod board;
mod datadir;
mod error;
mod findings;
mod flow;
mod flow_bell;
mod history;
mod keeper;
mod listening;
mod live;
mod ops;
mod options;
mod platform;
mod reading;
mod record;
mod rights;
mod run_tokens;
mod runs;
mod secret_file;
mod secrets;
mod seed;
mod standing;
mod state;
mod supervisor;
mod taken_back;
mod vault_audit;
mod view;
mod viewing;
mod wire;

pub use error::Error;
pub use options::{ExternalVault, Listen, Options};
pub use platform::Platform;
