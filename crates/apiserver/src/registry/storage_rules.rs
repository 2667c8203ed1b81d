//! The rules for persistent volumes and the claims on them. Who may have a volume is settled by the two naming each
//! other, so that neither may change its mind: a claim keeps its volume, a volume keeps where it is.

use super::Cause;
use super::meta::text;
use super::names::{forbidden, no_backsteps, reference, required};
use serde_json::Value;

fn is_empty_list(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
}

/// A claim; of one that is there only the size may change, and its volume and class may be filled in.
pub(super) fn claim(object: &Value, current: Option<&Value>, causes: &mut Vec<Cause>) {
    if object.pointer("/spec/resources/requests/storage").is_none() {
        causes.push(required("spec.resources[storage]"));
    }
    if is_empty_list(object, "/spec/accessModes") {
        causes.push(required("spec.accessModes"));
    }
    for field in ["storageClassName", "volumeName"] {
        reference(
            format!("spec.{field}"),
            text(object, &format!("/spec/{field}")),
            causes,
        );
    }
    let Some(current) = current else { return };
    let bare = |claim: &Value| {
        let mut spec = claim.get("spec").cloned().unwrap_or_default();
        if let Some(map) = spec.as_object_mut() {
            map.remove("resources");
            if text(current, "/spec/volumeName").is_empty() {
                map.remove("volumeName");
            }
            if current
                .pointer("/spec/storageClassName")
                .is_none_or(Value::is_null)
            {
                map.remove("storageClassName");
            }
            map.retain(|_, value| !value.is_null());
        }
        spec
    };
    if bare(object) != bare(current) {
        causes.push(forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
}

/// What is no source in the specification of a volume.
const PLAIN: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

fn sources(volume: &Value) -> Vec<(&String, &Value)> {
    let spec = volume.get("spec").and_then(Value::as_object);
    spec.into_iter()
        .flatten()
        .filter(|(field, value)| !PLAIN.contains(&field.as_str()) && !value.is_null())
        .collect()
}

/// A volume; where it is may not change.
pub(super) fn volume(object: &Value, current: Option<&Value>, causes: &mut Vec<Cause>) {
    if object.pointer("/spec/capacity/storage").is_none() {
        causes.push(required("spec.capacity"));
    }
    if is_empty_list(object, "/spec/accessModes") {
        causes.push(required("spec.accessModes"));
    }
    for field in ["storageClassName", "claimRef/namespace", "claimRef/name"] {
        let name = text(object, &format!("/spec/{field}"));
        reference(format!("spec.{}", field.replace('/', ".")), name, causes);
    }
    let own = sources(object);
    if own.is_empty() {
        let mut cause = required("spec");
        "Required value: must specify a volume type".clone_into(&mut cause.message);
        causes.push(cause);
    }
    for (kind, _) in own.iter().skip(1) {
        causes.push(forbidden(
            format!("spec.{kind}"),
            "may not specify more than 1 volume type",
        ));
    }
    for kind in ["hostPath", "local"] {
        if object
            .pointer(&format!("/spec/{kind}"))
            .is_none_or(Value::is_null)
        {
            continue;
        }
        let (field, path) = (
            format!("spec.{kind}.path"),
            text(object, &format!("/spec/{kind}/path")),
        );
        if path.is_empty() {
            causes.push(required(field));
        } else {
            no_backsteps(&field, path, causes);
        }
    }
    if current.is_some_and(|current| sources(current) != own) {
        causes.push(forbidden(
            "spec.persistentvolumesource",
            "spec.persistentvolumesource is immutable after creation",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claim_of(more: Value) -> Value {
        let mut spec =
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        json_patch::merge(&mut spec, &more);
        json!({"spec": spec})
    }

    fn changes(before: Value, after: Value) -> bool {
        let mut causes = Vec::new();
        claim(&claim_of(after), Some(&claim_of(before)), &mut causes);
        causes.is_empty()
    }

    #[test]
    fn a_claim_keeps_its_volume() {
        assert!(changes(
            json!({}),
            json!({"volumeName": "v", "storageClassName": "local"})
        ));
        let bound = json!({"volumeName": "v", "storageClassName": "local"});
        assert!(changes(bound.clone(), bound.clone()));
        let larger = json!({"volumeName": "v", "storageClassName": "local", "resources": {"requests": {"storage": "2Gi"}}});
        assert!(changes(bound.clone(), larger));
        assert!(!changes(
            bound.clone(),
            json!({"volumeName": "w", "storageClassName": "local"})
        ));
        assert!(!changes(
            bound.clone(),
            json!({"volumeName": null, "storageClassName": "local"})
        ));
        assert!(!changes(
            bound.clone(),
            json!({"volumeName": "v", "storageClassName": "other"})
        ));
        assert!(!changes(
            bound,
            json!({"volumeName": "v", "storageClassName": "local", "accessModes": ["ReadOnlyMany"]})
        ));
    }

    #[test]
    fn a_volume_stays_where_it_is() {
        let volume_at = |path: &str| {
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
                "hostPath": {"path": path}}})
        };
        let check = |object: &Value, current: Option<&Value>| {
            let mut causes = Vec::new();
            volume(object, current, &mut causes);
            causes.is_empty()
        };
        let old = volume_at("/data/a");
        assert!(check(&old, None) && check(&old, Some(&old)));
        assert!(!check(&volume_at("/data/../etc"), None));
        assert!(!check(&volume_at("/data/b"), Some(&old)));
    }
}
