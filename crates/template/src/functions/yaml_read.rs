//! YAML 1.1 as consul-template's library reads it, from an event parser; aliases are copied, within limits.

use super::args::fail;
use crate::engine::{Result, Value, take_apart};
use crate::value::{map, string};
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::HashMap;

/// How deep a document may nest.
const DEPTH: usize = 100;
/// How many values a document may become: aliases multiply.
const VALUES: usize = 1_000_000;

enum Open {
    List(Vec<Value>, usize),
    Map(Vec<(String, Value)>, Option<Key>, usize),
}

/// A key that waits for its value.
enum Key {
    Merge,
    Name(String),
}

/// Reads the first document.
pub(super) fn parse(source: &str) -> Result<Value> {
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, (Value, usize)> = HashMap::new();
    let mut values = 0usize;
    // A block of text ends as the document does: without a line end if there is none.
    let length = if source.ends_with('\n') {
        usize::MAX
    } else {
        source.chars().count()
    };
    for event in Parser::new_from_str(source) {
        let (event, last) = match event {
            Ok((event, span)) => (event, span.end.index() >= length),
            Err(error) => return fail(format!("parseYAML: no YAML at line {}", error.marker().line())),
        };
        values += 1;
        let mut merge_key = false;
        let (done, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| tag.suffix.clone());
                merge_key = text == "<<" && matches!(style, ScalarStyle::Plain) && tag.is_none();
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let text = if block && last {
                    text.trim_end_matches('\n')
                } else {
                    &text
                };
                (tagged(text, style, tag.as_deref())?, anchor)
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH => {
                return fail("parseYAML: nested too deep");
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open::List(Vec::new(), anchor));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open::Map(Vec::new(), None, anchor));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items, anchor)) => (Value::List(items.into()), anchor),
                Some(Open::Map(entries, _, anchor)) => (map(entries), anchor),
                None => continue,
            },
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some((value, size)) => {
                    values += size;
                    (value.clone(), 0)
                }
                None => return fail("parseYAML: an alias stands before its anchor"),
            },
            Event::DocumentEnd => break,
            _ => continue,
        };
        if values > VALUES || done.depth() as usize > DEPTH {
            return fail("parseYAML: the document is too large");
        }
        if anchor > 0 {
            anchors.insert(anchor, (done.clone(), size(&done)));
        }
        match open.last_mut() {
            None => return Ok(done),
            Some(Open::List(items, _)) => items.push(done),
            Some(Open::Map(entries, key, _)) => match key.take() {
                None if merge_key => *key = Some(Key::Merge),
                None => *key = Some(Key::Name(crate::engine::print::display(&done))),
                Some(Key::Name(key)) => entries.push((key, done)),
                Some(Key::Merge) => merge(entries, &done)?,
            },
        }
    }
    Ok(Value::Nil)
}

/// `<<`: what is there already stays.
fn merge(entries: &mut Vec<(String, Value)>, from: &Value) -> Result<()> {
    match from.base() {
        Value::Map(fields) => {
            for (key, value) in fields.iter() {
                if !entries.iter().any(|(known, _)| known == &**key) {
                    entries.insert(0, (key.to_string(), value.clone()));
                }
            }
            Ok(())
        }
        Value::List(items) => items.iter().try_for_each(|item| merge(entries, item)),
        _ => fail("parseYAML: `<<` merges maps only"),
    }
}

fn size(value: &Value) -> usize {
    match value.base() {
        Value::List(items) => items.iter().map(size).sum::<usize>() + 1,
        Value::Map(entries) => entries.values().map(size).sum::<usize>() + 1,
        _ => 1,
    }
}

fn tagged(text: &str, style: ScalarStyle, tag: Option<&str>) -> Result<Value> {
    match tag {
        Some("str") => Ok(string(text)),
        Some("int" | "float" | "bool" | "null") => match resolve(text) {
            Value::String(_) => fail("parseYAML: a value is not of its tag's type"),
            value => Ok(value),
        },
        _ if matches!(style, ScalarStyle::Plain) => Ok(resolve(text)),
        _ => Ok(string(text)),
    }
}

/// What a plain scalar is.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return string(text);
    }
    let plain = text.replace('_', "");
    integer(&plain)
        .or_else(|| float(&plain))
        .unwrap_or_else(|| string(text))
}

fn integer(plain: &str) -> Option<Value> {
    let (negative, radix, body) = take_apart(plain);
    if body.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(&body, radix).ok()?;
    match (negative, i64::try_from(magnitude)) {
        (false, Ok(n)) => Some(Value::Int(n)),
        (false, Err(_)) => Some(Value::Uint(magnitude).typed("uint64")),
        (true, _) => 0i64.checked_sub_unsigned(magnitude).map(Value::Int),
    }
}

fn float(plain: &str) -> Option<Value> {
    let good = plain.bytes().any(|b| b.is_ascii_digit())
        && plain
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    plain.parse::<f64>().ok().filter(|_| good).map(Value::Float)
}
