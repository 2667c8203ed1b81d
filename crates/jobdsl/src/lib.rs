//! Jenkins Job DSL scripts and config.xml to job definitions.
//!
//! Text goes through a lexer and parser to a syntax tree, which an interpreter walks within limits; the calls of the
//! DSL are tables that make an ordered XML tree, the same that Jenkins stores; that tree is mapped to native jobs, and
//! what has no equivalent is reported. Pure: files come from a [`herder_base::Tree`], nothing else is reached.
#![forbid(unsafe_code)]

mod compile;
mod diff;
mod dsl;
mod import;
mod native;
mod run;
mod seed;
mod syntax;
mod xml;

pub use compile::{Compiled, Item, ItemKind, Options, compile, compile_all};
pub use diff::{Difference, diff};
pub use import::import;
pub use native::{NativeJob, NativeParameter, NativeParameterKind, NativeSource, NativeTrigger};
pub use seed::{Made, Removed, Seed, SeedPlan, Step};

/// Whether a text can be read as a script; the byte offset and message if not.
///
/// # Errors
/// If it cannot be read.
pub fn check_syntax(text: &str) -> Result<(), (u32, String)> {
    syntax::parse(text).map(|_| ()).map_err(|e| (e.at, e.message))
}
