//! How Go reads and writes numbers and times, as far as YAML and JSON pass through it.

/// `strconv.ParseInt(text, 0, 64)` and `ParseUint`, without the underscores.
pub(super) fn parse_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let signed = digits.len() != text.len();
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    magnitude(digits, radix, negative, signed)
}

fn magnitude(digits: &str, radix: u32, negative: bool, signed: bool) -> Option<i128> {
    if digits.is_empty() || !digits.bytes().all(|c| char::from(c).is_digit(radix)) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -value } else { value };
    let highest = if signed {
        i128::from(i64::MAX)
    } else {
        i128::from(u64::MAX)
    };
    (i128::from(i64::MIN)..=highest).contains(&value).then_some(value)
}

/// The pattern of go-yaml's `yamlStyleFloat`.
pub(super) fn is_yaml_float(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut rest = match bytes {
        [b'+' | b'-', rest @ ..] => rest,
        _ => bytes,
    };
    let whole = take_digits(&mut rest);
    let mut fraction = 0;
    if let [b'.', after @ ..] = rest {
        rest = after;
        fraction = take_digits(&mut rest);
    }
    if whole + fraction == 0 {
        return false;
    }
    if let [b'e' | b'E', after @ ..] = rest {
        rest = match after {
            [b'+' | b'-', more @ ..] => more,
            _ => after,
        };
        if take_digits(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}

fn take_digits(rest: &mut &[u8]) -> usize {
    let count = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    *rest = rest.get(count..).unwrap_or_default();
    count
}

/// A decimal floating point number; what overflows is not one.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// A float as Go's `strconv.FormatFloat(value, 'g', -1, 64)` writes it: `1e+06`.
#[must_use]
pub fn format_float(value: f64) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() {
            "-0".to_owned()
        } else {
            "0".to_owned()
        };
    }
    // Rust's `{:e}` gives the shortest digits that read back the same, as Go's -1 does: `-1.25e-7`.
    let shortest = format!("{value:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Go: precision 6 decides when the shortest digits are wanted.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// A timestamp as go-yaml reads it, printed as `time.RFC3339Nano`.
pub(super) fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.iter().take_while(|c| c.is_ascii_digit()).count() != 4 || bytes.get(4) != Some(&b'-') {
        return None;
    }
    let mut rest = text;
    let year: u32 = number(&mut rest, 4, 4)?;
    literal(&mut rest, '-')?;
    let month = number(&mut rest, 1, 2).filter(|m| (1..=12).contains(m))?;
    literal(&mut rest, '-')?;
    let day = number(&mut rest, 1, 2).filter(|d| (1..=month_length(year, month)).contains(d))?;
    if rest.is_empty() {
        return Some(format!("{year:04}-{month:02}-{day:02}T00:00:00Z"));
    }
    let zoned = match rest.as_bytes().first()? {
        b'T' | b't' => true,
        b' ' => false,
        _ => return None,
    };
    rest = rest.get(1..)?;
    let hour = number(&mut rest, 1, 2).filter(|h| *h < 24)?;
    literal(&mut rest, ':')?;
    let minute = number(&mut rest, 1, 2).filter(|m| *m < 60)?;
    literal(&mut rest, ':')?;
    let second = number(&mut rest, 1, 2).filter(|s| *s < 60)?;
    let mut fraction = String::new();
    if rest.starts_with(['.', ',']) && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
        let digits: String = rest.chars().skip(1).take_while(char::is_ascii_digit).collect();
        rest = rest.get(1 + digits.len()..)?;
        let digits = digits.get(..9).unwrap_or(&digits).trim_end_matches('0');
        if !digits.is_empty() {
            fraction = format!(".{digits}");
        }
    }
    let zone = match (zoned, rest) {
        (false, "") | (true, "Z") => "Z".to_owned(),
        (true, _) => offset(rest)?,
        _ => return None,
    };
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
    ))
}

fn offset(mut rest: &str) -> Option<String> {
    let sign = rest.chars().next().filter(|c| matches!(c, '+' | '-'))?;
    rest = rest.get(1..)?;
    let hours = number(&mut rest, 2, 2).filter(|h| *h <= 24)?;
    literal(&mut rest, ':')?;
    let minutes = number(&mut rest, 2, 2).filter(|m| *m <= 60)?;
    if !rest.is_empty() {
        return None;
    }
    Some(if hours == 0 && minutes == 0 {
        "Z".to_owned()
    } else {
        format!("{sign}{hours:02}:{minutes:02}")
    })
}

fn number(rest: &mut &str, least: usize, most: usize) -> Option<u32> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (digits, after) = rest.split_at_checked(count)?;
    *rest = after;
    digits.parse().ok()
}

fn literal(rest: &mut &str, expected: char) -> Option<()> {
    *rest = rest.strip_prefix(expected)?;
    Some(())
}

fn month_length(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_has_them() {
        for (text, value) in [
            ("0755", 493),
            ("0o14", 12),
            ("0x1F", 31),
            ("-0b11", -3),
            ("+5", 5),
            ("0", 0),
        ] {
            assert_eq!(parse_int(text), Some(value), "{text}");
        }
        for text in [
            "08",
            "0x",
            "1e3",
            "18446744073709551616",
            "+18446744073709551615",
            "",
            "-",
        ] {
            assert_eq!(parse_int(text), None, "{text}");
        }
        for (value, text) in [
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (1e20, "1e+20"),
            (0.000_001, "1e-06"),
            (0.0001, "0.0001"),
            (1_234_567.5, "1.2345675e+06"),
            (123_456.5, "123456.5"),
            (1.234_567_890_123_456_8e29, "1.2345678901234568e+29"),
        ] {
            assert_eq!(format_float(value), text);
        }
    }

    #[test]
    fn times_as_go_has_them() {
        for (text, printed) in [
            ("2001-01-01", "2001-01-01T00:00:00Z"),
            ("2001-1-2", "2001-01-02T00:00:00Z"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00"),
            ("2001-12-14 21:59:43", "2001-12-14T21:59:43Z"),
        ] {
            assert_eq!(timestamp(text).as_deref(), Some(printed), "{text}");
        }
        for text in [
            "2001-02-30",
            "2001-13-01",
            "2001-01-01T",
            "20010-1-1",
            "2001-12-14 21:59:43.10 -5",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }
}
