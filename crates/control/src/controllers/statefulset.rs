//! StatefulSets: pods with a number, a name and volumes of their own, made in order and removed in reverse.

use super::context::{Context, Failure, Outcome};
use super::{pod, replicaset, revision};
use herder_object::field::{count, deleting, int, items, label, put, text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SETS: &str = "statefulsets.apps";
const HASH: &str = "controller-revision-hash";
const CLAIMS: &str = "persistentvolumeclaims";

/// What to do next with one pod of the set.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Make the pod of this ordinal, of the update (`true`) or the current revision.
    Create(i64, bool),
    /// Delete this pod.
    Delete(String),
}

/// What deciding needs to know.
#[derive(Debug)]
struct Plan<'a> {
    start: i64,
    replicas: i64,
    ordered: bool,
    /// Pods from this ordinal on are of the update revision; `None`: pods are never replaced (`OnDelete`).
    partition: Option<i64>,
    current: &'a str,
    update: &'a str,
    min_ready: i64,
}

/// Brings one StatefulSet forward.
pub(super) async fn reconcile(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let Some(set) = ctx.get(SETS, namespace, name) else {
        return Ok(None);
    };
    let pods = replicaset::claim(ctx, &set, "apps/v1", "StatefulSet").await?;
    if deleting(&set) {
        return Ok(None);
    }
    let update = revision::current(ctx, &set, "StatefulSet").await?;
    let current = match text(&set, "/status/currentRevision") {
        "" => update.name.clone(),
        known => known.to_owned(),
    };
    let plan = Plan {
        start: int(&set, "/spec/ordinals/start").unwrap_or_default(),
        replicas: int(&set, "/spec/replicas").unwrap_or(1).max(0),
        ordered: text(&set, "/spec/podManagementPolicy") != "Parallel",
        partition: (text(&set, "/spec/updateStrategy/type") != "OnDelete")
            .then(|| int(&set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or_default()),
        current: &current,
        update: &update.name,
        min_ready: int(&set, "/spec/minReadySeconds").unwrap_or_default(),
    };
    let by_ordinal: BTreeMap<i64, Arc<Value>> = pods
        .iter()
        .filter_map(|p| Some((ordinal(p, name)?, Arc::clone(p))))
        .collect();
    let now = ctx.now();
    let mut failure = None;
    for step in steps(&plan, &by_ordinal, now) {
        let done = match step {
            Step::Create(at, updated) => {
                let revision = if updated { &update.name } else { &current };
                create(ctx, &set, at, revision).await
            }
            Step::Delete(pod_name) => delete(ctx, &set, &pod_name).await,
        };
        if let Err(error) = done {
            failure = Some(error);
            break;
        }
    }
    revision::trim(ctx, &set, &update).await?;
    let wait = write_status(ctx, &set, &plan).await?;
    failure.map_or(Ok(wait), Err)
}

fn ordinal(pod: &Value, set: &str) -> Option<i64> {
    let number = text(pod, "/metadata/name").strip_prefix(set)?.strip_prefix('-')?;
    // `web-01` is not a pod of `web`.
    number.parse::<i64>().ok().filter(|n| n.to_string() == number)
}

/// The next steps: one at a time when ordered, all at once otherwise. Pure.
fn steps(plan: &Plan<'_>, pods: &BTreeMap<i64, Arc<Value>>, now: jiff::Timestamp) -> Vec<Step> {
    let end = plan.start + plan.replicas;
    let wanted = |at: i64| (plan.start..end).contains(&at);
    let name = |p: &Value| text(p, "/metadata/name").to_owned();
    let well = |p: &Value| pod::active(p) && pod::available(p, plan.min_ready, now).is_ok();
    let mut steps = Vec::new();
    for at in plan.start..end {
        let step = match pods.get(&at) {
            None => {
                let updated = plan.partition.is_none_or(|from| at >= from);
                Some(Step::Create(at, updated))
            }
            // Ended pods are made anew, under the same name once they are gone.
            Some(p) if pod::ended(p) && !deleting(p) => Some(Step::Delete(name(p))),
            Some(p) if plan.ordered && !well(p) => {
                // A broken pod of an old revision may be replaced, or a bad update could never be undone.
                let stuck = plan.partition.is_some_and(|from| at >= from)
                    && label(p, HASH) != plan.update
                    && !deleting(p);
                if stuck {
                    steps.push(Step::Delete(name(p)));
                }
                return steps;
            }
            Some(_) => None,
        };
        if let Some(step) = step {
            steps.push(step);
            if plan.ordered {
                return steps;
            }
        }
    }
    for (_, p) in pods.iter().rev().filter(|(at, _)| !wanted(**at)) {
        if !deleting(p) {
            steps.push(Step::Delete(name(p)));
        }
        if plan.ordered {
            return steps;
        }
    }
    if !steps.is_empty() {
        return steps;
    }
    let Some(partition) = plan.partition else {
        return steps;
    };
    // Replace from the highest ordinal down, one at a time, waiting for each to be well.
    for (at, p) in pods.iter().rev() {
        if *at < partition || !wanted(*at) {
            continue;
        }
        if label(p, HASH) != plan.update && !deleting(p) {
            return vec![Step::Delete(name(p))];
        }
        if !well(p) {
            return steps;
        }
    }
    steps
}

async fn delete(ctx: &Context, set: &Value, pod_name: &str) -> Result<(), Failure> {
    let namespace = text(set, "/metadata/namespace");
    if let Some(p) = ctx.get("pods", namespace, pod_name) {
        ctx.delete("pods", &p).await?;
        let message = format!(
            "delete Pod {pod_name} in StatefulSet {} successful",
            text(set, "/metadata/name")
        );
        ctx.event(set, "Normal", "SuccessfulDelete", &message);
    }
    Ok(())
}

async fn create(ctx: &Context, set: &Value, at: i64, revision: &str) -> Result<(), Failure> {
    let (namespace, set_name) = (text(set, "/metadata/namespace"), text(set, "/metadata/name"));
    let name = format!("{set_name}-{at}");
    let own = set.pointer("/spec/template").cloned().unwrap_or_default();
    let template = revision::template_of(ctx, namespace, revision).unwrap_or(own);
    let mut p = pod::from_template(
        &template,
        namespace,
        pod::controlled_by(set, "apps/v1", "StatefulSet"),
    );
    put(&mut p, &["metadata", "name"], name.clone());
    put(&mut p, &["metadata", "labels", HASH], revision);
    put(
        &mut p,
        &["metadata", "labels", "statefulset.kubernetes.io/pod-name"],
        name.clone(),
    );
    put(
        &mut p,
        &["metadata", "labels", "apps.kubernetes.io/pod-index"],
        at.to_string(),
    );
    put(&mut p, &["spec", "hostname"], name.clone());
    put(&mut p, &["spec", "subdomain"], text(set, "/spec/serviceName"));
    let mut volumes = items(&p, "/spec/volumes").to_vec();
    for claim in items(set, "/spec/volumeClaimTemplates") {
        let volume = text(claim, "/metadata/name");
        let claim_name = format!("{volume}-{name}");
        volumes.retain(|v| text(v, "/name") != volume);
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim_name}}));
        ensure_claim(ctx, set, claim, &claim_name, &name).await?;
    }
    if !volumes.is_empty() {
        put(&mut p, &["spec", "volumes"], volumes);
    }
    match ctx.create("pods", p).await {
        Ok(_) => {
            let message = format!("create Pod {name} in StatefulSet {set_name} successful");
            ctx.event(set, "Normal", "SuccessfulCreate", &message);
            Ok(())
        }
        Err(failure) => {
            if !failure.already_exists() && !failure.namespace_ending() {
                let message = format!("create Pod {name} in StatefulSet {set_name} failed error: {failure}");
                ctx.event(set, "Warning", "FailedCreate", &message);
            }
            Err(failure)
        }
    }
}

async fn ensure_claim(
    ctx: &Context,
    set: &Value,
    template: &Value,
    name: &str,
    pod: &str,
) -> Result<(), Failure> {
    let namespace = text(set, "/metadata/namespace");
    if ctx.get(CLAIMS, namespace, name).is_some() {
        return Ok(());
    }
    let mut labels: Map<String, Value> = herder_object::field::map(template, "/metadata/labels")
        .cloned()
        .unwrap_or_default();
    for (key, value) in herder_object::field::map(set, "/spec/selector/matchLabels")
        .into_iter()
        .flatten()
    {
        labels.insert(key.clone(), value.clone());
    }
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
    });
    if let Some(annotations) = template.pointer("/metadata/annotations") {
        put(&mut claim, &["metadata", "annotations"], annotations.clone());
    }
    if text(set, "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted") == "Delete" {
        let mut owner = pod::controlled_by(set, "apps/v1", "StatefulSet");
        put(&mut owner, &["controller"], false);
        put(&mut claim, &["metadata", "ownerReferences"], vec![owner]);
    }
    match ctx.create(CLAIMS, claim).await {
        Ok(_) => {
            let message = format!(
                "create Claim {name} Pod {pod} in StatefulSet {} success",
                text(set, "/metadata/name")
            );
            ctx.event(set, "Normal", "SuccessfulCreate", &message);
            Ok(())
        }
        Err(failure) if failure.already_exists() => Ok(()),
        Err(failure) => Err(failure),
    }
}

async fn write_status(ctx: &Context, set: &Value, plan: &Plan<'_>) -> Outcome {
    let (namespace, name) = (text(set, "/metadata/namespace"), text(set, "/metadata/name"));
    let uid = text(set, "/metadata/uid");
    let now = ctx.now();
    let mut wait: Option<Duration> = None;
    let (mut total, mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0, 0);
    for p in ctx.list("pods", namespace) {
        if pod::controller_uid(&p) != uid || ordinal(&p, name).is_none() {
            continue;
        }
        total += 1;
        if deleting(&p) {
            continue;
        }
        current += i64::from(label(&p, HASH) == plan.current);
        updated += i64::from(label(&p, HASH) == plan.update);
        if pod::ready(&p) {
            ready += 1;
            match pod::available(&p, plan.min_ready, now) {
                Ok(()) => available += 1,
                Err(Some(left)) => wait = Some(wait.map_or(left, |w| w.min(left))),
                Err(None) => {}
            }
        }
    }
    let settled = plan.partition.unwrap_or_default() <= plan.start
        && updated == plan.replicas
        && total == plan.replicas
        && ready == plan.replicas;
    ctx.modify_status(SETS, namespace, name, |s| {
        let mut status = s.get("status").cloned().unwrap_or_else(|| json!({}));
        put(
            &mut status,
            &["observedGeneration"],
            int(set, "/metadata/generation").unwrap_or_default(),
        );
        put(&mut status, &["replicas"], total);
        put(&mut status, &["availableReplicas"], available);
        put(&mut status, &["collisionCount"], 0);
        put(&mut status, &["updateRevision"], plan.update);
        put(
            &mut status,
            &["currentRevision"],
            if settled { plan.update } else { plan.current },
        );
        count(&mut status, &["readyReplicas"], ready);
        count(
            &mut status,
            &["currentReplicas"],
            if settled { updated } else { current },
        );
        count(&mut status, &["updatedReplicas"], updated);
        put(s, &["status"], status);
        true
    })
    .await?;
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(list: &[(i64, &str, bool)]) -> BTreeMap<i64, Arc<Value>> {
        list.iter()
            .map(|(at, revision, ready)| {
                let state = if *ready { "True" } else { "False" };
                let p = json!({
                    "metadata": {"name": format!("db-{at}"), "labels": {HASH: revision}},
                    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": state}]}});
                (*at, Arc::new(p))
            })
            .collect()
    }

    #[test]
    fn in_order() {
        let plan = |replicas, ordered, partition| Plan {
            start: 0,
            replicas,
            ordered,
            partition,
            current: "a",
            update: "b",
            min_ready: 0,
        };
        let delete = |n: &str| vec![Step::Delete(n.to_owned())];
        for (plan, list, expected) in [
            (plan(3, true, Some(0)), pods(&[]), vec![Step::Create(0, true)]),
            (plan(3, true, Some(0)), pods(&[(0, "b", false)]), vec![]),
            (
                plan(3, true, Some(0)),
                pods(&[(0, "b", true)]),
                vec![Step::Create(1, true)],
            ),
            (
                plan(2, false, Some(0)),
                pods(&[]),
                vec![Step::Create(0, true), Step::Create(1, true)],
            ),
            // Down from the top.
            (
                plan(1, true, Some(0)),
                pods(&[(0, "b", true), (1, "b", true), (2, "b", true)]),
                delete("db-2"),
            ),
            // Updated from the top, waiting for each.
            (
                plan(2, true, Some(0)),
                pods(&[(0, "a", true), (1, "a", true)]),
                delete("db-1"),
            ),
            (
                plan(2, true, Some(0)),
                pods(&[(0, "a", true), (1, "b", false)]),
                vec![],
            ),
            (
                plan(2, true, Some(0)),
                pods(&[(0, "a", true), (1, "b", true)]),
                delete("db-0"),
            ),
            (
                plan(2, true, Some(1)),
                pods(&[(0, "a", true), (1, "b", true)]),
                vec![],
            ),
            (
                plan(2, true, Some(1)),
                pods(&[(1, "b", true)]),
                vec![Step::Create(0, false)],
            ),
            (
                plan(2, true, None),
                pods(&[(0, "a", true), (1, "a", true)]),
                vec![],
            ),
            // A broken old pod does not block the repair.
            (
                plan(2, true, Some(0)),
                pods(&[(0, "a", false), (1, "b", true)]),
                delete("db-0"),
            ),
        ] {
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            assert_eq!(steps(&plan, &list, now), expected, "{plan:?}");
        }
        assert_eq!(ordinal(&json!({"metadata": {"name": "db-01"}}), "db"), None);
        assert_eq!(ordinal(&json!({"metadata": {"name": "db-10"}}), "db"), Some(10));
    }
}
