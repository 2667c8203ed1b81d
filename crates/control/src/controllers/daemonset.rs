//! DaemonSets: one pod on each node that takes it. Changes pods, ControllerRevisions and the DaemonSet's status.

use super::context::{Context, Failure, Outcome};
use super::{pod, replicaset, revision};
use herder_object::field::{count, deleting, int, items, label, put, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SETS: &str = "daemonsets.apps";
const HASH: &str = "controller-revision-hash";

/// Makes, replaces and removes pods, then writes the status.
pub(super) async fn reconcile(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let Some(set) = ctx.get(SETS, namespace, name) else {
        return Ok(None);
    };
    let pods = replicaset::claim(ctx, &set, "apps/v1", "DaemonSet").await?;
    if deleting(&set) {
        return Ok(None);
    }
    let current = revision::current(ctx, &set, "DaemonSet").await?;
    let mut by_node: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
    for p in &pods {
        by_node.entry(target(p)).or_default().push(Arc::clone(p));
    }
    let probe = pod_for(&set, "", &current.hash);
    let eligible: Vec<String> = ctx
        .list_all("nodes")
        .iter()
        .filter(|n| crate::scheduler::daemon_fits(&probe, n))
        .map(|n| text(n, "/metadata/name").to_owned())
        .collect();
    let mut failure = None;
    for (node, pods) in &by_node {
        let wanted = eligible.contains(node);
        let mut keep = usize::from(wanted);
        for p in pods.iter().filter(|p| !deleting(p)) {
            if pod::ended(p) {
                if text(p, "/status/phase") == "Failed" {
                    let place = text(p, "/metadata/name");
                    let message = format!(
                        "Found failed daemon pod {namespace}/{place} on node {node}, will try to kill it"
                    );
                    ctx.event(&set, "Warning", "FailedDaemonPod", &message);
                }
                remove(ctx, &set, p).await?;
            } else if keep == 0 {
                remove(ctx, &set, p).await?;
            } else {
                keep -= 1;
            }
        }
    }
    for node in &eligible {
        let taken = by_node.get(node).is_some_and(|pods| {
            // A pod that is going still occupies its node.
            pods.iter().any(|p| !pod::ended(p))
        });
        if !taken
            && let Err(error) = replicaset::create_pod(ctx, &set, pod_for(&set, node, &current.hash)).await
        {
            failure = Some(error);
        }
    }
    if text(&set, "/spec/updateStrategy/type") != "OnDelete" {
        roll(ctx, &set, &by_node, &eligible, &current.hash).await?;
    }
    revision::trim(ctx, &set, &current).await?;
    let wait = write_status(ctx, &set, &eligible, &current.hash).await?;
    failure.map_or(Ok(wait), Err)
}

async fn remove(ctx: &Context, set: &Value, p: &Value) -> Result<(), Failure> {
    ctx.delete("pods", p).await?;
    ctx.event(
        set,
        "Normal",
        "SuccessfulDelete",
        &format!("Deleted pod: {}", text(p, "/metadata/name")),
    );
    Ok(())
}

/// The node a pod is for: where it is, or where its affinity sends it.
fn target(p: &Value) -> String {
    let bound = text(p, "/spec/nodeName");
    if bound.is_empty() {
        let path = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
        text(p, path).to_owned()
    } else {
        bound.to_owned()
    }
}

fn pod_for(set: &Value, node: &str, hash: &str) -> Value {
    let owner = pod::controlled_by(set, "apps/v1", "DaemonSet");
    let template = set.pointer("/spec/template").unwrap_or(&Value::Null);
    let mut p = pod::from_template(template, text(set, "/metadata/namespace"), owner);
    put(
        &mut p,
        &["metadata", "generateName"],
        format!("{}-", text(set, "/metadata/name")),
    );
    put(&mut p, &["metadata", "labels", HASH], hash);
    if !node.is_empty() {
        let field = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
        let path = [
            "spec",
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
        ];
        let mut terms = items(
            &p,
            "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
        )
        .to_vec();
        if terms.is_empty() {
            terms.push(json!({}));
        }
        for term in &mut terms {
            put(term, &["matchFields"], field.clone());
        }
        put(&mut p, &path, json!({"nodeSelectorTerms": terms}));
    }
    let mut tolerations = items(&p, "/spec/tolerations").to_vec();
    for (key, effect) in [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ] {
        let toleration = json!({"key": key, "operator": "Exists", "effect": effect});
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    put(&mut p, &["spec", "tolerations"], tolerations);
    p
}

/// Deletes as many outdated pods as may be unavailable; broken ones first.
async fn roll(
    ctx: &Context,
    set: &Value,
    by_node: &BTreeMap<String, Vec<Arc<Value>>>,
    eligible: &[String],
    hash: &str,
) -> Result<(), Failure> {
    let total = i64::try_from(eligible.len()).unwrap_or_default();
    let unavailable = set.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
    let one = json!(1);
    let allowed = super::deployment::resolve(Some(unavailable.unwrap_or(&one)), total, true).max(1);
    let min_ready = int(set, "/spec/minReadySeconds").unwrap_or_default();
    let now = ctx.now();
    let mut missing = 0;
    let mut outdated = Vec::new();
    for node in eligible {
        let alive = by_node
            .get(node)
            .and_then(|pods| pods.iter().find(|p| pod::active(p)));
        let available = alive.is_some_and(|p| pod::available(p, min_ready, now).is_ok());
        missing += i64::from(!available);
        if let Some(p) = alive
            && label(p, HASH) != hash
        {
            outdated.push((available, Arc::clone(p)));
        }
    }
    outdated.sort_by_key(|(available, _)| *available);
    let mut budget = (allowed - missing).max(0);
    for (available, p) in outdated {
        if available {
            if budget == 0 {
                break;
            }
            budget -= 1;
        }
        remove(ctx, set, &p).await?;
    }
    Ok(())
}

async fn write_status(ctx: &Context, set: &Value, eligible: &[String], hash: &str) -> Outcome {
    let namespace = text(set, "/metadata/namespace");
    let uid = text(set, "/metadata/uid");
    let min_ready = int(set, "/spec/minReadySeconds").unwrap_or_default();
    let now = ctx.now();
    let mut wait: Option<Duration> = None;
    let (mut scheduled, mut ready, mut available, mut updated, mut misplaced) = (0, 0, 0, 0, 0);
    for p in ctx.list("pods", namespace) {
        if pod::controller_uid(&p) != uid || !pod::active(&p) {
            continue;
        }
        if !eligible.contains(&target(&p)) {
            misplaced += 1;
            continue;
        }
        scheduled += 1;
        updated += i64::from(label(&p, HASH) == hash);
        ready += i64::from(pod::ready(&p));
        match pod::available(&p, min_ready, now) {
            Ok(()) => available += 1,
            Err(Some(left)) => wait = Some(wait.map_or(left, |w| w.min(left))),
            Err(None) => {}
        }
    }
    let desired = i64::try_from(eligible.len()).unwrap_or_default();
    ctx.modify_status(SETS, namespace, text(set, "/metadata/name"), |s| {
        let mut status = s.get("status").cloned().unwrap_or_else(|| json!({}));
        put(&mut status, &["currentNumberScheduled"], scheduled);
        put(&mut status, &["numberMisscheduled"], misplaced);
        put(&mut status, &["desiredNumberScheduled"], desired);
        put(&mut status, &["numberReady"], ready);
        put(
            &mut status,
            &["observedGeneration"],
            int(set, "/metadata/generation").unwrap_or_default(),
        );
        count(&mut status, &["updatedNumberScheduled"], updated);
        count(&mut status, &["numberAvailable"], available);
        count(&mut status, &["numberUnavailable"], desired - available);
        put(s, &["status"], status);
        true
    })
    .await?;
    Ok(wait)
}
