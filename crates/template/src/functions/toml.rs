//! TOML, written as the encoder that consul-template uses writes it.

use super::Pure;
use super::args::{any, bounded, count, fail, fields};
use crate::engine::{Map, Result, Value};
use crate::value::string;
use serde_json::Value as Json;
use std::fmt::Write;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[("toTOML", |a| {
    count("toTOML", a, 1..=1)?;
    bounded("toTOML", any("toTOML", a, 0)?)?;
    let mut out = String::new();
    table(&mut out, &[], &fields("toTOML", a, 0)?)?;
    Ok(string(out.trim()))
})];

fn table(out: &mut String, path: &[String], entries: &Map) -> Result<()> {
    let pad = "  ".repeat(path.len());
    for (name, value) in entries.iter().filter(|(_, value)| !is_table(value)) {
        if !matches!(value.base(), Value::Nil) {
            let _ = writeln!(out, "{pad}{} = {}", key(name), inline(value)?);
        }
    }
    for (name, value) in entries.iter().filter(|(_, value)| is_table(value)) {
        let mut below = path.to_vec();
        below.push(key(name));
        let pad = "  ".repeat(path.len());
        let head = below.join(".");
        match value.base() {
            Value::Map(inner) => {
                if path.is_empty() {
                    out.push('\n');
                }
                let _ = writeln!(out, "{pad}[{head}]");
                table(out, &below, inner)?;
            }
            Value::List(items) => {
                for item in items.iter() {
                    if let Value::Map(inner) = item.base() {
                        let _ = writeln!(out, "\n{pad}[[{head}]]");
                        table(out, &below, inner)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_table(value: &Value) -> bool {
    match value.base() {
        Value::Map(_) => true,
        Value::List(items) => {
            !items.is_empty() && items.iter().all(|item| matches!(item.base(), Value::Map(_)))
        }
        _ => false,
    }
}

fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    Json::String(text.to_owned()).to_string()
}

fn inline(value: &Value) -> Result<String> {
    Ok(match value.base() {
        Value::String(s) => quoted(s),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e6 => format!("{f:.1}"),
        Value::List(items) => {
            let items = items.iter().map(inline).collect::<Result<Vec<_>>>()?;
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .filter(|(_, value)| !matches!(value.base(), Value::Nil))
                .map(|(name, value)| Ok(format!("{} = {}", key(name), inline(value)?)))
                .collect::<Result<Vec<_>>>()?;
            format!("{{{}}}", entries.join(", "))
        }
        Value::Object(object) if object.marshal().is_some() => object.marshal().unwrap_or_default(),
        Value::Nil | Value::Missing | Value::Function(_) | Value::Object(_) | Value::Bytes(_) => {
            return fail("toTOML: a list holds something that TOML cannot hold there");
        }
        other => crate::engine::print::display(other),
    })
}
