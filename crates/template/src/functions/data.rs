//! Functions on lists and maps.

use super::Pure;
use super::args::{any, count, fail, fields, int, list};
use crate::engine::{Result, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("in", |a| {
        count("in", a, 2..=2)?;
        holds("in", any("in", a, 0)?, any("in", a, 1)?).map(Value::Bool)
    }),
    ("contains", |a| {
        count("contains", a, 2..=2)?;
        holds("contains", any("contains", a, 1)?, any("contains", a, 0)?).map(Value::Bool)
    }),
    ("containsAll", |a| {
        Ok(Value::Bool(how_many("containsAll", a)? == Found::All))
    }),
    ("containsAny", |a| {
        Ok(Value::Bool(
            matches!(how_many("containsAny", a)?, Found::All | Found::Some) && wanted(a),
        ))
    }),
    ("containsNone", |a| {
        Ok(Value::Bool(
            how_many("containsNone", a)? == Found::None || !wanted(a),
        ))
    }),
    ("containsNotAll", |a| {
        Ok(Value::Bool(how_many("containsNotAll", a)? != Found::All))
    }),
    ("loop", |a| {
        count("loop", a, 1..=2)?;
        let (from, to) = if a.len() == 1 {
            (0, int("loop", a, 0)?)
        } else {
            (int("loop", a, 0)?, int("loop", a, 1)?)
        };
        if to.saturating_sub(from) > 1_000_000 {
            return fail("loop: more than a million steps");
        }
        Ok(Value::List((from..to).map(Value::Int).collect()))
    }),
    ("explodeMap", |a| {
        count("explodeMap", a, 1..=1)?;
        let mut root = BTreeMap::new();
        for (path, value) in fields("explodeMap", a, 0)?.iter() {
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            explode(&mut root, &parts, value)?;
        }
        Ok(Value::Map(root.into()))
    }),
];

fn holds(name: &str, within: &Value, wanted: &Value) -> Result<bool> {
    match within {
        Value::List(items) => Ok(items.iter().any(|item| same(item, wanted))),
        Value::Map(entries) => Ok(entries.values().any(|item| same(item, wanted))),
        Value::String(whole) => Ok(whole.contains(&*match wanted {
            Value::String(part) => Arc::clone(part),
            _ => return Ok(false),
        })),
        Value::Nil => Ok(false),
        other => fail(format!("{name}: cannot look into a {}", other.type_name())),
    }
}

/// Equal, where numbers of different types are compared by value.
fn same(a: &Value, b: &Value) -> bool {
    a == b
        || matches!(
            (a, b),
            (
                Value::Int(_) | Value::Uint(_) | Value::Float(_),
                Value::Int(_) | Value::Uint(_) | Value::Float(_)
            )
        ) && a.as_float() == b.as_float()
}

#[derive(PartialEq, Eq)]
enum Found {
    All,
    Some,
    None,
}

fn how_many(name: &str, args: &[Value]) -> Result<Found> {
    count(name, args, 2..=2)?;
    let wanted = list(name, args, 0)?;
    let within = any(name, args, 1)?;
    let mut found = 0;
    for item in wanted.iter() {
        found += usize::from(holds(name, within, item)?);
    }
    Ok(match found {
        n if n == wanted.len() => Found::All,
        0 => Found::None,
        _ => Found::Some,
    })
}

fn wanted(args: &[Value]) -> bool {
    matches!(args.first(), Some(Value::List(items)) if !items.is_empty())
}

fn explode(into: &mut BTreeMap<Arc<str>, Value>, parts: &[&str], value: &Value) -> Result<()> {
    match parts {
        [] => Ok(()),
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
