//! The suffix of a generated resource's name: a hash of its content.

use crate::error::{Error, Result};
use crate::node::Node;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// What kustomize appends to the name.
pub(crate) fn suffix(node: &Node) -> Result<String> {
    let kind = node.get("kind").map_or("", Node::text);
    let text = match kind {
        "ConfigMap" => content(node, kind, &["data"], "binaryData")?,
        "Secret" => content(node, kind, &["data", "type"], "stringData")?,
        // Upstream hashes its parser's own notes here: lines, columns and styles of the patch that changed the kind.
        _ => {
            return Err(
                Error::new(format!("the name of a generated {kind} cannot end with a hash"))
                    .hint("set `options: {disableNameSuffixHash: true}` in the generator, or leave the kind as it is"),
            );
        }
    };
    let digest = Sha256::digest(text.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in digest.iter().take(5) {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex
        .chars()
        .map(|c| match c {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            c => c,
        })
        .collect())
}

fn content(node: &Node, kind: &str, fields: &[&str], more: &str) -> Result<String> {
    let mut map = Map::new();
    let value = |field: Option<&Node>| {
        Ok(match field {
            None => Value::String(String::new()),
            Some(node) if node.is_scalar() => Value::String(node.text().to_owned()),
            Some(node) => node.to_json()?,
        })
    };
    map.insert("kind".to_owned(), Value::String(kind.to_owned()));
    // Upstream looks for a field that is called `metadata/name`, and there is none.
    map.insert("name".to_owned(), value(node.get("metadata/name"))?);
    for field in fields {
        map.insert((*field).to_owned(), value(node.get(field))?);
    }
    if let Some(found) = node.get(more).filter(|found| found.is_map()) {
        map.insert(more.to_owned(), found.to_json()?);
    }
    Ok(go_json(&Value::Object(map)))
}

/// JSON as Go's encoder writes it: keys sorted, `<`, `>`, `&` and line separators escaped.
fn go_json(value: &Value) -> String {
    let mut out = String::new();
    write_json(&mut out, value);
    out
}

fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&go_number(number)),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (at, (key, item)) in map.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(out, key);
                out.push(':');
                write_json(out, item);
            }
            out.push('}');
        }
    }
}

/// Floats without an exponent between 1e-6 and 1e21, as Go has them.
fn go_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            if float != 0.0 && !(1e-6..1e21).contains(&float.abs()) {
                let text = format!("{float:e}");
                return match text.split_once('e') {
                    Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
                    _ => text,
                };
            }
            format!("{float}")
        }
        _ => number.to_string(),
    }
}

/// A string in JSON, as Go's encoder writes it.
pub(crate) fn json_text(text: &str) -> String {
    let mut out = String::new();
    write_text(&mut out, text);
    out
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_json_as_go_does() {
        let value = json!({"b": [1, 1.5, null, true], "a<>&": "\u{2028}\t\u{1}\"é"});
        assert_eq!(
            go_json(&value),
            "{\"a\\u003c\\u003e\\u0026\":\"\\u2028\\t\\u0001\\\"é\",\"b\":[1,1.5,null,true]}"
        );
    }
}
