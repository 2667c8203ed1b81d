//! `time.Duration`: nanoseconds.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration(pub(crate) i64);

impl Duration {
    pub(crate) const SECOND: Self = Self(1_000_000_000);

    /// `Duration.Round`: to the nearest multiple, halves away from zero.
    pub(crate) fn round(self, unit: Self) -> Self {
        if unit.0 <= 0 {
            return self;
        }
        let rest = self.0 % unit.0;
        let down = self.0 - rest;
        if i128::from(rest).abs() * 2 < i128::from(unit.0) {
            return Self(down);
        }
        // What is beyond the longest is the longest.
        Self(down.saturating_add(if self.0 < 0 { -unit.0 } else { unit.0 }))
    }

    /// `Duration.Truncate`: towards zero.
    pub(crate) const fn truncate(self, unit: Self) -> Self {
        if unit.0 <= 0 {
            return self;
        }
        Self(self.0 - self.0 % unit.0)
    }

    /// How many units it is, as a float.
    #[expect(clippy::cast_precision_loss, reason = "as Go's conversion does")]
    pub(crate) fn in_units(self, unit: i64) -> f64 {
        (self.0 / unit) as f64 + (self.0 % unit) as f64 / unit as f64
    }

    /// `time.ParseDuration`. Messages hold nothing of the text.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const INVALID: &str = "time: invalid duration";
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(INVALID);
        }
        let mut total = 0u64;
        while !rest.is_empty() {
            let whole = digits(rest);
            rest = rest.get(whole.len()..).unwrap_or_default();
            let mut part = "";
            if let Some(after) = rest.strip_prefix('.') {
                part = digits(after);
                rest = after.get(part.len()..).unwrap_or_default();
            }
            if whole.is_empty() && part.is_empty() {
                return Err(INVALID);
            }
            let whole: u64 = if whole.is_empty() {
                0
            } else {
                whole.parse().map_err(|_| INVALID)?
            };
            let end = rest
                .find(|c: char| c == '.' || c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (unit, after) = rest.split_at(end);
            rest = after;
            let unit: u64 = match unit {
                "" => return Err("time: missing unit in duration"),
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return Err("time: unknown unit in duration"),
            };
            total = whole
                .checked_mul(unit)
                .and_then(|nanos| nanos.checked_add(fraction(part, unit)))
                .and_then(|nanos| total.checked_add(nanos))
                .filter(|total| *total <= 1 << 63)
                .ok_or(INVALID)?;
        }
        if negative {
            return Ok(Self(total.cast_signed().wrapping_neg()));
        }
        i64::try_from(total).map(Self).map_err(|_| INVALID)
    }
}

/// The digits that a text begins with.
fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Decimals of a unit; in floats and with as many digits as Go takes, so that it rounds the same.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as Go's conversions do"
)]
fn fraction(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for digit in digits.bytes() {
        if value > i64::MAX.cast_unsigned() / 10 {
            break;
        }
        let next = value * 10 + u64::from(digit - b'0');
        if next > 1 << 63 {
            break;
        }
        (value, scale) = (next, scale * 10.0);
    }
    if value == 0 {
        return 0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let n = self.0.unsigned_abs();
        let decimals = |whole: u64, part: u64, places: usize| {
            let part = format!("{part:0places$}");
            let part = part.trim_end_matches('0');
            let point = if part.is_empty() { "" } else { "." };
            format!("{whole}{point}{part}")
        };
        match n {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{n}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}µs", decimals(n / 1_000, n % 1_000, 3)),
            1_000_000..1_000_000_000 => {
                write!(f, "{sign}{}ms", decimals(n / 1_000_000, n % 1_000_000, 6))
            }
            _ => {
                let (seconds, part) = (n / 1_000_000_000, n % 1_000_000_000);
                f.write_str(sign)?;
                if seconds >= 3600 {
                    write!(f, "{}h", seconds / 3600)?;
                }
                if seconds >= 60 {
                    write!(f, "{}m", seconds / 60 % 60)?;
                }
                write!(f, "{}s", decimals(seconds % 60, part, 9))
            }
        }
    }
}
