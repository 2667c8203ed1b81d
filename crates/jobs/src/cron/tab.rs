//! One line: five sets of numbers. All five must match, unlike in other crons, where day and weekday are alternatives.

use super::{CronError, Hash};
use jiff::civil::DateTime;

const FIELDS: [(&str, u32, u32); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
];

/// The bits of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CronTab {
    /// Minute, hour, day of the month, month, day of the week (Sunday is 0).
    pub(super) bits: [u64; 5],
}

impl CronTab {
    /// Reads one line; `H` terms draw from `hash` in the order of the text.
    ///
    /// # Errors
    /// Says what is wrong with which field.
    pub fn parse(text: &str, line: usize, hash: &mut Hash) -> Result<Self, CronError> {
        let text = text.trim();
        let text = if text.starts_with('@') {
            alias(text).ok_or_else(|| CronError::Alias {
                line,
                alias: text.to_owned(),
            })?
        } else {
            text
        };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if words.len() != FIELDS.len() {
            return Err(CronError::Fields {
                line,
                text: text.to_owned(),
                found: words.len(),
            });
        }
        let mut bits = [0u64; 5];
        for (slot, (index, word)) in bits.iter_mut().zip(words.into_iter().enumerate()) {
            let field = Field::new(index, line);
            for term in word.split(',') {
                *slot |= field.term(term, hash)?;
            }
        }
        let [.., week] = &mut bits;
        if *week & (1 << 7) != 0 {
            *week = (*week | 1) & !(1 << 7);
        }
        Ok(Self { bits })
    }

    /// Whether a minute belongs to it.
    #[must_use]
    pub fn matches(&self, at: DateTime) -> bool {
        let values = [
            at.minute(),
            at.hour(),
            at.day(),
            at.month(),
            at.weekday().to_sunday_zero_offset(),
        ];
        self.bits
            .iter()
            .zip(values)
            .all(|(bits, value)| u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1))
    }

    /// What is probably not meant about a line that can be read, with what to write instead.
    #[must_use]
    pub fn advice(&self, text: &str) -> Option<String> {
        let rest = text.split_once(' ').map_or("", |(_, rest)| rest);
        for (index, (bits, (_, low, high))) in self.bits.iter().zip(FIELDS).enumerate() {
            if (low..=high).any(|value| bits >> value & 1 == 0) {
                if index > 0 {
                    return Some(format!("`{text}` means every minute; did you mean `H {rest}`?"));
                }
                break;
            }
        }
        spread(text).map(|better| format!("`{better}` spreads the load better than `{text}`"))
    }
}

/// The same with `H`, if the text uses none and could.
fn spread(text: &str) -> Option<String> {
    if text.contains('H') {
        return None;
    }
    let (minute, rest) = text.split_once(' ')?;
    if let Some(step) = minute.strip_prefix("*/") {
        return Some(format!("H/{step} {rest}"));
    }
    if !minute.is_empty() && minute.bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("H {rest}"));
    }
    let list: Vec<u32> = minute.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let period = usize::try_from(*list.get(1)?).ok().filter(|period| *period > 0)?;
    let even: Vec<u32> = (0..60).step_by(period).collect();
    (list == even).then(|| format!("H/{period} {rest}"))
}

fn alias(text: &str) -> Option<&'static str> {
    Some(match text {
        "@yearly" | "@annually" => "H H H H *",
        "@monthly" => "H H H * *",
        "@weekly" => "H H * * H",
        "@daily" => "H H * * *",
        "@midnight" => "H H(0-2) * * *",
        "@hourly" => "H * * * *",
        _ => return None,
    })
}

#[derive(Debug, Clone, Copy)]
struct Field {
    index: usize,
    line: usize,
    name: &'static str,
    low: u32,
    high: u32,
}

impl Field {
    fn new(index: usize, line: usize) -> Self {
        let (name, low, high) = FIELDS.get(index).copied().unwrap_or(("field", 0, 0));
        Self {
            index,
            line,
            name,
            low,
            high,
        }
    }

    fn term(self, term: &str, hash: &mut Hash) -> Result<u64, CronError> {
        let bad = || CronError::Term {
            line: self.line,
            field: self.name,
            term: term.to_owned(),
        };
        let number = |text: &str| -> Result<u32, CronError> {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            text.parse().map_err(|_| bad())
        };
        let (what, step) = match term.split_once('/') {
            Some((what, step)) => (what, Some(number(step)?)),
            None => (term, None),
        };
        if what == "*" {
            return self.range(self.low, self.high, step.unwrap_or(1), bad);
        }
        if let Some(rest) = what.strip_prefix('H') {
            let (start, end) = if rest.is_empty() {
                // Every month has 28 days, and 7 is Sunday a second time.
                let high = match self.index {
                    2 => 28,
                    4 => 6,
                    _ => self.high,
                };
                (self.low, high)
            } else {
                let inner = rest
                    .strip_prefix('(')
                    .and_then(|rest| rest.strip_suffix(')'))
                    .and_then(|inner| inner.split_once('-'))
                    .ok_or_else(bad)?;
                (number(inner.0)?, number(inner.1)?)
            };
            return self.hashed(start, end, step.unwrap_or(1), hash, bad);
        }
        match what.split_once('-') {
            Some((start, end)) => self.range(number(start)?, number(end)?, step.unwrap_or(1), bad),
            None if step.is_none() => {
                let value = number(what)?;
                self.range(value, value, 1, bad)
            }
            None => Err(bad()),
        }
    }

    fn check(self, start: u32, end: u32) -> Result<(), CronError> {
        for value in [start, end] {
            if !(self.low..=self.high).contains(&value) {
                return Err(CronError::Range {
                    line: self.line,
                    field: self.name,
                    value,
                    low: self.low,
                    high: self.high,
                });
            }
        }
        if start > end {
            return Err(CronError::Reversed {
                line: self.line,
                field: self.name,
                start,
                end,
            });
        }
        Ok(())
    }

    fn range(self, start: u32, end: u32, step: u32, bad: impl Fn() -> CronError) -> Result<u64, CronError> {
        self.check(start, end)?;
        let step = usize::try_from(step)
            .ok()
            .filter(|step| *step > 0)
            .ok_or_else(bad)?;
        Ok((start..=end)
            .step_by(step)
            .fold(0, |bits, value| bits | 1 << value))
    }

    fn hashed(
        self,
        start: u32,
        end: u32,
        step: u32,
        hash: &mut Hash,
        bad: impl Fn() -> CronError,
    ) -> Result<u64, CronError> {
        self.check(start, end)?;
        let span = end - start + 1;
        match step {
            0 => Err(bad()),
            // A step of one means one value, not every value.
            1 => Ok(1 << (start + hash.next(span))),
            _ if step > span => Err(CronError::Range {
                line: self.line,
                field: self.name,
                value: step,
                low: 1,
                high: span,
            }),
            _ => self.range(start + hash.next(step), end, step, bad),
        }
    }
}
