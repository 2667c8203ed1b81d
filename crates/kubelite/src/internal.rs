//! Roles the binary plays inside itself: `herder internal fabric|node|shim`. Must run before any thread exists.

use std::ffi::OsString;
use std::process::ExitCode;

/// Plays the internal role that `args` (without the program's name) asks for; `None` if they ask for none.
/// Call it first thing in `main`.
#[must_use]
pub fn internal_main(args: &[OsString]) -> Option<ExitCode> {
    let mut args = args.iter().map(|arg| arg.to_str().unwrap_or_default());
    if args.next() != Some("internal") {
        return None;
    }
    None
}
