//! Jobs, runs and logs on the wire. Job names hold slashes, so they are query parameters.

use super::Failure;
use crate::runs::{Lines, is_mark, text, to_json};
use crate::state::Shared;
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use herder_jobs::{Cause, RunId, RunRequest, TriggerError};
use herder_ledger::Actor;
use http::header;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;

impl From<TriggerError> for Failure {
    fn from(error: TriggerError) -> Self {
        let message = herder_base::chain(&error).to_string();
        match error {
            TriggerError::NoJob { .. } => Self::not_found(message).hint("`herder job list` lists all jobs"),
            TriggerError::NoParameter { .. } | TriggerError::Value { .. } => Self::invalid(message),
            _ => Self::conflict(message),
        }
    }
}

/// `GET /api/v1/jobs`
pub(crate) async fn jobs(State(shared): State<Shared>) -> Result<Json<Value>, Failure> {
    Ok(Json(shared.jobs_json().await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunsQuery {
    job: Option<String>,
    limit: Option<u32>,
}

/// `GET /api/v1/runs`
pub(crate) async fn runs(
    State(shared): State<Shared>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Value>, Failure> {
    if let Some(job) = &query.job {
        known(&shared, job).await?;
    }
    let runs = shared
        .runs(query.job.as_deref(), query.limit.unwrap_or(50).min(500))
        .await?;
    Ok(Json(runs.iter().map(to_json).collect()))
}

/// Refuses a job that nobody has heard of: an empty list would say that it has never run. One that is gone may still
/// have runs.
async fn known(shared: &Shared, job: &str) -> Result<(), Failure> {
    let jobs = shared.jobs.list().await?;
    let mut names = jobs.iter().map(|job| job.definition.name.as_str());
    if names.any(|known| known == job) || !shared.runs(Some(job), 1).await?.is_empty() {
        return Ok(());
    }
    let names = jobs.iter().map(|job| job.definition.name.as_str());
    let failure = Failure::not_found(format!("there is no job `{job}`"));
    Err(crate::ops::names::near(
        failure,
        job,
        names,
        "`herder job list` lists all jobs",
    ))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRequest {
    job: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    #[serde(default)]
    by: String,
}

/// `POST /api/v1/runs`
pub(crate) async fn start(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Json(request): Json<StartRequest>,
) -> Result<Json<Value>, Failure> {
    let who = who.claiming(&request.by);
    let by = who.name();
    let wanted = RunRequest {
        job: request.job,
        parameters: request.parameters,
        commits: None,
        cause: Cause::Manual { by },
    };
    let run = shared.jobs.trigger(wanted).await?;
    shared.audit(&who, "run.start", &run.to_string(), "").await?;
    shared.live.ring();
    one_json(&shared, &run).await.map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunQuery {
    job: String,
    number: u64,
    #[serde(default)]
    follow: bool,
    /// JSON lines, for logs.
    #[serde(default)]
    json: bool,
}

impl RunQuery {
    fn id(&self) -> RunId {
        RunId {
            job: self.job.clone(),
            number: self.number,
        }
    }
}

/// `GET /api/v1/runs/one`
pub(crate) async fn one(
    State(shared): State<Shared>,
    Query(query): Query<RunQuery>,
) -> Result<Json<Value>, Failure> {
    one_json(&shared, &query.id()).await.map(Json)
}

async fn one_json(shared: &Shared, run: &RunId) -> Result<Value, Failure> {
    let row = shared.ledger.run(&run.job, run.number).await?;
    let Some(row) = row else {
        known(shared, &run.job).await?;
        return Err(Failure::not_found(format!("there is no run {run}"))
            .hint(format!("`herder job runs {}` lists those there are", run.job)));
    };
    let rollouts = shared.ledger.rollouts_of(&run.job, run.number).await?;
    let mut value = to_json(&row);
    if let Some(object) = value.as_object_mut() {
        object.insert("rollouts".to_owned(), json!(rollouts));
    }
    Ok(value)
}

/// `POST /api/v1/runs/abort`
pub(crate) async fn abort(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Json(query): Json<RunQuery>,
) -> Result<Json<Value>, Failure> {
    shared.jobs.abort(&query.id(), &who.name()).await?;
    shared
        .audit(&who, "run.abort", &query.id().to_string(), "")
        .await?;
    one_json(&shared, &query.id()).await.map(Json)
}

/// `GET /api/v1/runs/log`: plain text, or server-sent events for whoever accepts them.
pub(crate) async fn log(
    State(shared): State<Shared>,
    headers: http::HeaderMap,
    Query(query): Query<RunQuery>,
) -> Result<Response, Failure> {
    let events = headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"));
    let lines = shared.log(&query.id(), query.follow || events).await?;
    if events {
        return Ok(as_events(lines));
    }
    if query.json {
        let body = lines.map(|(number, line)| {
            let line = json!({"number": number, "at": line.at, "step": is_mark(&line), "line": text(&line)});
            Ok::<_, Infallible>(Bytes::from(format!("{line}\n")))
        });
        return Ok((
            [(header::CONTENT_TYPE, "application/jsonl")],
            Body::from_stream(body),
        )
            .into_response());
    }
    let body =
        lines.map(|(_, line)| Ok::<_, Infallible>(Bytes::from(format!("{} {}\n", line.at, text(&line)))));
    Ok((
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        Body::from_stream(body),
    )
        .into_response())
}

fn as_events(lines: Lines) -> Response {
    let line = |(number, line)| {
        let data = json!({"number": number, "text": text(&line), "step": is_mark(&line), "at": line.at});
        Event::default().event("line").data(data.to_string())
    };
    let end = futures::stream::once(async { Event::default().event("end").data("") });
    Sse::new(lines.map(line).chain(end).map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::default())
        .into_response()
}
