//! Between JSON and the engine's values.

use crate::engine::Value;
use serde_json::{Map, Number, Value as Json};
use std::sync::Arc;

/// A string value.
pub(crate) fn string(text: impl AsRef<str>) -> Value {
    Value::String(Arc::from(text.as_ref()))
}

/// A map value.
pub(crate) fn map<K: AsRef<str>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(k, v)| (Arc::from(k.as_ref()), v))
            .collect(),
    )
}

/// JSON as Vault sends it: whole numbers stay whole.
pub(crate) fn from_json(json: &Json) -> Value {
    convert(json, false)
}

/// JSON as Go's decoder sees it: every number is a float64.
pub(crate) fn from_json_floats(json: &Json) -> Value {
    convert(json, true)
}

fn convert(json: &Json, floats: bool) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match (floats, n.as_i64(), n.as_u64()) {
            (false, Some(i), _) => Value::Int(i),
            (false, None, Some(u)) => Value::Uint(u),
            _ => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(s) => string(s),
        Json::Array(items) => Value::List(items.iter().map(|i| convert(i, floats)).collect()),
        Json::Object(fields) => map(fields.iter().map(|(k, v)| (k, convert(v, floats)))),
    }
}

/// The engine's value as JSON; floats without a fraction print as Go prints them (`1` and not `1.0`).
pub(crate) fn to_json(value: &Value) -> Json {
    match value.base() {
        Value::Missing | Value::Nil | Value::Function(_) | Value::Complex(..) | Value::Typed(_) => Json::Null,
        Value::Object(object) => match (object.marshal(), object.plain()) {
            (Some(word), _) => Json::String(word),
            (None, Some(fields)) => to_json(&Value::Map(fields)),
            (None, None) => Json::Null,
        },
        Value::Bytes(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) => Json::Number((*n).into()),
        Value::Uint(n) => Json::Number((*n).into()),
        #[expect(clippy::cast_possible_truncation, reason = "guarded: whole and below 2^53")]
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 9_007_199_254_740_992.0 => {
            Json::Number((*f as i64).into())
        }
        Value::Float(f) => Number::from_f64(*f).map_or(Json::Null, Json::Number),
        Value::String(s) => Json::String(s.to_string()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(fields) => Json::Object(
            fields
                .iter()
                .map(|(k, v)| (k.to_string(), to_json(v)))
                .collect::<Map<_, _>>(),
        ),
    }
}

/// A `[]string`.
pub(crate) fn strings<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Value {
    Value::List(items.into_iter().map(string).collect()).typed("[]string")
}

/// An `int64`.
pub(crate) fn int64(n: i64) -> Value {
    Value::Int(n).typed("int64")
}
