//! Reading and writing fields of objects by JSON pointer. Owns no Kubernetes meaning.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// A string field, or the empty string.
#[must_use]
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// An integer field.
#[must_use]
pub fn int(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// A boolean field; absent is false.
#[must_use]
pub fn flag(value: &Value, pointer: &str) -> bool {
    value
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

/// A list field; absent is empty.
#[must_use]
pub fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// A map field.
#[must_use]
pub fn map<'a>(value: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    value.pointer(pointer).and_then(Value::as_object)
}

/// A time field.
#[must_use]
pub fn time(value: &Value, pointer: &str) -> Option<Timestamp> {
    text(value, pointer).parse().ok()
}

/// An annotation, or the empty string.
#[must_use]
pub fn annotation<'a>(value: &'a Value, key: &str) -> &'a str {
    entry(value, "/metadata/annotations", key)
}

/// A label, or the empty string.
#[must_use]
pub fn label<'a>(value: &'a Value, key: &str) -> &'a str {
    entry(value, "/metadata/labels", key)
}

fn entry<'a>(value: &'a Value, pointer: &str, key: &str) -> &'a str {
    map(value, pointer)
        .and_then(|m| m.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether a pod's phase is final.
#[must_use]
pub fn ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether deletion was asked for.
#[must_use]
pub fn deleting(value: &Value) -> bool {
    !text(value, "/metadata/deletionTimestamp").is_empty()
}

/// Sets a field, making the maps on the way; whatever is no map gives way. Path segments are plain keys.
pub fn put(value: &mut Value, path: &[&str], to: impl Into<Value>) {
    let Some((first, rest)) = path.split_first() else {
        *value = to.into();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(map) = value.as_object_mut() {
        put(map.entry(*first).or_insert(Value::Null), rest, to);
    }
}

/// Removes a field if it is there.
pub fn remove(value: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else {
        return;
    };
    let mut at = value;
    for key in way {
        match at.get_mut(*key) {
            Some(next) => at = next,
            None => return,
        }
    }
    if let Some(map) = at.as_object_mut() {
        map.remove(*last);
    }
}

/// Sets a count, or leaves it out when it is nought, as Kubernetes does (`omitempty`).
pub fn count(value: &mut Value, path: &[&str], to: i64) {
    if to == 0 {
        remove(value, path);
    } else {
        put(value, path, to);
    }
}

/// A time as `metav1.Time` prints it: whole seconds, UTC.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// A time as `metav1.MicroTime` prints it.
#[must_use]
pub fn micro_stamp(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// `namespace/name`, for messages.
#[must_use]
pub fn place(value: &Value) -> String {
    format!(
        "{}/{}",
        text(value, "/metadata/namespace"),
        text(value, "/metadata/name")
    )
}

/// How many seconds, as a duration; negatives are nought.
#[must_use]
pub fn seconds(count: i64) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

/// The time from `from` until `to`; nought if that is past.
#[must_use]
pub fn until(from: Timestamp, to: Timestamp) -> std::time::Duration {
    std::time::Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn puts_and_removes() {
        let mut v = json!({"a": 1});
        put(&mut v, &["b", "c"], "d");
        put(&mut v, &["a", "x"], 2);
        count(&mut v, &["n"], 0);
        assert_eq!(v, json!({"a": {"x": 2}, "b": {"c": "d"}}));
        remove(&mut v, &["b", "c"]);
        remove(&mut v, &["z", "c"]);
        assert_eq!(v, json!({"a": {"x": 2}, "b": {}}));
    }

    #[test]
    fn stamps() {
        let at: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        assert_eq!(stamp(at), "2026-01-02T03:04:05Z");
        assert_eq!(micro_stamp(at), "2026-01-02T03:04:05.678901Z");
    }
}
