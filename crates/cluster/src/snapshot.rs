//! The objects that health and diagnosis look at, from the watches or by listing one namespace.

use crate::cache::Watch;
use crate::{Cluster, Error};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Objects by kind.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) pods: Vec<Arc<Value>>,
    pub(crate) nodes: Vec<Arc<Value>>,
    pub(crate) events: Vec<Arc<Value>>,
    pub(crate) claims: Vec<Arc<Value>>,
    pub(crate) deployments: Vec<Arc<Value>>,
    pub(crate) replica_sets: Vec<Arc<Value>>,
    pub(crate) stateful_sets: Vec<Arc<Value>>,
    pub(crate) daemon_sets: Vec<Arc<Value>>,
    pub(crate) jobs: Vec<Arc<Value>>,
}

const EVENTS: (&str, &str) = ("v1", "Event");

impl Snapshot {
    fn places(&mut self) -> [(&'static str, &'static str, &mut Vec<Arc<Value>>); 8] {
        [
            ("v1", "Pod", &mut self.pods),
            (EVENTS.0, EVENTS.1, &mut self.events),
            ("v1", "PersistentVolumeClaim", &mut self.claims),
            ("apps/v1", "Deployment", &mut self.deployments),
            ("apps/v1", "ReplicaSet", &mut self.replica_sets),
            ("apps/v1", "StatefulSet", &mut self.stateful_sets),
            ("apps/v1", "DaemonSet", &mut self.daemon_sets),
            ("batch/v1", "Job", &mut self.jobs),
        ]
    }

    /// Everything the watches know.
    pub(crate) fn cached(cluster: &Cluster) -> Self {
        let mut snapshot = Self {
            nodes: cluster.cache.objects(&Watch::all("v1", "Node")),
            ..Self::default()
        };
        for (version, kind, place) in snapshot.places() {
            *place = cluster.cache.objects(&Watch::all(version, kind));
        }
        snapshot
    }

    /// One namespace, from the watches if they run, by listing otherwise.
    pub(crate) async fn of(cluster: &Cluster, namespace: &str) -> Result<Self, Error> {
        if cluster.cache.is_running() {
            let mut snapshot = Self::cached(cluster);
            for (_, _, place) in snapshot.places() {
                place.retain(|o| herder_object::namespace(o) == namespace);
            }
            return Ok(snapshot);
        }
        let mut snapshot = Self::default();
        let read = snapshot
            .places()
            .map(|(version, kind, _)| cluster.list(version, kind, Some(namespace), None));
        let lists = futures::future::join_all(read).await;
        for ((_, _, place), list) in snapshot.places().into_iter().zip(lists) {
            *place = list?.into_iter().map(Arc::new).collect();
        }
        Ok(snapshot)
    }

    /// Events about each object, by its uid, oldest first.
    pub(crate) fn events_by_uid(&self) -> HashMap<&str, Vec<&Value>> {
        let mut by: HashMap<&str, Vec<&Value>> = HashMap::new();
        for event in &self.events {
            by.entry(text(event, "/involvedObject/uid"))
                .or_default()
                .push(event);
        }
        for list in by.values_mut() {
            list.sort_by_key(|e| last_seen(e).to_owned());
        }
        by
    }
}

/// When an event last happened.
pub(crate) fn last_seen(event: &Value) -> &str {
    [
        "/lastTimestamp",
        "/series/lastObservedTime",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]
    .iter()
    .map(|p| text(event, p))
    .find(|t| !t.is_empty())
    .unwrap_or_default()
}

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn int(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// A status condition by type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == kind)
}

/// Whether a condition has this status.
pub(crate) fn is(object: &Value, kind: &str, status: &str) -> bool {
    condition(object, kind).is_some_and(|c| text(c, "/status") == status)
}

/// Whether a Job has ended, well or not.
pub(crate) fn is_over(job: &Value) -> bool {
    is(job, "Complete", "True") || is(job, "Failed", "True")
}

/// Whether deletion was asked for.
pub(crate) fn going(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// The uid of the controlling owner, or the empty string.
pub(crate) fn owner_uid(object: &Value) -> &str {
    items(object, "/metadata/ownerReferences")
        .iter()
        .find(|r| r.get("controller").and_then(Value::as_bool).unwrap_or_default())
        .map(|r| text(r, "/uid"))
        .unwrap_or_default()
}

/// A label, or the empty string.
pub(crate) fn label<'a>(object: &'a Value, name: &str) -> &'a str {
    herder_object::labels(object)
        .find(|(n, _)| *n == name)
        .map(|(_, v)| v)
        .unwrap_or_default()
}
