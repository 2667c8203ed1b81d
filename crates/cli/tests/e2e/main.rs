//! End-to-end tests: the built binary, as people and other programs use it. Each test works in a directory of its own,
//! on free ports, and leaves nothing behind, also when it fails.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

mod applied;
mod bad_input;
mod closed_pipe;
mod demo;
mod estate;
mod everyday;
mod jobs;
mod other_vault;
mod readme;
mod running;
#[path = "../shared/server.rs"]
mod server;
mod shapes;
mod waiting;
