//! Events about pods, for people. Repeats are counted; when the API server is slow, events are dropped, never pods.

use super::client::{Api, Patch};
use super::status::seconds;
use herder_base::{Clock, chain};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Different events remembered for counting.
const REMEMBERED: usize = 2048;

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    /// `Normal` or `Warning`.
    kind: &'static str,
    reason: String,
    message: String,
    object: Value,
    namespace: String,
}

/// Where events are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Events(mpsc::Sender<Event>);

/// The events to write.
pub(crate) type Queue = mpsc::Receiver<Event>;

/// Both ends.
pub(crate) fn queue() -> (Events, Queue) {
    let (sender, receiver) = mpsc::channel(512);
    (Events(sender), receiver)
}

impl Events {
    /// Reports something about a pod, or one of its containers.
    pub(crate) fn pod(&self, pod: &Pod, container: Option<&str>, warn: bool, reason: &str, message: String) {
        let meta = &pod.metadata;
        let mut object = json!({
            "kind": "Pod", "apiVersion": "v1", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        });
        if let (Some(name), Value::Object(map)) = (container, &mut object) {
            let init = pod
                .spec
                .iter()
                .flat_map(|spec| spec.init_containers.iter().flatten())
                .any(|c| c.name == name);
            let list = if init { "initContainers" } else { "containers" };
            map.insert("fieldPath".to_owned(), json!(format!("spec.{list}{{{name}}}")));
        }
        let event = Event {
            kind: if warn { "Warning" } else { "Normal" },
            reason: reason.to_owned(),
            message,
            object,
            namespace: meta.namespace.clone().unwrap_or_default(),
        };
        if self.0.try_send(event).is_err() {
            tracing::warn!(reason, "an event was dropped: the API server is slow");
        }
    }
}

/// Writes events until every `Events` is gone.
pub(crate) async fn write(mut queue: Queue, api: Api, node: String, clock: Arc<dyn Clock>) {
    let mut known: HashMap<String, (String, u64)> = HashMap::new();
    while let Some(event) = queue.recv().await {
        let now = seconds(clock.now());
        let uid = event
            .object
            .get("uid")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let key = format!(
            "{uid}/{:?}/{}/{}",
            event.object.get("fieldPath"),
            event.reason,
            event.message
        );
        let base = format!("/api/v1/namespaces/{}/events", event.namespace);
        if let Some((name, count)) = known.get_mut(&key) {
            *count += 1;
            let change = json!({"count": count, "lastTimestamp": now});
            match api.patch(&format!("{base}/{name}"), Patch::Merge, &change).await {
                Ok(_) => continue,
                Err(error) if error.is_missing() => drop(known.remove(&key)),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "an event could not be counted");
                    continue;
                }
            }
        }
        let pod = event
            .object
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let short = pod.get(..pod.len().min(200)).unwrap_or_default();
        let name = format!("{short}.{}", unique.get(..16).unwrap_or_default());
        let body = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": event.namespace},
            "involvedObject": event.object,
            "reason": event.reason, "message": event.message, "type": event.kind,
            "source": {"component": "kubelet", "host": node},
            "reportingComponent": "kubelet", "reportingInstance": node,
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        });
        match api.post(&base, &body).await {
            Ok(_) => {
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(key, (name, 1));
            }
            Err(error) => tracing::debug!(error = %chain(&error), "an event could not be written"),
        }
    }
}
