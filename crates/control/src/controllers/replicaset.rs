//! ReplicaSets: as many pods as asked for. Changes pods and the ReplicaSet's status.

use super::condition::{self, Condition};
use super::context::{Context, Failure, Outcome};
use super::{pod, select};
use herder_object::field::{count, deleting, int, map, put, text};
use serde_json::{Value, json};
use std::sync::Arc;

const SETS: &str = "replicasets.apps";
/// At most so many pods are made or deleted before looking again.
const BURST: usize = 500;

/// Creates or deletes pods until the count is right, then writes the status.
pub(super) async fn reconcile(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let Some(set) = ctx.get(SETS, namespace, name) else {
        return Ok(None);
    };
    let pods = claim(ctx, &set, "apps/v1", "ReplicaSet").await?;
    let wanted = usize::try_from(int(&set, "/spec/replicas").unwrap_or(1)).unwrap_or_default();
    let failed = if deleting(&set) {
        None
    } else {
        let active: Vec<_> = pods.iter().filter(|p| pod::active(p)).cloned().collect();
        balance(ctx, &set, active, wanted).await.err()
    };
    let wait = write_status(ctx, &set, failed.as_ref()).await?;
    match failed {
        Some(failure) => Err(failure),
        None => Ok(wait),
    }
}

/// The pods an object controls; pods that match its selector and have no owner are adopted, and pods of its own that
/// no longer match are let go.
pub(super) async fn claim(
    ctx: &Context,
    owner: &Value,
    api_version: &str,
    kind: &str,
) -> Result<Vec<Arc<Value>>, Failure> {
    let uid = text(owner, "/metadata/uid");
    let selector = owner.pointer("/spec/selector");
    let mut owned = Vec::new();
    for pod in ctx.list("pods", text(owner, "/metadata/namespace")) {
        let matching = select::matches(selector, map(&pod, "/metadata/labels"));
        if pod::controller_uid(&pod) == uid {
            if matching || deleting(&pod) || deleting(owner) {
                owned.push(pod);
            } else {
                ctx.disown("pods", &pod, uid).await?;
            }
        } else if matching && pod::controller(&pod).is_none() && pod::active(&pod) && !deleting(owner) {
            let reference = pod::controlled_by(owner, api_version, kind);
            if let Some(pod) = ctx.adopt("pods", &pod, reference).await? {
                owned.push(pod);
            }
        }
    }
    Ok(owned)
}

async fn balance(
    ctx: &Context,
    set: &Value,
    mut active: Vec<Arc<Value>>,
    wanted: usize,
) -> Result<(), Failure> {
    if active.len() > wanted {
        let excess = (active.len() - wanted).min(BURST);
        pod::sort_for_deletion(&mut active);
        let going = active.iter().take(excess).map(|p| async move {
            ctx.delete("pods", p).await?;
            let message = format!("Deleted pod: {}", text(p, "/metadata/name"));
            ctx.event(set, "Normal", "SuccessfulDelete", &message);
            Ok::<_, Failure>(())
        });
        return futures::future::join_all(going).await.into_iter().collect();
    }
    let missing = (wanted - active.len()).min(BURST);
    // Start slowly: if the first is refused (quota, admission), do not ask for all the others.
    let mut batch = 1;
    let mut done = 0;
    while done < missing {
        let size = batch.min(missing - done);
        let coming = (0..size).map(|_| create(ctx, set));
        futures::future::join_all(coming)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        done += size;
        batch *= 2;
    }
    Ok(())
}

async fn create(ctx: &Context, set: &Value) -> Result<(), Failure> {
    let owner = pod::controlled_by(set, "apps/v1", "ReplicaSet");
    let template = set.pointer("/spec/template").unwrap_or(&Value::Null);
    let mut pod = pod::from_template(template, text(set, "/metadata/namespace"), owner);
    put(
        &mut pod,
        &["metadata", "generateName"],
        format!("{}-", text(set, "/metadata/name")),
    );
    create_pod(ctx, set, pod).await.map(drop)
}

/// Creates a pod and says so in an event of its owner.
pub(super) async fn create_pod(ctx: &Context, owner: &Value, pod: Value) -> Result<Arc<Value>, Failure> {
    match ctx.create("pods", pod).await {
        Ok(pod) => {
            let message = format!("Created pod: {}", text(&pod, "/metadata/name"));
            ctx.event(owner, "Normal", "SuccessfulCreate", &message);
            Ok(pod)
        }
        Err(failure) if failure.namespace_ending() => Err(failure),
        Err(failure) => {
            ctx.event(
                owner,
                "Warning",
                "FailedCreate",
                &format!("Error creating: {failure}"),
            );
            Err(failure)
        }
    }
}

async fn write_status(ctx: &Context, set: &Value, failed: Option<&Failure>) -> Outcome {
    let namespace = text(set, "/metadata/namespace");
    let uid = text(set, "/metadata/uid");
    let now = ctx.now();
    let pods: Vec<_> = ctx
        .list("pods", namespace)
        .into_iter()
        .filter(|p| pod::controller_uid(p) == uid && pod::active(p))
        .collect();
    let labels = map(set, "/spec/template/metadata/labels")
        .cloned()
        .unwrap_or_default();
    let min_ready = int(set, "/spec/minReadySeconds").unwrap_or_default();
    let mut wait = None;
    let (mut labelled, mut ready, mut available) = (0, 0, 0);
    for p in &pods {
        labelled += i64::from(select::subset(&labels, map(p, "/metadata/labels")));
        ready += i64::from(pod::ready(p));
        match pod::available(p, min_ready, now) {
            Ok(()) => available += 1,
            Err(Some(in_)) => wait = Some(wait.map_or(in_, |w: std::time::Duration| w.min(in_))),
            Err(None) => {}
        }
    }
    let total = i64::try_from(pods.len()).unwrap_or_default();
    let message = failed.map(ToString::to_string);
    ctx.modify_status(SETS, namespace, text(set, "/metadata/name"), |s| {
        let mut status = s.get("status").cloned().unwrap_or_else(|| json!({}));
        put(&mut status, &["replicas"], total);
        let generation = int(set, "/metadata/generation").unwrap_or_default();
        put(&mut status, &["observedGeneration"], generation);
        count(&mut status, &["fullyLabeledReplicas"], labelled);
        count(&mut status, &["readyReplicas"], ready);
        count(&mut status, &["availableReplicas"], available);
        match &message {
            Some(message) => condition::set(
                &mut status,
                &Condition {
                    kind: "ReplicaFailure",
                    status: "True",
                    reason: "FailedCreate",
                    message,
                },
                now,
            ),
            None => condition::drop(&mut status, "ReplicaFailure"),
        }
        put(s, &["status"], status);
        true
    })
    .await?;
    Ok(wait)
}
