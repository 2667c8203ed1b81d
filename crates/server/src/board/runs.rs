//! Builds × namespaces `/runs`, one job `/runs/JOB`, one run `/runs/JOB/NUMBER`.

use super::frame::{Frame, page};
use crate::api::{Failure, encode};
use crate::runs::{Shown, began, causes, finished, is_mark, shown, text, took};
use crate::state::Shared;
use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use futures::StreamExt;
use herder_jobs::{Cause, JobView, ParameterKind, RunId, RunRequest};
use herder_ledger::{Actor, RunRow};
use std::collections::BTreeMap;

/// Lines of a log that a page holds; the rest is in the plain text.
const LINES: usize = 5000;
/// Runs looked at for the matrix.
const RECENT: u32 = 500;

struct RunLine {
    job: String,
    slug: String,
    number: u64,
    status: String,
    class: &'static str,
    shape: &'static str,
    namespace: String,
    cause: String,
    reason: String,
    started: String,
    age: String,
    took: String,
}

struct JobLine {
    name: String,
    slug: String,
    description: String,
    /// Why it does not run.
    refused: Vec<String>,
    slots: Vec<Option<RunLine>>,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    namespaces: Vec<String>,
    jobs: Vec<JobLine>,
}

struct ParameterLine {
    name: String,
    value: String,
    /// What may be chosen; whatever is typed if empty.
    choices: Vec<String>,
    /// `text`, or `password` for what is not to be seen.
    input: &'static str,
    description: String,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    job: JobLine,
    parameters: Vec<ParameterLine>,
    runs: Vec<RunLine>,
}

struct Line {
    number: u64,
    text: String,
    step: bool,
}

struct RolloutLine {
    kind: String,
    name: String,
    namespace: String,
    result: String,
    application: String,
}

struct ArtefactLine {
    path: String,
    size: u64,
    /// Where it is to be had.
    address: String,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    run: RunLine,
    parameters: Vec<(String, String)>,
    rollouts: Vec<RolloutLine>,
    artefacts: Vec<ArtefactLine>,
    follow: String,
    lines: Vec<Line>,
}

fn line(row: &RunRow, now: jiff::Timestamp) -> RunLine {
    let Shown { class, shape } = shown(&row.status);
    let (started, age) = began(row, now);
    RunLine {
        slug: row.job.clone(),
        job: row.job.clone(),
        number: row.number,
        status: row.status.clone(),
        class,
        shape,
        namespace: row.namespace.clone().unwrap_or_default(),
        cause: causes(&row.cause),
        reason: row.reason.clone().unwrap_or_default(),
        started,
        age,
        took: took(row, now),
    }
}

fn job_line(job: &JobView, slots: Vec<Option<RunLine>>) -> JobLine {
    let definition = &job.definition;
    JobLine {
        name: definition.name.clone(),
        slug: definition.name.clone(),
        description: definition.description.clone(),
        refused: definition.refused.clone(),
        slots,
    }
}

/// `GET /runs`
pub(crate) async fn all(State(shared): State<Shared>) -> Result<Response, Failure> {
    let now = shared.clock.now();
    let jobs = shared.jobs.list().await?;
    let runs = shared.runs(None, RECENT).await?;
    let mut namespaces: Vec<String> = Vec::new();
    let place = |run: &RunRow| run.namespace.clone().unwrap_or_else(|| "no namespace".to_owned());
    let stages = shared.view().stages.clone();
    for namespace in stages.into_iter().chain(runs.iter().map(place)) {
        if !namespaces.contains(&namespace) && runs.iter().any(|run| place(run) == namespace) {
            namespaces.push(namespace);
        }
    }
    let newest = |job: &str, namespace: &str| {
        runs.iter()
            .filter(|run| run.job == job && place(run) == namespace)
            .max_by_key(|run| run.number)
    };
    let jobs = jobs.iter().map(|job| {
        let slots = namespaces
            .iter()
            .map(|namespace| newest(&job.definition.name, namespace).map(|run| line(run, now)));
        job_line(job, slots.collect())
    });
    let jobs = jobs.collect();
    Ok(page(&RunsPage {
        frame: Frame::new(&shared.view(), now, false),
        namespaces,
        jobs,
    }))
}

/// `GET /runs/JOB` or `GET /runs/JOB/NUMBER`; a job's name may hold slashes.
pub(crate) async fn one(State(shared): State<Shared>, Path(path): Path<String>) -> Result<Response, Failure> {
    if let Some((job, number)) = path.rsplit_once('/')
        && let Ok(number) = number.parse()
    {
        return run(
            &shared,
            RunId {
                job: job.to_owned(),
                number,
            },
        )
        .await;
    }
    let now = shared.clock.now();
    let jobs = shared.jobs.list().await?;
    let job = jobs.iter().find(|job| job.definition.name == path);
    let job = job.ok_or_else(|| Failure::not_found(format!("there is no job `{path}`")))?;
    let parameters = job.definition.parameters.iter().map(|parameter| ParameterLine {
        name: parameter.name.clone(),
        value: if parameter.is_secret() {
            String::new()
        } else {
            parameter.default_value()
        },
        choices: match &parameter.kind {
            ParameterKind::Choice { choices, .. } => choices.clone(),
            ParameterKind::Boolean { .. } => vec!["true".to_owned(), "false".to_owned()],
            ParameterKind::String { .. } | ParameterKind::Text { .. } | ParameterKind::Password { .. } => {
                Vec::new()
            }
        },
        input: if parameter.is_secret() { "password" } else { "text" },
        description: parameter.description.clone(),
    });
    let runs = shared.runs(Some(&path), 100).await?;
    Ok(page(&JobPage {
        frame: Frame::new(&shared.view(), now, false),
        parameters: parameters.collect(),
        runs: runs.iter().map(|row| line(row, now)).collect(),
        job: job_line(job, Vec::new()),
    }))
}

async fn run(shared: &Shared, id: RunId) -> Result<Response, Failure> {
    let now = shared.clock.now();
    let row = shared.ledger.run(&id.job, id.number).await?;
    let row = row.ok_or_else(|| Failure::not_found(format!("there is no run {id}")))?;
    let over = finished(&row.status);
    let rollouts = shared.ledger.rollouts_of(&id.job, id.number).await?;
    // The page shows what there is; with JavaScript the lines of a run that goes on are appended.
    let mut lines = shared.log(&id, false).await?.take(LINES);
    let mut shown = Vec::new();
    while let Some((number, line)) = lines.next().await {
        shown.push(Line {
            number,
            text: text(&line),
            step: is_mark(&line),
        });
    }
    let follow = if over {
        String::new()
    } else {
        format!("/api/v1/runs/log?job={}&number={}", id.job, id.number)
    };
    let of = format!("job={}&number={}", encode(&id.job), id.number);
    let kept = shared.jobs.artefacts().list(&id).await?;
    let artefacts = kept.into_iter().map(|kept| ArtefactLine {
        address: format!("/api/v1/runs/artefact?{of}&path={}", encode(&kept.path)),
        path: kept.path,
        size: kept.size,
    });
    let view = shared.view();
    let application = |name: &str| {
        if view.applications.iter().any(|row| row.name == name) {
            name.to_owned()
        } else {
            String::new()
        }
    };
    Ok(page(&RunPage {
        frame: Frame::new(&view, now, false),
        parameters: row.parameters.clone().into_iter().collect(),
        rollouts: rollouts
            .into_iter()
            .map(|rollout| RolloutLine {
                application: application(&rollout.name),
                kind: rollout.kind,
                name: rollout.name,
                namespace: rollout.namespace,
                result: if rollout.detail.is_empty() {
                    rollout.health
                } else {
                    format!("{}: {}", rollout.health, rollout.detail)
                },
            })
            .collect(),
        artefacts: artefacts.collect(),
        run: line(&row, now),
        follow,
        lines: shown,
    }))
}

/// `POST /runs/JOB`: starts a run.
pub(crate) async fn start(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Path(job): Path<String>,
    Form(parameters): Form<BTreeMap<String, String>>,
) -> Result<Response, Failure> {
    let request = RunRequest {
        job: job.clone(),
        parameters,
        commits: None,
        cause: Cause::Manual { by: who.name() },
    };
    let run = shared.jobs.trigger(request).await?;
    shared.audit(&who, "run.start", &run.to_string(), "").await?;
    Ok(Redirect::to(&format!("/runs/{job}/{}", run.number)).into_response())
}
