//! What controllers need to know about a pod: is it active, ready, available; who owns it; which to delete first;
//! and making one from a template. Pure.

use super::condition;
use herder_object::field::{annotation, deleting, int, items, seconds, text, time, until};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Whether the pod counts as a replica: neither ended nor going.
pub(crate) fn active(pod: &Value) -> bool {
    !deleting(pod) && !ended(pod)
}

pub(crate) use herder_object::field::ended;

/// Whether its `Ready` condition is true.
pub(crate) fn ready(pod: &Value) -> bool {
    condition::is_true(pod, "Ready")
}

fn ready_since(pod: &Value) -> Option<Timestamp> {
    condition::get(pod, "Ready")
        .filter(|c| text(c, "/status") == "True")
        .and_then(|c| time(c, "/lastTransitionTime"))
}

/// Ready for `min_ready_seconds`: `Ok`, or in how long it would be: `Err(Some)`, or not ready: `Err(None)`.
pub(crate) fn available(pod: &Value, min_ready_seconds: i64, now: Timestamp) -> Result<(), Option<Duration>> {
    if !ready(pod) {
        return Err(None);
    }
    if min_ready_seconds <= 0 {
        return Ok(());
    }
    let since = ready_since(pod).unwrap_or(now);
    let at = since.saturating_add(seconds(min_ready_seconds)).unwrap_or(now);
    if at <= now {
        Ok(())
    } else {
        Err(Some(until(now, at)))
    }
}

/// The owner that controls an object, if any.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    items(object, "/metadata/ownerReferences")
        .iter()
        .find(|r| herder_object::field::flag(r, "/controller"))
}

/// The uid of the owner that controls an object, or the empty string.
pub(crate) fn controller_uid(object: &Value) -> &str {
    controller(object).map(|r| text(r, "/uid")).unwrap_or_default()
}

/// A reference that makes `owner` the controller of what carries it.
pub(crate) fn controlled_by(owner: &Value, api_version: &str, kind: &str) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "name": text(owner, "/metadata/name"),
        "uid": text(owner, "/metadata/uid"),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A pod from a template: its labels, annotations, finalizers and spec, in the owner's namespace.
pub(crate) fn from_template(template: &Value, namespace: &str, owner: Value) -> Value {
    let mut metadata = Map::new();
    metadata.insert("namespace".to_owned(), namespace.into());
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}"))
            && !value.is_null()
        {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    metadata.insert("ownerReferences".to_owned(), json!([owner]));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
    })
}

fn restarts(pod: &Value) -> i64 {
    items(pod, "/status/containerStatuses")
        .iter()
        .filter_map(|c| int(c, "/restartCount"))
        .sum()
}

fn deletion_cost(pod: &Value) -> i64 {
    annotation(pod, "controller.kubernetes.io/pod-deletion-cost")
        .parse()
        .unwrap_or_default()
}

/// Sorts pods so that the first are the ones to delete first, as Kubernetes ranks them.
pub(crate) fn sort_for_deletion(pods: &mut [Arc<Value>]) {
    let mut per_node: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods.iter() {
        *per_node
            .entry(text(pod, "/spec/nodeName").to_owned())
            .or_default() += 1;
    }
    let crowd = |pod: &Value| {
        per_node
            .get(text(pod, "/spec/nodeName"))
            .copied()
            .unwrap_or_default()
    };
    let phase = |pod: &Value| match text(pod, "/status/phase") {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    pods.sort_by(|a, b| {
        let assigned = |p: &Value| !text(p, "/spec/nodeName").is_empty();
        assigned(a)
            .cmp(&assigned(b))
            .then_with(|| phase(a).cmp(&phase(b)))
            .then_with(|| ready(a).cmp(&ready(b)))
            .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
            .then_with(|| crowd(b).cmp(&crowd(a)))
            .then_with(|| later_first(ready_since(a), ready_since(b)))
            .then_with(|| restarts(b).cmp(&restarts(a)))
            .then_with(|| {
                later_first(
                    time(a, "/metadata/creationTimestamp"),
                    time(b, "/metadata/creationTimestamp"),
                )
            })
            .then_with(|| text(a, "/metadata/name").cmp(text(b, "/metadata/name")))
    });
}

fn later_first(a: Option<Timestamp>, b: Option<Timestamp>) -> Ordering {
    b.cmp(&a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_the_least_useful_first() {
        let pod = |name: &str, node: &str, ready_at: Option<&str>, cost: &str| {
            let mut pod = json!({
                "metadata": {"name": name, "annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}},
                "spec": {"nodeName": node},
                "status": {"phase": if node.is_empty() { "Pending" } else { "Running" }},
            });
            if let Some(at) = ready_at {
                pod["status"]["conditions"] =
                    json!([{"type": "Ready", "status": "True", "lastTransitionTime": at}]);
            }
            Arc::new(pod)
        };
        let mut pods = vec![
            pod("old", "n1", Some("2026-01-01T00:00:00Z"), ""),
            pod("new", "n1", Some("2026-01-01T01:00:00Z"), ""),
            pod("alone", "n2", Some("2026-01-01T02:00:00Z"), ""),
            pod("dear", "n1", Some("2026-01-01T03:00:00Z"), "10"),
            pod("unready", "n2", None, "100"),
            pod("unassigned", "", None, ""),
        ];
        sort_for_deletion(&mut pods);
        let names: Vec<_> = pods.iter().map(|p| text(p, "/metadata/name")).collect();
        assert_eq!(names, ["unassigned", "unready", "new", "old", "alone", "dear"]);
    }

    #[test]
    fn availability_waits() {
        let pod = json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        assert_eq!(available(&pod, 0, at("2026-01-01T00:00:00Z")), Ok(()));
        assert_eq!(
            available(&pod, 10, at("2026-01-01T00:00:04Z")),
            Err(Some(Duration::from_secs(6)))
        );
        assert_eq!(available(&pod, 10, at("2026-01-01T00:00:10Z")), Ok(()));
        assert_eq!(available(&json!({}), 10, at("2026-01-01T00:00:10Z")), Err(None));
    }
}
