//! What std lacks, and nothing else: the immutable [`Tree`] of one commit, [`Clock`], [`Secret`], diagnostics and
//! error-chain printing.
//!
//! Owns no state and does no IO: no filesystem, network, environment, wall clock (except [`SystemClock`], which
//! only composition roots construct) or randomness. Imports nothing of ours.
#![forbid(unsafe_code)]

mod allow;
mod chain;
mod clock;
mod diagnostic;
mod duration;
mod remote;
mod screen;
mod secret;
mod suggest;
mod tree;
mod url;
mod wildcard;

pub use allow::{AllowList, AllowedRemote, Namer, Refused};
pub use chain::{Chain, chain};
pub use clock::{Clock, FixedClock, SystemClock};
pub use diagnostic::{Diagnostic, Location, Plain, Severity};
pub use duration::{ParseDurationError, duration_with_unit, format_duration, parse_duration};
pub use remote::{remote_identity, resolve_remote, show_remote};
pub use screen::Screen;
pub use secret::Secret;
pub use suggest::suggest;
pub use tree::{Commit, File, PathError, Tree, TreeBuilder, normalise};
pub use url::{Url, scrub_urls};
pub use wildcard::wildcard;
