//! Words and letters: cases of identifiers, wrapping, abbreviating. Lengths count bytes, as upstream's do.

use super::super::Pure;
use super::super::args::{count, fail};
use super::{int_at, text_of};
use crate::engine::Value;
use crate::value::string;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("sprig_upper", |a| Ok(string(upper(&text_of("upper", a, 0)?)))),
    ("sprig_lower", |a| Ok(string(lower(&text_of("lower", a, 0)?)))),
    ("sprig_swapcase", |a| {
        Ok(string(swap_case(&text_of("swapcase", a, 0)?)))
    }),
    ("sprig_snakecase", |a| {
        Ok(string(joined(&text_of("snakecase", a, 0)?, '_')))
    }),
    ("sprig_kebabcase", |a| {
        Ok(string(joined(&text_of("kebabcase", a, 0)?, '-')))
    }),
    ("sprig_camelcase", |a| {
        Ok(string(pascal(&text_of("camelcase", a, 0)?)))
    }),
    ("sprig_abbrev", |a| {
        let (width, s) = (int_at("abbrev", a, 0)?, text_of("abbrev", a, 1)?);
        Ok(if width < 4 {
            string(s)
        } else {
            abbreviated(s.as_bytes(), 0, usize::try_from(width).unwrap_or(0))
        })
    }),
    ("sprig_abbrevboth", |a| {
        count("abbrevboth", a, 3..=3)?;
        let (left, right) = (int_at("abbrevboth", a, 0)?, int_at("abbrevboth", a, 1)?);
        let s = text_of("abbrevboth", a, 2)?;
        if right < 4 || left > 0 && right < 7 {
            return Ok(string(s));
        }
        let (left, right) = (
            usize::try_from(left).unwrap_or(0),
            usize::try_from(right).unwrap_or(0),
        );
        Ok(abbreviated(s.as_bytes(), left, right))
    }),
    ("sprig_wrap", |a| {
        let (width, s) = (int_at("wrap", a, 0)?, text_of("wrap", a, 1)?);
        Ok(wrap(s.as_bytes(), width, "\n", false))
    }),
    ("sprig_wrapWith", |a| {
        let (width, s) = (int_at("wrapWith", a, 0)?, text_of("wrapWith", a, 2)?);
        Ok(wrap(s.as_bytes(), width, &text_of("wrapWith", a, 1)?, true))
    }),
    ("sprig_initials", |a| {
        let s = text_of("initials", a, 0)?;
        Ok(string(
            s.split_whitespace()
                .filter_map(|word| word.chars().next())
                .collect::<String>(),
        ))
    }),
    ("sprig_repeat", |a| {
        let times = usize::try_from(int_at("repeat", a, 0)?).unwrap_or(0);
        let s = text_of("repeat", a, 1)?;
        if s.len().saturating_mul(times) > 10 << 20 {
            return fail("repeat: the result is larger than 10 MiB");
        }
        Ok(string(s.repeat(times)))
    }),
];

/// One letter for one letter: `ß` stays.
pub(crate) fn upper_char(c: char) -> char {
    let mut all = c.to_uppercase();
    match (all.next(), all.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn lower_char(c: char) -> char {
    let mut all = c.to_lowercase();
    match (all.next(), all.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

pub(crate) fn upper(s: &str) -> String {
    s.chars().map(upper_char).collect()
}

pub(crate) fn lower(s: &str) -> String {
    s.chars().map(lower_char).collect()
}

fn swap_case(s: &str) -> String {
    s.chars()
        .map(|c| {
            if c.is_uppercase() {
                lower_char(c)
            } else if c.is_lowercase() {
                upper_char(c)
            } else {
                c
            }
        })
        .collect()
}

fn is_connector(c: char) -> bool {
    matches!(c, '-' | '_') || c.is_whitespace()
}

/// `_some words` becomes `_SomeWords`.
fn pascal(s: &str) -> String {
    let chars: Vec<char> = s.chars().collect();
    let lead = chars.iter().take_while(|c| is_connector(**c)).count();
    let mut out: String = chars.iter().take(lead).collect();
    let rest = chars.get(lead..).unwrap_or_default();
    let Some((first, rest)) = rest.split_first() else {
        return out;
    };
    let mut last = upper_char(*first);
    for c in rest {
        let before = last;
        last = *c;
        if is_connector(last) && is_connector(before) {
            out.push(before);
            continue;
        }
        if is_connector(before) {
            last = upper_char(last);
        } else {
            last = lower_char(last);
            out.push(before);
        }
    }
    out.push(last);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Number,
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_punctuation() && !matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
    } else {
        matches!(c, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}')
    }
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() && (c.is_uppercase() || c.is_lowercase())
}

/// The next run of characters of one kind; a capital takes the small letters after it.
fn word(chars: &[char]) -> (Kind, usize) {
    let Some(first) = chars.first().copied() else {
        return (Kind::None, 0);
    };
    let run = |test: fn(char) -> bool| chars.iter().take_while(|c| test(**c)).count();
    let small = |from: usize| {
        let rest = chars.get(from..).unwrap_or_default();
        from + rest
            .iter()
            .take_while(|c| is_letter(**c) && !c.is_uppercase())
            .count()
    };
    if is_connector(first) {
        (Kind::Connector, run(is_connector))
    } else if is_punctuation(first) {
        (Kind::Punctuation, run(is_punctuation))
    } else if first.is_uppercase() {
        let capitals = run(char::is_uppercase);
        if capitals > 1 {
            let takes = chars.get(capitals).is_some_and(|c| is_letter(*c));
            (Kind::Upper, capitals - usize::from(takes))
        } else {
            (Kind::Upper, small(1))
        }
    } else if is_letter(first) {
        (Kind::Letters, small(0))
    } else if first.is_numeric() {
        (Kind::Number, run(char::is_numeric))
    } else {
        let other = |c: char| {
            !is_connector(c) && !is_letter(c) && !c.is_uppercase() && !c.is_numeric() && !is_punctuation(c)
        };
        (Kind::Other, run(other).max(1))
    }
}

/// Words in small letters with a connector between them; a number belongs to the letters after it.
fn joined(s: &str, connector: char) -> String {
    let chars: Vec<char> = s.chars().collect();
    let mut words: Vec<(Kind, &[char])> = Vec::new();
    let mut rest = chars.as_slice();
    while !rest.is_empty() {
        let (kind, length) = word(rest);
        let (one, after) = rest.split_at(length.clamp(1, rest.len()));
        words.push((kind, one));
        rest = after;
    }
    let mut out = String::new();
    let mut i = 0;
    let write = |out: &mut String, kind: Kind, word: &[char]| match kind {
        Kind::Connector => out.extend(std::iter::repeat_n(connector, word.len())),
        _ => out.extend(word.iter().map(|c| lower_char(*c))),
    };
    let get = |i: usize| words.get(i).copied().unwrap_or((Kind::None, &[]));
    let breaks = |kind: Kind| !matches!(kind, Kind::None | Kind::Punctuation | Kind::Connector);
    while i < words.len() {
        let (kind, one) = get(i);
        let more = i + 1 < words.len();
        write(&mut out, kind, one);
        i += 1;
        if !more {
            break;
        }
        match kind {
            Kind::Number => {
                while matches!(get(i).0, Kind::Letters | Kind::Number) {
                    write(&mut out, get(i).0, get(i).1);
                    i += 1;
                }
                if breaks(get(i).0) {
                    out.push(connector);
                }
            }
            Kind::Connector | Kind::Punctuation => {}
            _ if get(i).0 != Kind::Number => {
                if breaks(get(i).0) {
                    out.push(connector);
                }
            }
            _ if i + 1 >= words.len() => {}
            _ => {
                let number = get(i).1;
                i += 1;
                if get(i).0 != Kind::Letters {
                    write(&mut out, Kind::Number, number);
                    if breaks(get(i).0) {
                        out.push(connector);
                    }
                    continue;
                }
                out.push(connector);
                write(&mut out, Kind::Number, number);
                while matches!(get(i).0, Kind::Letters | Kind::Number) {
                    write(&mut out, get(i).0, get(i).1);
                    i += 1;
                }
                if breaks(get(i).0) {
                    out.push(connector);
                }
            }
        }
    }
    out
}

/// Cuts behind `width` bytes, and before `offset` ones, with dots for what is gone.
fn abbreviated(s: &[u8], offset: usize, width: usize) -> Value {
    let part = |range: std::ops::Range<usize>| s.get(range).unwrap_or_default();
    if s.len() <= width || width < 4 {
        return Value::from_bytes(s);
    }
    let keep = width - 3;
    let offset = offset.min(s.len());
    let offset = if s.len() - offset < keep {
        s.len() - keep
    } else {
        offset
    };
    let mut out = Vec::new();
    if offset <= 4 {
        out.extend_from_slice(part(0..keep));
        out.extend_from_slice(b"...");
        return Value::from_bytes(&out);
    }
    if width < 7 {
        return Value::from_bytes(b"");
    }
    out.extend_from_slice(b"...");
    if offset + keep < s.len() {
        let rest = part(offset..s.len());
        let inner = abbreviated(rest, 0, keep);
        out.extend_from_slice(inner.bytes().unwrap_or_default());
    } else {
        out.extend_from_slice(part(s.len() - keep..s.len()));
    }
    Value::from_bytes(&out)
}

fn wrap(s: &[u8], width: i64, newline: &str, cut_words: bool) -> Value {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let newline = if newline.is_empty() { "\n" } else { newline };
    let mut out = Vec::new();
    let mut offset = 0;
    while s.len() - offset > width {
        if s.get(offset) == Some(&b' ') {
            offset += 1;
            continue;
        }
        let window = s.get(offset..=offset + width).unwrap_or_default();
        let (end, next) = match window.iter().rposition(|b| *b == b' ') {
            Some(space) => (offset + space, offset + space + 1),
            None if cut_words => (offset + width, offset + width),
            None => {
                let rest = s.get(offset + width..).unwrap_or_default();
                match rest.iter().position(|b| *b == b' ') {
                    Some(space) => (offset + width + space, offset + width + space + 1),
                    None => break,
                }
            }
        };
        out.extend_from_slice(s.get(offset..end).unwrap_or_default());
        out.extend_from_slice(newline.as_bytes());
        offset = next;
    }
    out.extend_from_slice(s.get(offset..).unwrap_or_default());
    Value::from_bytes(&out)
}
