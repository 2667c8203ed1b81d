//! Keeps the watches: one task per watch, all owned by [`Cluster::run`].

use crate::cache::{Cache, Change, Watch};
use crate::{Cluster, Error};
use futures::{StreamExt, pin_mut};
use herder_object::Gvk;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Watched as they are, for health, diagnosis and routing.
const WHOLE: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "Node"),
    ("v1", "Namespace"),
    ("v1", "Event"),
    ("v1", "Service"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "ControllerRevision"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.k8s.io/v1", "Ingress"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
];

/// The watches that are always there.
pub(crate) fn whole() -> Vec<Watch> {
    let mut all: Vec<Watch> = WHOLE.iter().map(|(v, k)| Watch::all(v, k)).collect();
    all.push(certificates());
    all
}

/// Whether a kind is watched as it is.
pub(crate) fn is_whole(gvk: &Gvk) -> bool {
    WHOLE
        .iter()
        .any(|(version, kind)| gvk.kind == *kind && gvk.api_version() == *version)
}

/// Certificates for the edge.
pub(crate) fn certificates() -> Watch {
    Watch {
        gvk: Gvk::new("v1", "Secret"),
        labels: None,
        fields: Some("type=kubernetes.io/tls".to_owned()),
    }
}

impl Cluster {
    /// Keeps the watches until cancelled. While it goes on, observing asks nothing of the cluster.
    pub async fn run(self, cancel: CancellationToken) {
        let mut wait = Duration::from_millis(100);
        while let Err(error) = self.refresh().await {
            tracing::warn!(error = %herder_base::chain(&error), "cannot ask the cluster what it serves; will try again");
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(Duration::from_secs(15)),
            }
        }
        self.cache.want(&whole());
        self.cache.set_running(true);
        let mut wanted = self.cache.wanted();
        let mut changes = self.cache.changes();
        let mut tasks = JoinSet::new();
        let mut running: BTreeMap<Watch, AbortHandle> = BTreeMap::new();
        let definitions = Watch::all("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let mut known = 0;
        loop {
            let watches = wanted.borrow_and_update().clone();
            for watch in watches {
                if !running.contains_key(&watch)
                    && let Some(resource) = self.resource(&watch.gvk)
                {
                    let task = follow(
                        self.wire.client(),
                        resource,
                        watch.clone(),
                        Arc::clone(&self.cache),
                    );
                    running.insert(watch, tasks.spawn(task));
                }
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                changed = wanted.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                Ok(()) = changes.changed() => {
                    let served = established(&self.cache.objects(&definitions));
                    if served != known {
                        known = served;
                        self.follow_definitions(&mut running).await;
                    }
                }
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
        self.cache.set_running(false);
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    }

    /// The served kinds changed: asks which there are, and ends the watches of those that went.
    async fn follow_definitions(&self, running: &mut BTreeMap<Watch, AbortHandle>) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(error = %herder_base::chain(&error), "cannot ask the cluster what it serves");
            return;
        }
        running.retain(|watch, task| {
            let served = self.resource(&watch.gvk).is_some();
            if !served {
                task.abort();
                self.cache.forget(watch);
            }
            served
        });
    }

    pub(crate) fn resource(&self, gvk: &Gvk) -> Option<ApiResource> {
        let kinds = self
            .kinds
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()?;
        let served = kinds.get(gvk)?;
        Some(ApiResource {
            group: gvk.group.clone(),
            version: gvk.version.clone(),
            api_version: gvk.api_version(),
            kind: gvk.kind.clone(),
            plural: served.plural.clone(),
        })
    }

    /// Makes sure that these watches are there and complete.
    pub(crate) async fn ensure(&self, watches: &[Watch]) -> Result<(), Error> {
        self.cache.want(watches);
        let mut changes = self.cache.changes();
        let all = async {
            while !self.cache.missing(watches).is_empty() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _late = tokio::time::timeout(Duration::from_secs(30), all).await;
        let missing = self.cache.missing(watches);
        if missing.is_empty() {
            return Ok(());
        }
        let why = missing.iter().find_map(|(_, why)| why.clone());
        let kinds: Vec<String> = missing.iter().map(|(w, _)| w.gvk.to_string()).collect();
        Err(Error::Watch {
            kinds: kinds.join(", "),
            why: why.unwrap_or_else(|| "the cluster does not answer in time".to_owned()),
        })
    }
}

/// A number that changes when the set of usable definitions does.
fn established(definitions: &[Arc<Value>]) -> usize {
    definitions
        .iter()
        .filter(|d| {
            let conditions = d.pointer("/status/conditions").and_then(Value::as_array);
            conditions.into_iter().flatten().any(|c| {
                c.get("type").and_then(Value::as_str) == Some("Established")
                    && c.get("status").and_then(Value::as_str) == Some("True")
            })
        })
        .map(|d| herder_object::name(d).len() + 1000)
        .sum()
}

async fn follow(client: kube::Client, resource: ApiResource, watch: Watch, cache: Arc<Cache>) {
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut config = watcher::Config::default();
    config.label_selector.clone_from(&watch.labels);
    config.field_selector.clone_from(&watch.fields);
    let stream = watcher(api, config).default_backoff();
    pin_mut!(stream);
    while let Some(event) = stream.next().await {
        let value = |object: DynamicObject| serde_json::to_value(object).unwrap_or_default();
        let change = match event {
            Ok(watcher::Event::Init) => Change::Restart,
            Ok(watcher::Event::InitApply(object)) => Change::Listed(value(object)),
            Ok(watcher::Event::InitDone) => Change::Complete,
            Ok(watcher::Event::Apply(object)) => Change::Put(value(object)),
            Ok(watcher::Event::Delete(object)) => Change::Gone(value(object)),
            Err(error) => {
                let why = herder_base::chain(&error).to_string();
                tracing::debug!(kind = %watch.gvk, why, "a watch failed; it starts again");
                Change::Failed(why)
            }
        };
        cache.take(&watch, change);
    }
}
