//! Jobs: pods that run to their end. Changes pods and the Job's status; deletes finished Jobs after their time to live.

use super::condition::{self, Condition};
use super::context::{Context, Failure, Outcome};
use super::{pod, replicaset};
use herder_object::field::{
    annotation, count, deleting, flag, int, items, put, remove, seconds, stamp, text, time, until,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(super) const JOBS: &str = "jobs.batch";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FIRST_BACKOFF: i64 = 10;
const LONGEST_BACKOFF: i64 = 360;

/// What pods tell about a Job.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    active: i64,
    ready: i64,
    terminating: i64,
    succeeded: i64,
    failed: i64,
    restarts: i64,
    last_failure: Option<Timestamp>,
    done_indexes: BTreeSet<i64>,
    active_indexes: BTreeSet<i64>,
}

/// Why a Job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    BackoffLimit,
    Deadline,
}

/// Whether a Job has its Complete or Failed condition.
pub(super) fn finished(job: &Value) -> bool {
    condition::is_true(job, "Complete") || condition::is_true(job, "Failed")
}

/// Brings one Job forward.
pub(super) async fn reconcile(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let Some(job) = ctx.get(JOBS, namespace, name) else {
        return Ok(None);
    };
    if deleting(&job) {
        return Ok(None);
    }
    let now = ctx.now();
    let uid = text(&job, "/metadata/uid");
    if finished(&job) {
        return expire(ctx, &job, now).await;
    }
    let pods = if job.pointer("/spec/selector").is_some() {
        replicaset::claim(ctx, &job, "batch/v1", "Job").await?
    } else {
        let mut pods = ctx.list("pods", namespace);
        pods.retain(|p| pod::controller_uid(p) == uid);
        pods
    };
    let mut tally = tally(&pods);
    // What was counted once stays counted, also when somebody deletes the pod.
    tally.succeeded = tally
        .succeeded
        .max(int(&job, "/status/succeeded").unwrap_or_default());
    tally.failed = tally.failed.max(int(&job, "/status/failed").unwrap_or_default());
    let suspended = flag(&job, "/spec/suspend");
    let started = time(&job, "/status/startTime");
    if let Some(end) = ending(&job, &tally, started, now) {
        return finish(ctx, &job, &pods, end).await;
    }
    let active: Vec<_> = pods.iter().filter(|p| pod::active(p)).cloned().collect();
    let mut wait = started
        .zip(int(&job, "/spec/activeDeadlineSeconds"))
        .filter(|_| !suspended)
        .and_then(|(from, limit)| from.saturating_add(seconds(limit)).ok())
        .map(|at| until(now, at) + Duration::from_millis(100));
    let mut failure = None;
    if suspended {
        for p in &active {
            ctx.delete("pods", p).await?;
        }
        if !condition::is_true(&job, "Suspended") {
            ctx.event(&job, "Normal", "Suspended", "Job suspended");
        }
    } else {
        if condition::is_true(&job, "Suspended") {
            ctx.event(&job, "Normal", "Resumed", "Job resumed");
        }
        let wanted = wanted(&job, &tally);
        if tally.active > wanted {
            let mut going = active.clone();
            pod::sort_for_deletion(&mut going);
            for p in going
                .iter()
                .take(usize::try_from(tally.active - wanted).unwrap_or_default())
            {
                ctx.delete("pods", p).await?;
            }
        } else if tally.active < wanted {
            match backoff(&tally, now) {
                Some(left) => wait = Some(wait.map_or(left, |w| w.min(left))),
                None => failure = create(ctx, &job, &tally, wanted - tally.active).await.err(),
            }
        }
    }
    write_status(ctx, &job, None, suspended).await?;
    failure.map_or(Ok(wait), Err)
}

fn tally(pods: &[Arc<Value>]) -> Tally {
    let mut tally = Tally::default();
    for p in pods {
        let index = annotation(p, INDEX).parse::<i64>().ok();
        match text(p, "/status/phase") {
            "Succeeded" => {
                tally.succeeded += 1;
                tally.done_indexes.extend(index);
            }
            "Failed" => {
                tally.failed += 1;
                let ended = items(p, "/status/containerStatuses")
                    .iter()
                    .filter_map(|c| time(c, "/state/terminated/finishedAt"))
                    .max();
                let ended = ended.or_else(|| time(p, "/metadata/creationTimestamp"));
                tally.last_failure = tally.last_failure.max(ended);
            }
            _ if deleting(p) => tally.terminating += 1,
            _ => {
                tally.active += 1;
                tally.ready += i64::from(pod::ready(p));
                tally.active_indexes.extend(index);
                for list in ["/status/containerStatuses", "/status/initContainerStatuses"] {
                    tally.restarts += items(p, list)
                        .iter()
                        .filter_map(|c| int(c, "/restartCount"))
                        .sum::<i64>();
                }
            }
        }
    }
    tally
}

fn parallelism(job: &Value) -> i64 {
    int(job, "/spec/parallelism").unwrap_or(1).max(0)
}

fn wanted(job: &Value, tally: &Tally) -> i64 {
    match int(job, "/spec/completions") {
        Some(completions) => parallelism(job).min(completions - tally.succeeded).max(0),
        // A work queue: once one has succeeded, no new pods are made.
        None if tally.succeeded > 0 => tally.active,
        None => parallelism(job),
    }
}

fn ending(job: &Value, tally: &Tally, started: Option<Timestamp>, now: Timestamp) -> Option<End> {
    let limit = int(job, "/spec/backoffLimit").unwrap_or(6);
    let restarts_count = text(job, "/spec/template/spec/restartPolicy") == "OnFailure";
    let complete = match int(job, "/spec/completions") {
        Some(completions) => tally.succeeded >= completions,
        None => tally.succeeded > 0 && tally.active == 0 && tally.terminating == 0,
    };
    if complete {
        return Some(End::Complete);
    }
    if tally.failed > limit || (restarts_count && tally.restarts > 0 && tally.restarts + tally.failed > limit)
    {
        return Some(End::BackoffLimit);
    }
    let deadline = int(job, "/spec/activeDeadlineSeconds")?;
    let at = started?.saturating_add(seconds(deadline)).ok()?;
    (at <= now && !flag(job, "/spec/suspend")).then_some(End::Deadline)
}

/// How long to wait before the next try after failures.
fn backoff(tally: &Tally, now: Timestamp) -> Option<Duration> {
    let last = tally.last_failure?;
    let wait = FIRST_BACKOFF
        .checked_shl(u32::try_from(tally.failed - 1).unwrap_or_default().min(10))
        .unwrap_or(LONGEST_BACKOFF)
        .min(LONGEST_BACKOFF);
    let due = last.saturating_add(seconds(wait)).ok()?;
    (due > now).then(|| until(now, due))
}

async fn create(ctx: &Context, job: &Value, tally: &Tally, missing: i64) -> Result<(), Failure> {
    let name = text(job, "/metadata/name");
    let uid = text(job, "/metadata/uid");
    let indexed = text(job, "/spec/completionMode") == "Indexed";
    let completions = int(job, "/spec/completions").unwrap_or_default();
    let free =
        (0..completions).filter(|i| !tally.done_indexes.contains(i) && !tally.active_indexes.contains(i));
    let indexes: Vec<Option<i64>> = if indexed {
        free.take(usize::try_from(missing).unwrap_or_default())
            .map(Some)
            .collect()
    } else {
        (0..missing.min(500)).map(|_| None).collect()
    };
    let pods = indexes.into_iter().map(|index| {
        let template = job.pointer("/spec/template").unwrap_or(&Value::Null);
        let owner = pod::controlled_by(job, "batch/v1", "Job");
        let mut p = pod::from_template(template, text(job, "/metadata/namespace"), owner);
        put(&mut p, &["metadata", "generateName"], format!("{name}-"));
        for key in ["batch.kubernetes.io/job-name", "job-name"] {
            put(&mut p, &["metadata", "labels", key], name);
        }
        for key in ["batch.kubernetes.io/controller-uid", "controller-uid"] {
            put(&mut p, &["metadata", "labels", key], uid);
        }
        if let Some(index) = index {
            put(&mut p, &["metadata", "generateName"], format!("{name}-{index}-"));
            put(&mut p, &["metadata", "annotations", INDEX], index.to_string());
            put(&mut p, &["metadata", "labels", INDEX], index.to_string());
            put(&mut p, &["spec", "hostname"], format!("{name}-{index}"));
            for list in ["containers", "initContainers"] {
                let containers = p
                    .pointer_mut(&format!("/spec/{list}"))
                    .and_then(Value::as_array_mut);
                for container in containers.into_iter().flatten() {
                    let mut env = items(container, "/env").to_vec();
                    env.push(json!({"name": "JOB_COMPLETION_INDEX", "value": index.to_string()}));
                    put(container, &["env"], env);
                }
            }
        }
        p
    });
    let work = pods.map(|p| replicaset::create_pod(ctx, job, p));
    let made = futures::future::join_all(work).await;
    made.into_iter().try_for_each(|made| made.map(drop))
}

async fn finish(ctx: &Context, job: &Value, pods: &[Arc<Value>], end: End) -> Outcome {
    for p in pods.iter().filter(|p| pod::active(p)) {
        ctx.delete("pods", p).await?;
    }
    write_status(ctx, job, Some(end), false).await?;
    let (kind, reason, message) = match end {
        End::Complete => ("Normal", "Completed", "Job completed"),
        End::BackoffLimit => (
            "Warning",
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        ),
        End::Deadline => (
            "Warning",
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        ),
    };
    ctx.event(job, kind, reason, message);
    Ok(Some(Duration::ZERO))
}

async fn write_status(ctx: &Context, job: &Value, end: Option<End>, suspended: bool) -> Result<(), Failure> {
    let (namespace, name) = (text(job, "/metadata/namespace"), text(job, "/metadata/name"));
    let uid = text(job, "/metadata/uid");
    let now = ctx.now();
    let mut pods = ctx.list("pods", namespace);
    pods.retain(|p| pod::controller_uid(p) == uid);
    let tally = tally(&pods);
    ctx.modify_status(JOBS, namespace, name, |j| {
        let mut status = j.get("status").cloned().unwrap_or_else(|| json!({}));
        let kept = |field: &str| int(j, &format!("/status/{field}")).unwrap_or_default();
        count(&mut status, &["active"], tally.active);
        put(&mut status, &["ready"], tally.ready);
        put(&mut status, &["terminating"], tally.terminating);
        count(
            &mut status,
            &["succeeded"],
            tally.succeeded.max(kept("succeeded")),
        );
        count(&mut status, &["failed"], tally.failed.max(kept("failed")));
        put(&mut status, &["uncountedTerminatedPods"], json!({}));
        if !tally.done_indexes.is_empty() {
            put(&mut status, &["completedIndexes"], ranges(&tally.done_indexes));
        }
        if suspended {
            remove(&mut status, &["startTime"]);
            let c = Condition {
                kind: "Suspended",
                status: "True",
                reason: "JobSuspended",
                message: "Job suspended",
            };
            condition::set(&mut status, &c, now);
        } else {
            if text(&status, "/startTime").is_empty() {
                put(&mut status, &["startTime"], stamp(now));
            }
            if condition::is_true(j, "Suspended") {
                let c = Condition {
                    kind: "Suspended",
                    status: "False",
                    reason: "JobResumed",
                    message: "Job resumed",
                };
                condition::set(&mut status, &c, now);
            }
        }
        match end {
            None => {}
            Some(End::Complete) => {
                let reason = "CompletionsReached";
                let message = "Reached expected number of succeeded pods";
                for kind in ["SuccessCriteriaMet", "Complete"] {
                    condition::set(
                        &mut status,
                        &Condition {
                            kind,
                            status: "True",
                            reason,
                            message,
                        },
                        now,
                    );
                }
                put(&mut status, &["completionTime"], stamp(now));
            }
            Some(failed) => {
                let (reason, message) = if failed == End::Deadline {
                    (
                        "DeadlineExceeded",
                        "Job was active longer than specified deadline",
                    )
                } else {
                    (
                        "BackoffLimitExceeded",
                        "Job has reached the specified backoff limit",
                    )
                };
                for kind in ["FailureTarget", "Failed"] {
                    condition::set(
                        &mut status,
                        &Condition {
                            kind,
                            status: "True",
                            reason,
                            message,
                        },
                        now,
                    );
                }
            }
        }
        put(j, &["status"], status);
        true
    })
    .await
}

/// Completed indexes as Kubernetes prints them: `0-2,5`.
fn ranges(indexes: &BTreeSet<i64>) -> String {
    let mut parts: Vec<(i64, i64)> = Vec::new();
    for i in indexes {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *i => *last = *i,
            _ => parts.push((*i, *i)),
        }
    }
    let text: Vec<String> = parts
        .iter()
        .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
        .collect();
    text.join(",")
}

/// Deletes a finished Job when its time to live is over; until then only keeps its counts true.
async fn expire(ctx: &Context, job: &Value, now: Timestamp) -> Outcome {
    let active =
        int(job, "/status/active").unwrap_or_default() + int(job, "/status/terminating").unwrap_or_default();
    if active > 0 {
        write_status(ctx, job, None, false).await?;
    }
    let Some(live) = int(job, "/spec/ttlSecondsAfterFinished") else {
        return Ok(None);
    };
    let ended = items(job, "/status/conditions")
        .iter()
        .filter(|c| matches!(text(c, "/type"), "Complete" | "Failed"))
        .find_map(|c| time(c, "/lastTransitionTime"))
        .unwrap_or(now);
    let due = ended.saturating_add(seconds(live)).unwrap_or(now);
    if due <= now {
        ctx.delete(JOBS, job).await?;
        return Ok(None);
    }
    Ok(Some(until(now, due) + Duration::from_millis(50)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: &str) -> Timestamp {
        format!("2026-01-01T{s}Z").parse().unwrap()
    }

    #[test]
    fn ends_and_backs_off() {
        let job = |spec: Value| json!({"spec": spec});
        let tally = |succeeded, failed, active| Tally {
            succeeded,
            failed,
            active,
            ..Tally::default()
        };
        let start = Some(at("00:00:00"));
        for (spec, t, expected) in [
            (json!({"completions": 1}), tally(1, 0, 0), Some(End::Complete)),
            (json!({"completions": 2}), tally(1, 0, 1), None),
            (json!({}), tally(1, 0, 1), None),
            (json!({}), tally(1, 0, 0), Some(End::Complete)),
            (
                json!({"completions": 1, "backoffLimit": 0}),
                tally(0, 1, 0),
                Some(End::BackoffLimit),
            ),
            (json!({"completions": 1, "backoffLimit": 2}), tally(0, 2, 0), None),
            (
                json!({"completions": 1, "activeDeadlineSeconds": 30}),
                tally(0, 0, 1),
                None,
            ),
            (
                json!({"completions": 1, "activeDeadlineSeconds": 5}),
                tally(0, 0, 1),
                Some(End::Deadline),
            ),
        ] {
            assert_eq!(
                ending(&job(spec.clone()), &t, start, at("00:00:10")),
                expected,
                "{spec}"
            );
        }
        let failed = |n| Tally {
            failed: n,
            last_failure: start,
            ..Tally::default()
        };
        assert_eq!(backoff(&failed(1), at("00:00:04")), Some(Duration::from_secs(6)));
        assert_eq!(backoff(&failed(3), at("00:00:10")), Some(Duration::from_secs(30)));
        assert_eq!(
            backoff(&failed(50), at("00:00:00")),
            Some(Duration::from_secs(360))
        );
        assert_eq!(backoff(&failed(1), at("00:00:10")), None);
        assert_eq!(
            wanted(&job(json!({"completions": 5, "parallelism": 3})), &tally(3, 0, 0)),
            2
        );
        assert_eq!(ranges(&[0, 1, 2, 5].into()), "0-2,5");
    }
}
