//! To and from base64, JSON, TOML, YAML and the simple types.

use super::Pure;
use super::args::{any, count, fail, fields, text};
use super::yaml;
use crate::engine::{Result, Value};
use crate::value::{from_json_floats, map, string, to_json};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt::Write;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("base64Encode", |a| {
        Ok(string(STANDARD.encode(text("base64Encode", a, 0)?.as_bytes())))
    }),
    ("base64URLEncode", |a| {
        Ok(string(URL_SAFE.encode(text("base64URLEncode", a, 0)?.as_bytes())))
    }),
    ("base64Decode", |a| {
        decode(
            "base64Decode",
            a,
            STANDARD.decode(text("base64Decode", a, 0)?.as_bytes()),
        )
    }),
    ("base64URLDecode", |a| {
        decode(
            "base64URLDecode",
            a,
            URL_SAFE.decode(text("base64URLDecode", a, 0)?.as_bytes()),
        )
    }),
    ("parseBool", |a| {
        count("parseBool", a, 1..=1)?;
        match &*text("parseBool", a, 0)? {
            "" => Ok(Value::Bool(false)),
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => fail("parseBool: the text is no boolean"),
        }
    }),
    ("parseFloat", |a| {
        parse("parseFloat", a, Value::Float(0.0), |s| {
            s.parse().ok().map(Value::Float)
        })
    }),
    ("parseInt", |a| {
        parse("parseInt", a, Value::Int(0), |s| s.parse().ok().map(Value::Int))
    }),
    ("parseUint", |a| {
        parse("parseUint", a, Value::Uint(0), |s| {
            s.parse().ok().map(Value::Uint)
        })
    }),
    ("parseJSON", |a| {
        count("parseJSON", a, 1..=1)?;
        let source = text("parseJSON", a, 0)?;
        if source.is_empty() {
            return Ok(map::<&str>([]));
        }
        match serde_json::from_str::<Json>(&source) {
            Ok(json) => Ok(from_json_floats(&json)),
            Err(error) => fail(format!(
                "parseJSON: no JSON at line {} column {}",
                error.line(),
                error.column()
            )),
        }
    }),
    ("parseYAML", |a| {
        count("parseYAML", a, 1..=1)?;
        yaml::parse(&text("parseYAML", a, 0)?)
    }),
    ("toJSON", |a| Ok(string(json("toJSON", a, false, true)?))),
    ("toJSONPretty", |a| {
        Ok(string(json("toJSONPretty", a, true, true)?))
    }),
    ("toUnescapedJSON", |a| {
        Ok(string(json("toUnescapedJSON", a, false, false)?))
    }),
    ("toUnescapedJSONPretty", |a| {
        Ok(string(json("toUnescapedJSONPretty", a, true, false)?))
    }),
    ("toYAML", |a| {
        count("toYAML", a, 1..=1)?;
        Ok(string(yaml::write(any("toYAML", a, 0)?)))
    }),
    ("toTOML", |a| {
        count("toTOML", a, 1..=1)?;
        let mut out = String::new();
        toml_table(&mut out, "", &*fields("toTOML", a, 0)?)?;
        Ok(string(out.trim_end()))
    }),
];

fn decode(
    name: &str,
    args: &[Value],
    bytes: std::result::Result<Vec<u8>, base64::DecodeError>,
) -> Result<Value> {
    count(name, args, 1..=1)?;
    match bytes {
        Ok(bytes) => String::from_utf8(bytes)
            .map(string)
            .or_else(|_| fail(format!("{name}: the bytes are no UTF-8"))),
        Err(_) => fail(format!("{name}: the text is no base64")),
    }
}

fn parse(name: &str, args: &[Value], empty: Value, read: fn(&str) -> Option<Value>) -> Result<Value> {
    count(name, args, 1..=1)?;
    let source = text(name, args, 0)?;
    if source.is_empty() {
        return Ok(empty);
    }
    read(&source).map_or_else(|| fail(format!("{name}: the text is no such number")), Ok)
}

/// JSON as Go writes it: `<`, `>`, `&` escaped unless told otherwise, keys in order.
pub(super) fn json(name: &str, args: &[Value], pretty: bool, escape: bool) -> Result<String> {
    count(name, args, 1..=1)?;
    let json = to_json(any(name, args, 0)?);
    let text = if pretty {
        serde_json::to_string_pretty(&json)
    } else {
        serde_json::to_string(&json)
    };
    let text = text.or_else(|_| fail(format!("{name}: cannot be written as JSON")))?;
    if !escape {
        return Ok(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn toml_table(out: &mut String, path: &str, table: &BTreeMap<std::sync::Arc<str>, Value>) -> Result<()> {
    for (key, value) in table.iter().filter(|(_, value)| !is_table(value)) {
        if !matches!(value, Value::Nil) {
            let _ = writeln!(out, "{} = {}", toml_key(key), toml_value(value)?);
        }
    }
    for (key, value) in table.iter().filter(|(_, value)| is_table(value)) {
        let below = if path.is_empty() {
            toml_key(key)
        } else {
            format!("{path}.{}", toml_key(key))
        };
        match value {
            Value::Map(fields) => {
                let _ = writeln!(out, "\n[{below}]");
                toml_table(out, &below, fields)?;
            }
            Value::List(items) => {
                for item in items.iter() {
                    if let Value::Map(fields) = item {
                        let _ = writeln!(out, "\n[[{below}]]");
                        toml_table(out, &below, fields)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_table(value: &Value) -> bool {
    match value {
        Value::Map(_) => true,
        Value::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Value::Map(_))),
        _ => false,
    }
}

fn toml_key(key: &str) -> String {
    if !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    {
        key.to_owned()
    } else {
        Json::String(key.to_owned()).to_string()
    }
}

fn toml_value(value: &Value) -> Result<String> {
    Ok(match value {
        Value::String(s) => Json::String(s.to_string()).to_string(),
        Value::Float(f) if f.fract() == 0.0 && f.is_finite() => format!("{f:.1}"),
        Value::List(items) => {
            format!(
                "[{}]",
                items
                    .iter()
                    .map(toml_value)
                    .collect::<Result<Vec<_>>>()?
                    .join(", ")
            )
        }
        Value::Map(_) | Value::Nil | Value::Function(_) => {
            return fail("toTOML: a list holds something that TOML cannot hold there");
        }
        other => crate::engine::print::display(other),
    })
}
