//! What can be wrong with a cron text.

use thiserror::Error;

/// A cron text that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CronError {
    /// Not five fields and no alias.
    #[error("line {line}: `{text}` has {found} fields, five are needed: minute hour day month weekday")]
    Fields {
        /// One-based line.
        line: usize,
        /// The line.
        text: String,
        /// How many fields it has.
        found: usize,
    },
    /// A field has an unknown form.
    #[error(
        "line {line}: `{term}` is no {field}: write a number, a-b, a-b/n, */n, H, H/n, H(a-b) or a list of these"
    )]
    Term {
        /// One-based line.
        line: usize,
        /// The field's name.
        field: &'static str,
        /// What stands there.
        term: String,
    },
    /// A number is out of range.
    #[error("line {line}: {value} is out of range for the {field}, which goes from {low} to {high}")]
    Range {
        /// One-based line.
        line: usize,
        /// The field's name.
        field: &'static str,
        /// The number.
        value: u32,
        /// The lowest allowed.
        low: u32,
        /// The highest allowed.
        high: u32,
    },
    /// A range goes backwards.
    #[error("line {line}: the range {start}-{end} of the {field} goes backwards")]
    Reversed {
        /// One-based line.
        line: usize,
        /// The field's name.
        field: &'static str,
        /// Where it begins.
        start: u32,
        /// Where it ends.
        end: u32,
    },
    /// An alias nobody knows.
    #[error(
        "line {line}: `{alias}` is unknown; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
    )]
    Alias {
        /// One-based line.
        line: usize,
        /// The alias.
        alias: String,
    },
    /// `TZ=` names no zone.
    #[error("`TZ={0}` names no known time zone")]
    Zone(String),
    /// `@every` without a usable duration.
    #[error("`@every {0}` needs a duration of at least one second, such as 10s or 5m")]
    Every(String),
}
