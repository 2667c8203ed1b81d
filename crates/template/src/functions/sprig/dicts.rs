//! Maps, defaults, types.

use super::super::Pure;
use super::super::args::{any, count, fail, fields};
use super::{empty, strval, text_of};
use crate::engine::{Result, Value};
use crate::value::{map, string};
use std::collections::BTreeMap;
use std::sync::Arc;

type Map = BTreeMap<Arc<str>, Value>;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("sprig_dict", |a| {
        Ok(map(a.chunks(2).map(|pair| match pair {
            [key, value] => (strval(key), value.clone()),
            other => (other.first().map(strval).unwrap_or_default(), string("")),
        })))
    }),
    ("sprig_get", |a| {
        Ok(fields("get", a, 0)?
            .get(&*text_of("get", a, 1)?)
            .cloned()
            .unwrap_or_else(|| string("")))
    }),
    ("sprig_set", |a| {
        let mut entries = (*fields("set", a, 0)?).clone();
        entries.insert(text_of("set", a, 1)?.into(), any("set", a, 2)?.clone());
        Ok(Value::Map(entries.into()))
    }),
    ("sprig_unset", |a| {
        let mut entries = (*fields("unset", a, 0)?).clone();
        entries.remove(&*text_of("unset", a, 1)?);
        Ok(Value::Map(entries.into()))
    }),
    ("sprig_hasKey", |a| {
        Ok(Value::Bool(
            fields("hasKey", a, 0)?.contains_key(&*text_of("hasKey", a, 1)?),
        ))
    }),
    ("sprig_pluck", |a| {
        let key = text_of("pluck", a, 0)?;
        let mut found = Vec::new();
        for i in 1..a.len() {
            found.extend(fields("pluck", a, i)?.get(&*key).cloned());
        }
        Ok(Value::List(found.into()))
    }),
    ("sprig_keys", |a| {
        let mut keys = Vec::new();
        for i in 0..a.len() {
            keys.extend(fields("keys", a, i)?.keys().map(string));
        }
        Ok(Value::List(keys.into()))
    }),
    ("sprig_values", |a| {
        Ok(Value::List(fields("values", a, 0)?.values().cloned().collect()))
    }),
    ("sprig_pick", |a| chosen("pick", a, true)),
    ("sprig_omit", |a| chosen("omit", a, false)),
    ("sprig_merge", |a| merge(a, false)),
    ("sprig_mustMerge", |a| merge(a, false)),
    ("sprig_mergeOverwrite", |a| merge(a, true)),
    ("sprig_mustMergeOverwrite", |a| merge(a, true)),
    ("sprig_deepCopy", |a| any("deepCopy", a, 0).cloned()),
    ("sprig_mustDeepCopy", |a| any("deepCopy", a, 0).cloned()),
    ("sprig_dig", dig),
    ("sprig_default", |a| {
        Ok(match (a.first(), a.get(1)) {
            (_, Some(given)) if !empty(given) => given.clone(),
            (Some(default), _) => default.clone(),
            (None, _) => return fail("default: takes a default"),
        })
    }),
    ("sprig_empty", |a| Ok(Value::Bool(empty(any("empty", a, 0)?)))),
    ("sprig_coalesce", |a| {
        Ok(a.iter()
            .find(|value| !empty(value))
            .cloned()
            .unwrap_or(Value::Nil))
    }),
    ("sprig_all", |a| {
        Ok(Value::Bool(a.iter().all(|value| !empty(value))))
    }),
    ("sprig_any", |a| {
        Ok(Value::Bool(a.iter().any(|value| !empty(value))))
    }),
    ("sprig_ternary", |a| {
        count("ternary", a, 3..=3)?;
        any("ternary", a, usize::from(!any("ternary", a, 2)?.is_truthy())).cloned()
    }),
    ("sprig_typeOf", |a| Ok(string(any("typeOf", a, 0)?.type_name()))),
    ("sprig_typeIs", |a| {
        Ok(Value::Bool(
            text_of("typeIs", a, 0)? == any("typeIs", a, 1)?.type_name(),
        ))
    }),
    ("sprig_typeIsLike", |a| {
        Ok(Value::Bool(
            text_of("typeIsLike", a, 0)? == any("typeIsLike", a, 1)?.type_name(),
        ))
    }),
    ("sprig_kindOf", |a| Ok(string(kind(any("kindOf", a, 0)?)))),
    ("sprig_kindIs", |a| {
        Ok(Value::Bool(
            text_of("kindIs", a, 0)? == kind(any("kindIs", a, 1)?),
        ))
    }),
    ("sprig_deepEqual", |a| {
        Ok(Value::Bool(any("deepEqual", a, 0)? == any("deepEqual", a, 1)?))
    }),
];

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Typed(typed) => match &*typed.name {
            "int64" | "time.Duration" => "int64",
            "uint64" => "uint64",
            _ => kind(&typed.value),
        },
        Value::Missing | Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Uint(_) => "uint",
        Value::Float(_) => "float64",
        Value::Complex(..) => "complex128",
        Value::String(_) | Value::Bytes(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        Value::Function(_) => "func",
        Value::Object(_) => "struct",
    }
}

fn chosen(name: &str, a: &[Value], keep: bool) -> Result<Value> {
    let mut names = Vec::new();
    for i in 1..a.len() {
        names.push(text_of(name, a, i)?);
    }
    let entries = fields(name, a, 0)?;
    let wanted = |key: &str| names.iter().any(|name| name == key) == keep;
    Ok(map(entries
        .iter()
        .filter(|(key, _)| wanted(key))
        .map(|(key, value)| (key, value.clone()))))
}

fn merge(a: &[Value], overwrite: bool) -> Result<Value> {
    let mut into = (*fields("merge", a, 0)?).clone();
    for i in 1..a.len() {
        merge_into(&mut into, &*fields("merge", a, i)?, overwrite);
    }
    Ok(Value::Map(into.into()))
}

/// As mergo does: maps are merged, empty values give way, and nothing takes the place of something absent.
pub(crate) fn merge_into(into: &mut Map, from: &Map, overwrite: bool) {
    for (key, value) in from {
        let merged = match (into.get(key).map(Value::base), value.base()) {
            (Some(Value::Map(old)), Value::Map(new)) => {
                let mut both = (**old).clone();
                merge_into(&mut both, new, overwrite);
                Some(Value::Map(both.into()))
            }
            (Some(_), _) if overwrite => Some(value.clone()),
            (Some(old), new) if empty(old) && !matches!(new, Value::Nil) => Some(value.clone()),
            (None, new) if overwrite || !matches!(new, Value::Nil) => Some(value.clone()),
            _ => None,
        };
        if let Some(merged) = merged {
            into.insert(Arc::clone(key), merged);
        }
    }
}

fn dig(a: &[Value]) -> Result<Value> {
    let [keys @ .., default, start] = a else {
        return fail("dig: takes keys, a default and a map");
    };
    let mut value = start;
    for key in keys {
        match value {
            Value::Map(entries) => match entries.get(&*strval(key)) {
                Some(found) => value = found,
                None => return Ok(default.clone()),
            },
            _ => return fail("dig: a step leads to something that is no map"),
        }
    }
    Ok(value.clone())
}
