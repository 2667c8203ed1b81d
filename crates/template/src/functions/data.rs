//! Functions on lists and maps.

use super::Pure;
use super::args::{any, count, fail, fields, int, list};
use crate::engine::{Result, Value};
use crate::value::int64;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("in", |a| {
        count("in", a, 2..=2)?;
        Ok(Value::Bool(holds(any("in", a, 0)?, any("in", a, 1)?)))
    }),
    ("contains", |a| {
        count("contains", a, 2..=2)?;
        Ok(Value::Bool(holds(any("contains", a, 1)?, any("contains", a, 0)?)))
    }),
    ("containsAll", |a| some("containsAll", a, true, true)),
    ("containsAny", |a| some("containsAny", a, false, false)),
    ("containsNone", |a| some("containsNone", a, true, false)),
    ("containsNotAll", |a| some("containsNotAll", a, false, true)),
    ("loop", |a| {
        count("loop", a, 1..=2)?;
        let (from, to) = if a.len() == 1 {
            (0, bound(a, 0)?)
        } else {
            (bound(a, 0)?, bound(a, 1)?)
        };
        if to.saturating_sub(from) > 1_000_000 {
            return fail("loop: more than a million steps");
        }
        Ok(Value::List((from..to).map(int64).collect()))
    }),
    ("explodeMap", |a| {
        count("explodeMap", a, 1..=1)?;
        let mut root = BTreeMap::new();
        for (path, value) in fields("explodeMap", a, 0)?.iter() {
            let parts: Vec<&str> = path.split('/').collect();
            if parts.len() > 100 {
                return fail("explodeMap: a key has more than a hundred parts");
            }
            explode(&mut root, &parts, value)?;
        }
        Ok(Value::Map(root.into()))
    }),
];

/// Whether a list has an equal item of the same kind, or a text has another in it.
fn holds(within: &Value, wanted: &Value) -> bool {
    match (within.base(), wanted.base()) {
        (Value::List(items), wanted) => items.iter().any(|item| match (item.base(), wanted) {
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            _ => false,
        }),
        (Value::String(whole), Value::String(part)) => whole.contains(&**part),
        _ => false,
    }
}

fn some(name: &str, args: &[Value], result: bool, wanted: bool) -> Result<Value> {
    count(name, args, 2..=2)?;
    let (items, within) = (list(name, args, 0)?, any(name, args, 1)?);
    let found = items.iter().any(|item| holds(within, item) != wanted);
    Ok(Value::Bool(if found { !result } else { result }))
}

fn explode(into: &mut BTreeMap<Arc<str>, Value>, parts: &[&str], value: &Value) -> Result<()> {
    match parts {
        [] => Ok(()),
        [""] => Ok(()),
        [last] => {
            into.insert(Arc::from(*last), value.clone());
            Ok(())
        }
        [first, rest @ ..] => {
            let mut inner = match into.get(*first) {
                None => BTreeMap::new(),
                Some(Value::Map(entries)) => (**entries).clone(),
                Some(_) => return fail("explodeMap: a key is both a value and a folder"),
            };
            explode(&mut inner, rest, value)?;
            into.insert(Arc::from(*first), Value::Map(inner.into()));
            Ok(())
        }
    }
}

/// A bound of `loop`: a number, or one as text.
fn bound(args: &[Value], i: usize) -> Result<i64> {
    match any("loop", args, i)?.base() {
        Value::String(s) if s.is_empty() => Ok(0),
        Value::String(s) => s.parse().or_else(|_| fail("loop: a bound is no whole number")),
        Value::Float(_) => fail("loop: a bound is no whole number"),
        _ => int("loop", args, i),
    }
}
