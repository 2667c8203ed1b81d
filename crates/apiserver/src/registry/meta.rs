//! Reading and writing metadata of objects, and nothing about particular kinds.

use serde_json::{Map, Value, json};

/// Text at a pointer, or the empty string.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The named map of an object, created if missing or not a map.
pub(crate) fn section<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    let section = object.as_object_mut()?.entry(name).or_insert_with(|| json!({}));
    if !section.is_object() {
        *section = json!({});
    }
    section.as_object_mut()
}

/// Sets or removes a metadata field.
pub(crate) fn set_meta(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(metadata) = section(object, "metadata") {
        match value {
            Some(value) => {
                metadata.insert(field.to_owned(), value);
            }
            None => {
                metadata.remove(field);
            }
        }
    }
}

/// A metadata field.
pub(crate) fn get_meta<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field)
}

/// The finalizers.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = get_meta(object, "finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether deletion has been asked for.
pub(crate) fn is_terminating(object: &Value) -> bool {
    get_meta(object, "deletionTimestamp").is_some_and(|at| !at.is_null())
}

/// Everything but metadata and status: what `generation` counts.
pub(crate) fn same_spec(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return a == b;
    };
    let own = |key: &&String| !matches!(key.as_str(), "metadata" | "status" | "apiVersion" | "kind");
    let missing = Value::Null;
    a.keys()
        .filter(own)
        .chain(b.keys().filter(own))
        .all(|key| a.get(key).unwrap_or(&missing) == b.get(key).unwrap_or(&missing))
}

/// Whether two states of an object differ only in what the server stamps on each write.
pub(crate) fn same_but_stamps(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return a == b;
    };
    let plain = |key: &&String| key.as_str() != "metadata";
    if a.keys().filter(plain).count() != b.keys().filter(plain).count() {
        return false;
    }
    let empty = Map::new();
    let meta = |object: &'_ Map<String, Value>| object.get("metadata").and_then(Value::as_object).cloned();
    let (ma, mb) = (
        meta(a).unwrap_or_else(|| empty.clone()),
        meta(b).unwrap_or_else(|| empty.clone()),
    );
    let stamp = |key: &&String| !matches!(key.as_str(), "resourceVersion" | "managedFields");
    ma.keys().filter(stamp).count() == mb.keys().filter(stamp).count()
        && ma
            .iter()
            .filter(|(key, _)| stamp(key))
            .all(|(key, value)| mb.get(key) == Some(value))
        && a.iter()
            .filter(|(key, _)| plain(key))
            .all(|(key, value)| b.get(key) == Some(value))
        && same_managers(ma.get("managedFields"), mb.get("managedFields"))
}

/// Whether ownership differs in anything but its timestamps.
fn same_managers(a: Option<&Value>, b: Option<&Value>) -> bool {
    let bare = |list: Option<&Value>| -> Vec<Value> {
        let mut list = list.and_then(Value::as_array).cloned().unwrap_or_default();
        for entry in &mut list {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
        }
        list
    };
    bare(a) == bare(b)
}
