//! What a reader says about its input besides the value: where, how bad, why, what to do.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The thing it is about is left out; everything else goes on.
    Error,
    /// Probably not meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A place in a file of a repository. Lines and columns count from one; zero means unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Location {
    /// The repository the file belongs to, empty for the one being read.
    pub repository: String,
    /// The file, relative to the repository's root.
    pub path: String,
    /// One-based line, zero if unknown.
    pub line: u32,
    /// One-based column, zero if unknown.
    pub column: u32,
}

impl Location {
    /// A place in the repository being read.
    pub fn new(path: impl Into<String>, line: u32, column: u32) -> Self {
        Self {
            repository: String::new(),
            path: path.into(),
            line,
            column,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.repository.is_empty() {
            write!(f, "{}//", self.repository)?;
        }
        f.write_str(&self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

/// One finding. Readers collect these beside their value instead of failing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable kebab-case code, such as `unknown-field`.
    pub code: &'static str,
    /// Where, if it is about a place.
    pub at: Option<Location>,
    /// What happened, a sentence without a final period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error with a code and a message.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            at: None,
            message: message.into(),
            hint: None,
        }
    }

    /// A warning with a code and a message.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// A note with a code and a message.
    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(code, message)
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, at: Location) -> Self {
        self.at = Some(at);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Shows a text without what would steer a terminal or begin a line of its own: it quotes strangers.
pub struct Plain<T>(pub T);

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            if crate::screen::steers(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{}: ", Plain(at))?;
        }
        write!(f, "{}[{}]: {}", self.severity, self.code, Plain(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {})", Plain(hint))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_words_steer_no_terminal() {
        let found = Diagnostic::error("name", "evil\u{1b}[31m\u{7}\r\nerror[forged]: x\u{202e}").hint("a\nb");
        let shown = found.to_string();
        assert!(
            !shown.chars().any(char::is_control) && !shown.contains('\u{202e}'),
            "{shown}"
        );
        assert!(shown.starts_with("error[name]: evil") && shown.contains("forged"));
    }
}
