//! Functions on strings.

use super::Pure;
use super::args::{count, fail, fields, fits, int, list, text};
use super::regex::pattern;
use super::sprig::{lower, upper, upper_char};
use crate::engine::{Result, Typed, Value};
use crate::value::{map, string, strings};
use std::sync::Arc;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("indent", indent),
    ("join", |a| {
        count("join", a, 2..=2)?;
        joined("join", &list("join", a, 1)?, &text("join", a, 0)?).map(string)
    }),
    ("trim", |a| {
        count("trim", a, 2..=2)?;
        let cut = text("trim", a, 0)?;
        Ok(string(text("trim", a, 1)?.trim_matches(|c| cut.contains(c))))
    }),
    ("trimPrefix", |a| {
        let (prefix, s) = (text("trimPrefix", a, 0)?, text("trimPrefix", a, 1)?);
        Ok(string(s.strip_prefix(&*prefix).unwrap_or(&s)))
    }),
    ("trimSuffix", |a| {
        let (suffix, s) = (text("trimSuffix", a, 0)?, text("trimSuffix", a, 1)?);
        Ok(string(s.strip_suffix(&*suffix).unwrap_or(&s)))
    }),
    ("trimSpace", |a| Ok(string(text("trimSpace", a, 0)?.trim()))),
    ("toLower", |a| Ok(string(lower(&text("toLower", a, 0)?)))),
    ("toUpper", |a| Ok(string(upper(&text("toUpper", a, 0)?)))),
    ("toTitle", |a| Ok(string(word_title(&text("toTitle", a, 0)?)))),
    ("replaceAll", |a| {
        count("replaceAll", a, 3..=3)?;
        let (from, to) = (text("replaceAll", a, 0)?, text("replaceAll", a, 1)?);
        replaced("replaceAll", &text("replaceAll", a, 2)?, &from, &to).map(string)
    }),
    ("regexReplaceAll", |a| {
        count("regexReplaceAll", a, 3..=3)?;
        let expression = pattern("regexReplaceAll", a, 0)?;
        let with = text("regexReplaceAll", a, 1)?;
        regex_replaced(
            "regexReplaceAll",
            &expression,
            &text("regexReplaceAll", a, 2)?,
            &*with,
        )
        .map(string)
    }),
    ("regexMatch", |a| {
        count("regexMatch", a, 2..=2)?;
        Ok(Value::Bool(pattern("regexMatch", a, 0)?.is_match(&text(
            "regexMatch",
            a,
            1,
        )?)))
    }),
    ("split", |a| {
        count("split", a, 2..=2)?;
        let (separator, s) = (text("split", a, 0)?, text("split", a, 1)?);
        let s = s.trim();
        if s.is_empty() {
            return Ok(strings::<&str>([]));
        }
        Ok(strings(go_split(s, &separator)))
    }),
    ("splitToMap", |a| {
        count("splitToMap", a, 3..=3)?;
        let (outer, inner, s) = (
            text("splitToMap", a, 0)?,
            text("splitToMap", a, 1)?,
            text("splitToMap", a, 2)?,
        );
        let s = s.trim();
        let mut entries = Vec::new();
        let parts = if s.is_empty() {
            Vec::new()
        } else {
            go_split(s, &outer)
        };
        for part in parts {
            let Some((key, value)) = part.split_once(&*inner) else {
                continue;
            };
            entries.push((key.to_owned(), string(value)));
        }
        let Value::Map(entries) = map(entries) else {
            return Ok(Value::Nil);
        };
        Ok(Value::Typed(Arc::new(Typed {
            name: "map[string]string".into(),
            value: Value::Map(entries),
            zero: Some(string("")),
            methods: None,
        })))
    }),
    ("mergeMap", |a| merge("mergeMap", a, false)),
    ("mergeMapWithOverride", |a| merge("mergeMapWithOverride", a, true)),
];

fn indent(args: &[Value]) -> Result<Value> {
    count("indent", args, 2..=2)?;
    let Ok(spaces) = usize::try_from(int("indent", args, 0)?) else {
        return fail("indent: the number of spaces is negative");
    };
    let prefix = " ".repeat(spaces.min(1024));
    let s = text("indent", args, 1)?;
    let lines = s.matches('\n').count().saturating_add(1);
    fits(
        "indent",
        lines.saturating_mul(prefix.len()).saturating_add(s.len()),
    )?;
    let mut out = String::with_capacity(s.len());
    for line in s.split_inclusive('\n') {
        if line != "\n" {
            out.push_str(&prefix);
        }
        out.push_str(line);
    }
    Ok(string(out))
}

/// Items one after the other, with something between them.
pub(super) fn joined(name: &str, items: &[Value], separator: &str) -> Result<String> {
    let mut out = String::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(&crate::engine::print::display(item));
        fits(name, out.len())?;
    }
    Ok(out)
}

/// A text with another in the place of a third.
pub(super) fn replaced(name: &str, s: &str, from: &str, to: &str) -> Result<String> {
    let times = s.matches(from).count();
    fits(name, s.len().saturating_add(times.saturating_mul(to.len())))?;
    Ok(s.replace(from, to))
}

/// A text with something in the place of all matches.
pub(super) fn regex_replaced<R: ::regex::Replacer>(
    name: &str,
    expression: &::regex::Regex,
    s: &str,
    mut with: R,
) -> Result<String> {
    let mut out = String::new();
    let mut end = 0;
    for found in expression.captures_iter(s) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(s.get(end..whole.start()).unwrap_or_default());
        with.replace_append(&found, &mut out);
        end = whole.end();
        fits(name, out.len())?;
    }
    out.push_str(s.get(end..).unwrap_or_default());
    Ok(out)
}

/// Go's `strings.Title`: the first letter of each word.
pub(super) fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if inside {
            out.push(c);
        } else {
            out.push(upper_char(c));
        }
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}

/// `strings.Split`: nothing between characters where the separator is empty.
pub(super) fn go_split<'a>(s: &'a str, separator: &str) -> Vec<&'a str> {
    if separator.is_empty() {
        return s.split("").filter(|part| !part.is_empty()).collect();
    }
    s.split(separator).collect()
}

/// The first letter of each word as Unicode cuts words: not at a dot, colon or apostrophe between letters.
fn word_title(s: &str) -> String {
    let chars: Vec<char> = s.chars().collect();
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for (i, c) in chars.iter().enumerate() {
        let alphabetic = |c: Option<&char>| c.is_some_and(|c| c.is_alphabetic());
        if inside || !c.is_alphabetic() {
            out.push(*c);
        } else {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            upper.for_each(|rest| out.extend(rest.to_lowercase()));
        }
        let joins = matches!(c, '.' | ':' | '\'' | '\u{2019}' | '\u{b7}')
            && inside
            && alphabetic(i.checked_sub(1).and_then(|before| chars.get(before)))
            && alphabetic(chars.get(i + 1));
        inside = c.is_alphanumeric() || *c == '_' || joins;
    }
    out
}

fn merge(name: &str, args: &[Value], overriding: bool) -> Result<Value> {
    count(name, args, 2..=2)?;
    let mut into = (*fields(name, args, 0)?).clone();
    super::sprig::merge_into(&mut into, &*fields(name, args, 1)?, overriding);
    Ok(Value::Map(into.into()))
}
