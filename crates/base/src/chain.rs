//! Prints an error with its causes, once, at the edge. Errors' own `Display` never repeats their source.

use std::error::Error;
use std::fmt;

/// An error and everything that caused it, joined by `: `.
pub struct Chain<'a>(&'a (dyn Error + 'a));

/// Displays `error` followed by each of its sources.
#[must_use]
pub fn chain<'a>(error: &'a (dyn Error + 'a)) -> Chain<'a> {
    Chain(error)
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
