//! Constants as Go reads them: numbers with their possible types, and quoted strings.

use super::value::Value;

/// A numeric constant and what it can be.
#[derive(Clone, Debug, Default)]
pub(super) struct Number {
    pub(super) text: String,
    pub(super) int: Option<i64>,
    pub(super) float: Option<f64>,
    pub(super) complex: Option<(f64, f64)>,
}

impl Number {
    /// A character constant, with its quotes.
    pub(super) fn character(text: &str) -> Result<Self, String> {
        let bad = || format!("malformed character constant: {text}");
        let inner = text
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
            .ok_or_else(bad)?;
        let mut out = Vec::new();
        let rest = unquote_one(inner, '\'', &mut out).ok_or("invalid syntax")?;
        if !rest.is_empty() {
            return Err(bad());
        }
        let code = match (
            std::str::from_utf8(&out).map(|s| s.chars().next()),
            out.as_slice(),
        ) {
            (Ok(Some(c)), _) => u64::from(u32::from(c)),
            (_, [byte]) => u64::from(*byte),
            _ => return Err(bad()),
        };
        let mut number = Self::of_uint(code);
        text.clone_into(&mut number.text);
        Ok(number)
    }

    fn of_uint(code: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "as Go's conversion does")]
        let float = code as f64;
        Self {
            int: i64::try_from(code).ok(),
            float: Some(float),
            ..Self::default()
        }
    }

    /// `1+2i`.
    pub(super) fn complex(text: &str) -> Result<Self, String> {
        let bad = || "expected complex".to_owned();
        let inner = text.strip_suffix('i').ok_or_else(bad)?;
        let split = inner
            .char_indices()
            .skip(1)
            .filter(|(at, c)| {
                let before = inner.get(..*at).and_then(|s| s.chars().last());
                matches!(c, '+' | '-') && !before.is_some_and(|b| matches!(b, 'e' | 'E' | 'p' | 'P'))
            })
            .map(|(at, _)| at)
            .last()
            .ok_or_else(bad)?;
        let (re, im) = inner.split_at(split);
        let pair = (parse_float(re).ok_or_else(bad)?, parse_float(im).ok_or_else(bad)?);
        Ok(Self::of_complex(text, pair))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "the conversion back shows whether it was exact"
    )]
    fn of_float(text: &str, f: f64) -> Self {
        Self {
            text: text.to_owned(),
            int: Some(f as i64).filter(|n| *n as f64 == f),
            float: Some(f),
            complex: None,
        }
    }

    fn of_complex(text: &str, pair: (f64, f64)) -> Self {
        let mut number = if pair.1 == 0.0 {
            Self::of_float(text, pair.0)
        } else {
            Self {
                text: text.to_owned(),
                ..Self::default()
            }
        };
        number.complex = Some(pair);
        number
    }

    /// Any other number.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(f) = text.strip_suffix('i').and_then(parse_float) {
            return Ok(Self::of_complex(text, (0.0, f)));
        }
        let quoted = || super::printf::quote(text.as_bytes(), false);
        if let Some((negative, magnitude)) = parse_integer(text) {
            let signed = text.starts_with(['+', '-']);
            let int = if negative {
                0i64.checked_sub_unsigned(magnitude)
            } else {
                i64::try_from(magnitude).ok()
            };
            let uint = Some(magnitude).filter(|_| !signed || magnitude == 0);
            if int.is_some() || uint.is_some() {
                #[expect(clippy::cast_precision_loss, reason = "as Go's conversion does")]
                let float = int.map_or(magnitude as f64, |n| n as f64);
                return Ok(Self {
                    text: text.to_owned(),
                    int,
                    float: Some(float),
                    complex: None,
                });
            }
        }
        match parse_float(text) {
            Some(_) if !text.contains(['.', 'e', 'E', 'p', 'P']) => {
                Err(format!("integer overflow: {}", quoted()))
            }
            Some(f) => Ok(Self::of_float(text, f)),
            None if parse_integer(text).is_some() || digits_only(text) => {
                Err(format!("integer overflow: {}", quoted()))
            }
            None => Err(format!("illegal number syntax: {}", quoted())),
        }
    }

    /// The value where no type is asked for.
    pub(super) fn ideal(&self) -> Result<Value, String> {
        if let Some((re, im)) = self.complex {
            return Ok(Value::Complex(re, im));
        }
        let hex = self.text.get(..2).is_some_and(|s| matches!(s, "0x" | "0X"))
            && self.text.len() > 2
            && !self.text.contains(['p', 'P']);
        let rune = self.text.starts_with('\'');
        if let Some(f) = self.float
            && !hex
            && !rune
            && self.text.contains(['.', 'e', 'E', 'p', 'P'])
        {
            return Ok(Value::Float(f));
        }
        self.int
            .map(Value::Int)
            .ok_or_else(|| format!("{} overflows int", self.text))
    }
}

fn digits_only(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A whole number as Go writes them, taken apart: whether it is negative, its radix, and its digits in lower case.
pub(crate) fn take_apart(text: &str) -> (bool, u32, String) {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0b", 2), ("0o", 8)];
    let prefixed = prefixes
        .iter()
        .find_map(|(prefix, radix)| Some((*radix, lower.strip_prefix(prefix)?.to_owned())));
    let (radix, body) = match prefixed {
        Some(found) => found,
        None if lower.len() > 1 && lower.starts_with('0') => {
            (8, lower.get(1..).unwrap_or_default().to_owned())
        }
        None => (10, lower),
    };
    (negative, radix, body)
}

/// `strconv.ParseInt(text, 0, 64)` before it checks the range: sign and magnitude.
fn parse_integer(text: &str) -> Option<(bool, u64)> {
    let (negative, radix, body) = take_apart(text);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !underscores(digits) {
        return None;
    }
    let plain = body.replace('_', "");
    if plain.is_empty() || plain.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(&plain, radix).ok().map(|n| (negative, n))
}

/// `strconv.ParseInt(text, 0, 64)`.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    match parse_integer(text)? {
        (true, magnitude) => 0i64.checked_sub_unsigned(magnitude),
        (false, magnitude) => i64::try_from(magnitude).ok(),
    }
}

/// Underscores only between digits, or between a prefix and a digit.
fn underscores(digits: &str) -> bool {
    if !digits.contains('_') {
        return true;
    }
    let lower = digits.to_ascii_lowercase();
    let hex = lower.starts_with("0x");
    let body = ["0x", "0b", "0o"]
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .map_or_else(|| lower.clone(), |rest| format!("0{rest}"));
    let chars: Vec<char> = body.chars().collect();
    let digit = |c: Option<&char>| c.is_some_and(|c| c.is_ascii_digit() || hex && c.is_ascii_hexdigit());
    chars.iter().enumerate().all(|(i, c)| {
        *c != '_'
            || i.checked_sub(1).is_some_and(|before| digit(chars.get(before))) && digit(chars.get(i + 1))
    })
}

/// `strconv.ParseFloat(text, 64)`, with hexadecimal floats and underscores.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return Some(sign * hexadecimal(digits, hex)?);
    }
    // Underscores are only for prefixed numbers in Go's ParseFloat, and for those of base ten as templates write them.
    if !underscores(digits) {
        return None;
    }
    let plain = lower.replace('_', "");
    let good = plain.bytes().any(|b| b.is_ascii_digit())
        && plain
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'));
    plain
        .parse::<f64>()
        .ok()
        .filter(|f| good && f.is_finite())
        .map(|f| sign * f)
}

fn hexadecimal(digits: &str, hex: &str) -> Option<f64> {
    let (mantissa, exponent) = hex.split_once('p')?;
    if !underscores(&digits.replace('.', "")) {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (whole, fraction) = (whole.replace('_', ""), fraction.replace('_', ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let exponent: i32 = exponent.replace('_', "").parse().ok()?;
    let shift = exponent.checked_sub(4i32.checked_mul(i32::try_from(fraction.len()).ok()?)?)?;
    Some(value * 2f64.powi(shift)).filter(|f| f.is_finite())
}

/// `strconv.Unquote`, for double quotes and back quotes.
pub(super) fn unquote(quoted: &str) -> Option<Value> {
    if let Some(raw) = quoted.strip_prefix('`') {
        let raw = raw.strip_suffix('`')?;
        return Some(Value::from_bytes(raw.replace('\r', "").as_bytes()));
    }
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        rest = unquote_one(rest, '"', &mut out)?;
    }
    Some(Value::from_bytes(&out))
}

/// One character or escape; what follows it.
fn unquote_one<'a>(text: &'a str, quote: char, out: &mut Vec<u8>) -> Option<&'a str> {
    let mut chars = text.chars();
    let first = chars.next()?;
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    if first != '\\' {
        if first == quote || first == '\n' {
            return None;
        }
        push(first);
        return Some(chars.as_str());
    }
    let simple = match chars.next()? {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        c @ ('\'' | '"') if c == quote => c,
        kind @ ('x' | 'u' | 'U') => {
            let length = match kind {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let (digits, rest) = chars.as_str().split_at_checked(length)?;
            let code = u32::from_str_radix(digits, 16)
                .ok()
                .filter(|_| !digits.starts_with('+'))?;
            if kind == 'x' {
                out.push(u8::try_from(code).ok()?);
            } else {
                push(char::from_u32(code)?);
            }
            return Some(rest);
        }
        '0'..='7' => {
            let (digits, rest) = text.get(1..)?.split_at_checked(3)?;
            let code = u32::from_str_radix(digits, 8)
                .ok()
                .filter(|_| !digits.starts_with('+'))?;
            out.push(u8::try_from(code).ok()?);
            return Some(rest);
        }
        _ => return None,
    };
    push(simple);
    Some(chars.as_str())
}
