//! Reading arguments. Messages name the function and the position, never the value.

use crate::engine::{Fault, List, Map, Result, Value};
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

/// The error for an argument of the wrong type.
pub(super) fn wrong<T>(name: &str, args: &[Value], i: usize, wanted: &str) -> Result<T> {
    let got = args.get(i).map_or("nothing".into(), Value::type_name);
    fail(format!("{name}: argument {} must be {wanted}, got {got}", i + 1))
}
