//! The secrets server judged by clients of others: hvac from PyPI drives every family of the API; hvac's own integration
//! tests and vaultrs' run where a checkout of them is. Owns the servers it starts; nothing here knows the server's inside.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    unreachable_pub,
    reason = "these are tests, and their helpers fail them"
)]

mod command;
mod hvac;
#[path = "../shared/server.rs"]
mod running;
mod server;
mod vaultrs;
mod wrapping;
