//! Attacks: each test plays what somebody with only a job's script, a repository, a token or a socket has tried, and
//! holds that it is refused, with words that help. The program is attacked from outside, as built: `HERDER_ATTACKED`
//! names another build to see what that one lets through.
//!
//! Every attack on pods and on the cluster is played as root and, where the machine allows it, as an ordinary user.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

mod attacked;

mod admission;
mod audit;
mod bounds;
mod dashboard;
mod devices;
mod doors;
mod edge;
mod escapes;
mod listeners;
mod masking;
mod names;
mod network;
mod node_tokens;
mod quotas;
mod remotes;
mod seccomp;
mod smaller;
mod vault_paths;
mod volumes;
mod webhooks;
