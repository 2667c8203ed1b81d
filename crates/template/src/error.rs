//! What can go wrong with a template, and where. Messages never hold a value read from a source.

use thiserror::Error;

/// A template that cannot be parsed or rendered.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("template {name}{}: {kind}", place(*line, *column))]
pub struct Error {
    /// The template's name.
    pub name: String,
    /// One-based line, zero if unknown.
    pub line: usize,
    /// One-based column, zero if unknown.
    pub column: usize,
    /// What happened.
    pub kind: ErrorKind,
}

/// The ways in which a template fails.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// It does not parse.
    #[error("{0}")]
    Syntax(String),
    /// It names a function that does not exist.
    #[error("there is no function `{name}`{}", .suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    UnknownFunction {
        /// The name used.
        name: String,
        /// The nearest name there is.
        suggestion: Option<String>,
    },
    /// It uses a function that the options forbid.
    #[error("function `{0}` is denied by the configuration")]
    DeniedFunction(String),
    /// It uses a function that needs what is not part of this.
    #[error("function `{0}` is not part of this, as it needs {1}")]
    Unsupported(String, &'static str),
    /// Evaluating it failed.
    #[error("{0}")]
    Execution(String),
    /// Something it asks for could not be had.
    #[error("{what} could not be read: {reason}")]
    Source {
        /// What was asked for.
        what: String,
        /// Why it could not be had.
        reason: String,
    },
    /// It keeps asking for new things.
    #[error("it still asks for new values after {0} rounds")]
    Endless(usize),
}

fn place(line: usize, column: usize) -> String {
    match (line, column) {
        (0, _) => String::new(),
        (line, 0) => format!(":{line}"),
        (line, column) => format!(":{line}:{column}"),
    }
}

/// Byte offset to one-based line and column (columns count characters).
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}
