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
pub use seed::{Made, Removed, Seed, SeedPlan, Step};

/// Whether a text can be read as a script; the byte offset and message if not.
///
/// # Errors
/// If it cannot be read.
pub fn check_syntax(text: &str) -> Result<(), (u32, String)> {
    match compile::on_large_stack(|| syntax::parse(text).map(|_| ())) {
        Ok(read) => read.map_err(|error| (error.at, error.message)),
        Err(why) => Err((0, why)),
    }
}

/// Whether a text is a Job DSL script rather than a library: it says something outside classes and methods, and is not
/// a pipeline. What cannot be read counts as a script, so that somebody hears of it.
#[must_use]
pub fn is_script(text: &str) -> bool {
    let read = || {
        syntax::parse(text)
            .map(|module| !module.body.is_empty() && !syntax::is_pipeline(&module))
            .unwrap_or(true)
    };
    compile::on_large_stack(read).unwrap_or(true)
}
