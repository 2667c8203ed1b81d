//! The hash by which a pod template is known (`pod-template-hash`, `controller-revision-hash`). Pure.

use herder_object::field::remove;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Letters that make no words, as Kubernetes uses them in generated names.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short hash of a value; the same for the same content whatever the order of its fields.
pub(crate) fn hash(value: &Value, collisions: i64) -> String {
    let mut hasher = Sha256::new();
    // serde_json's maps are sorted unless the build keeps insertion order, so sort here.
    feed(&mut hasher, value);
    if collisions > 0 {
        hasher.update(collisions.to_le_bytes());
    }
    hasher
        .finalize()
        .iter()
        .take(10)
        .filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()))
        .map(|letter| char::from(*letter))
        .collect()
}

fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().filter(|(_, v)| !v.is_null()).collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            hasher.update(b"{");
            for (key, value) in entries {
                hasher.update(key.as_bytes());
                hasher.update(b":");
                feed(hasher, value);
            }
            hasher.update(b"}");
        }
        Value::Array(list) => {
            hasher.update(b"[");
            for value in list {
                feed(hasher, value);
            }
            hasher.update(b"]");
        }
        other => {
            hasher.update(other.to_string().as_bytes());
            hasher.update(b",");
        }
    }
}

/// Whether two pod templates say the same, a `pod-template-hash` label aside.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    normal(a) == normal(b)
}

fn normal(template: &Value) -> Value {
    let mut template = template.clone();
    remove(&mut template, &["metadata", "labels", "pod-template-hash"]);
    prune(&mut template);
    template
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, v| !v.is_null() && !v.as_object().is_some_and(serde_json::Map::is_empty));
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hashes_and_compares() {
        let a = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"b": 1, "a": [1, 2]}});
        let b = json!({"spec": {"a": [1, 2], "b": 1, "c": null}, "metadata": {"labels": {"app": "x"}}});
        assert_eq!(hash(&a, 0), hash(&b, 0));
        assert_ne!(hash(&a, 0), hash(&a, 1));
        assert_eq!(hash(&a, 0).len(), 10);
        let labelled = json!({"metadata": {"labels": {"app": "x", "pod-template-hash": "h"}, "creationTimestamp": null},
            "spec": {"b": 1, "a": [1, 2], "securityContext": {}}});
        assert!(same(&a, &labelled));
        assert!(!same(&a, &json!({"spec": {}})));
    }
}
