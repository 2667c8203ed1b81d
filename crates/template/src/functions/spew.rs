//! `spew_sdump` and `spew_sprintf`: values with their types and lengths. What prints to the log instead is refused.

use super::Pure;
use super::args::{bounded, fail, text};
use crate::engine::{Result, Value, printf};
use std::fmt::Write;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("spew_sdump", |a| {
        let mut out = String::new();
        for value in a {
            bounded("spew_sdump", value)?;
            dump(&mut out, value, 0, false);
            out.push('\n');
        }
        Ok(Value::String(out.into()))
    }),
    ("spew_sprintf", sprintf),
];

fn sprintf(args: &[Value]) -> Result<Value> {
    let Some((_, rest)) = args.split_first() else {
        return fail("spew_sprintf: takes a format");
    };
    let format = text("spew_sprintf", args, 0)?;
    Ok(Value::from_bytes(&printf::sprintf(format.as_bytes(), rest)))
}

/// Writes one value; `inside` is whether it stands in a list or map of any type.
fn dump(out: &mut String, value: &Value, depth: usize, inside: bool) {
    let pad = "  ".repeat(depth).replace("  ", " ");
    let name = value.type_name();
    match value.base() {
        Value::Nil | Value::Missing if inside => out.push_str("(interface {}) <nil>"),
        Value::Nil | Value::Missing => out.push_str("(interface {}) <nil>"),
        Value::List(items) => {
            let _ = write!(out, "({name}) ");
            if items.is_empty() {
                out.push_str("{\n");
                let _ = write!(out, "{pad}}}");
                return;
            }
            let _ = writeln!(out, "(len={0} cap={0}) {{", items.len());
            for (i, item) in items.iter().enumerate() {
                let _ = write!(out, "{pad} ");
                dump(out, item, depth + 1, true);
                out.push_str(if i + 1 < items.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{pad}}}");
        }
        Value::Map(entries) => {
            let _ = write!(out, "({name}) ");
            if !entries.is_empty() {
                let _ = write!(out, "(len={}) ", entries.len());
            }
            out.push_str("{\n");
            for (i, (key, item)) in entries.iter().enumerate() {
                let _ = write!(out, "{pad} ");
                dump(out, &Value::String(key.clone()), depth + 1, true);
                out.push_str(": ");
                dump(out, item, depth + 1, true);
                out.push_str(if i + 1 < entries.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{pad}}}");
        }
        text @ (Value::String(_) | Value::Bytes(_)) => {
            let bytes = text.bytes().unwrap_or_default();
            let _ = write!(out, "({name}) ");
            if !bytes.is_empty() {
                let _ = write!(out, "(len={}) ", bytes.len());
            }
            out.push_str(&printf::quote(bytes, false));
        }
        other => {
            let _ = write!(out, "({name}) {}", crate::engine::print::display(other));
        }
    }
}
