//! YAML in block style, as consul-template's library writes it: what it quotes, how, and where it breaks lines.

use super::yaml_read::resolve;
use crate::engine::Value;
use std::fmt::Write;

/// Where plain and quoted text is broken.
const WIDTH: usize = 80;

/// Writes a value without a final newline.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value.base() {
        Value::Map(entries) if !entries.is_empty() => block(&mut out, value, 0),
        Value::List(items) if !items.is_empty() => block(&mut out, value, 0),
        _ => scalar(&mut out, value, 2, 0),
    }
    out.trim_matches(['\n', ' ', '\t', '\r']).to_owned()
}

fn block(out: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    match value.base() {
        Value::Map(entries) => {
            let mut keys: Vec<&std::sync::Arc<str>> = entries.keys().collect();
            keys.sort_by(|a, b| natural(a, b));
            for key in keys {
                let Some(item) = entries.get(key) else { continue };
                out.push_str(&pad);
                key_text(out, key);
                out.push(':');
                below(out, item, indent, false);
            }
        }
        Value::List(items) => {
            for item in items.iter() {
                let _ = write!(out, "{pad}-");
                below(out, item, indent, true);
            }
        }
        _ => {}
    }
}

/// What follows `key:` or `-`.
fn below(out: &mut String, item: &Value, indent: usize, in_list: bool) {
    match item.base() {
        Value::Map(inner) if !inner.is_empty() => nested(out, item, indent + 2, in_list),
        Value::List(inner) if !inner.is_empty() => {
            nested(out, item, if in_list { indent + 2 } else { indent }, in_list);
        }
        _ => {
            out.push(' ');
            let column = out.rsplit('\n').next().map_or(0, |line| line.chars().count());
            scalar(out, item, indent + 2, column);
            out.push('\n');
        }
    }
}

/// In a list the first entry stands behind the dash.
fn nested(out: &mut String, item: &Value, indent: usize, in_list: bool) {
    if !in_list {
        out.push('\n');
        return block(out, item, indent);
    }
    let mut inner = String::new();
    block(&mut inner, item, indent);
    out.push(' ');
    out.push_str(inner.get(indent..).unwrap_or(&inner));
}

fn scalar(out: &mut String, value: &Value, indent: usize, column: usize) {
    match value.base() {
        Value::String(s) => text(out, s, indent, column, false),
        Value::Bytes(_) => out.push_str("null"),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
        Value::Float(f) if f.is_infinite() => out.push_str(if *f > 0.0 { ".inf" } else { "-.inf" }),
        Value::Float(f) if f.is_nan() => out.push_str(".nan"),
        Value::Object(object) => out.push_str(&object.marshal().unwrap_or_else(|| "null".to_owned())),
        Value::Nil | Value::Missing | Value::Function(_) => out.push_str("null"),
        other => out.push_str(&crate::engine::print::display(other)),
    }
}

fn key_text(out: &mut String, key: &str) {
    // A key stands on one line.
    if key.contains('\n') || key.len() > 128 {
        let before = out.len();
        double(out, key, usize::MAX, 0, 0);
        if key.len() > 128 {
            out.insert_str(before, "? ");
        }
        return;
    }
    text(out, key, 0, 0, true);
}

/// A string in the first style that keeps it: plain, single quotes, a literal block, double quotes.
fn text(out: &mut String, s: &str, indent: usize, column: usize, key: bool) {
    let width = if key { usize::MAX } else { WIDTH };
    let special = s.chars().any(|c| {
        c.is_control() && !matches!(c, '\n' | '\t') || c == '\u{feff}' || ('\u{80}'..'\u{a0}').contains(&c)
    });
    if s.contains('\n') && !key {
        let breakable = !special && !s.contains(" \n") && !s.contains('\t');
        if breakable && !s.ends_with(' ') {
            return literal(out, s, indent);
        }
        return double(out, s, width, indent, column);
    }
    if special || s.contains('\t') {
        return double(out, s, width, indent, column);
    }
    let ambiguous = !matches!(resolve(s), Value::String(_)) || s == "<<" || timestamp(s) || base60(s);
    if ambiguous {
        return double(out, s, width, indent, column);
    }
    if plain_allowed(s) {
        return folded(out, s, width, indent, column);
    }
    let quoted = format!("'{}'", s.replace('\'', "''"));
    folded(out, &quoted, width, indent, column);
}

fn plain_allowed(s: &str) -> bool {
    let mut chars = s.chars();
    let (Some(first), second) = (chars.next(), chars.next()) else {
        return false;
    };
    let space = |c: Option<char>| c.is_none_or(|c| matches!(c, ' ' | '\n'));
    if matches!(
        first,
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' | ' '
    ) || matches!(first, '-' | '?' | ':') && space(second)
    {
        return false;
    }
    !s.ends_with([' ', ':'])
        && !s.contains(": ")
        && !s.contains(" #")
        && !s.contains(['\u{2028}', '\u{2029}', '\u{85}'])
        && !s.starts_with("---")
        && !s.starts_with("...")
}

/// What other readers take for a time.
fn timestamp(s: &str) -> bool {
    let digits = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let date = s.get(..4).is_some_and(|year| digits(year, 4..=4)) && s.get(4..5) == Some("-");
    if !date {
        return false;
    }
    let mut parts = s.splitn(3, '-');
    let (_, month, rest) = (parts.next(), parts.next(), parts.next());
    let (Some(month), Some(rest)) = (month, rest) else {
        return false;
    };
    let day: String = rest.chars().take_while(char::is_ascii_digit).collect();
    if !digits(month, 1..=2) || !digits(&day, 1..=2) {
        return false;
    }
    let time = rest.get(day.len()..).unwrap_or_default();
    if time.is_empty() {
        return true;
    }
    let time = time.trim_start_matches(['T', 't', ' ']);
    time.split(':').count() >= 3 && time.starts_with(|c: char| c.is_ascii_digit())
}

/// What YAML 1.1 takes for a number of base sixty.
fn base60(s: &str) -> bool {
    s.contains(':')
        && s.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'))
        && s.trim_start_matches(['+', '-'])
            .split(':')
            .enumerate()
            .all(|(i, part)| {
                let part = if i == 0 {
                    part
                } else {
                    part.split('.').next().unwrap_or(part)
                };
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b'_')
            })
}

/// Breaks at single spaces behind the width.
fn folded(out: &mut String, s: &str, width: usize, indent: usize, column: usize) {
    let mut column = column;
    let mut before = '\0';
    let mut chars = s.chars().peekable();
    let quoted = s.starts_with('\'');
    let mut first = true;
    while let Some(c) = chars.next() {
        let last = chars.peek().is_none() || quoted && chars.clone().count() == 1;
        if c == ' ' && !first && before != ' ' && column > width && !last && chars.peek() != Some(&' ') {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push(c);
            column += 1;
        }
        before = c;
        first = false;
    }
}

fn double(out: &mut String, s: &str, width: usize, indent: usize, column: usize) {
    out.push('"');
    let mut column = column + 1;
    let mut spaces = false;
    let count = s.chars().count();
    for (i, c) in s.chars().enumerate() {
        let escaped = match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            '\t' => "\\t".to_owned(),
            '\r' => "\\r".to_owned(),
            '\0' => "\\0".to_owned(),
            '\u{7}' => "\\a".to_owned(),
            '\u{8}' => "\\b".to_owned(),
            '\u{b}' => "\\v".to_owned(),
            '\u{c}' => "\\f".to_owned(),
            '\u{1b}' => "\\e".to_owned(),
            '\u{85}' => "\\N".to_owned(),
            '\u{a0}' => "\\_".to_owned(),
            '\u{2028}' => "\\L".to_owned(),
            '\u{2029}' => "\\P".to_owned(),
            '\u{feff}' => "\\uFEFF".to_owned(),
            c if c.is_control() => format!("\\x{:02X}", u32::from(c)),
            ' ' if !spaces && column > width && i > 0 && i + 1 < count => {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
                if s.chars().nth(i + 1) == Some(' ') {
                    out.push('\\');
                    column += 1;
                }
                spaces = true;
                continue;
            }
            c => c.to_string(),
        };
        spaces = c == ' ';
        column += escaped.chars().count();
        out.push_str(&escaped);
    }
    out.push('"');
}

fn literal(out: &mut String, s: &str, indent: usize) {
    out.push('|');
    if s.starts_with([' ', '\n']) {
        out.push('2');
    }
    if !s.ends_with('\n') {
        out.push('-');
    } else if s.ends_with("\n\n") || s == "\n" {
        out.push('+');
    }
    let pad = " ".repeat(indent);
    for line in s.strip_suffix('\n').unwrap_or(s).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&pad);
            out.push_str(line);
        }
    }
}

/// The order of keys: numbers in them count as numbers, letters come after what is none.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut digits = false;
    for (i, (c, d)) in x.iter().zip(&y).enumerate() {
        if c == d {
            digits = c.is_numeric();
            continue;
        }
        let (letter_c, letter_d) = (c.is_alphabetic(), d.is_alphabetic());
        if letter_c && letter_d {
            return c.cmp(d);
        }
        if letter_c || letter_d {
            return if digits {
                letter_c.cmp(&letter_d)
            } else {
                letter_d.cmp(&letter_c).reverse()
            };
        }
        let number = |s: &[char]| {
            let run: String = s.iter().take_while(|c| c.is_ascii_digit()).collect();
            (run.parse::<u128>().unwrap_or(0), run.len())
        };
        let start = i - x
            .get(..i)
            .unwrap_or_default()
            .iter()
            .rev()
            .take_while(|c| **c == '0')
            .count();
        let start = if matches!(c, '0') || matches!(d, '0') {
            start
        } else {
            i
        };
        let (n, m) = (
            number(x.get(start..).unwrap_or_default()),
            number(y.get(start..).unwrap_or_default()),
        );
        return match n.0.cmp(&m.0) {
            Ordering::Equal if n.1 != m.1 => n.1.cmp(&m.1),
            Ordering::Equal => c.cmp(d),
            other => other,
        };
    }
    x.len().cmp(&y.len())
}
