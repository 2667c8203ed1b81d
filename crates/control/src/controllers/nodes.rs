//! The life of nodes: a node whose agent ended or fell silent is marked and tainted. When the agent is known to have
//! ended, all that ran there is gone, so its pods are deleted at once and replaced elsewhere.

use super::condition::{self, Condition};
use super::context::{Context, Failure, Outcome};
use herder_object::field::{int, items, put, remove, seconds, text, time, until};
use serde_json::{Value, json};
use std::sync::PoisonError;
use std::time::Duration;

const LEASES: &str = "leases.coordination.k8s.io";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Silence after which a node counts as unreachable.
const GRACE: Duration = Duration::from_secs(40);
/// How long pods stay on an unreachable node unless they say otherwise.
const STAY: i64 = 300;

/// Notes that a node's agent ended; [`reconcile`] does the rest.
pub(super) fn agent_ended(ctx: &Context, node: &str) {
    ctx.dead
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(node.to_owned(), false);
}

/// Whether the agent of a node is known to have ended and not to have come back.
pub(super) fn is_dead(ctx: &Context, node: &str) -> bool {
    ctx.dead
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .contains_key(node)
}

/// Brings a node's conditions, taints and pods in line with whether it lives.
pub(super) async fn reconcile(ctx: &Context, name: &str) -> Outcome {
    let now = ctx.now();
    let Some(node) = ctx.get("nodes", "", name) else {
        // Pods bound to a node that has no object.
        evict_all(ctx, name).await?;
        return Ok(None);
    };
    let dead = ctx
        .dead
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(name)
        .copied();
    match dead {
        Some(false) => {
            unknown(ctx, name, "NodeStatusUnknown", "The node's agent ended.").await?;
            let message = format!("Node {name} status is now: NodeNotReady");
            ctx.event(&node, "Normal", "NodeNotReady", &message);
            // From here on, Ready means that a new agent has come.
            ctx.dead
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name.to_owned(), true);
            evict_all(ctx, name).await?;
            taint(ctx, name).await?;
            return Ok(None);
        }
        Some(true) if condition::is_true(&node, "Ready") => {
            ctx.dead
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(name);
        }
        Some(true) => {
            evict_all(ctx, name).await?;
            taint(ctx, name).await?;
            return Ok(None);
        }
        None => {}
    }
    let lease = ctx.get(LEASES, "kube-node-lease", name);
    let heard = lease
        .as_deref()
        .and_then(|l| time(l, "/spec/renewTime"))
        .into_iter()
        .chain(condition::get(&node, "Ready").and_then(|c| time(c, "/lastHeartbeatTime")))
        .chain(time(&node, "/metadata/creationTimestamp"))
        .max();
    let silent_at = heard.and_then(|at| at.saturating_add(GRACE).ok());
    let silent = silent_at.is_none_or(|at| at <= now);
    let state = condition::get(&node, "Ready").map(|c| text(c, "/status").to_owned());
    if silent && state.as_deref().is_some_and(|s| s != "Unknown") {
        unknown(
            ctx,
            name,
            "NodeStatusUnknown",
            "Kubelet stopped posting node status.",
        )
        .await?;
        ctx.event(
            &node,
            "Normal",
            "NodeNotReady",
            &format!("Node {name} status is now: NodeNotReady"),
        );
    }
    taint(ctx, name).await?;
    let ready = ctx
        .get("nodes", "", name)
        .is_some_and(|n| condition::is_true(&n, "Ready"));
    if ready {
        return Ok(silent_at.map(|at| until(now, at) + Duration::from_secs(1)));
    }
    evict_intolerant(ctx, name).await
}

async fn unknown(ctx: &Context, name: &str, reason: &str, message: &str) -> Result<(), Failure> {
    let now = ctx.now();
    ctx.modify_status("nodes", "", name, |node| {
        let mut status = node.get("status").cloned().unwrap_or_else(|| json!({}));
        let kinds: Vec<String> = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
            .iter()
            .filter(|k| **k == "Ready" || condition::get(node, k).is_some())
            .map(|k| (*k).to_owned())
            .collect();
        for kind in &kinds {
            condition::set(
                &mut status,
                &Condition {
                    kind,
                    status: "Unknown",
                    reason,
                    message,
                },
                now,
            );
        }
        put(node, &["status"], status);
        true
    })
    .await
}

/// Taints that follow from the Ready condition and from `spec.unschedulable`.
async fn taint(ctx: &Context, name: &str) -> Result<(), Failure> {
    let Some(node) = ctx.get("nodes", "", name) else {
        return Ok(());
    };
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match condition::get(&node, "Ready").map(|c| text(c, "/status")) {
        Some("True") => {}
        Some("Unknown") => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
        _ => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
    }
    if herder_object::field::flag(&node, "/spec/unschedulable") {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let now = herder_object::field::stamp(ctx.now());
    ctx.modify("nodes", "", name, |node| {
        let before = items(node, "/spec/taints").to_vec();
        let managed = |t: &Value| matches!(text(t, "/key"), NOT_READY | UNREACHABLE | UNSCHEDULABLE);
        let is =
            |t: &Value, (key, effect): (&str, &str)| text(t, "/key") == key && text(t, "/effect") == effect;
        let mut after: Vec<Value> = before
            .iter()
            .filter(|t| !managed(t) || wanted.iter().any(|w| is(t, *w)))
            .cloned()
            .collect();
        for w in &wanted {
            if !after.iter().any(|t| is(t, *w)) {
                let mut new = json!({"key": w.0, "effect": w.1});
                if w.1 == "NoExecute" {
                    put(&mut new, &["timeAdded"], now.clone());
                }
                after.push(new);
            }
        }
        if after == before {
            return false;
        }
        if after.is_empty() {
            remove(node, &["spec", "taints"]);
        } else {
            put(node, &["spec", "taints"], after);
        }
        true
    })
    .await
}

/// Deletes all pods of a node whose processes are gone.
async fn evict_all(ctx: &Context, node: &str) -> Result<(), Failure> {
    let pods = ctx.list_all("pods");
    let gone = pods
        .iter()
        .filter(|p| text(p, "/spec/nodeName") == node)
        .map(|p| async move {
            let message = format!(
                "Deleting pod {}: its node {node} is gone",
                herder_object::field::place(p)
            );
            ctx.event(p, "Warning", "NodeLost", &message);
            ctx.delete_now(p).await
        });
    futures::future::join_all(gone).await.into_iter().collect()
}

/// Deletes pods that do not tolerate their node's state any longer.
async fn evict_intolerant(ctx: &Context, name: &str) -> Outcome {
    let Some(node) = ctx.get("nodes", "", name) else {
        return Ok(None);
    };
    let now = ctx.now();
    let mut wait: Option<Duration> = None;
    let taints = items(&node, "/spec/taints")
        .iter()
        .filter(|t| text(t, "/effect") == "NoExecute");
    for taint in taints {
        let since = time(taint, "/timeAdded").unwrap_or(now);
        for pod in ctx.list_all("pods") {
            if text(&pod, "/spec/nodeName") != name || herder_object::field::deleting(&pod) {
                continue;
            }
            let tolerated = items(&pod, "/spec/tolerations")
                .iter()
                .find(|t| crate::scheduler::tolerates(t, taint));
            let stay = match tolerated {
                Some(t) => match int(t, "/tolerationSeconds") {
                    Some(stay) => stay,
                    None => continue,
                },
                // Kubernetes gives every pod this toleration when it is created.
                None if matches!(text(taint, "/key"), NOT_READY | UNREACHABLE) => STAY,
                None => 0,
            };
            let due = since.saturating_add(seconds(stay)).unwrap_or(now);
            if due <= now {
                ctx.event(
                    &pod,
                    "Normal",
                    "TaintManagerEviction",
                    &format!("Marking for deletion Pod {}", herder_object::field::place(&pod)),
                );
                ctx.delete("pods", &pod).await?;
            } else {
                let left = until(now, due);
                wait = Some(wait.map_or(left, |w| w.min(left)));
            }
        }
    }
    Ok(wait.map(|w| w + Duration::from_millis(500)))
}
