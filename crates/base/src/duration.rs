//! Durations as people write them: `90s`, `5m`, `1h30m`, `2d`, or a plain number of seconds.

use std::time::Duration;
use thiserror::Error;

/// The text is no duration.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ParseDurationError {
    /// It cannot be read.
    #[error("`{0}` is no duration: write for example 30s, 5m, 1h30m or 2d")]
    Unreadable(String),
    /// It is a number, of what nobody says.
    #[error("`{0}` has no unit: write {0}s, {0}m or {0}h")]
    NoUnit(String),
}

/// Reads a duration in the form Go and Vault use, plus `d` for days; a bare number means seconds.
///
/// # Errors
/// If the text is empty, negative, has an unknown unit or overflows.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let fail = || ParseDurationError::Unreadable(text.to_owned());
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(fail());
    }
    if let Ok(seconds) = trimmed.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = 0f64;
    let mut rest = trimmed;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(fail)?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let number: f64 = number.parse().map_err(|_| fail())?;
        total += number
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return Err(fail()),
            };
        rest = next;
    }
    Duration::try_from_secs_f64(total).map_err(|_| fail())
}

/// Reads a duration that people write, who may forget that a bare number says nothing; only zero needs no unit.
///
/// # Errors
/// As [`parse_duration`], and for a number without a unit.
pub fn duration_with_unit(text: &str) -> Result<Duration, ParseDurationError> {
    match text.trim().parse::<f64>() {
        Ok(number) if number != 0.0 => Err(ParseDurationError::NoUnit(text.to_owned())),
        _ => parse_duration(text),
    }
}

/// The shortest two-unit form: `3d4h`, `5m10s`, `850ms`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let pair = |big: u64, b: &str, small: u64, s: &str| {
        if small == 0 {
            format!("{big}{b}")
        } else {
            format!("{big}{b}{small}{s}")
        }
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => pair(seconds / 60, "m", seconds % 60, "s"),
        3600..86400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => pair(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, seconds) in [
            ("30", 30.0),
            ("5m", 300.0),
            ("1h30m", 5400.0),
            ("2d", 172_800.0),
            ("1.5s", 1.5),
            ("250ms", 0.25),
        ] {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_secs_f64(seconds),
                "{text}"
            );
        }
        for (text, said) in [
            ("30", "30s, 30m or 30h"),
            ("1.5", "unit"),
            ("-1", "unit"),
            ("x", "no duration"),
        ] {
            let error = duration_with_unit(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert_eq!(duration_with_unit("0"), Ok(Duration::ZERO));
        assert_eq!(duration_with_unit("5m"), Ok(Duration::from_secs(300)));
        for text in ["", "m", "5x", "-1s", "1h x"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(format_duration(Duration::from_secs(5430)), "1h30m");
        assert_eq!(format_duration(Duration::from_millis(850)), "850ms");
    }
}
