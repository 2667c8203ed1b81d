//! The status of a Deployment: counts and the conditions Available, Progressing and ReplicaFailure. Pure.

use super::super::condition::{self, Condition};
use super::rolling::Bounds;
use herder_object::field::{count, int, put, seconds, text, time, until};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const NO_DEADLINE: i64 = i32::MAX as i64;

/// The new status, and when to look again for the progress deadline.
pub(super) fn status(
    deployment: &Value,
    new: Option<&Value>,
    old: &[Arc<Value>],
    now: Timestamp,
) -> (Value, Option<Duration>) {
    let before = deployment.get("status").cloned().unwrap_or_else(|| json!({}));
    let bounds = Bounds::of(deployment);
    let sets = || new.into_iter().chain(old.iter().map(AsRef::as_ref));
    let sum = |pointer: &str| sets().filter_map(|s| int(s, pointer)).sum::<i64>();
    let of_new = |pointer: &str| new.and_then(|s| int(s, pointer)).unwrap_or_default();
    let total = sum("/status/replicas");
    let available = sum("/status/availableReplicas");
    let updated = of_new("/status/replicas");
    let mut status = before.clone();
    put(
        &mut status,
        &["observedGeneration"],
        int(deployment, "/metadata/generation").unwrap_or_default(),
    );
    for (field, value) in [
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", sum("/status/readyReplicas")),
        ("availableReplicas", available),
        (
            "unavailableReplicas",
            (total.max(bounds.replicas) - available).max(0),
        ),
        ("terminatingReplicas", 0),
    ] {
        count(&mut status, &[field], value);
    }
    let enough = available >= bounds.replicas - bounds.unavailable;
    let availability = if enough {
        Condition {
            kind: "Available",
            status: "True",
            reason: "MinimumReplicasAvailable",
            message: "Deployment has minimum availability.",
        }
    } else {
        Condition {
            kind: "Available",
            status: "False",
            reason: "MinimumReplicasUnavailable",
            message: "Deployment does not have minimum availability.",
        }
    };
    condition::set_updated(&mut status, &availability, now);
    failure(&mut status, new, old, now);
    let complete = new.is_some()
        && updated == bounds.replicas
        && total == bounds.replicas
        && available == bounds.replicas;
    let wait = progressing(&mut status, &before, deployment, new, complete, now);
    (status, wait)
}

/// Whether the rollout that `status` describes has ended well.
pub(super) fn is_complete(status: &Value) -> bool {
    herder_object::field::items(status, "/conditions")
        .iter()
        .any(|c| text(c, "/type") == "Progressing" && text(c, "/reason") == "NewReplicaSetAvailable")
}

fn failure(status: &mut Value, new: Option<&Value>, old: &[Arc<Value>], now: Timestamp) {
    let found = new
        .into_iter()
        .chain(old.iter().map(AsRef::as_ref))
        .find_map(|s| condition::get(s, "ReplicaFailure").filter(|c| text(c, "/status") == "True"));
    match found {
        Some(c) => condition::set_updated(
            status,
            &Condition {
                kind: "ReplicaFailure",
                status: "True",
                reason: text(c, "/reason"),
                message: text(c, "/message"),
            },
            now,
        ),
        None => condition::drop(status, "ReplicaFailure"),
    }
}

fn progressing(
    status: &mut Value,
    before: &Value,
    deployment: &Value,
    new: Option<&Value>,
    complete: bool,
    now: Timestamp,
) -> Option<Duration> {
    let deadline = int(deployment, "/spec/progressDeadlineSeconds").unwrap_or(600);
    if deadline >= NO_DEADLINE {
        condition::drop(status, "Progressing");
        return None;
    }
    let old = herder_object::field::items(before, "/conditions")
        .iter()
        .find(|c| text(c, "/type") == "Progressing")
        .cloned()
        .unwrap_or_default();
    let reason = text(&old, "/reason");
    let paused = herder_object::field::flag(deployment, "/spec/paused");
    let name = new.map(|s| text(s, "/metadata/name")).unwrap_or_default();
    let set = |status: &mut Value, state: &str, reason: &str, message: &str, at: bool| {
        if at {
            // Progress happened: the deadline starts again.
            condition::drop(status, "Progressing");
        }
        let new = Condition {
            kind: "Progressing",
            status: state,
            reason,
            message,
        };
        condition::set_updated(status, &new, now);
        if at && text(&old, "/status") == state && !text(&old, "/lastTransitionTime").is_empty() {
            let kept = text(&old, "/lastTransitionTime").to_owned();
            if let Some(c) = status
                .get_mut("conditions")
                .and_then(Value::as_array_mut)
                .and_then(|l| l.iter_mut().find(|c| text(c, "/type") == "Progressing"))
            {
                put(c, &["lastTransitionTime"], kept);
            }
        }
    };
    if paused {
        if !complete || reason != "NewReplicaSetAvailable" {
            set(
                status,
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused",
                false,
            );
        }
        return None;
    }
    if reason == "DeploymentPaused" {
        set(
            status,
            "Unknown",
            "DeploymentResumed",
            "Deployment is resumed",
            true,
        );
        return Some(seconds(deadline));
    }
    if complete {
        if reason != "NewReplicaSetAvailable" || !text(&old, "/message").contains(&format!("\"{name}\"")) {
            let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
            set(status, "True", "NewReplicaSetAvailable", &message, true);
        }
        return None;
    }
    let at = |field: &str| {
        (
            int(before, field).unwrap_or_default(),
            int(status, field).unwrap_or_default(),
        )
    };
    let grew = |(b, a): (i64, i64)| a > b;
    let (updated_before, updated) = at("/updatedReplicas");
    let (total_before, total) = at("/replicas");
    let moved = updated > updated_before
        || total - updated < total_before - updated_before
        || grew(at("/readyReplicas"))
        || grew(at("/availableReplicas"));
    let other_set = !name.is_empty() && !text(&old, "/message").contains(&format!("\"{name}\""));
    if other_set {
        let message = format!("Created new replica set \"{name}\"");
        set(status, "True", "NewReplicaSetCreated", &message, true);
    } else if moved {
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        set(status, "True", "ReplicaSetUpdated", &message, true);
    } else if reason == "NewReplicaSetAvailable" {
        // A finished rollout that lost a pod is no new rollout.
        return None;
    } else if let Some(since) = time(&old, "/lastUpdateTime") {
        let due = since.saturating_add(seconds(deadline)).unwrap_or(now);
        if due <= now {
            if reason != "ProgressDeadlineExceeded" {
                let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
                set(status, "False", "ProgressDeadlineExceeded", &message, false);
            }
            return None;
        }
        return Some(until(now, due) + Duration::from_secs(1));
    }
    Some(seconds(deadline) + Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(status: &Value) -> (&str, &str) {
        let object = status.pointer("/conditions").map(|_| status);
        let list = herder_object::field::items(object.unwrap_or(status), "/conditions");
        list.iter()
            .find(|c| text(c, "/type") == "Progressing")
            .map(|c| (text(c, "/status"), text(c, "/reason")))
            .unwrap_or_default()
    }

    #[test]
    fn a_rollout_from_creation_to_deadline_and_recovery() {
        let at = |s: &str| format!("2026-01-01T{s}Z").parse::<Timestamp>().unwrap();
        let mut d =
            json!({"metadata": {"generation": 1}, "spec": {"replicas": 2, "progressDeadlineSeconds": 60}});
        let set = |replicas: i64, ready: i64| {
            json!({"metadata": {"name": "shop-a"}, "spec": {"replicas": 2},
            "status": {"replicas": replicas, "readyReplicas": ready, "availableReplicas": ready}})
        };
        let now = |d: &mut Value, set: &Value, t: &str| {
            let (status, wait) = status(d, Some(set), &[], at(t));
            d["status"] = status.clone();
            (status, wait)
        };
        let (s, wait) = now(&mut d, &set(0, 0), "00:00:00");
        assert_eq!(progress(&s), ("True", "NewReplicaSetCreated"));
        assert!(wait.is_some());
        let (s, _) = now(&mut d, &set(2, 0), "00:00:10");
        assert_eq!(progress(&s), ("True", "ReplicaSetUpdated"));
        assert_eq!(int(&s, "/unavailableReplicas"), Some(2));
        let (s, wait) = now(&mut d, &set(2, 0), "00:00:30");
        assert_eq!(progress(&s), ("True", "ReplicaSetUpdated"));
        assert_eq!(wait, Some(Duration::from_secs(41)));
        let (s, wait) = now(&mut d, &set(2, 0), "00:01:10");
        assert_eq!(progress(&s), ("False", "ProgressDeadlineExceeded"));
        assert_eq!(wait, None);
        let (s, _) = now(&mut d, &set(2, 2), "00:02:00");
        assert_eq!(progress(&s), ("True", "NewReplicaSetAvailable"));
        assert!(is_complete(&s));
        // A lost pod afterwards is no failed rollout.
        let (s, wait) = now(&mut d, &set(2, 1), "01:02:00");
        assert_eq!((progress(&s), wait), (("True", "NewReplicaSetAvailable"), None));
    }
}
