//! Functions on strings.

use super::Pure;
use super::args::{count, fail, fields, int, list, text};
use crate::engine::{Result, Value};
use crate::value::{map, string};
use regex::Regex;
use std::sync::Arc;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("indent", indent),
    ("join", |a| {
        count("join", a, 2..=2)?;
        let items = list("join", a, 1)?;
        Ok(string(
            items
                .iter()
                .map(crate::engine::print::display)
                .collect::<Vec<_>>()
                .join(&text("join", a, 0)?),
        ))
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
    ("toLower", |a| Ok(string(text("toLower", a, 0)?.to_lowercase()))),
    ("toUpper", |a| Ok(string(text("toUpper", a, 0)?.to_uppercase()))),
    ("toTitle", |a| Ok(string(title(&text("toTitle", a, 0)?)))),
    ("replaceAll", |a| {
        count("replaceAll", a, 3..=3)?;
        let (from, to) = (text("replaceAll", a, 0)?, text("replaceAll", a, 1)?);
        Ok(string(text("replaceAll", a, 2)?.replace(&*from, &to)))
    }),
    ("regexReplaceAll", |a| {
        count("regexReplaceAll", a, 3..=3)?;
        let expression = pattern("regexReplaceAll", a)?;
        let with = text("regexReplaceAll", a, 1)?;
        Ok(string(
            expression.replace_all(&text("regexReplaceAll", a, 2)?, &*with),
        ))
    }),
    ("regexMatch", |a| {
        count("regexMatch", a, 2..=2)?;
        Ok(Value::Bool(pattern("regexMatch", a)?.is_match(&text(
            "regexMatch",
            a,
            1,
        )?)))
    }),
    ("split", |a| {
        count("split", a, 2..=2)?;
        let (separator, s) = (text("split", a, 0)?, text("split", a, 1)?);
        let s = s.trim();
        let parts: Vec<Value> = if s.is_empty() {
            Vec::new()
        } else if separator.is_empty() {
            s.chars().map(|c| string(c.to_string())).collect()
        } else {
            s.split(&*separator).map(string).collect()
        };
        Ok(Value::List(parts.into()))
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
        for part in s.split(&*outer).filter(|_| !s.is_empty()) {
            let Some((key, value)) = part.split_once(&*inner) else {
                return fail("splitToMap: an item has no key separator");
            };
            entries.push((key.to_owned(), string(value)));
        }
        Ok(map(entries))
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
    let mut out = String::with_capacity(s.len());
    for line in s.split_inclusive('\n') {
        if line != "\n" {
            out.push_str(&prefix);
        }
        out.push_str(line);
    }
    Ok(string(out))
}

/// Go's `strings.Title`: the first letter of each word.
pub(super) fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}

fn pattern(name: &str, args: &[Value]) -> Result<Regex> {
    let source = text(name, args, 0)?;
    Regex::new(&source).or_else(|_| fail(format!("{name}: argument 1 is no regular expression")))
}

fn merge(name: &str, args: &[Value], overriding: bool) -> Result<Value> {
    count(name, args, 2..=2)?;
    let (first, second) = (fields(name, args, 0)?, fields(name, args, 1)?);
    let (weak, strong) = if overriding {
        (&second, &first)
    } else {
        (&first, &second)
    };
    let mut out = (**weak).clone();
    merge_into(&mut out, strong);
    Ok(Value::Map(out.into()))
}

fn merge_into(
    into: &mut std::collections::BTreeMap<Arc<str>, Value>,
    from: &std::collections::BTreeMap<Arc<str>, Value>,
) {
    for (key, value) in from {
        let merged = match (into.get(key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => {
                let mut both = (**old).clone();
                merge_into(&mut both, new);
                Value::Map(both.into())
            }
            _ => value.clone(),
        };
        into.insert(Arc::clone(key), merged);
    }
}
