//! Runs and jobs as people see them: rows, statuses, logs. Shared by the API and the board.

use crate::api::Failure;
use crate::board::{age, span};
use crate::state::Shared;
use futures::{Stream, StreamExt};
use herder_jobs::log::{LineKind, LogLine};
use herder_jobs::{Cause, Origin, RunId, RunStatus, Trigger};
use herder_ledger::{RunFilter, RunRow};
use serde_json::{Value, json};
use std::pin::Pin;

/// Lines of a log: as they were written, numbered from one.
pub(crate) type Lines = Pin<Box<dyn Stream<Item = (u64, LogLine)> + Send>>;

/// A run's status as the pages show it.
pub(crate) struct Shown {
    pub(crate) class: &'static str,
    pub(crate) shape: &'static str,
}

/// Shape and colour for a status; the word itself stands beside it.
pub(crate) fn shown(status: &str) -> Shown {
    let (class, shape) = match RunStatus::parse(status) {
        Some(RunStatus::Succeeded) => ("healthy", "●"),
        Some(RunStatus::Queued | RunStatus::Running) => ("progressing", "◐"),
        _ => ("degraded", "✕"),
    };
    Shown { class, shape }
}

/// What people read of the stored causes.
pub(crate) fn causes(stored: &str) -> String {
    let causes: Vec<Cause> = serde_json::from_str(stored).unwrap_or_default();
    causes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Whether a recorded status will not change any more.
pub(crate) fn finished(status: &str) -> bool {
    RunStatus::parse(status).is_none_or(RunStatus::is_final)
}

/// A run on the wire.
pub(crate) fn to_json(row: &RunRow) -> Value {
    json!({
        "job": row.job, "number": row.number, "status": row.status, "finished": finished(&row.status), "reason": row.reason,
        "cause": causes(&row.cause), "parameters": row.parameters, "commits": row.commits, "namespace": row.namespace,
        "attempt": row.attempt, "queued_at": row.queued_at, "started_at": row.started_at, "finished_at": row.finished_at,
    })
}

/// How long a run took, or has taken until now.
pub(crate) fn took(row: &RunRow, now: jiff::Timestamp) -> String {
    row.started_at
        .map(|started| span(started, row.finished_at.unwrap_or(now)))
        .unwrap_or_default()
}

/// When a run began or was asked for, and how long ago that is.
pub(crate) fn began(row: &RunRow, now: jiff::Timestamp) -> (String, String) {
    let at = row.started_at.unwrap_or(row.queued_at).to_string();
    let ago = age(&at, now);
    (at, ago)
}

impl Shared {
    /// All jobs with their last run.
    pub(crate) async fn jobs_json(&self) -> Result<Value, Failure> {
        let jobs = self
            .jobs
            .list()
            .await
            .map_err(|error| Failure::upstream(&error))?;
        let latest = self.ledger.latest_runs().await?;
        let shown = jobs.iter().map(|job| {
            let definition = &job.definition;
            let triggers: Vec<String> = definition.triggers.iter().map(trigger).collect();
            let origin = match &definition.origin {
                Origin::Native => "native".to_owned(),
                Origin::JobDsl(at) => format!("job-dsl {at}"),
                Origin::BuiltIn => "built-in".to_owned(),
            };
            json!({
                "name": definition.name, "description": definition.description, "disabled": job.disabled, "next": job.next,
                "triggers": triggers.join(", "), "origin": origin, "definition": &**definition,
                "running": job.running, "queued": job.queued, "decision": job.decision,
                "last": latest.iter().find(|run| run.job == definition.name).map(to_json),
            })
        });
        Ok(shown.collect())
    }

    /// The latest runs that failed, of jobs that are still there, newest first.
    pub(crate) async fn failed_builds(&self) -> Result<Vec<RunRow>, Failure> {
        let jobs = self
            .jobs
            .list()
            .await
            .map_err(|error| Failure::upstream(&error))?;
        let mut failed = self.ledger.latest_runs().await?;
        failed.retain(|run| {
            let bad = finished(&run.status)
                && !matches!(
                    RunStatus::parse(&run.status),
                    Some(RunStatus::Succeeded | RunStatus::Aborted)
                );
            bad && jobs
                .iter()
                .any(|job| job.definition.name == run.job && !job.disabled)
        });
        failed.sort_by(|a, b| (b.finished_at, &a.job).cmp(&(a.finished_at, &b.job)));
        Ok(failed)
    }

    /// A job's runs, newest first; all jobs' if none is named.
    pub(crate) async fn runs(&self, job: Option<&str>, limit: u32) -> Result<Vec<RunRow>, Failure> {
        let filter = RunFilter {
            job: job.map(str::to_owned),
            limit,
            ..RunFilter::default()
        };
        Ok(self.ledger.runs(&filter).await?)
    }

    /// A run's log. Without `follow` it ends with what is there now.
    pub(crate) async fn log(&self, run: &RunId, follow: bool) -> Result<Lines, Failure> {
        let row = self.ledger.run(&run.job, run.number).await?;
        let row = row.ok_or_else(|| Failure::not_found(format!("there is no run {run}")))?;
        if follow || finished(&row.status) {
            let lines = self.jobs.logs().tail(run, 0).filter_map(async |item| item.ok());
            return Ok(Box::pin(
                lines.enumerate().map(|(index, item)| (number(index), item.line)),
            ));
        }
        // A run that waits has no log yet.
        let text = tokio::fs::read_to_string(self.jobs.logs().path(run))
            .await
            .unwrap_or_default();
        let lines: Vec<LogLine> = text.lines().filter_map(LogLine::parse).collect();
        Ok(Box::pin(
            futures::stream::iter(lines)
                .enumerate()
                .map(|(index, line)| (number(index), line)),
        ))
    }
}

fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX) + 1
}

/// A line as text, without its time.
pub(crate) fn text(line: &LogLine) -> String {
    match line.kind {
        LineKind::Text(_) => line.text.clone(),
        LineKind::Note => format!("[herder] {}", line.text),
        LineKind::Begin(step) => format!("[step {}] {}", step + 1, line.text),
        LineKind::End(step) => format!("[step {}] ended with {}", step + 1, line.text),
    }
}

/// Whether a line marks a step.
pub(crate) fn is_mark(line: &LogLine) -> bool {
    !matches!(line.kind, LineKind::Text(_))
}

fn trigger(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Poll(spec) => format!("poll {spec}"),
        Trigger::Cron(spec) => format!("cron {spec}"),
        Trigger::Webhook => "webhook".to_owned(),
        Trigger::Upstream { jobs, .. } => format!("after {}", jobs.join(", ")),
    }
}
