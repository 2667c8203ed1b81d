//! How large and how deep an object may be. Pure.
//!
//! Everything here keeps one writer from taking the memory, the disk or the stack of all: objects are held in memory,
//! written as one value, and read again by parsers that stop at 128 levels.

use crate::registry::{Cause, Resource, Status};
use serde_json::Value;

/// Levels of maps and lists in one object. Parsers of JSON in Rust stop at 128, and a list adds two.
pub(crate) const MAX_DEPTH: usize = 100;
/// Bytes of one object as it is stored: the limit of etcd.
pub(crate) const MAX_OBJECT: usize = 3 << 19;
/// Bytes of keys and values of all annotations.
const MAX_ANNOTATIONS: usize = 256 << 10;
/// Bytes of the values of a ConfigMap or Secret.
const MAX_DATA: usize = 1 << 20;

/// How many levels a value has. Not for what may be deeper than the stack allows: see [`too_deep`].
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether a value has more than so many levels; looks no deeper than that.
pub(crate) fn too_deep(value: &Value, levels: usize) -> bool {
    let deeper = |child: &Value| match levels.checked_sub(1) {
        Some(left) => too_deep(child, left),
        None => true,
    };
    match value {
        Value::Object(map) => levels == 0 || map.values().any(deeper),
        Value::Array(items) => levels == 0 || items.iter().any(deeper),
        _ => false,
    }
}

/// About how many bytes a value has as JSON.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| key.len() + size(value) + 4);
            2 + pairs.sum::<usize>()
        }
    }
}

fn nested() -> Status {
    Status::bad_request(format!(
        "the object is nested more than {MAX_DEPTH} levels deep; no kind needs that, make it flatter"
    ))
}

/// Refuses what is nested too deeply; for what was just read.
pub(crate) fn check_depth(value: &Value) -> Result<(), Status> {
    if too_deep(value, MAX_DEPTH) {
        return Err(nested());
    }
    Ok(())
}

/// Refuses an object that would be too large to store.
pub(crate) fn check_stored(resource: &Resource, name: &str, bytes: usize) -> Result<(), Status> {
    if bytes <= MAX_OBJECT {
        return Ok(());
    }
    Err(Status::new(
        413,
        "RequestEntityTooLarge",
        format!(
            "etcdserver: request is too large: {} \"{name}\" would have {bytes} bytes, at most {MAX_OBJECT} are stored",
            resource.name
        ),
    ))
}

fn too_long(field: &str, most: usize) -> Cause {
    Cause {
        reason: "FieldValueTooLong".to_owned(),
        message: format!("Too long: may not be more than {most} bytes"),
        field: field.to_owned(),
    }
}

/// What of an object is too large.
pub(super) fn check(resource: &Resource, object: &Value) -> Vec<Cause> {
    let texts = |pointer: &str, measure: &dyn Fn(&str, &str) -> usize| -> usize {
        let map = object.pointer(pointer).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .map(|(key, value)| measure(key, value.as_str().unwrap_or_default()))
            .sum()
    };
    let mut causes = Vec::new();
    if texts("/metadata/annotations", &|key, value| key.len() + value.len()) > MAX_ANNOTATIONS {
        causes.push(too_long("metadata.annotations", MAX_ANNOTATIONS));
    }
    let decoded = |_: &str, value: &str| value.trim_end_matches('=').len() * 3 / 4;
    match resource.storage_name.as_str() {
        "configmaps" => {
            let bytes = texts("/data", &|_, value| value.len()) + texts("/binaryData", &decoded);
            if bytes > MAX_DATA {
                causes.push(too_long("[]", MAX_DATA));
            }
        }
        "secrets" if texts("/data", &decoded) > MAX_DATA => causes.push(too_long("data", MAX_DATA)),
        _ => {}
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn measures() {
        let value = json!({"a": [1, {"b": "c"}], "d": "e"});
        assert_eq!(depth(&value), 3);
        assert!(too_deep(&value, 2) && !too_deep(&value, 3));
        assert!(!too_deep(&json!("x"), 0) && too_deep(&json!({}), 0));
        let exact = serde_json::to_vec(&value).unwrap().len();
        assert!(size(&value) >= exact && size(&value) < exact + 40);
    }
}
