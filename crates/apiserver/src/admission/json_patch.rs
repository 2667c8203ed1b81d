//! JSON patches, applied so that a small one cannot become large. Pure.
//!
//! A patch is a program: copies double what they copy, and every insertion into a list moves the rest of it. Each
//! operation is weighed against the object as it then is, before it is done.

use super::bounds::{MAX_DEPTH, depth, size};
use crate::registry::Status;
use json_patch::PatchOperation;
use serde_json::Value;

/// As many as Kubernetes allows.
const MAX_OPERATIONS: usize = 10_000;
/// How much all copies together may add: as much as a request may bring.
const MAX_COPIED: usize = 3 << 20;
/// How many list items and bytes of moved values all operations together may shift.
const MAX_MOVED: usize = 32 << 20;

fn refuse(error: impl std::fmt::Display) -> Status {
    Status::new(
        422,
        "Invalid",
        format!("the server rejected our request due to an error in our request: {error}"),
    )
}

/// Applies a patch. After an error `object` is in an undefined state.
///
/// # Errors
/// A [`Status`]: an operation fails, or the patch asks for too much.
pub(crate) fn apply(object: &mut Value, patch: &json_patch::Patch) -> Result<(), Status> {
    let count = patch.0.len();
    if count > MAX_OPERATIONS {
        return Err(Status::new(
            413,
            "RequestEntityTooLarge",
            format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"),
        ));
    }
    let mut weight = Weight::default();
    for operation in &patch.0 {
        weight.add(object, operation)?;
        json_patch::patch_unsafe(object, std::slice::from_ref(operation)).map_err(refuse)?;
    }
    Ok(())
}

#[derive(Default)]
struct Weight {
    copied: usize,
    moved: usize,
}

impl Weight {
    fn add(&mut self, object: &Value, operation: &PatchOperation) -> Result<(), Status> {
        let path = operation.path().as_str();
        let below = path.matches('/').count();
        let found = |from: &json_patch::jsonptr::Pointer| object.pointer(from.as_str());
        let put = match operation {
            PatchOperation::Add(add) => Some(depth(&add.value)),
            PatchOperation::Replace(replace) => Some(depth(&replace.value)),
            PatchOperation::Copy(copy) => found(&copy.from).map(|value| {
                self.copied += size(value);
                depth(value)
            }),
            PatchOperation::Move(from) => found(&from.from).map(|value| {
                self.moved += size(value) + tail(object, from.from.as_str());
                depth(value)
            }),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
        };
        if !matches!(operation, PatchOperation::Test(_) | PatchOperation::Replace(_)) {
            self.moved += tail(object, path);
        }
        if put.is_some_and(|levels| levels + below > MAX_DEPTH) {
            return Err(refuse(format!(
                "the operation at {path:?} would nest the object more than {MAX_DEPTH} levels deep"
            )));
        }
        if self.copied > MAX_COPIED {
            return Err(refuse(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit {MAX_COPIED}",
                self.copied
            )));
        }
        if self.moved > MAX_MOVED {
            return Err(refuse(
                "the patch moves too much about; send the new list or a merge patch instead",
            ));
        }
        Ok(())
    }
}

/// How many items of a list lie behind the place that a path names, and are moved when it is filled or emptied.
fn tail(object: &Value, path: &str) -> usize {
    let Some((parent, last)) = path.rsplit_once('/') else {
        return 0;
    };
    let items = object.pointer(parent).and_then(Value::as_array);
    items.map_or(0, |items| {
        last.parse::<usize>()
            .map_or(0, |index| items.len().saturating_sub(index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(mut object: Value, patch: Value) -> Result<Value, String> {
        let patch = serde_json::from_value(patch).unwrap();
        apply(&mut object, &patch)
            .map(|()| object)
            .map_err(|status| status.message)
    }

    #[test]
    fn does_what_a_patch_says() {
        let patch = json!([
            {"op": "test", "path": "/a/0", "value": 1},
            {"op": "add", "path": "/a/0", "value": 0},
            {"op": "copy", "from": "/a", "path": "/b"},
            {"op": "move", "from": "/a/2", "path": "/c"},
            {"op": "remove", "path": "/a/1"},
            {"op": "replace", "path": "/c", "value": 3},
        ]);
        assert_eq!(
            patched(json!({"a": [1, 2]}), patch),
            Ok(json!({"a": [0], "b": [0, 1, 2], "c": 3}))
        );
        assert!(patched(json!({}), json!([{"op": "remove", "path": "/x"}])).is_err());
    }

    #[test]
    fn copies_do_not_double_without_end() {
        let mut patch = vec![json!({"op": "add", "path": "/a", "value": {"x": "y".repeat(100)}})];
        for _ in 0..40 {
            patch.push(json!({"op": "copy", "from": "/a", "path": "/b"}));
            patch.push(json!({"op": "copy", "from": "/b", "path": "/a/l"}));
            patch.push(json!({"op": "copy", "from": "/b", "path": "/a/r"}));
        }
        let refused = patched(json!({}), json!(patch)).unwrap_err();
        assert!(refused.contains("accumulated size increase of copy"), "{refused}");
    }

    #[test]
    fn copies_do_not_dig() {
        let mut patch = vec![json!({"op": "add", "path": "/a", "value": {}})];
        patch.extend((0..120).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/a"})));
        let refused = patched(json!({}), json!(patch)).unwrap_err();
        assert!(refused.contains("levels deep"), "{refused}");
    }

    #[test]
    fn counts_operations_and_what_they_move() {
        let many: Vec<Value> = (0..10_001)
            .map(|_| json!({"op": "test", "path": "", "value": {}}))
            .collect();
        assert!(
            patched(json!({}), json!(many))
                .unwrap_err()
                .contains("10000, got 10001")
        );
        let list: Vec<u8> = vec![0; 100_000];
        let many: Vec<Value> = (0..1000)
            .map(|_| json!({"op": "add", "path": "/a/0", "value": 1}))
            .collect();
        assert!(
            patched(json!({"a": list}), json!(many))
                .unwrap_err()
                .contains("moves too much")
        );
    }
}
