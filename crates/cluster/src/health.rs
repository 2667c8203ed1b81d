//! How applications and nodes are, from their objects. Pure.

use crate::snapshot::{Snapshot, condition, going, int, is, items, label, owner_uid, text};
use crate::trouble::{self, Trouble};
use crate::{APPLICATION, AppState, Cluster, FLEET, Health, NodeState, PodState, VERSION};
use jiff::SignedDuration;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A workload with all that hangs on it.
pub(crate) struct Workload<'a> {
    pub(crate) kind: &'static str,
    pub(crate) object: &'a Value,
    /// Its present ReplicaSet, if it is a Deployment.
    pub(crate) set: Option<&'a Value>,
    /// Its pods, those of the present revision first.
    pub(crate) pods: Vec<&'a Value>,
}

/// How one workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) health: Health,
    pub(crate) reason: String,
    /// Which pod shows it, with what.
    pub(crate) pod: Option<(String, Trouble)>,
}

/// Groups all workloads of a snapshot.
pub(crate) fn workloads(snapshot: &Snapshot) -> Vec<Workload<'_>> {
    let mut owned: HashMap<&str, Vec<&Value>> = HashMap::new();
    for pod in &snapshot.pods {
        owned.entry(owner_uid(pod)).or_default().push(pod);
    }
    let mut sets: HashMap<&str, Vec<&Value>> = HashMap::new();
    for set in &snapshot.replica_sets {
        sets.entry(owner_uid(set)).or_default().push(set);
    }
    let pods_of = |uid: &str| owned.get(uid).cloned().unwrap_or_default();
    let mut all = Vec::new();
    for object in &snapshot.deployments {
        let uid = herder_object::uid(object);
        let mut own = sets.get(uid).cloned().unwrap_or_default();
        own.sort_by_key(|s| std::cmp::Reverse(revision(s)));
        let pods = own.iter().flat_map(|s| pods_of(herder_object::uid(s))).collect();
        all.push(Workload {
            kind: "Deployment",
            object,
            set: own.first().copied(),
            pods,
        });
    }
    for (kind, list) in [
        ("StatefulSet", &snapshot.stateful_sets),
        ("DaemonSet", &snapshot.daemon_sets),
    ] {
        for object in list {
            all.push(Workload {
                kind,
                object,
                set: None,
                pods: pods_of(herder_object::uid(object)),
            });
        }
    }
    // ReplicaSets and Jobs on their own, and pods, count where somebody called them an application.
    let free = |o: &Value| owner_uid(o).is_empty() && !label(o, APPLICATION).is_empty();
    for (kind, list) in [("ReplicaSet", &snapshot.replica_sets), ("Job", &snapshot.jobs)] {
        for object in list.iter().filter(|o| free(o)) {
            all.push(Workload {
                kind,
                object,
                set: None,
                pods: pods_of(herder_object::uid(object)),
            });
        }
    }
    for object in snapshot.pods.iter().filter(|o| free(o)) {
        all.push(Workload {
            kind: "Pod",
            object,
            set: None,
            pods: vec![object],
        });
    }
    all
}

fn revision(set: &Value) -> i64 {
    let revision = herder_object::annotations(set).find(|(k, _)| *k == "deployment.kubernetes.io/revision");
    revision.and_then(|(_, v)| v.parse().ok()).unwrap_or_default()
}

/// The application a workload belongs to.
pub(crate) fn application<'a>(workload: &Workload<'a>) -> &'a str {
    match label(workload.object, APPLICATION) {
        "" => herder_object::name(workload.object),
        name => name,
    }
}

/// How many pods a workload should have.
pub(crate) fn desired(workload: &Workload<'_>) -> i64 {
    let o = workload.object;
    match workload.kind {
        "DaemonSet" => int(o, "/status/desiredNumberScheduled").unwrap_or_default(),
        "Job" => int(o, "/spec/parallelism").unwrap_or(1),
        "Pod" => 1,
        _ => int(o, "/spec/replicas").unwrap_or(1),
    }
}

/// How a workload is: the leaf first, so that a deadline is never the whole answer.
pub(crate) fn judge(workload: &Workload<'_>, events: &HashMap<&str, Vec<&Value>>) -> Verdict {
    let object = workload.object;
    let of = |pod: &Value| {
        trouble::of_pod(
            pod,
            events
                .get(herder_object::uid(pod))
                .map(Vec::as_slice)
                .unwrap_or_default(),
            patience(object),
        )
    };
    let mut troubles: Vec<(String, Trouble)> = workload
        .pods
        .iter()
        .filter_map(|p| Some((herder_object::name(p).to_owned(), of(p)?)))
        .collect();
    let verdict = |health, reason: String, pod| Verdict { health, reason, pod };
    if workload.kind == "Job" {
        if is(object, "Complete", "True") {
            return verdict(Health::Healthy, String::new(), None);
        }
        if let Some(failed) = condition(object, "Failed").filter(|c| text(c, "/status") == "True") {
            let leaf = troubles.into_iter().find(|(_, t)| t.failing);
            let reason = leaf
                .as_ref()
                .map_or_else(|| text(failed, "/message").to_owned(), |(_, t)| t.cause.clone());
            return verdict(Health::Degraded, reason, leaf);
        }
    }
    if let Some(at) = troubles.iter().position(|(_, t)| t.failing) {
        let leaf = troubles.swap_remove(at);
        return verdict(Health::Degraded, leaf.1.cause.clone(), Some(leaf));
    }
    if let Some(refused) = refused(workload, events) {
        return verdict(Health::Degraded, refused, None);
    }
    if settled(workload) {
        return verdict(Health::Healthy, String::new(), None);
    }
    let late =
        condition(object, "Progressing").is_some_and(|c| text(c, "/reason") == "ProgressDeadlineExceeded");
    let leaf = troubles.into_iter().next();
    let ready = workload
        .pods
        .iter()
        .filter(|p| is(p, "Ready", "True") && !going(p))
        .count();
    let reason = match &leaf {
        Some((pod, t)) if t.cause == "the pod is starting" => format!("pod {pod} is starting"),
        Some((_, t)) => t.cause.clone(),
        None => format!("{ready} of {} pods are ready", desired(workload)),
    };
    if late {
        return verdict(
            Health::Degraded,
            format!("{reason}, for longer than progressDeadlineSeconds"),
            leaf,
        );
    }
    verdict(Health::Progressing, reason, leaf)
}

/// How long the pods of a workload may take to get ready.
pub(crate) fn patience(workload: &Value) -> SignedDuration {
    int(workload, "/spec/progressDeadlineSeconds").map_or(trouble::PATIENCE, SignedDuration::from_secs)
}

/// Why no pod could be made at all: quota, admission, a missing service account.
pub(crate) fn refused(workload: &Workload<'_>, events: &HashMap<&str, Vec<&Value>>) -> Option<String> {
    let failure = [Some(workload.object), workload.set]
        .into_iter()
        .flatten()
        .find_map(|o| condition(o, "ReplicaFailure").filter(|c| text(c, "/status") == "True"));
    if let Some(failure) = failure {
        return Some(format!("its pods are refused: {}", text(failure, "/message")));
    }
    let wanted = i64::try_from(workload.pods.len()).unwrap_or_default() < desired(workload);
    if !wanted || workload.kind == "Deployment" {
        return None;
    }
    let told = events.get(herder_object::uid(workload.object))?;
    let event = told.iter().rev().find(|e| !text(e, "/reason").is_empty())?;
    (text(event, "/reason") == "FailedCreate")
        .then(|| format!("its pods are refused: {}", text(event, "/message")))
}

fn settled(workload: &Workload<'_>) -> bool {
    let o = workload.object;
    let n = |p: &str| int(o, p).unwrap_or_default();
    let wanted = desired(workload);
    let seen = n("/status/observedGeneration") >= n("/metadata/generation");
    match workload.kind {
        "Deployment" => {
            seen && n("/status/updatedReplicas") == wanted
                && n("/status/replicas") == wanted
                && n("/status/availableReplicas") == wanted
        }
        "StatefulSet" => {
            let partition = n("/spec/updateStrategy/rollingUpdate/partition");
            seen && n("/status/readyReplicas") == wanted
                && n("/status/replicas") == wanted
                && (partition > 0 || n("/status/updatedReplicas") == wanted)
        }
        "DaemonSet" => {
            seen && n("/status/numberAvailable") >= wanted && n("/status/updatedNumberScheduled") >= wanted
        }
        "ReplicaSet" => seen && n("/status/availableReplicas") == wanted,
        "Pod" => is(o, "Ready", "True") || text(o, "/status/phase") == "Succeeded",
        _ => false,
    }
}

/// What the ready pods of a workload run, if its version is that of its image and none of them runs it.
fn serving(workload: &Workload<'_>) -> Option<String> {
    let wanted = tag(workload.object.pointer("/spec/template/spec")?)?;
    if label(workload.object, VERSION) != wanted {
        return None;
    }
    let ready = workload
        .pods
        .iter()
        .filter(|pod| is(pod, "Ready", "True") && !going(pod));
    let mut tags: Vec<&str> = ready.filter_map(|pod| tag(pod.get("spec")?)).collect();
    tags.sort_unstable();
    tags.dedup();
    (!tags.is_empty() && !tags.contains(&wanted)).then(|| tags.join(", "))
}

/// The tag of the first container whose image has one.
fn tag(spec: &Value) -> Option<&str> {
    let containers = spec.get("containers")?.as_array()?;
    containers.iter().find_map(|container| {
        let image = container.get("image")?.as_str()?;
        let name = image.split('@').next()?;
        let (_, tag) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
        (tag != "latest").then_some(tag)
    })
}

/// All applications of a snapshot.
pub(crate) fn applications(snapshot: &Snapshot) -> Vec<AppState> {
    let events = snapshot.events_by_uid();
    let mut all: BTreeMap<(&str, &str), AppState> = BTreeMap::new();
    let found = workloads(snapshot);
    for workload in &found {
        let (namespace, name) = (herder_object::namespace(workload.object), application(workload));
        let verdict = judge(workload, &events);
        let state = all.entry((namespace, name)).or_insert_with(|| AppState {
            application: name.to_owned(),
            namespace: namespace.to_owned(),
            ..AppState::default()
        });
        if verdict.health < state.health {
            state.health = verdict.health;
            state.reason = verdict.reason;
        }
        let version = label(workload.object, VERSION);
        if !version.is_empty() {
            version.clone_into(&mut state.version);
        }
        if let Some(serving) = serving(workload) {
            state.serving = serving;
        }
        state.owned |= !label(workload.object, FLEET).is_empty();
        if workload.kind != "Job" {
            state.desired += u64::try_from(desired(workload)).unwrap_or_default();
        }
        let generation = int(workload.object, "/metadata/generation").unwrap_or_default();
        state.workloads.push((
            workload.kind.to_owned(),
            herder_object::name(workload.object).to_owned(),
            u64::try_from(generation).unwrap_or_default(),
        ));
        for pod in workload.pods.iter().filter(|p| !going(p)) {
            let told = events
                .get(herder_object::uid(pod))
                .map(Vec::as_slice)
                .unwrap_or_default();
            let state_of = pod_state(pod, told, patience(workload.object));
            state.ready += u64::from(state_of.ready);
            state.pods.push(state_of);
        }
    }
    all.into_values().collect()
}

fn pod_state(pod: &Value, events: &[&Value], patience: SignedDuration) -> PodState {
    let trouble = trouble::of_pod(pod, events, patience);
    PodState {
        name: herder_object::name(pod).to_owned(),
        node: text(pod, "/spec/nodeName").to_owned(),
        ready: is(pod, "Ready", "True"),
        failing: trouble.as_ref().is_some_and(|t| t.failing),
        reason: trouble.map(|t| t.cause).unwrap_or_default(),
    }
}

fn nodes(nodes: &[Arc<Value>], pods: &[Arc<Value>]) -> Vec<NodeState> {
    nodes
        .iter()
        .map(|node| {
            let name = herder_object::name(node);
            let own = pods.iter().filter(|p| {
                text(p, "/spec/nodeName") == name
                    && !matches!(text(p, "/status/phase"), "Succeeded" | "Failed")
            });
            let pressures = [
                "MemoryPressure",
                "DiskPressure",
                "PIDPressure",
                "NetworkUnavailable",
            ];
            let remarks = items(node, "/status/conditions").iter().filter_map(|c| {
                let (kind, status) = (text(c, "/type"), text(c, "/status"));
                let bad = if pressures.contains(&kind) {
                    status != "False"
                } else {
                    status != "True"
                };
                let message = text(c, "/message");
                bad.then(|| {
                    if message.is_empty() {
                        format!("{kind} is {status}")
                    } else {
                        message.to_owned()
                    }
                })
            });
            let unschedulable = node
                .pointer("/spec/unschedulable")
                .and_then(Value::as_bool)
                .unwrap_or_default();
            NodeState {
                name: name.to_owned(),
                ready: is(node, "Ready", "True") && !unschedulable,
                pods: own.count(),
                remarks: remarks.collect(),
            }
        })
        .collect()
}

impl Cluster {
    /// Every application in every namespace, from the watches.
    #[must_use]
    pub fn applications(&self) -> Vec<AppState> {
        applications(&Snapshot::cached(self))
    }

    /// Every node, from the watches.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeState> {
        let snapshot = Snapshot::cached(self);
        nodes(&snapshot.nodes, &snapshot.pods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn snapshot(image_broken: bool, complete: bool) -> Snapshot {
        let ready = |ok: bool| json!([{"type": "Ready", "status": if ok { "True" } else { "False" }}]);
        let owner = |uid: &str| json!([{"uid": uid, "controller": true}]);
        let set = |uid: &str, revision: &str| {
            Arc::new(
                json!({"kind": "ReplicaSet", "metadata": {"name": uid, "namespace": "s", "uid": uid, "ownerReferences": owner("d"),
                "annotations": {"deployment.kubernetes.io/revision": revision}}}),
            )
        };
        let mut pods = vec![Arc::new(
            json!({"metadata": {"name": "old-1", "namespace": "s", "uid": "p1", "ownerReferences": owner("rs1")},
            "status": {"phase": "Running", "conditions": ready(true)}}),
        )];
        if image_broken {
            pods.push(Arc::new(json!({"metadata": {"name": "new-1", "namespace": "s", "uid": "p2", "ownerReferences": owner("rs2")},
                "status": {"phase": "Pending", "conditions": ready(false), "containerStatuses": [
                    {"name": "web", "image": "x:1", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}})));
        }
        let status = if complete {
            json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
        } else {
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1,
                "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]})
        };
        Snapshot {
            deployments: vec![Arc::new(
                json!({"kind": "Deployment", "metadata": {"name": "shop-web", "namespace": "s", "uid": "d", "generation": 2,
                "labels": {APPLICATION: "shop", VERSION: "1.2", FLEET: "f"}}, "spec": {"replicas": 1}, "status": status}),
            )],
            replica_sets: vec![set("rs1", "1"), set("rs2", "2")],
            pods,
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_leaf_is_the_reason() {
        let state = |s: &Snapshot| applications(s).remove(0);
        let healthy = state(&snapshot(false, true));
        assert_eq!(
            (
                healthy.health,
                healthy.reason.as_str(),
                healthy.ready,
                healthy.desired
            ),
            (Health::Healthy, "", 1, 1)
        );
        assert_eq!(
            (
                healthy.application.as_str(),
                healthy.version.as_str(),
                healthy.owned
            ),
            ("shop", "1.2", true)
        );
        let broken = state(&snapshot(true, false));
        assert_eq!(broken.health, Health::Degraded);
        assert!(
            broken.reason.contains("image \"x:1\" cannot be pulled"),
            "{}",
            broken.reason
        );
        let mut newer = snapshot(true, false);
        let image = |version: &str| json!({"containers": [{"name": "web", "image": format!("x:{version}")}]});
        let mut deployment = (*newer.deployments[0]).clone();
        deployment["spec"]["template"]["spec"] = image("1.2");
        newer.deployments = vec![Arc::new(deployment)];
        let mut old = (*newer.pods[0]).clone();
        old["spec"] = image("1.1");
        newer.pods[0] = Arc::new(old);
        assert_eq!(state(&newer).serving, "1.1");
        assert_eq!(broken.serving, "");
        let late = state(&snapshot(false, false));
        assert_eq!(late.health, Health::Degraded);
        assert!(
            late.reason.starts_with("1 of 1 pods are ready"),
            "{}",
            late.reason
        );
    }
}
