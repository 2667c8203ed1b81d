//! Deployments: one ReplicaSet per pod template, rolled from old to new. Changes only Deployments and ReplicaSets.

mod rolling;
mod status;

pub(super) use rolling::resolve;

use super::context::{Context, Outcome};
use super::{pod, select, template};
use herder_object::field::{annotation, count, deleting, flag, int, items, map, put, text};
use rolling::{Bounds, Replicas};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const DEPLOYMENTS: &str = "deployments.apps";
const SETS: &str = "replicasets.apps";
const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// Brings one Deployment forward by as much as can be done now.
pub(super) async fn reconcile(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let Some(deployment) = ctx.get(DEPLOYMENTS, namespace, name) else {
        return Ok(None);
    };
    let sets = owned_sets(ctx, &deployment).await?;
    let wanted_template = deployment.pointer("/spec/template").cloned().unwrap_or_default();
    let mut new = sets
        .iter()
        .find(|s| {
            template::same(
                s.pointer("/spec/template").unwrap_or(&Value::Null),
                &wanted_template,
            )
        })
        .cloned();
    let mut old: Vec<Arc<Value>> = sets
        .iter()
        .filter(|s| {
            new.as_ref()
                .is_none_or(|n| text(n, "/metadata/uid") != text(s, "/metadata/uid"))
        })
        .cloned()
        .collect();
    if deleting(&deployment) {
        return write_status(ctx, &deployment, new.as_deref(), &old).await;
    }
    let bounds = Bounds::of(&deployment);
    if flag(&deployment, "/spec/paused") {
        scale_in_proportion(ctx, &deployment, bounds, &sets).await?;
        let new = reread(ctx, new.as_ref());
        return write_status(ctx, &deployment, new.as_deref(), &old).await;
    }
    let revision = (old.iter().map(|s| revision(s)).max().unwrap_or_default() + 1)
        .max(new.as_ref().map(|s| self::revision(s)).unwrap_or_default());
    let recreate = text(&deployment, "/spec/strategy/type") == "Recreate";
    if recreate && !old.is_empty() {
        let mut running = false;
        for set in &old {
            if int(set, "/spec/replicas").unwrap_or(1) > 0 {
                scale(ctx, &deployment, set, 0, bounds).await?;
            }
            running |= ctx
                .list("pods", namespace)
                .iter()
                .any(|p| pod::controller_uid(p) == text(set, "/metadata/uid") && !pod::ended(p));
        }
        if running {
            // Their going is an event that brings us back here.
            old = old.iter().filter_map(|s| reread(ctx, Some(s))).collect();
            let new = reread(ctx, new.as_ref());
            return write_status(ctx, &deployment, new.as_deref(), &old).await;
        }
    }
    let olds: Vec<Replicas> = old.iter().map(|s| Replicas::of(s)).collect();
    let current = new.as_deref().map_or(
        Replicas {
            wanted: 0,
            available: 0,
        },
        Replicas::of,
    );
    let (new_size, old_sizes) = rolling::step(bounds, current, &olds);
    match new.clone() {
        None => new = Some(create_set(ctx, &deployment, &wanted_template, new_size, revision, bounds).await?),
        Some(set) => {
            annotate(ctx, &deployment, &set, revision, bounds).await?;
            if new_size != current.wanted {
                scale(ctx, &deployment, &set, new_size, bounds).await?;
            }
        }
    }
    for ((set, size), now) in old.iter().zip(old_sizes).zip(&olds) {
        if size != now.wanted {
            scale(ctx, &deployment, set, size, bounds).await?;
        }
    }
    ctx.modify(DEPLOYMENTS, namespace, name, |d| {
        let text = revision.to_string();
        let changed = annotation(d, REVISION) != text;
        put(d, &["metadata", "annotations", REVISION], text);
        changed
    })
    .await?;
    let new = reread(ctx, new.as_ref());
    let old: Vec<Arc<Value>> = old.iter().filter_map(|s| reread(ctx, Some(s))).collect();
    let wait = write_status(ctx, &deployment, new.as_deref(), &old).await?;
    let complete = ctx
        .get(DEPLOYMENTS, namespace, name)
        .and_then(|d| d.get("status").map(status::is_complete))
        .unwrap_or_default();
    if complete {
        clean_up(ctx, &deployment, &old).await?;
    }
    Ok(wait)
}

fn reread(ctx: &Context, set: Option<&Arc<Value>>) -> Option<Arc<Value>> {
    let set = set?;
    ctx.get(
        SETS,
        text(set, "/metadata/namespace"),
        text(set, "/metadata/name"),
    )
}

fn revision(set: &Value) -> i64 {
    annotation(set, REVISION).parse().unwrap_or_default()
}

/// The ReplicaSets of a Deployment, oldest first; those that match and have no owner are adopted.
async fn owned_sets(ctx: &Context, deployment: &Value) -> Result<Vec<Arc<Value>>, super::context::Failure> {
    let uid = text(deployment, "/metadata/uid");
    let selector = deployment.pointer("/spec/selector");
    let mut owned = Vec::new();
    for set in ctx.list(SETS, text(deployment, "/metadata/namespace")) {
        if pod::controller_uid(&set) == uid {
            owned.push(set);
        } else if pod::controller(&set).is_none()
            && !deleting(&set)
            && !deleting(deployment)
            && select::matches(selector, map(&set, "/metadata/labels"))
        {
            let owner = pod::controlled_by(deployment, "apps/v1", "Deployment");
            if let Some(set) = ctx.adopt(SETS, &set, owner).await? {
                owned.push(set);
            }
        }
    }
    owned.sort_by(|a, b| {
        let key = |s: &Arc<Value>| {
            (
                text(s, "/metadata/creationTimestamp").to_owned(),
                revision(s),
                text(s, "/metadata/name").to_owned(),
            )
        };
        key(a).cmp(&key(b))
    });
    Ok(owned)
}

/// The Deployment's annotations that its ReplicaSets carry, so that an undo finds them.
fn carried(deployment: &Value) -> Map<String, Value> {
    map(deployment, "/metadata/annotations")
        .into_iter()
        .flatten()
        .filter(|(key, _)| {
            !matches!(
                key.as_str(),
                "kubectl.kubernetes.io/last-applied-configuration"
                    | REVISION
                    | "deployment.kubernetes.io/revision-history"
                    | DESIRED
                    | MOST
                    | "deprecated.deployment.rollback.to"
            )
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

async fn create_set(
    ctx: &Context,
    deployment: &Value,
    wanted: &Value,
    size: i64,
    revision: i64,
    bounds: Bounds,
) -> Result<Arc<Value>, super::context::Failure> {
    let namespace = text(deployment, "/metadata/namespace");
    let name = text(deployment, "/metadata/name");
    let collisions = int(deployment, "/status/collisionCount").unwrap_or_default();
    let hash = template::hash(wanted, collisions);
    let mut pods = wanted.clone();
    put(
        &mut pods,
        &["metadata", "labels", "pod-template-hash"],
        hash.clone(),
    );
    let mut selector = deployment
        .pointer("/spec/selector")
        .cloned()
        .unwrap_or_else(|| json!({}));
    put(&mut selector, &["matchLabels", "pod-template-hash"], hash.clone());
    let mut annotations = carried(deployment);
    annotations.insert(REVISION.to_owned(), revision.to_string().into());
    annotations.insert(DESIRED.to_owned(), bounds.replicas.to_string().into());
    annotations.insert(
        MOST.to_owned(),
        (bounds.replicas + bounds.surge).to_string().into(),
    );
    let set_name = format!("{name}-{hash}");
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": set_name,
            "namespace": namespace,
            "labels": pods.pointer("/metadata/labels"),
            "annotations": annotations,
            "ownerReferences": [pod::controlled_by(deployment, "apps/v1", "Deployment")],
        },
        "spec": {"replicas": size, "selector": selector, "template": pods},
    });
    if let Some(seconds) = int(deployment, "/spec/minReadySeconds") {
        count(&mut set, &["spec", "minReadySeconds"], seconds);
    }
    match ctx.create(SETS, set).await {
        Ok(set) => {
            let message = format!("Scaled up replica set {set_name} from 0 to {size}");
            ctx.event(deployment, "Normal", "ScalingReplicaSet", &message);
            Ok(set)
        }
        Err(failure) if failure.already_exists() => {
            let there = ctx.get(SETS, namespace, &set_name);
            let mine = there.filter(|s| {
                pod::controller_uid(s) == text(deployment, "/metadata/uid")
                    && template::same(s.pointer("/spec/template").unwrap_or(&Value::Null), wanted)
            });
            if let Some(set) = mine {
                return Ok(set);
            }
            // Another template has this hash: count it, which changes the hash, and come again.
            ctx.modify_status(DEPLOYMENTS, namespace, name, |d| {
                put(d, &["status", "collisionCount"], collisions + 1);
                true
            })
            .await?;
            Err(failure)
        }
        Err(failure) => {
            ctx.event(
                deployment,
                "Warning",
                "ReplicaSetCreateError",
                &format!("Failed to create new replica set \"{set_name}\": {failure}"),
            );
            Err(failure)
        }
    }
}

async fn annotate(
    ctx: &Context,
    deployment: &Value,
    set: &Value,
    revision: i64,
    bounds: Bounds,
) -> Result<(), super::context::Failure> {
    let mut wanted = carried(deployment);
    wanted.insert(REVISION.to_owned(), revision.to_string().into());
    wanted.insert(DESIRED.to_owned(), bounds.replicas.to_string().into());
    wanted.insert(
        MOST.to_owned(),
        (bounds.replicas + bounds.surge).to_string().into(),
    );
    let min_ready = int(deployment, "/spec/minReadySeconds").unwrap_or_default();
    ctx.modify(
        SETS,
        text(set, "/metadata/namespace"),
        text(set, "/metadata/name"),
        |s| {
            let mut changed = false;
            for (key, value) in &wanted {
                if annotation(s, key) != value.as_str().unwrap_or_default() {
                    put(s, &["metadata", "annotations", key], value.clone());
                    changed = true;
                }
            }
            if int(s, "/spec/minReadySeconds").unwrap_or_default() != min_ready {
                count(s, &["spec", "minReadySeconds"], min_ready);
                changed = true;
            }
            changed
        },
    )
    .await
}

async fn scale(
    ctx: &Context,
    deployment: &Value,
    set: &Value,
    size: i64,
    bounds: Bounds,
) -> Result<(), super::context::Failure> {
    let name = text(set, "/metadata/name");
    let from = int(set, "/spec/replicas").unwrap_or(1);
    ctx.modify(SETS, text(set, "/metadata/namespace"), name, |s| {
        let changed = int(s, "/spec/replicas") != Some(size);
        put(s, &["spec", "replicas"], size);
        put(
            s,
            &["metadata", "annotations", DESIRED],
            bounds.replicas.to_string(),
        );
        put(
            s,
            &["metadata", "annotations", MOST],
            (bounds.replicas + bounds.surge).to_string(),
        );
        changed
    })
    .await?;
    let way = if size > from { "up" } else { "down" };
    let message = format!("Scaled {way} replica set {name} from {from} to {size}");
    ctx.event(deployment, "Normal", "ScalingReplicaSet", &message);
    Ok(())
}

/// A paused Deployment does not roll, but follows a change of its replicas.
async fn scale_in_proportion(
    ctx: &Context,
    deployment: &Value,
    bounds: Bounds,
    sets: &[Arc<Value>],
) -> Result<(), super::context::Failure> {
    let active: Vec<_> = sets
        .iter()
        .filter(|s| int(s, "/spec/replicas").unwrap_or(1) > 0)
        .collect();
    let asked = bounds.replicas.to_string();
    let changed = active
        .iter()
        .any(|s| !annotation(s, DESIRED).is_empty() && annotation(s, DESIRED) != asked);
    if !changed {
        return Ok(());
    }
    let sizes: Vec<i64> = active
        .iter()
        .map(|s| int(s, "/spec/replicas").unwrap_or(1))
        .collect();
    for (set, size) in active.iter().zip(rolling::proportional(bounds.replicas, &sizes)) {
        scale(ctx, deployment, set, size, bounds).await?;
    }
    Ok(())
}

async fn write_status(ctx: &Context, deployment: &Value, new: Option<&Value>, old: &[Arc<Value>]) -> Outcome {
    let now = ctx.now();
    let mut wait = None;
    ctx.modify_status(
        DEPLOYMENTS,
        text(deployment, "/metadata/namespace"),
        text(deployment, "/metadata/name"),
        |d| {
            let (status, after) = status::status(d, new, old, now);
            wait = after;
            if int(d, "/metadata/generation") != int(deployment, "/metadata/generation") {
                // The spec moved on while we worked; what we know is of the older one.
                return false;
            }
            put(d, &["status"], status);
            true
        },
    )
    .await?;
    Ok(wait)
}

/// Deletes old, empty ReplicaSets beyond the history limit.
async fn clean_up(
    ctx: &Context,
    deployment: &Value,
    old: &[Arc<Value>],
) -> Result<(), super::context::Failure> {
    let limit =
        usize::try_from(int(deployment, "/spec/revisionHistoryLimit").unwrap_or(10)).unwrap_or(usize::MAX);
    let mut old: Vec<_> = old.iter().filter(|s| !deleting(s)).collect();
    old.sort_by_key(|s| revision(s));
    let excess = old.len().saturating_sub(limit);
    for set in old.into_iter().take(excess) {
        let busy = ["/status/replicas", "/spec/replicas"]
            .iter()
            .any(|p| int(set, p).unwrap_or_default() != 0)
            || int(set, "/metadata/generation") > int(set, "/status/observedGeneration");
        if !busy && !items(set, "/metadata/ownerReferences").is_empty() {
            ctx.delete(SETS, set).await?;
        }
    }
    Ok(())
}
