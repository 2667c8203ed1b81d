//! What pods of jobs may ask for with their run's token: the checkout, and promotions of what they built.

use super::Failure;
use super::act::LeaseRequest;
use super::progress::answer;
use super::read::{LogsQuery, WhyQuery};
use super::runs::{RunQuery, RunsQuery, StartRequest};
use crate::ops::PromoteRequest;
use crate::run_tokens::Grant;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use herder_base::{AllowedRemote, Commit};
use herder_jobs::{Checkout, Job, RunId};
use herder_ledger::{Actor, Principal};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The most repositories of one run, submodules included.
const MOST_CHECKOUTS: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceQuery {
    index: usize,
}

/// A checkout of the run, and its remote if that may be reached.
fn admitted(shared: &Shared, grant: &Grant, index: usize) -> Result<(Checkout, AllowedRemote), Failure> {
    let checkout = grant.checkout(index);
    let checkout =
        checkout.ok_or_else(|| Failure::not_found(format!("{} has no source {index}", grant.run)))?;
    let remote = shared
        .allowed
        .admit(&checkout.url)
        .map_err(|refused| Failure::invalid(refused.to_string()).hint(refused.hint()))?;
    Ok((checkout, remote))
}

fn tar(body: axum::body::Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-tar")], body).into_response()
}

/// `GET /internal/source.tar?index=N`: the files of the run's N-th checkout.
pub(crate) async fn source(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(query): Query<SourceQuery>,
) -> Result<Response, Failure> {
    let (checkout, remote) = admitted(&shared, &grant, query.index)?;
    let archive = shared.git.archive(&remote, &checkout.commit).await?;
    // An archive that breaks off ends the connection: whoever reads it sees that it is not whole.
    let portions = futures::stream::try_unfold(archive, |mut archive| async move {
        let portion = archive.next().await?;
        Ok::<_, herder_git::Error>(portion.map(|portion| (portion, archive)))
    });
    Ok(tar(axum::body::Body::from_stream(portions)))
}

/// `GET /internal/repository.tar?index=N`: the `.git` of the run's N-th checkout.
pub(crate) async fn repository(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(query): Query<SourceQuery>,
) -> Result<Response, Failure> {
    let (checkout, remote) = admitted(&shared, &grant, query.index)?;
    let (commit, depth) = (Commit::new(&checkout.commit), checkout.depth.unwrap_or(1));
    let history = shared
        .git
        .history(&remote, &checkout.branch, &commit, depth)
        .await?;
    let portions = futures::stream::try_unfold(history, |mut history| async move {
        let portion = history.next().await?;
        Ok::<_, herder_git::Error>(portion.map(|portion| (portion, history)))
    });
    Ok(tar(axum::body::Body::from_stream(portions)))
}

/// `POST /internal/submodules?index=N`: the submodules of the run's N-th checkout, if it is to have them; from then on
/// they are checkouts of the run, too.
pub(crate) async fn submodules(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(query): Query<SourceQuery>,
) -> Result<Json<Value>, Failure> {
    let (checkout, remote) = admitted(&shared, &grant, query.index)?;
    if !checkout.submodules {
        return Ok(Json(Value::Array(Vec::new())));
    }
    let found = shared
        .git
        .submodules(&remote, &Commit::new(&checkout.commit))
        .await?;
    let mut paths = Vec::new();
    let mut more = Vec::new();
    for submodule in found {
        let path = submodule.path;
        if path.is_empty() || !herder_jobs::is_within(&path) {
            return Err(Failure::invalid(format!(
                "`{path}` is no directory for a submodule of {}",
                checkout.url
            )));
        }
        more.push(Checkout {
            url: submodule.url,
            branch: String::new(),
            commit: submodule.commit.to_string(),
            directory: path.clone(),
            depth: checkout.depth,
            submodules: true,
        });
        paths.push(path);
    }
    let range = grant.add(more, MOST_CHECKOUTS).ok_or_else(|| {
        Failure::invalid(format!(
            "{} would check out more than {MOST_CHECKOUTS} repositories",
            grant.run
        ))
    })?;
    let listed = range
        .zip(paths)
        .map(|(index, path)| json!({"index": index, "path": path}));
    Ok(Json(listed.collect()))
}

/// Who asks: the run, whatever name its request brings.
fn who(grant: &Grant) -> Actor {
    Actor::new(Principal::Run {
        job: grant.run.job.clone(),
        number: grant.run.number,
    })
}

/// `POST /api/v1/promote` from a job's step.
pub(crate) async fn promote(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    headers: HeaderMap,
    Json(request): Json<PromoteRequest>,
) -> Response {
    answer(
        &headers,
        async move { promote_for(&shared, &grant, &request).await },
    )
    .await
}

async fn promote_for(shared: &Shared, grant: &Grant, request: &PromoteRequest) -> Result<Value, Failure> {
    let reading = shared.known().await?;
    grant.rights.promote(&grant.run, &reading.fleet, &request.to)?;
    shared.promote(request, &who(grant)).await
}

/// `POST /api/v1/environments/NAME/up` from a job's step.
pub(crate) async fn environment_up(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Extension(grant): Extension<Grant>,
    headers: HeaderMap,
    Json(request): Json<LeaseRequest>,
) -> Response {
    let up = async move {
        let reading = shared.known().await?;
        grant.rights.env(&grant.run, &reading.fleet, &name)?;
        shared.environment_up(&name, request.lease()?, &who(&grant)).await
    };
    answer(&headers, up).await
}

/// `POST /api/v1/environments/NAME/down` from a job's step.
pub(crate) async fn environment_down(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Extension(grant): Extension<Grant>,
    headers: HeaderMap,
    Json(_): Json<LeaseRequest>,
) -> Response {
    let down = async move {
        let reading = shared.known().await?;
        grant.rights.env(&grant.run, &reading.fleet, &name)?;
        shared.environment_down(&name, &who(&grant)).await
    };
    answer(&headers, down).await
}

/// `GET /api/v1/status` from a job's step: the part that the run may see.
pub(crate) async fn status(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
) -> Result<Response, Failure> {
    let reading = shared.known().await?;
    Ok(Json(grant.rights.view(&reading.fleet, &shared.view())).into_response())
}

/// Refuses what is about a namespace that the run does not see. Environments go by their names, too.
async fn seen(shared: &Shared, grant: &Grant, name: &str) -> Result<(), Failure> {
    let reading = shared.known().await?;
    let named = reading.fleet.environment(name);
    let namespace = named.map_or(name, |environment| environment.namespace.as_str());
    if grant.rights.sees(&reading.fleet, namespace) {
        return Ok(());
    }
    Err(
        Failure::forbidden(format!("{} may not see `{name}`: it is not the job's own", grant.run)).hint(
            "a job sees the environment it deploys to, and those that `may` in its file says it may do something to",
        ),
    )
}

/// `GET /api/v1/why` from a job's step.
pub(crate) async fn why(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(query): Query<WhyQuery>,
) -> Result<Response, Failure> {
    seen(&shared, &grant, query.namespace()).await?;
    super::read::why(State(shared), Query(query)).await
}

/// `GET /api/v1/logs` from a job's step.
pub(crate) async fn logs(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Failure> {
    seen(&shared, &grant, query.namespace()).await?;
    super::read::logs(State(shared), Query(query)).await
}

/// A job by its name.
async fn job(shared: &Shared, name: &str) -> Result<Arc<Job>, Failure> {
    let jobs = shared.jobs.list().await?;
    let job = jobs.into_iter().find(|job| job.definition.name == name);
    job.map(|job| job.definition)
        .ok_or_else(|| Failure::not_found(format!("there is no job `{name}`")))
}

/// `POST /api/v1/runs` from a job's step.
pub(crate) async fn start(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Json(request): Json<StartRequest>,
) -> Result<Json<Value>, Failure> {
    let job = job(&shared, request.job()).await?;
    grant.rights.start(&grant.run, &job, request.parameters())?;
    super::runs::start(State(shared), Extension(who(&grant)), Json(request.unnamed())).await
}

/// Refuses what is about a run that the asking one may not read.
async fn readable(shared: &Shared, grant: &Grant, run: &RunId) -> Result<(), Failure> {
    let job = job(shared, &run.job).await?;
    let row = shared.ledger.run(&run.job, run.number).await?;
    let namespace = row.and_then(|row| row.namespace);
    grant.rights.reads(&grant.run, &job, namespace.as_deref())
}

/// `GET /api/v1/runs/one` from a job's step.
pub(crate) async fn one(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(query): Query<RunQuery>,
) -> Result<Json<Value>, Failure> {
    readable(&shared, &grant, &query.id()).await?;
    super::runs::one(State(shared), Query(query)).await
}

/// `GET /api/v1/runs/log` from a job's step.
pub(crate) async fn log(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    headers: http::HeaderMap,
    Query(query): Query<RunQuery>,
) -> Result<Response, Failure> {
    readable(&shared, &grant, &query.id()).await?;
    super::runs::log(State(shared), headers, Query(query)).await
}

/// `GET /api/v1/jobs` from a job's step: those that it may start, and its own.
pub(crate) async fn jobs(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
) -> Result<Json<Value>, Failure> {
    let mut all = shared.jobs_json().await?;
    let jobs = shared.jobs.list().await?;
    let may = |name: &str| {
        let job = jobs.iter().find(|job| job.definition.name == name);
        job.is_some_and(|job| grant.rights.reads(&grant.run, &job.definition, None).is_ok())
    };
    if let Some(all) = all.as_array_mut() {
        all.retain(|job| job.get("name").and_then(Value::as_str).is_some_and(may));
    }
    Ok(Json(all))
}

/// `GET /api/v1/runs` from a job's step: of one job that it may start, or of its own.
pub(crate) async fn runs(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Value>, Failure> {
    let name = query
        .job()
        .ok_or_else(|| Failure::invalid("a run asks for the runs of one job: say which"))?;
    let job = job(&shared, name).await?;
    grant.rights.reads(&grant.run, &job, None)?;
    super::runs::runs(State(shared), Query(query)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartQuery {
    path: String,
    at: u64,
}

/// `PUT /internal/artefact?path=P&at=N`: a part of a file that the run keeps.
pub(crate) async fn keep(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(part): Query<PartQuery>,
    bytes: bytes::Bytes,
) -> Result<Json<Value>, Failure> {
    let store = shared.jobs.artefacts();
    let mut kept = grant.kept.lock().await;
    if kept.is_none() {
        *kept = Some(store.begin(&grant.run).await?);
    }
    let Some(room) = kept.as_mut() else {
        return Err(Failure::conflict("the run's artefacts could not be begun"));
    };
    store.add(&grant.run, room, &part.path, part.at, &bytes).await?;
    Ok(Json(Value::Null))
}

/// What no run's token opens.
pub(crate) async fn nothing(Extension(grant): Extension<Grant>, uri: http::Uri) -> Failure {
    Failure::forbidden(format!("the token of {} does not open {}", grant.run, uri.path())).hint(
        "a job's steps may do what `may` in its file says: env, promote and run; everything else is for people, with the platform's own token",
    )
}
