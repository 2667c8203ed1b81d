//! Jobs, runs and logs on the wire. Job names hold slashes, so they are query parameters.

use super::Failure;
use crate::runs::{Lines, is_mark, text, to_json};
use crate::state::Shared;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use herder_jobs::{ArtefactError, Cause, RunId, RunRequest, TriggerError};
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

impl RunsQuery {
    /// Of which job.
    pub(crate) fn job(&self) -> Option<&str> {
        self.job.as_deref()
    }
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

impl StartRequest {
    /// Which job.
    pub(crate) fn job(&self) -> &str {
        &self.job
    }

    /// With what.
    pub(crate) fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }

    /// Without the name that came with it.
    pub(crate) fn unnamed(mut self) -> Self {
        self.by.clear();
        self
    }
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
    /// Which run.
    pub(crate) fn id(&self) -> RunId {
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
        let kept = shared.jobs.artefacts().list(run).await?;
        object.insert("artefacts".to_owned(), json!(kept));
    }
    Ok(value)
}

impl From<ArtefactError> for Failure {
    fn from(error: ArtefactError) -> Self {
        let message = herder_base::chain(&error).to_string();
        match error {
            ArtefactError::Missing { .. } => {
                Self::not_found(message).hint("`herder job artefacts` lists them")
            }
            ArtefactError::Name(_) | ArtefactError::Gap { .. } => Self::invalid(message),
            ArtefactError::Full { .. } | ArtefactError::Io { .. } => Self::conflict(message),
        }
    }
}

/// `GET /api/v1/runs/artefacts`
pub(crate) async fn artefacts(
    State(shared): State<Shared>,
    Query(query): Query<RunQuery>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(json!(shared.jobs.artefacts().list(&query.id()).await?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArtefactQuery {
    job: String,
    number: u64,
    path: String,
}

/// `GET /api/v1/runs/artefact`: one file, as it is. It comes from a job, so browsers must not take it for a page of ours.
pub(crate) async fn artefact(
    State(shared): State<Shared>,
    Query(query): Query<ArtefactQuery>,
) -> Result<Response, Failure> {
    let ArtefactQuery { job, number, path } = query;
    let (file, size) = shared
        .jobs
        .artefacts()
        .open(&RunId { job, number }, &path)
        .await?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_LENGTH, size.to_string()),
            (header::CONTENT_DISPOSITION, "attachment".to_owned()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        ],
        Body::from_stream(tokio_util::io::ReaderStream::new(file)),
    )
        .into_response())
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
    if events {
        return Ok(as_events(shared.log(&query.id(), true).await?));
    }
    if query.json {
        let lines = shared.log(&query.id(), query.follow).await?;
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
    let body = shared.log_text(&query.id(), query.follow).await?;
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
