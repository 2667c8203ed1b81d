//! Lists.

use super::super::Pure;
use super::super::args::{any, count, fail, list};
use super::{empty, int_at, int_of, strval};
use crate::engine::{Result, Value};

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("sprig_list", |a| Ok(Value::List(a.into()))),
    ("sprig_tuple", |a| Ok(Value::List(a.into()))),
    ("sprig_append", append),
    ("sprig_push", append),
    ("sprig_mustAppend", append),
    ("sprig_mustPush", append),
    ("sprig_prepend", prepend),
    ("sprig_mustPrepend", prepend),
    ("sprig_first", first),
    ("sprig_mustFirst", first),
    ("sprig_last", last),
    ("sprig_mustLast", last),
    ("sprig_rest", rest),
    ("sprig_mustRest", rest),
    ("sprig_initial", initial),
    ("sprig_mustInitial", initial),
    ("sprig_reverse", reverse),
    ("sprig_mustReverse", reverse),
    ("sprig_uniq", uniq),
    ("sprig_mustUniq", uniq),
    ("sprig_without", without),
    ("sprig_mustWithout", without),
    ("sprig_compact", compact),
    ("sprig_mustCompact", compact),
    ("sprig_has", has),
    ("sprig_mustHas", has),
    ("sprig_slice", slice),
    ("sprig_mustSlice", slice),
    ("sprig_chunk", chunk),
    ("sprig_mustChunk", chunk),
    ("sprig_concat", |a| {
        let mut all = Vec::new();
        for i in 0..a.len() {
            all.extend_from_slice(&list("concat", a, i)?);
        }
        Ok(Value::List(all.into()))
    }),
    ("sprig_sortAlpha", |a| {
        let mut texts = strings(any("sortAlpha", a, 0)?);
        texts.sort_unstable();
        Ok(crate::value::strings(texts))
    }),
    ("sprig_toStrings", |a| {
        Ok(crate::value::strings(match any("toStrings", a, 0)? {
            Value::Nil => Vec::new(),
            value => strings(value),
        }))
    }),
];

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::List(items) => items
            .iter()
            .filter(|item| !matches!(item, Value::Nil))
            .map(strval)
            .collect(),
        other => vec![strval(other)],
    }
}

fn append(a: &[Value]) -> Result<Value> {
    count("append", a, 2..=2)?;
    let items = list("append", a, 0)?;
    Ok(Value::List(items.iter().chain(a.get(1)).cloned().collect()))
}

fn prepend(a: &[Value]) -> Result<Value> {
    count("prepend", a, 2..=2)?;
    let items = list("prepend", a, 0)?;
    Ok(Value::List(
        a.get(1).into_iter().chain(items.iter()).cloned().collect(),
    ))
}

fn first(a: &[Value]) -> Result<Value> {
    Ok(list("first", a, 0)?.first().cloned().unwrap_or(Value::Nil))
}

fn last(a: &[Value]) -> Result<Value> {
    Ok(list("last", a, 0)?.last().cloned().unwrap_or(Value::Nil))
}

fn rest(a: &[Value]) -> Result<Value> {
    Ok(Value::List(list("rest", a, 0)?.iter().skip(1).cloned().collect()))
}

fn initial(a: &[Value]) -> Result<Value> {
    let items = list("initial", a, 0)?;
    Ok(Value::List(
        items
            .iter()
            .take(items.len().saturating_sub(1))
            .cloned()
            .collect(),
    ))
}

fn reverse(a: &[Value]) -> Result<Value> {
    Ok(Value::List(
        list("reverse", a, 0)?.iter().rev().cloned().collect(),
    ))
}

fn uniq(a: &[Value]) -> Result<Value> {
    let mut out: Vec<Value> = Vec::new();
    for item in list("uniq", a, 0)?.iter() {
        if !out.contains(item) {
            out.push(item.clone());
        }
    }
    Ok(Value::List(out.into()))
}

fn without(a: &[Value]) -> Result<Value> {
    let omitted = a.get(1..).unwrap_or_default();
    Ok(Value::List(
        list("without", a, 0)?
            .iter()
            .filter(|item| !omitted.contains(item))
            .cloned()
            .collect(),
    ))
}

fn compact(a: &[Value]) -> Result<Value> {
    Ok(Value::List(
        list("compact", a, 0)?
            .iter()
            .filter(|item| !empty(item))
            .cloned()
            .collect(),
    ))
}

fn has(a: &[Value]) -> Result<Value> {
    count("has", a, 2..=2)?;
    Ok(Value::Bool(list("has", a, 1)?.contains(any("has", a, 0)?)))
}

fn slice(a: &[Value]) -> Result<Value> {
    let items = list("slice", a, 0)?;
    let bound = |i: usize, otherwise: usize| {
        if a.len() > i {
            any("slice", a, i).map(|value| usize::try_from(int_of(value)).ok())
        } else {
            Ok(Some(otherwise))
        }
    };
    match (bound(1, 0)?, bound(2, items.len())?) {
        (Some(from), Some(to)) => match items.get(from..to) {
            Some(part) => Ok(Value::List(part.into())),
            None => fail("slice: the bounds are outside the list"),
        },
        _ => fail("slice: a bound is negative"),
    }
}

fn chunk(a: &[Value]) -> Result<Value> {
    match usize::try_from(int_at("chunk", a, 0)?) {
        Ok(size) if size > 0 => Ok(Value::List(
            list("chunk", a, 1)?
                .chunks(size)
                .map(|part| Value::List(part.into()))
                .collect(),
        )),
        Ok(0) => fail("chunk: the size must be at least one"),
        _ => Ok(Value::List(Vec::new().into())),
    }
}
