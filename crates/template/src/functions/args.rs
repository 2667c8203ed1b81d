//! Reading arguments. Messages name the function and the position, never the value.

use crate::engine::{Fault, List, Map, OUTPUT, Result, Value};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// An error with a message.
pub(super) fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Fault(message.into()))
}

/// Checks how many arguments there are.
pub(super) fn count(name: &str, args: &[Value], allowed: RangeInclusive<usize>) -> Result<()> {
    if allowed.contains(&args.len()) {
        return Ok(());
    }
    let (low, high) = (allowed.start(), allowed.end());
    let wanted = if low == high {
        format!("{low}")
    } else if *high == usize::MAX {
        format!("at least {low}")
    } else {
        format!("{low} to {high}")
    };
    fail(format!("{name}: takes {wanted} arguments, got {}", args.len()))
}

/// Any argument.
pub(super) fn any<'a>(name: &str, args: &'a [Value], i: usize) -> Result<&'a Value> {
    args.get(i)
        .ok_or_else(|| Fault(format!("{name}: argument {} is missing", i + 1)))
}

/// A string; numbers and booleans are taken as they print.
pub(super) fn text(name: &str, args: &[Value], i: usize) -> Result<Arc<str>> {
    match any(name, args, i)?.base() {
        Value::String(s) => Ok(Arc::clone(s)),
        Value::Bytes(_) => wrong(name, args, i, "UTF-8"),
        Value::Missing
        | Value::Nil
        | Value::List(_)
        | Value::Map(_)
        | Value::Function(_)
        | Value::Object(_) => wrong(name, args, i, "a string"),
        other => Ok(crate::engine::print::display(other).into()),
    }
}

/// A string's bytes, whether they are text or not.
pub(super) fn bytes(name: &str, args: &[Value], i: usize) -> Result<Vec<u8>> {
    match any(name, args, i)?.base() {
        Value::Bytes(bytes) => Ok(bytes.to_vec()),
        _ => Ok(text(name, args, i)?.as_bytes().to_vec()),
    }
}

/// A whole number.
pub(super) fn int(name: &str, args: &[Value], i: usize) -> Result<i64> {
    match any(name, args, i)?.base() {
        Value::Int(n) => Ok(*n),
        Value::Uint(n) => i64::try_from(*n).or_else(|_| wrong(name, args, i, "a number in range")),
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Ok(*f as i64),
        _ => wrong(name, args, i, "a whole number"),
    }
}

/// A list.
pub(super) fn list(name: &str, args: &[Value], i: usize) -> Result<List> {
    match any(name, args, i)?.base() {
        Value::List(items) => Ok(items.clone()),
        Value::Nil => Ok(Vec::new().into()),
        _ => wrong(name, args, i, "a list"),
    }
}

/// A map's entries.
pub(super) fn fields(name: &str, args: &[Value], i: usize) -> Result<Map> {
    match any(name, args, i)?.base() {
        Value::Map(fields) => Ok(fields.clone()),
        Value::Nil => Ok(std::collections::BTreeMap::new().into()),
        _ => wrong(name, args, i, "a map"),
    }
}

/// How many values are written out at once, and how long a text may get.
const NODES: usize = 5_000_000;

/// Refuses values that share parts so often that they are much larger written out than they are here.
pub(super) fn bounded(name: &str, value: &Value) -> Result<()> {
    let mut left = Left {
        nodes: NODES,
        bytes: OUTPUT,
    };
    if left.takes(value, 0) {
        return Ok(());
    }
    fail(format!("{name}: the value is too large written out"))
}

/// What a value may still take, written out.
struct Left {
    nodes: usize,
    bytes: usize,
}

impl Left {
    fn takes(&mut self, value: &Value, depth: usize) -> bool {
        // Each may stand on a line of its own, indented.
        if !self.spend(2 * depth) {
            return false;
        }
        match self.nodes.checked_sub(1) {
            Some(rest) => self.nodes = rest,
            None => return false,
        }
        match value.base() {
            Value::List(items) => items.iter().all(|item| self.takes(item, depth + 1)),
            Value::Map(entries) => self.take(entries, depth),
            Value::Object(object) => object.plain().is_none_or(|fields| self.take(&fields, depth)),
            other => self.spend(other.bytes().map_or(0, <[u8]>::len)),
        }
    }

    fn take(&mut self, entries: &Map, depth: usize) -> bool {
        entries
            .iter()
            .all(|(key, item)| self.spend(key.len()) && self.takes(item, depth + 1))
    }

    fn spend(&mut self, size: usize) -> bool {
        match self.bytes.checked_sub(size) {
            Some(rest) => {
                self.bytes = rest;
                true
            }
            None => false,
        }
    }
}

/// Refuses a result before it is made, where its size is known.
pub(super) fn fits(name: &str, size: usize) -> Result<()> {
    if size <= OUTPUT {
        return Ok(());
    }
    fail(format!("{name}: the result is too large"))
}

/// The error for an argument of the wrong type.
pub(super) fn wrong<T>(name: &str, args: &[Value], i: usize, wanted: &str) -> Result<T> {
    let got = args.get(i).map_or("nothing".into(), Value::type_name);
    fail(format!("{name}: argument {} must be {wanted}, got {got}", i + 1))
}
