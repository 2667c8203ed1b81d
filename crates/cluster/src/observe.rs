//! Observing: what of a fleet is in the cluster, from the watches where they run, by listing otherwise.

use crate::cache::Watch;
use crate::run::{certificates, is_whole};
use crate::snapshot::{int, is, text};
use crate::{Cluster, Error, FLEET, Scope};
use futures::StreamExt;
use herder_object::Gvk;
use herder_plan::Observed;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// Observed for what they need, which must not be taken from under them.
const USERS: [(&str, &str); 5] = [
    ("v1", "Pod"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "ControllerRevision"),
    ("batch/v1", "Job"),
];

/// Observed whosever they are: planning reads from them whether state outlives its namespace.
const STORAGE: [&str; 2] = ["PersistentVolumeClaim", "PersistentVolume"];

impl Cluster {
    /// The fleet's objects, and the kinds that the cluster serves.
    ///
    /// # Errors
    /// An [`Error`] if something could not be read: half an observation is none.
    pub async fn observe(&self, scope: &Scope) -> Result<Observed, Error> {
        let kinds = self.kinds().await?;
        let kinds = if scope.kinds.iter().any(|gvk| kinds.get(gvk).is_none()) && !self.cache.is_running() {
            self.refresh().await?
        } else {
            kinds
        };
        let mut observed = Observed::default();
        observed.learn(self.memory.all());
        self.cache
            .finished()
            .into_iter()
            .for_each(|job| observed.finish(job));
        // What can only be created (`Binding`, reviews) cannot be kept true: as if it were not served.
        for (group, kind, served) in kinds
            .all()
            .filter(|(group, kind, _)| kinds.is_listable(group, kind))
        {
            observed.serve(group, kind, served.clone());
        }
        for (group, why) in kinds.silent() {
            observed.silence(group, why);
        }
        let selector = format!("{FLEET}={}", scope.fleet);
        if !self.cache.is_running() {
            for list in self.sweep(&kinds.listable().collect::<Vec<_>>(), &selector).await {
                for object in list?.1 {
                    observed.insert(object);
                }
            }
            for kind in STORAGE {
                for object in self.list("v1", kind, None, None).await? {
                    observed.insert(object);
                }
            }
            let mut users = Vec::new();
            for (version, kind) in USERS {
                let found = self.list(version, kind, None, None).await?;
                users.extend(found.into_iter().map(|object| (kind, Arc::new(object))));
            }
            note_uses(&mut observed, &users);
            return Ok(observed);
        }
        let mut watches: BTreeSet<Watch> = self
            .cache
            .complete()
            .into_iter()
            .filter(|w| w.labels.as_deref() == Some(selector.as_str()))
            .collect();
        let first = watches.is_empty();
        for gvk in &scope.kinds {
            if kinds.get(gvk).is_some() && kinds.is_listable(&gvk.group, &gvk.kind) {
                watches.insert(watch_of(gvk, &selector));
            }
        }
        if first {
            // Kinds that git does not name any more may still have objects of the fleet.
            let others: Vec<Gvk> = kinds
                .listable()
                .filter(|gvk| {
                    !is_whole(gvk)
                        && !watches
                            .iter()
                            .any(|w| w.gvk.kind == gvk.kind && w.gvk.group == gvk.group)
                })
                .collect();
            for found in self.sweep(&others, &selector).await {
                let (gvk, objects) = found?;
                if !objects.is_empty() {
                    watches.insert(watch_of(&gvk, &selector));
                }
            }
        }
        let mut watches: Vec<Watch> = watches.into_iter().collect();
        watches.extend(
            crate::run::whole()
                .into_iter()
                .filter(|w| kinds.get(&w.gvk).is_some()),
        );
        watches.dedup();
        self.ensure(&watches).await?;
        for watch in &watches {
            for object in self.cache.objects(watch) {
                let ours =
                    herder_object::labels(&object).any(|(name, value)| name == FLEET && value == scope.fleet);
                let storage = watch.gvk.group.is_empty() && STORAGE.contains(&watch.gvk.kind.as_str());
                if ours || storage {
                    observed.insert(object);
                }
            }
        }
        let users: Vec<(&str, Arc<Value>)> = USERS
            .iter()
            .flat_map(|(version, kind)| {
                let found = self.cache.objects(&Watch::all(version, kind));
                found.into_iter().map(|object| (*kind, object))
            })
            .collect();
        note_uses(&mut observed, &users);
        Ok(observed)
    }

    /// Lists the labelled objects of many kinds at once.
    async fn sweep(&self, kinds: &[Gvk], selector: &str) -> Vec<Result<(Gvk, Vec<Value>), Error>> {
        futures::stream::iter(kinds.iter().cloned())
            .map(|gvk| async move {
                let listed = self
                    .list(&gvk.api_version(), &gvk.kind, None, Some(selector))
                    .await;
                match listed {
                    // It was served a moment ago.
                    Err(error) if error.is_not_found() || matches!(error, Error::Unserved { .. }) => {
                        Ok((gvk, Vec::new()))
                    }
                    Err(error) => Err(error),
                    Ok(objects) => Ok((gvk, objects)),
                }
            })
            .buffer_unordered(16)
            .collect()
            .await
    }

    /// Ticks when a watched object changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.cache.changes()
    }

    /// Where pods are that have not ended: namespace and address.
    #[must_use]
    pub fn places(&self) -> BTreeSet<(String, std::net::IpAddr)> {
        let pods = self.cache.objects(&Watch::all("v1", "Pod"));
        pods.iter()
            .filter(|pod| !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed"))
            .filter_map(|pod| {
                let address = text(pod, "/status/podIP").parse().ok()?;
                Some((herder_object::namespace(pod).to_owned(), address))
            })
            .collect()
    }

    /// What the edge needs: all Ingresses, Services, EndpointSlices, and Secrets of type `kubernetes.io/tls`.
    #[must_use]
    pub fn routing(&self) -> Vec<Arc<Value>> {
        let mut objects = Vec::new();
        for (version, kind) in [
            ("networking.k8s.io/v1", "Ingress"),
            ("v1", "Service"),
            ("discovery.k8s.io/v1", "EndpointSlice"),
        ] {
            objects.extend(self.cache.objects(&Watch::all(version, kind)));
        }
        objects.extend(self.cache.objects(&certificates()));
        objects
    }
}

/// Says what is needed by pods that have not ended, and by what may yet start pods of a version before: ReplicaSets
/// that are not scaled to nothing, StatefulSets' current revisions, Jobs under way.
fn note_uses(observed: &mut Observed, users: &[(&str, Arc<Value>)]) {
    let current: BTreeSet<(&str, &str)> = users
        .iter()
        .filter(|(kind, _)| *kind == "StatefulSet")
        .map(|(_, set)| {
            (
                herder_object::namespace(set),
                text(set, "/status/currentRevision"),
            )
        })
        .collect();
    for (kind, user) in users {
        let (namespace, name) = (herder_object::namespace(user), herder_object::name(user));
        let template = match *kind {
            "Pod" if matches!(text(user, "/status/phase"), "Succeeded" | "Failed") => None,
            "Pod" => Some("/spec"),
            "ReplicaSet" if int(user, "/spec/replicas") == Some(0) => None,
            "ControllerRevision" if current.contains(&(namespace, name)) => Some("/data/spec/template/spec"),
            "ControllerRevision" => None,
            "Job" if is(user, "Complete", "True") || is(user, "Failed", "True") => None,
            _ => Some("/spec/template/spec"),
        };
        if let Some(spec) = template.and_then(|pointer| user.pointer(pointer)) {
            observed.uses(&format!("{kind} {name}"), namespace, spec);
        }
    }
}

fn watch_of(gvk: &Gvk, selector: &str) -> Watch {
    if is_whole(gvk) {
        Watch {
            gvk: gvk.clone(),
            labels: None,
            fields: None,
        }
    } else {
        Watch::labelled(gvk.clone(), selector)
    }
}
