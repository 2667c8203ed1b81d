//! A remote at a branch, tag or commit → [`Tree`](herder_base::Tree); commits and pushes. The only crate that runs git.
//!
//! Drives the `git` program, plumbing only, hardened against what repositories and addresses can contain: no hooks, no
//! `ext` transport, no prompts, no option injection, a deadline for every call, and the whole process group dies with
//! the future that waits for it. Takes no address but an [`AllowedRemote`](herder_base::AllowedRemote), speaks to no other,
//! and gives credentials to none but theirs. Keeps one bare cache per remote below the directory it is given and no working tree.
#![forbid(unsafe_code)]

mod access;
mod archive;
mod changes;
mod commit;
mod error;
mod git;
mod history;
mod objects;
mod poller;
mod program;
mod remote;

pub use archive::Archive;
pub use changes::DEPTH;
pub use commit::{Change, Signature};
pub use error::Error;
pub use git::{CommitInfo, Git, Limits};
pub use history::{History, Submodule};
pub use poller::{Poller, Seen};
