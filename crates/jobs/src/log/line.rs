//! One line of a log, and its text form.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// What it is.
    #[serde(flatten)]
    pub kind: LineKind,
    /// Its text: what was written, a remark, a step's title or exit code.
    pub text: String,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "step", rename_all = "kebab-case")]
pub enum LineKind {
    /// Herder's own remark.
    Note,
    /// A step begins.
    Begin(u32),
    /// A step wrote this.
    Text(u32),
    /// A step ended.
    End(u32),
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} ", self.at)?;
        match self.kind {
            LineKind::Note => f.write_str("-")?,
            LineKind::Begin(step) => write!(f, "{step}>")?,
            LineKind::Text(step) => write!(f, "{step}")?,
            LineKind::End(step) => write!(f, "{step}<")?,
        }
        write!(f, " {}", self.text)
    }
}

impl LogLine {
    /// Reads a line back; none for the header and for what is no line of a log.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (at, rest) = line.split_once(' ')?;
        let (mark, text) = rest.split_once(' ')?;
        let kind = if mark == "-" {
            LineKind::Note
        } else if let Some(step) = mark.strip_suffix('>') {
            LineKind::Begin(step.parse().ok()?)
        } else if let Some(step) = mark.strip_suffix('<') {
            LineKind::End(step.parse().ok()?)
        } else {
            LineKind::Text(mark.parse().ok()?)
        };
        Some(Self {
            at: at.parse().ok()?,
            kind,
            text: text.to_owned(),
        })
    }
}
