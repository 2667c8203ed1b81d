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

/// Writes raw lines of a log as people read them: the time, and for marks what they mean. Lines that came together share
/// their stamp, so that is read once.
#[derive(Debug, Default)]
pub struct Plain {
    raw: Vec<u8>,
    shown: Vec<u8>,
}

impl Plain {
    /// Adds the lines of `raw` to `out`; the header and what is no line of a log are left out.
    pub fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        for line in raw.split(|byte| *byte == b'\n') {
            let mut parts = line.splitn(3, |byte| *byte == b' ');
            let (Some(at), Some(mark), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let Ok(mark) = std::str::from_utf8(mark) else {
                continue;
            };
            let Some(kind) = LineKind::parse(mark) else {
                continue;
            };
            if self.raw != at {
                let parsed = std::str::from_utf8(at)
                    .ok()
                    .and_then(|at| at.parse::<Timestamp>().ok());
                let Some(parsed) = parsed else { continue };
                self.raw = at.to_vec();
                self.shown = format!("{parsed} ").into_bytes();
            }
            out.extend_from_slice(&self.shown);
            match kind {
                LineKind::Text(_) => {}
                LineKind::Note => out.extend_from_slice(b"[herder] "),
                LineKind::Begin(step) => out.extend_from_slice(format!("[step {}] ", step + 1).as_bytes()),
                LineKind::End(step) => {
                    out.extend_from_slice(format!("[step {}] ended with ", step + 1).as_bytes());
                }
            }
            out.extend_from_slice(text);
            out.push(b'\n');
        }
    }
}

impl LineKind {
    fn parse(mark: &str) -> Option<Self> {
        Some(if mark == "-" {
            Self::Note
        } else if let Some(step) = mark.strip_suffix('>') {
            Self::Begin(step.parse().ok()?)
        } else if let Some(step) = mark.strip_suffix('<') {
            Self::End(step.parse().ok()?)
        } else {
            Self::Text(mark.parse().ok()?)
        })
    }
}

impl LogLine {
    /// Reads a line back; none for the header and for what is no line of a log.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (at, rest) = line.split_once(' ')?;
        let (mark, text) = rest.split_once(' ')?;
        Some(Self {
            at: at.parse().ok()?,
            kind: LineKind::parse(mark)?,
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines() {
        let lines = [
            (LineKind::Note, "started by ada"),
            (LineKind::Begin(0), "make"),
            (LineKind::Text(0), "two  spaces "),
            (LineKind::Text(0), ""),
            (LineKind::End(11), "3"),
        ];
        let mut raw = "#herder-log 1 a #1\n".to_owned();
        for (second, (kind, text)) in (1i64..).zip(lines) {
            let at = Timestamp::from_second(second / 2).unwrap();
            let line = LogLine {
                at,
                kind,
                text: text.to_owned(),
            };
            raw += &format!("{line}\n");
            assert_eq!(LogLine::parse(&line.to_string()), Some(line));
        }
        let mut out = Vec::new();
        let mut plain = Plain::default();
        // However it comes in portions of whole lines.
        let (first, rest) = raw.split_at(
            raw.find('-')
                .map_or(0, |at| raw[at..].find('\n').map_or(0, |end| at + end + 1)),
        );
        plain.write(first.as_bytes(), &mut out);
        plain.write(rest.as_bytes(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1970-01-01T00:00:00Z [herder] started by ada\n1970-01-01T00:00:01Z [step 1] make\n\
             1970-01-01T00:00:01Z two  spaces \n1970-01-01T00:00:02Z \n1970-01-01T00:00:02Z [step 12] ended with 3\n"
        );
    }
}
