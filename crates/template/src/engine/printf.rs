//! Go's `fmt.Sprintf` over the engine's values, with its ways of saying that a verb or an argument is wrong.

use super::print;
use super::value::{Typed, Value};
use std::fmt::Write;

/// Bytes that text is written to.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl Buffer {
    fn push_str(&mut self, s: &str) {
        self.0.extend_from_slice(s.as_bytes());
    }

    fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    fn fill(&mut self, c: char, times: usize) {
        (0..times).for_each(|_| self.push(c));
    }
}

impl Write for Buffer {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.push_str(s);
        Ok(())
    }
}

/// Widths and precisions beyond this are not taken, as in Go.
const LIMIT: usize = 1_000_000;

/// What stands between `%` and the verb.
#[derive(Default, Clone, Copy)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    go_syntax: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats `args` by `format`.
pub(crate) fn sprintf(format: &[u8], args: &[Value]) -> Vec<u8> {
    let mut out = Buffer::default();
    let (mut next, mut reordered) = (0usize, false);
    for chunk in format.utf8_chunks() {
        verbs(&mut out, chunk.valid(), args, &mut next, &mut reordered);
        out.0.extend_from_slice(chunk.invalid());
    }
    if !reordered && next < args.len() {
        out.push_str("%!(EXTRA ");
        for (i, arg) in args.iter().skip(next).enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            out.push_str(&arg.type_name());
            if !matches!(arg, Value::Nil | Value::Missing) {
                out.push('=');
                print(&mut out, arg, 'v', &Spec::default(), Top::Yes);
            }
        }
        out.push(')');
    }
    out.0
}

/// Text with verbs in it.
fn verbs(out: &mut Buffer, format: &str, args: &[Value], next: &mut usize, reordered: &mut bool) {
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "+-# 0".contains(*c)) {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
        }
        let mut good = true;
        index(&mut chars, next, reordered, args.len(), &mut good);
        if chars.next_if_eq(&'*').is_some() {
            match star(args, next) {
                Some(n) => {
                    spec.minus |= n < 0;
                    spec.width = Some(usize::try_from(n.unsigned_abs()).unwrap_or(0));
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
        } else {
            spec.width = number(&mut chars);
        }
        if chars.next_if_eq(&'.').is_some() {
            index(&mut chars, next, reordered, args.len(), &mut good);
            if chars.next_if_eq(&'*').is_some() {
                match star(args, next) {
                    Some(n) => spec.precision = usize::try_from(n).ok(),
                    None => out.push_str("%!(BADPREC)"),
                }
            } else {
                spec.precision = Some(number(&mut chars).unwrap_or(0));
            }
        }
        index(&mut chars, next, reordered, args.len(), &mut good);
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        if !good {
            let _ = write!(out, "%!{verb}(BADINDEX)");
            continue;
        }
        let Some(arg) = args.get(*next) else {
            let _ = write!(out, "%!{verb}(MISSING)");
            continue;
        };
        *next += 1;
        if verb == 'v' && spec.sharp {
            (spec.sharp, spec.go_syntax) = (false, true);
        }
        if verb == 'v' {
            spec.plus = false;
        }
        print(out, arg, verb, &spec, Top::Yes);
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn number(chars: &mut Chars<'_>) -> Option<usize> {
    let mut found = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let value = found
            .unwrap_or(0usize)
            .saturating_mul(10)
            .saturating_add(digit as usize);
        found = Some(value);
    }
    found.filter(|n| *n <= LIMIT)
}

/// `[n]`: which argument comes next.
fn index(chars: &mut Chars<'_>, next: &mut usize, reordered: &mut bool, count: usize, good: &mut bool) {
    if chars.next_if_eq(&'[').is_none() {
        return;
    }
    *reordered = true;
    let wanted = number(chars);
    let closed = chars.next_if_eq(&']').is_some();
    match wanted {
        Some(n) if closed && (1..=count).contains(&n) => *next = n - 1,
        _ => *good = false,
    }
}

fn star(args: &[Value], next: &mut usize) -> Option<i64> {
    let found = match args.get(*next) {
        Some(Value::Int(n)) if n.unsigned_abs() <= LIMIT as u64 => Some(*n),
        _ => None,
    };
    *next += 1;
    found
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Top {
    /// It is an argument itself.
    Yes,
    /// It is inside another.
    No,
    /// Its type's name is written already.
    Named,
}

/// A value that shows as another type.
fn typed_value(out: &mut Buffer, value: &Value, typed: &Typed, verb: char, spec: &Spec, top: Top) {
    if verb == 'T' && top == Top::Yes {
        return pad(out, &value.type_name(), spec);
    }
    let inner = value.base();
    if let (Value::Nil | Value::Missing, true) = (inner, spec.go_syntax) {
        let _ = write!(out, "({})(nil)", typed.name);
        return;
    }
    let verbs = match inner {
        Value::Bool(_) => "vt",
        Value::Int(_) | Value::Uint(_) => "vdboOxXcqU",
        Value::Float(_) => "vbgGxXfFeE",
        Value::String(_) | Value::Bytes(_) => "vsxXq",
        _ => "",
    };
    if !verbs.is_empty() && !verbs.contains(verb) {
        let _ = write!(out, "%!{verb}({}=", typed.name);
        print(out, inner, 'v', spec, Top::No);
        out.push(')');
        return;
    }
    match inner {
        Value::List(_) | Value::Map(_) if spec.go_syntax => {
            out.push_str(&typed.name);
            print(out, inner, verb, spec, Top::Named);
        }
        _ => print(out, inner, verb, spec, top),
    }
}

/// One value by one verb.
fn print(out: &mut Buffer, value: &Value, verb: char, spec: &Spec, top: Top) {
    if verb == 'T' && top == Top::Yes {
        return pad(out, &value.type_name(), spec);
    }
    if out.0.len() > print::LIMIT {
        return;
    }
    if !spec.go_syntax
        && "vsxXq".contains(verb)
        && let Some(shown) = value.text()
    {
        return text(out, shown.as_bytes(), verb, spec);
    }
    if let Value::Typed(typed) = value {
        return typed_value(out, value, typed, verb, spec, top);
    }
    match value {
        Value::Missing => print(out, &Value::Nil, verb, spec, top),
        Value::Nil if top == Top::Yes && verb != 'v' => {
            let _ = write!(out, "%!{verb}(<nil>)");
        }
        Value::Nil if top == Top::Yes => pad(out, "<nil>", spec),
        Value::Nil if spec.go_syntax => out.push_str("interface {}(nil)"),
        Value::Nil => out.push_str("<nil>"),
        Value::Bool(b) if matches!(verb, 't' | 'v') => pad(out, if *b { "true" } else { "false" }, spec),
        Value::Int(n) if "vdboOxXcqU".contains(verb) => integer(out, n.unsigned_abs(), *n < 0, verb, spec),
        Value::Uint(n) if verb == 'v' && spec.go_syntax => {
            integer(out, *n, false, 'x', &Spec { sharp: true, ..*spec });
        }
        Value::Uint(n) if "vdboOxXcqU".contains(verb) => integer(out, *n, false, verb, spec),
        Value::Float(f) if "vbgGxXfFeE".contains(verb) => float(out, *f, verb, spec),
        Value::Complex(re, im) if "vbgGxXfFeE".contains(verb) => {
            out.push('(');
            float(out, *re, verb, spec);
            float(out, *im, verb, &Spec { plus: true, ..*spec });
            out.push_str("i)");
        }
        Value::String(_) | Value::Bytes(_) if "vsxXq".contains(verb) => {
            text(out, value.bytes().unwrap_or_default(), verb, spec);
        }
        Value::List(items) => {
            let (open, separator, close) = if spec.go_syntax {
                ("{", ", ", "}")
            } else {
                ("[", " ", "]")
            };
            if spec.go_syntax && top != Top::Named {
                out.push_str("[]interface {}");
            }
            out.push_str(open);
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(separator);
                }
                print(out, item, verb, spec, Top::No);
            }
            out.push_str(close);
        }
        Value::Map(entries) => {
            let (open, separator, close) = if spec.go_syntax {
                ("{", ", ", "}")
            } else {
                ("map[", " ", "]")
            };
            if spec.go_syntax && top != Top::Named {
                out.push_str("map[string]interface {}");
            }
            out.push_str(open);
            for (i, (key, item)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push_str(separator);
                }
                print(out, &Value::String(key.clone()), verb, spec, Top::No);
                out.push(':');
                print(out, item, verb, spec, Top::No);
            }
            out.push_str(close);
        }
        Value::Function(_) if verb == 'v' => out.push_str("<func>"),
        Value::Object(object) if spec.go_syntax && object.source().is_some() => {
            pad(out, &object.source().unwrap_or_default(), spec);
        }
        Value::Object(object) if matches!(verb, 'v' | 's') => {
            let mut shown = Vec::new();
            object.print(&mut shown);
            pad(out, &String::from_utf8_lossy(&shown), spec);
        }
        bad => {
            let _ = write!(out, "%!{verb}({}=", bad.type_name());
            print(
                out,
                bad,
                'v',
                &Spec {
                    go_syntax: false,
                    ..*spec
                },
                Top::No,
            );
            out.push(')');
        }
    }
}

/// Fills up to the width, counted in characters.
fn pad(out: &mut Buffer, s: &str, spec: &Spec) {
    let missing = spec.width.unwrap_or(0).saturating_sub(s.chars().count());
    if spec.minus {
        out.push_str(s);
        out.fill(' ', missing);
    } else {
        out.fill(if spec.zero { '0' } else { ' ' }, missing);
        out.push_str(s);
    }
}

fn integer(out: &mut Buffer, n: u64, negative: bool, verb: char, spec: &Spec) {
    let character = || {
        if negative {
            '\u{fffd}'
        } else {
            u32::try_from(n)
                .ok()
                .and_then(char::from_u32)
                .unwrap_or('\u{fffd}')
        }
    };
    match verb {
        'c' => return pad(out, &character().to_string(), spec),
        'q' => {
            let c = character();
            let inner = if c == '\'' {
                "\\'".to_owned()
            } else {
                escape(c, spec.plus, '\'')
            };
            return pad(out, &format!("'{inner}'"), spec);
        }
        'U' => {
            let mut s = format!("U+{n:0width$X}", width = spec.precision.unwrap_or(4).max(4));
            if spec.sharp {
                let _ = write!(s, " '{}'", character());
            }
            return pad(out, &s, &Spec { zero: false, ..*spec });
        }
        _ => {}
    }
    let no_zero = Spec { zero: false, ..*spec };
    if spec.precision == Some(0) && n == 0 {
        return pad(out, "", &no_zero);
    }
    let sign = if negative {
        "-"
    } else if spec.plus {
        "+"
    } else if spec.space {
        " "
    } else {
        ""
    };
    let least = match (spec.precision, spec.width) {
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero && !spec.minus => width.saturating_sub(sign.len()),
        _ => 0,
    };
    let digits = match verb {
        'b' => format!("{n:b}"),
        'o' | 'O' => format!("{n:o}"),
        'x' => format!("{n:x}"),
        'X' => format!("{n:X}"),
        _ => n.to_string(),
    };
    let digits = format!("{digits:0>least$}");
    let prefix = match verb {
        'O' => "0o",
        'b' if spec.sharp => "0b",
        'o' if spec.sharp && !digits.starts_with('0') => "0",
        'x' if spec.sharp => "0x",
        'X' if spec.sharp => "0X",
        _ => "",
    };
    pad(out, &format!("{sign}{prefix}{digits}"), &no_zero);
}

fn float(out: &mut Buffer, f: f64, verb: char, spec: &Spec) {
    let magnitude = f.abs();
    let body = if f.is_nan() {
        "NaN".to_owned()
    } else if f.is_infinite() {
        "Inf".to_owned()
    } else {
        match (verb, spec.precision) {
            ('e' | 'E', precision) => exponent_form(magnitude, precision.unwrap_or(6).min(1100)),
            ('f' | 'F', precision) => format!("{magnitude:.*}", precision.unwrap_or(6).min(1100)),
            ('x' | 'X', _) => hexadecimal(magnitude),
            ('b', _) => binary(magnitude),
            (_, None) => print::float(magnitude),
            (_, Some(precision)) => general(magnitude, precision.clamp(1, 1100)),
        }
    };
    let body = if verb.is_uppercase() && verb != 'F' {
        body.to_uppercase()
    } else {
        body
    };
    let body = if spec.sharp && verb != 'b' && f.is_finite() {
        pointed(&body, verb, spec.precision)
    } else {
        body
    };
    let sign = if f.is_sign_negative() && !f.is_nan() {
        "-"
    } else if spec.plus || f.is_infinite() {
        "+"
    } else if spec.space {
        " "
    } else {
        ""
    };
    let width = spec.width.unwrap_or(0);
    if spec.zero && !spec.minus && f.is_finite() && !sign.is_empty() {
        let body = format!("{body:0>width$}", width = width.saturating_sub(sign.len()));
        out.push_str(sign);
        out.push_str(&body);
        return;
    }
    let zero = spec.zero && f.is_finite();
    pad(out, &format!("{sign}{body}"), &Spec { zero, ..*spec });
}

/// The `#` flag: always a point, and the zeros that other formats leave out.
fn pointed(body: &str, verb: char, precision: Option<usize>) -> String {
    let mut digits = if matches!(verb, 'e' | 'E' | 'f' | 'F') {
        0
    } else {
        precision.unwrap_or(6)
    };
    let hexadecimal = matches!(verb, 'x' | 'X');
    let tail = body
        .find(|c| matches!(c, 'p' | 'P') || !hexadecimal && matches!(c, 'e' | 'E'))
        .unwrap_or(body.len());
    let (number, tail) = body.split_at(tail);
    let mut nonzero = false;
    for c in number.chars().filter(|c| *c != '.') {
        nonzero |= c != '0';
        digits = digits.saturating_sub(usize::from(nonzero));
    }
    let mut out = number.to_owned();
    if !number.contains('.') {
        // The zero itself counts as a digit.
        digits = digits.saturating_sub(usize::from(number == "0"));
        out.push('.');
    }
    out.extend(std::iter::repeat_n('0', digits));
    out + tail
}

/// `1.500000e+00`.
fn exponent_form(f: f64, precision: usize) -> String {
    let text = format!("{f:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!(
        "{mantissa}e{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.abs()
    )
}

/// `%g` with a precision: significant digits without trailing zeros.
fn general(f: f64, precision: usize) -> String {
    if f == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{f:.*e}", precision - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    let count = i32::try_from(digits.len().max(1)).unwrap_or(i32::MAX);
    let mut limit = i32::try_from(precision).unwrap_or(i32::MAX);
    if limit > count && count > exponent {
        limit = count;
    }
    if exponent < -4 || exponent >= limit {
        let rest = digits.get(1..).unwrap_or_default();
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!(
            "{}{point}{rest}e{sign}{:02}",
            digits.get(..1).unwrap_or("0"),
            exponent.abs()
        );
    }
    let decimals = usize::try_from(count - 1 - exponent).unwrap_or(0);
    format!("{f:.decimals$}")
}

/// `0x1.8p+00`.
fn hexadecimal(f: f64) -> String {
    if f == 0.0 {
        return "0x0p+00".to_owned();
    }
    let bits = f.to_bits();
    let (mut exponent, mut mantissa) = (
        i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0) - 1023,
        bits & ((1 << 52) - 1),
    );
    if exponent == -1023 {
        let shift = mantissa.leading_zeros().saturating_sub(11);
        exponent = -1022 - i64::from(shift);
        mantissa = mantissa << shift & ((1 << 52) - 1);
    }
    let digits = format!("{mantissa:013x}");
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    format!(
        "0x1{point}{digits}p{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.abs()
    )
}

/// `4503599627370496p-52`.
fn binary(f: f64) -> String {
    let bits = f.to_bits();
    let exponent = i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = if exponent == 0 {
        (fraction, -1074)
    } else {
        (fraction | 1 << 52, exponent - 1075)
    };
    format!("{mantissa}p{exponent:+}")
}

fn text(out: &mut Buffer, s: &[u8], verb: char, spec: &Spec) {
    if matches!(verb, 'x' | 'X') {
        let bytes = s.iter().take(spec.precision.unwrap_or(usize::MAX));
        let prefix = if spec.sharp {
            if verb == 'x' { "0x" } else { "0X" }
        } else {
            ""
        };
        let mut hex = String::new();
        for (i, byte) in bytes.enumerate() {
            if i == 0 || spec.space {
                if i > 0 {
                    hex.push(' ');
                }
                hex.push_str(prefix);
            }
            let _ = if verb == 'x' {
                write!(hex, "{byte:02x}")
            } else {
                write!(hex, "{byte:02X}")
            };
        }
        return pad(out, &hex, spec);
    }
    let cut = cut(s, spec.precision);
    if verb == 'q' || spec.go_syntax {
        let plain = spec.sharp
            && std::str::from_utf8(cut).is_ok_and(|s| {
                !s.contains(['`', '\u{feff}', '\u{7f}']) && !s.chars().any(|c| c < ' ' && c != '\t')
            });
        let shown = if plain {
            format!("`{}`", String::from_utf8_lossy(cut))
        } else {
            quote(cut, spec.plus)
        };
        return pad(out, &shown, spec);
    }
    let width = cut
        .utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum::<usize>();
    let missing = spec.width.unwrap_or(0).saturating_sub(width);
    if !spec.minus {
        out.fill(if spec.zero { '0' } else { ' ' }, missing);
    }
    out.0.extend_from_slice(cut);
    if spec.minus {
        out.fill(' ', missing);
    }
}

/// The first characters; a byte that is none counts as one.
fn cut(s: &[u8], precision: Option<usize>) -> &[u8] {
    let Some(mut left) = precision else { return s };
    let mut end = 0;
    for chunk in s.utf8_chunks() {
        for c in chunk.valid().chars() {
            if left == 0 {
                return s.get(..end).unwrap_or(s);
            }
            left -= 1;
            end += c.len_utf8();
        }
        for _ in chunk.invalid() {
            if left == 0 {
                return s.get(..end).unwrap_or(s);
            }
            left -= 1;
            end += 1;
        }
    }
    s
}

/// `strconv.Quote`.
pub(crate) fn quote(s: &[u8], ascii: bool) -> String {
    let mut out = String::from("\"");
    for chunk in s.utf8_chunks() {
        for c in chunk.valid().chars() {
            out.push_str(&escape(c, ascii, '"'));
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

fn escape(c: char, ascii: bool, mark: char) -> String {
    match c {
        '\\' => "\\\\".to_owned(),
        c if c == mark => format!("\\{c}"),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        c if c < ' ' || c == '\u{7f}' => format!("\\x{:02x}", u32::from(c)),
        c if c.is_ascii() || (!ascii && printable(c)) => c.to_string(),
        c if u32::from(c) < 0x10000 => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    }
}

/// Nearly `unicode.IsPrint`: letters, marks, numbers, punctuation and symbols, and of spaces only the usual one.
pub(super) fn printable(c: char) -> bool {
    !c.is_control()
        && !c.is_whitespace()
        && (c.is_alphanumeric() || c.escape_debug().len() == 1 || c == '\u{fffd}')
}
