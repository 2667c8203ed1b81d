//! Why an application is as it is: from the workload down to the container, with the last log lines before a crash.

use crate::health::{Workload, application, desired, judge, patience, refused, workloads};
use crate::snapshot::{Snapshot, going, int, is, text};
use crate::trouble::{self, Trouble};
use crate::{Cluster, Error, Health, LogOptions, Step, Why};
use futures::{StreamExt, pin_mut};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// So many lines of log are shown.
const LINES: i64 = 20;

/// A diagnosis without the log, and where the log is: pod, container, previous instance.
type Found = (Why, Option<(String, String, bool)>);

impl Cluster {
    /// Why an application is as it is.
    ///
    /// # Errors
    /// An [`Error`] if the cluster does not answer.
    pub async fn diagnose(&self, namespace: &str, application: &str) -> Result<Why, Error> {
        let snapshot = Snapshot::of(self, namespace).await?;
        let (mut why, log) = explain(&snapshot, namespace, application);
        if let Some((pod, container, previous)) = log {
            why.log_tail = self.tail(namespace, &pod, &container, previous).await;
            let last = why.log_tail.iter().rev().find(|l| !l.trim().is_empty());
            // The line before the crash is most often the cause itself.
            if let Some(last) = last
                && why.cause.contains("exit code")
                && !why.cause.contains(last.trim())
            {
                why.cause.push_str(&format!("; its last line: {}", last.trim()));
            }
        }
        Ok(why)
    }

    /// The last lines of a container's log: of the instance before if asked for and kept, else of this one.
    async fn tail(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> Vec<String> {
        for previous in [previous, !previous] {
            let options = LogOptions {
                follow: false,
                tail: Some(LINES),
                previous,
                timestamps: false,
            };
            let Ok(stream) = self.logs(namespace, pod, container, options).await else {
                continue;
            };
            pin_mut!(stream);
            let mut bytes = Vec::new();
            let read = async {
                while let Some(Ok(chunk)) = stream.next().await {
                    bytes.extend_from_slice(&chunk);
                }
            };
            let _late = tokio::time::timeout(Duration::from_secs(5), read).await;
            if !bytes.is_empty() {
                return String::from_utf8_lossy(&bytes)
                    .lines()
                    .map(str::to_owned)
                    .collect();
            }
        }
        Vec::new()
    }
}

/// The worst workload of the application decides.
fn explain(snapshot: &Snapshot, namespace: &str, name: &str) -> Found {
    let events = snapshot.events_by_uid();
    let all = workloads(snapshot);
    let own = all
        .iter()
        .filter(|w| herder_object::namespace(w.object) == namespace)
        .filter(|w| application(w) == name || herder_object::name(w.object) == name);
    let worst = own.map(|w| (judge(w, &events), w)).min_by_key(|(v, _)| v.health);
    let Some((verdict, workload)) = worst else {
        let why = Why {
            cause: format!("there is no workload of application {name} in namespace {namespace}"),
            remedy: format!(
                "Check the names (kubectl get deploy,sts,ds -n {namespace}), and that the last sync wrote it (`herder status`)."
            ),
            ..Why::default()
        };
        return (why, None);
    };
    let mut why = Why {
        healthy: verdict.health == Health::Healthy,
        cause: verdict.reason,
        ..Why::default()
    };
    let mut log = None;
    match verdict.pod {
        Some((pod, trouble)) => {
            chain(&mut why.chain, workload, Some(&pod), &events);
            container_step(&mut why.chain, &trouble);
            log = trouble
                .log
                .clone()
                .map(|(container, previous)| (pod, container, previous));
            why.remedy = trouble.remedy;
        }
        None => {
            chain(&mut why.chain, workload, None, &events);
            if refused(workload, &events).is_some() {
                why.remedy = if why.cause.contains("exceeded quota") {
                    "Raise the namespace's ResourceQuota, or ask for less.".to_owned()
                } else if why.cause.contains("serviceaccount") {
                    "Add the ServiceAccount to the environment's config repository.".to_owned()
                } else {
                    "Correct what the message names in the workload's pod template.".to_owned()
                };
            }
        }
    }
    unbound_claim(snapshot, &mut why);
    if !why.healthy && why.remedy.is_empty() {
        why.remedy =
            "Wait: it is on its way. If it stays so, look at the events (kubectl get events -n NAMESPACE)."
                .replace("NAMESPACE", namespace);
    }
    if why.healthy {
        why.cause = format!("{name} in {namespace} is healthy");
    }
    (why, log)
}

fn chain(
    steps: &mut Vec<Step>,
    workload: &Workload<'_>,
    pod: Option<&str>,
    events: &HashMap<&str, Vec<&Value>>,
) {
    let object = workload.object;
    let ready = workload
        .pods
        .iter()
        .filter(|p| is(p, "Ready", "True") && !going(p))
        .count();
    let wanted = desired(workload);
    let bad = pod.is_some() || i64::try_from(ready).unwrap_or_default() < wanted;
    steps.push(Step {
        kind: workload.kind.to_owned(),
        name: herder_object::name(object).to_owned(),
        state: format!("{ready} of {wanted} ready"),
        detail: String::new(),
        bad,
    });
    if let Some(set) = workload.set {
        let refused = refused(workload, events);
        let has = int(set, "/status/replicas").unwrap_or_default();
        let wanted = int(set, "/spec/replicas").unwrap_or_default();
        steps.push(Step {
            kind: "ReplicaSet".to_owned(),
            name: herder_object::name(set).to_owned(),
            state: format!("{has} of {wanted} pods"),
            bad: refused.is_some() || (pod.is_some() && has > 0),
            detail: refused.unwrap_or_default(),
        });
    }
    let shown = workload.pods.iter().find(|p| pod == Some(herder_object::name(p)));
    if let Some(p) = shown {
        let told = events
            .get(herder_object::uid(p))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let trouble = trouble::of_pod(p, told, patience(workload.object));
        let node = text(p, "/spec/nodeName");
        steps.push(Step {
            kind: "Pod".to_owned(),
            name: herder_object::name(p).to_owned(),
            state: trouble
                .as_ref()
                .map_or_else(|| text(p, "/status/phase").to_owned(), |t| t.state.clone()),
            detail: if node.is_empty() {
                String::new()
            } else {
                format!("on node {node}")
            },
            bad: trouble.is_some(),
        });
    }
}

fn container_step(steps: &mut Vec<Step>, trouble: &Trouble) {
    if let Some(container) = &trouble.container {
        steps.push(Step {
            kind: if trouble.init {
                "Init container"
            } else {
                "Container"
            }
            .to_owned(),
            name: container.clone(),
            state: trouble.state.clone(),
            detail: trouble.detail.clone(),
            bad: true,
        });
    }
}

/// A pod that waits for a claim waits for what the claim waits for.
fn unbound_claim(snapshot: &Snapshot, why: &mut Why) {
    if !why.cause.contains("ersistent") && !why.cause.contains("persistentvolumeclaim") {
        return;
    }
    let events = snapshot.events_by_uid();
    for claim in snapshot
        .claims
        .iter()
        .filter(|c| text(c, "/status/phase") != "Bound")
    {
        let told = events.get(herder_object::uid(claim)).and_then(|list| list.last());
        let detail = told.map(|e| text(e, "/message").to_owned()).unwrap_or_default();
        let name = herder_object::name(claim);
        if !detail.is_empty() {
            why.cause = format!("volume claim {name} is not bound: {detail}");
        }
        why.chain.push(Step {
            kind: "PersistentVolumeClaim".to_owned(),
            name: name.to_owned(),
            state: text(claim, "/status/phase").to_owned(),
            detail,
            bad: true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn from_deployment_to_container() {
        let owner = |uid: &str| json!([{"uid": uid, "controller": true}]);
        let mut snapshot = Snapshot {
            deployments: vec![Arc::new(
                json!({"metadata": {"name": "shop", "namespace": "s", "uid": "d"}, "spec": {"replicas": 1},
                "status": {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}}),
            )],
            replica_sets: vec![Arc::new(
                json!({"metadata": {"name": "shop-a", "namespace": "s", "uid": "rs", "ownerReferences": owner("d")},
                "spec": {"replicas": 1}, "status": {"replicas": 1}}),
            )],
            pods: vec![Arc::new(
                json!({"metadata": {"name": "shop-a-1", "namespace": "s", "uid": "p", "ownerReferences": owner("rs")},
                "spec": {"nodeName": "n1"},
                "status": {"phase": "Running", "containerStatuses": [{"name": "web", "restartCount": 4,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 3}}}]}}),
            )],
            ..Snapshot::default()
        };
        let (why, log) = explain(&snapshot, "s", "shop");
        assert_eq!(
            why.cause,
            "container \"web\" crashes with exit code 3, restarted 4 times"
        );
        let kinds: Vec<_> = why.chain.iter().map(|s| s.kind.as_str()).collect();
        assert_eq!(kinds, ["Deployment", "ReplicaSet", "Pod", "Container"]);
        assert!(why.chain.iter().all(|s| s.bad) && !why.healthy);
        assert_eq!(log, Some(("shop-a-1".to_owned(), "web".to_owned(), true)));

        snapshot.pods.clear();
        snapshot.replica_sets = vec![Arc::new(
            json!({"metadata": {"name": "shop-a", "namespace": "s", "uid": "rs", "ownerReferences": owner("d")},
            "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "pods \"x\" is forbidden: exceeded quota: q"}]}}),
        )];
        let (why, _) = explain(&snapshot, "s", "shop");
        assert!(
            why.cause.contains("exceeded quota") && why.remedy.contains("ResourceQuota"),
            "{why:?}"
        );
        let (why, _) = explain(&snapshot, "s", "nothing");
        assert!(why.cause.contains("no workload") && !why.healthy);
    }
}
