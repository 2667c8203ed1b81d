//! CronJobs: a Job at each scheduled time. Changes Jobs and the CronJob's status.

use super::context::{Context, Failure, Outcome};
use super::cron::Schedule;
use super::{condition, job, pod};
use herder_object::field::{
    annotation, deleting, flag, int, map, put, remove, seconds, stamp, text, time, until,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const CRONS: &str = "cronjobs.batch";
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed starts than this are told about.
const MANY: usize = 100;

/// Starts a Job if one is due, cleans up old ones, and answers when the next is due.
pub(super) async fn reconcile(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let Some(cron) = ctx.get(CRONS, namespace, name) else {
        return Ok(None);
    };
    if deleting(&cron) {
        return Ok(None);
    }
    let uid = text(&cron, "/metadata/uid");
    let mut jobs = ctx.list(job::JOBS, namespace);
    jobs.retain(|j| pod::controller_uid(j) == uid);
    clean_up(ctx, &cron, &jobs).await?;
    let now = ctx.now();
    let schedule = match Schedule::parse(text(&cron, "/spec/schedule"), text(&cron, "/spec/timeZone")) {
        Ok(schedule) => schedule,
        Err(error) => {
            let message = format!(
                "unparseable schedule {:?}: {error}",
                text(&cron, "/spec/schedule")
            );
            ctx.event(&cron, "Warning", "UnparseableSchedule", &message);
            return Ok(None);
        }
    };
    let mut last = None;
    if !flag(&cron, "/spec/suspend") {
        last = start_due(ctx, &cron, &schedule, &jobs, now).await?;
    }
    write_status(ctx, &cron, last).await?;
    if flag(&cron, "/spec/suspend") {
        return Ok(None);
    }
    Ok(schedule
        .next(now)
        .map(|next| until(now, next) + Duration::from_millis(50)))
}

/// Starts the latest due Job. Answers its scheduled time.
async fn start_due(
    ctx: &Context,
    cron: &Value,
    schedule: &Schedule,
    jobs: &[Arc<Value>],
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let created = time(cron, "/metadata/creationTimestamp").unwrap_or(now);
    let mut since = time(cron, "/status/lastScheduleTime")
        .unwrap_or(created)
        .max(created);
    let deadline = int(cron, "/spec/startingDeadlineSeconds");
    if let Some(earliest) = deadline.and_then(|d| now.checked_sub(seconds(d)).ok()) {
        since = since.max(earliest);
    }
    let (due, many) = schedule.latest(since, now, MANY);
    if many {
        let message =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        ctx.event(cron, "Warning", "TooManyMissedTimes", message);
    }
    let Some(due) = due else {
        return Ok(None);
    };
    let active: Vec<_> = jobs
        .iter()
        .filter(|j| !job::finished(j) && !deleting(j))
        .collect();
    match text(cron, "/spec/concurrencyPolicy") {
        "Forbid" if !active.is_empty() => {
            let message =
                "Not starting job because prior execution is running and concurrency policy is Forbid";
            ctx.event(cron, "Normal", "JobAlreadyActive", message);
            return Ok(None);
        }
        "Replace" => {
            for j in active {
                ctx.delete(job::JOBS, j).await?;
                let message = format!("Deleted job {}", text(j, "/metadata/name"));
                ctx.event(cron, "Normal", "SuccessfulDelete", &message);
            }
        }
        _ => {}
    }
    let new = job_for(cron, due);
    let name = text(&new, "/metadata/name").to_owned();
    match ctx.create(job::JOBS, new).await {
        Ok(_) => ctx.event(cron, "Normal", "SuccessfulCreate", &format!("Created job {name}")),
        Err(failure) if failure.already_exists() => {}
        Err(failure) => {
            if !failure.namespace_ending() {
                ctx.event(
                    cron,
                    "Warning",
                    "FailedCreate",
                    &format!("Error creating job: {failure}"),
                );
            }
            return Err(failure);
        }
    }
    Ok(Some(due))
}

fn job_for(cron: &Value, due: Timestamp) -> Value {
    // Kubernetes names Jobs by the scheduled minute, so one minute never starts twice.
    let name = format!("{}-{}", text(cron, "/metadata/name"), due.as_second() / 60);
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": text(cron, "/metadata/namespace"),
            "ownerReferences": [pod::controlled_by(cron, "batch/v1", "CronJob")],
        },
        "spec": cron.pointer("/spec/jobTemplate/spec").cloned().unwrap_or_else(|| json!({})),
    });
    for field in ["labels", "annotations"] {
        if let Some(values) = map(cron, &format!("/spec/jobTemplate/metadata/{field}")) {
            put(&mut job, &["metadata", field], values.clone());
        }
    }
    put(&mut job, &["metadata", "annotations", SCHEDULED], stamp(due));
    job
}

async fn clean_up(ctx: &Context, cron: &Value, jobs: &[Arc<Value>]) -> Result<(), Failure> {
    for (kind, field, keep) in [
        ("Complete", "/spec/successfulJobsHistoryLimit", 3),
        ("Failed", "/spec/failedJobsHistoryLimit", 1),
    ] {
        let keep = usize::try_from(int(cron, field).unwrap_or(keep)).unwrap_or_default();
        let mut ended: Vec<_> = jobs
            .iter()
            .filter(|j| condition::is_true(j, kind) && !deleting(j))
            .collect();
        ended
            .sort_by_key(|j| time(j, "/status/startTime").or_else(|| time(j, "/metadata/creationTimestamp")));
        let excess = ended.len().saturating_sub(keep);
        for j in ended.into_iter().take(excess) {
            ctx.delete(job::JOBS, j).await?;
        }
    }
    Ok(())
}

async fn write_status(ctx: &Context, cron: &Value, started: Option<Timestamp>) -> Result<(), Failure> {
    let (namespace, name) = (text(cron, "/metadata/namespace"), text(cron, "/metadata/name"));
    let uid = text(cron, "/metadata/uid");
    let mut active = Vec::new();
    let mut succeeded: Option<Timestamp> = None;
    let mut scheduled = started;
    for j in ctx.list(job::JOBS, namespace) {
        if pod::controller_uid(&j) != uid {
            continue;
        }
        scheduled = scheduled.max(annotation(&j, SCHEDULED).parse().ok());
        succeeded = succeeded.max(time(&j, "/status/completionTime"));
        if !job::finished(&j) && !deleting(&j) {
            active.push(json!({
                "apiVersion": "batch/v1", "kind": "Job", "namespace": namespace,
                "name": text(&j, "/metadata/name"), "uid": text(&j, "/metadata/uid"),
                "resourceVersion": text(&j, "/metadata/resourceVersion"),
            }));
        }
    }
    ctx.modify_status(CRONS, namespace, name, |c| {
        let mut status = c.get("status").cloned().unwrap_or_else(|| json!({}));
        if active.is_empty() {
            remove(&mut status, &["active"]);
        } else {
            put(&mut status, &["active"], active.clone());
        }
        for (field, at) in [("lastScheduleTime", scheduled), ("lastSuccessfulTime", succeeded)] {
            let known = time(&status, &format!("/{field}"));
            if let Some(at) = at.max(known) {
                put(&mut status, &[field], stamp(at));
            }
        }
        put(c, &["status"], status);
        true
    })
    .await
}
