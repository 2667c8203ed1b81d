//! Roles the binary plays inside itself: `herder internal fabric|node|shim`. Must run before any thread exists.

use std::ffi::OsString;
use std::process::ExitCode;
use tracing_subscriber::filter::LevelFilter;

/// Plays the internal role that `args` (without the program's name) asks for; `None` if they ask for none.
/// Call it first thing in `main`.
#[must_use]
pub fn internal_main(args: &[OsString]) -> Option<ExitCode> {
    let (first, rest) = args.split_first()?;
    if first != "internal" {
        return None;
    }
    let (role, rest) = rest.split_first()?;
    if role == "shim" {
        // Its standard error is the container's.
        return Some(crate::shim::main(rest));
    }
    // A second subscriber is refused, and harmless.
    _ = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
    let code = match role.to_str() {
        Some("fabric") => crate::fabric::process::main(rest),
        Some("node") => crate::main(),
        _ => {
            tracing::error!(?role, "there is no such internal role");
            ExitCode::from(2)
        }
    };
    Some(code)
}
