//! What one namespace may take of what all share: bytes of the store, which are held in memory too; places for pods; and
//! the priorities that go before everybody's. A namespace without a quota is not one without bounds.

use crate::registry::{Index, Resource, Status};
use herder_object::field::{map, text};
use herder_object::quantity::milli;
use serde_json::Value;

/// Says how many bytes a namespace's objects may have, as a quantity; the administrator's alone.
pub(crate) const ANNOTATION: &str = "herder.dev/space";
/// Bytes of a namespace's objects where nobody says otherwise.
const SPACE: usize = 64 << 20;
/// What is written on in a full namespace may grow by this part of its space, so that its pods' statuses and what ends
/// them still go in.
const SLACK: usize = 8;
/// The platform's own.
const SYSTEM: [&str; 4] = ["herder-system", "kube-node-lease", "kube-public", "kube-system"];
/// Above this priorities are the system's.
const HIGHEST: i64 = 1_000_000_000;

fn asked(namespace: &Value) -> Option<&Value> {
    namespace.pointer("/metadata/annotations")?.get(ANNOTATION)
}

fn bytes(value: &Value) -> Option<usize> {
    usize::try_from(milli(value)? / 1000).ok()
}

/// Why a Namespace is refused for what it says of its space. `free` is whether the author may give it more.
pub(super) fn annotation(before: Option<&Value>, namespace: &Value, free: bool) -> Option<String> {
    let (old, new) = (before.and_then(asked), asked(namespace));
    if old == new {
        return None;
    }
    if !free {
        return Some(format!(
            "annotation {ANNOTATION} says how much of the store the namespace may take; only the administrator may change it"
        ));
    }
    let unread = new.filter(|value| bytes(value).is_none());
    unread.map(|value| format!("annotation {ANNOTATION}: {value} is no amount of bytes such as 128Mi"))
}

/// Refuses a write that would take a namespace beyond its space; `old` and `new` are the object's bytes.
pub(crate) fn check(
    index: &Index,
    resource: &Resource,
    (namespace, name): (&str, &str),
    old: usize,
    new: usize,
) -> Result<(), Status> {
    if namespace.is_empty() || new <= old || SYSTEM.contains(&namespace) {
        return Ok(());
    }
    let own = index.get("namespaces", "", namespace);
    let most = own.and_then(|own| asked(own)).and_then(bytes).unwrap_or(SPACE);
    let slack = if old == 0 { 0 } else { most / SLACK };
    let used = index.space(namespace);
    if used.saturating_sub(old).saturating_add(new) <= most.saturating_add(slack) {
        return Ok(());
    }
    let why = format!(
        "exceeds the space of namespace {namespace}: its objects have {used} bytes, this would add {}, and {most} are the \
         most; delete what is not needed, or let the administrator set the annotation {ANNOTATION} of the namespace",
        new.saturating_sub(old)
    );
    Err(Status::forbidden(resource, name, &why))
}

/// Why a new pod is refused for the place or the rank it takes.
pub(super) fn pod(index: &Index, pod: &Value) -> Option<String> {
    let namespace = herder_object::namespace(pod);
    if SYSTEM.contains(&namespace) {
        return None;
    }
    let class = text(pod, "/spec/priorityClassName");
    if matches!(class, "system-node-critical" | "system-cluster-critical") {
        return Some(format!(
            "pods with {class} priorityClass is not permitted in {namespace} namespace"
        ));
    }
    if let Some(priority) = pod.pointer("/spec/priority").and_then(Value::as_i64)
        && priority > HIGHEST
    {
        return Some(format!(
            "the integer value of priority ({priority}) must not be provided in pod spec; values above {HIGHEST} are the system's"
        ));
    }
    let limited = index.in_namespace("resourcequotas", namespace).any(|quota| {
        map(quota, "/spec/hard")
            .is_some_and(|hard| hard.contains_key("pods") || hard.contains_key("count/pods"))
    });
    if limited {
        return None;
    }
    let places: i128 = index
        .all("nodes", None)
        .filter_map(|node| milli(node.pointer("/status/allocatable/pods")?))
        .sum::<i128>()
        / 1000;
    let most = usize::try_from(places / 2).ok().filter(|most| *most > 0)?;
    let ended = |pod: &Value| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let there = index
        .in_namespace("pods", namespace)
        .filter(|pod| !ended(pod))
        .count();
    (there >= most).then(|| {
        format!(
            "exceeded the pods of namespace {namespace}: it has {there}, and {most}, half of what the nodes hold, are the \
             most where no ResourceQuota bounds \"pods\""
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::registry::{Registry, Status};
    use herder_base::SystemClock;
    use herder_store::Store;
    use serde_json::{Value, json};
    use std::sync::Arc;

    async fn registry(dir: &std::path::Path) -> Registry {
        let store = Store::open(dir.join("kube.redb")).unwrap();
        let registry = Registry::open(store, Arc::new(SystemClock)).unwrap();
        for name in ["evil", "shop", "kube-system"] {
            let namespace = json!({"metadata": {"name": name, "annotations": {"herder.dev/space": "100Ki"}}});
            registry.create("namespaces", namespace).await.unwrap();
        }
        registry
    }

    fn map_of(namespace: &str, name: &str, bytes: usize) -> Value {
        json!({"metadata": {"name": name, "namespace": namespace}, "data": {"a": "x".repeat(bytes)}})
    }

    fn refused(answer: Result<Arc<Value>, Status>, words: &str) {
        let status = answer.expect_err("not refused");
        assert!(
            status.code == 403 && status.to_string().contains(words),
            "{status:?}"
        );
    }

    #[tokio::test]
    async fn one_namespace_does_not_fill_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path()).await;
        let create = |namespace: &'static str, name: &'static str| {
            registry.create("configmaps", map_of(namespace, name, 40_000))
        };
        create("evil", "a").await.unwrap();
        create("evil", "b").await.unwrap();
        refused(create("evil", "c").await, "exceeds the space of namespace evil");
        // Neither by making more of what is there.
        refused(
            registry.update("configmaps", map_of("evil", "a", 90_000)).await,
            "exceeds the space of namespace evil",
        );
        // The others have their own, and what goes gives back what it took.
        create("shop", "a").await.unwrap();
        let grown = registry.update("configmaps", map_of("evil", "a", 10)).await;
        assert!(grown.is_ok(), "{grown:?}");
        create("evil", "c").await.unwrap();
    }

    #[tokio::test]
    async fn one_namespace_does_not_take_every_place() {
        let dir = tempfile::tempdir().unwrap();
        let registry = registry(dir.path()).await;
        let node = json!({"metadata": {"name": "n1"}});
        registry.create("nodes", node).await.unwrap();
        registry
            .modify_status("nodes", "", "n1", |node| {
                node["status"] = json!({"allocatable": {"pods": "6"}});
                true
            })
            .await
            .unwrap();
        let pod = |namespace: &str, name: &str, more: Value| {
            let mut spec = json!({"containers": [{"name": "c", "image": "host"}]});
            for (key, value) in more.as_object().unwrap() {
                spec[key] = value.clone();
            }
            let pod = json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec});
            registry.create("pods", pod)
        };
        let critical = json!({"priorityClassName": "system-node-critical"});
        refused(
            pod("evil", "p", critical.clone()).await,
            "pods with system-node-critical priorityClass is not permitted in evil namespace",
        );
        refused(
            pod("evil", "p", json!({"priority": 2_000_000_000})).await,
            "the integer value of priority (2000000000) must not be provided",
        );
        pod("kube-system", "p", critical).await.unwrap();
        for name in ["a", "b", "c"] {
            pod("evil", name, json!({})).await.unwrap();
        }
        refused(
            pod("evil", "d", json!({})).await,
            "exceeded the pods of namespace evil: it has 3, and 3",
        );
        pod("shop", "a", json!({})).await.unwrap();
        let quota = json!({"metadata": {"name": "q", "namespace": "evil"}, "spec": {"hard": {"pods": "5"}}});
        registry.create("resourcequotas", quota).await.unwrap();
        pod("evil", "d", json!({})).await.unwrap();
    }
}
