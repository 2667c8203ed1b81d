//! Why a build failed: where, about which resource, and what to do.

use herder_base::{Diagnostic, Location};
use std::fmt;

/// A failed build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Details {
    file: String,
    line: u32,
    column: u32,
    resource: Option<String>,
    message: String,
    hint: Option<String>,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            message: message.into(),
            ..Details::default()
        }))
    }

    /// Says which file it is about, unless that is known already.
    pub(crate) fn in_file(mut self, file: &str) -> Self {
        if self.0.file.is_empty() {
            file.clone_into(&mut self.0.file);
        }
        self
    }

    /// Says on which line, unless that is known already. Comes before [`Error::in_file`].
    pub(crate) fn on_line(mut self, line: u32) -> Self {
        if self.0.line == 0 && self.0.file.is_empty() {
            self.0.line = line;
        }
        self
    }

    pub(crate) fn on_column(mut self, column: u32) -> Self {
        self.0.column = column;
        self
    }

    /// Says which resource it is about, unless that is known already.
    pub(crate) fn about(mut self, resource: impl fmt::Display) -> Self {
        if self.0.resource.is_none() {
            self.0.resource = Some(resource.to_string());
        }
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if self.0.hint.is_none() {
            self.0.hint = Some(hint.into());
        }
        self
    }

    /// The file, relative to the tree's root; empty if it is not about a file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The one-based line, zero if unknown.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.0.line
    }

    /// The resource it is about.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.0.resource.as_deref()
    }

    /// What happened, without where.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// As a diagnostic, for readers that collect them.
    #[must_use]
    pub fn to_diagnostic(&self, code: &'static str) -> Diagnostic {
        let mut message = self.0.message.clone();
        if let Some(resource) = &self.0.resource {
            message = format!("{resource}: {message}");
        }
        let mut diagnostic = Diagnostic::error(code, message);
        if !self.0.file.is_empty() {
            diagnostic = diagnostic.at(Location::new(&*self.0.file, self.0.line, self.0.column));
        }
        match &self.0.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &self.0;
        if !details.file.is_empty() {
            write!(
                f,
                "{}",
                Location::new(&*details.file, details.line, details.column)
            )?;
            f.write_str(": ")?;
        }
        if let Some(resource) = &details.resource {
            write!(f, "{resource}: ")?;
        }
        f.write_str(&details.message)?;
        if let Some(hint) = &details.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
