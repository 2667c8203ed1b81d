//! YAML, as far as templates need it: block-style writing, and reading through an event parser.

use super::args::fail;
use crate::engine::{Result, Value};
use crate::value::{map, string};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value as Json;
use std::fmt::Write;

/// How deep a document may nest.
const DEPTH: usize = 100;

/// Reads the first document.
pub(super) fn parse(source: &str) -> Result<Value> {
    enum Open {
        List(Vec<Value>),
        Map(Vec<(String, Value)>, Option<String>),
    }
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(source) {
        let event = match event {
            Ok((event, _)) => event,
            Err(error) => return fail(format!("parseYAML: no YAML at line {}", error.marker().line())),
        };
        let done = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH => {
                return fail("parseYAML: nested too deep");
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Vec::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::List(items.into()),
                Some(Open::Map(entries, _)) => map(entries),
                None => continue,
            },
            Event::Alias(_) => return fail("parseYAML: aliases are not supported"),
            Event::DocumentEnd => break,
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(done),
            Some(Open::List(items)) => items.push(done),
            Some(Open::Map(entries, key)) => match key.take() {
                None => *key = Some(crate::engine::print::display(&done)),
                Some(key) => entries.push((key, done)),
            },
        }
    }
    Ok(map::<&str>([]))
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if !matches!(style, ScalarStyle::Plain) {
        return string(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Nil,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            if let Ok(n) = text.parse::<i64>() {
                Value::Int(n)
            } else if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
                && let Ok(f) = text.parse::<f64>()
            {
                Value::Float(f)
            } else {
                string(text)
            }
        }
    }
}

/// Writes block style without a final newline.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out.trim_end().to_owned()
}

fn block(out: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    match value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, item) in entries.iter() {
                let _ = write!(out, "{pad}{}:", word(key));
                match item {
                    Value::Map(inner) if !inner.is_empty() => {
                        out.push('\n');
                        block(out, item, indent + 2);
                    }
                    Value::List(inner) if !inner.is_empty() => {
                        out.push('\n');
                        block(out, item, indent);
                    }
                    _ => {
                        let _ = writeln!(out, " {}", inline(item));
                    }
                }
            }
        }
        Value::List(items) if !items.is_empty() => {
            for item in items.iter() {
                let mut inner = String::new();
                block(&mut inner, item, indent + 2);
                let _ = write!(out, "{pad}- {}", inner.get(indent + 2..).unwrap_or(&inner));
            }
        }
        _ => {
            let _ = writeln!(out, "{pad}{}", inline(value));
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Nil | Value::Function(_) => "null".to_owned(),
        Value::String(s) => word(s),
        Value::List(_) => "[]".to_owned(),
        Value::Map(_) => "{}".to_owned(),
        other => crate::engine::print::display(other),
    }
}

/// A string, quoted where a reader would take it for something else.
fn word(s: &str) -> String {
    let plain = !s.is_empty()
        && matches!(scalar(s, ScalarStyle::Plain), Value::String(_))
        && !matches!(
            s.to_ascii_lowercase().as_str(),
            "yes" | "no" | "on" | "off" | "y" | "n"
        )
        && !s.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@` ".contains(c))
        && !s.contains(": ")
        && !s.contains(" #")
        && !s.ends_with([':', ' '])
        && !s.chars().any(|c| c.is_control());
    if plain {
        s.to_owned()
    } else {
        Json::String(s.to_owned()).to_string()
    }
}
