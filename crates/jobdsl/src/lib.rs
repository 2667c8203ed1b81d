//! Jenkins Job DSL scripts and config.xml to job definitions.
#![forbid(unsafe_code)]

mod syntax;

/// Whether a text can be read as a script; the message and byte offset if not.
///
/// # Errors
/// If it cannot be read.
pub fn check_syntax(text: &str) -> Result<(), (u32, String)> {
    syntax::parse(text).map(|_| ()).map_err(|e| (e.at, e.message))
}
