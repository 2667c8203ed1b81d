//! What pods of jobs may ask for with their run's token: the checkout, and promotions of what they built.

use super::Failure;
use super::progress::answer;
use crate::ops::PromoteRequest;
use crate::run_tokens::Grant;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Extension, Query, State};
use axum::response::{IntoResponse, Response};
use herder_ledger::{Actor, Principal};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceQuery {
    index: usize,
}

/// `GET /internal/source.tar?index=N`: the files of the run's N-th checkout.
pub(crate) async fn source(
    State(shared): State<Shared>,
    Extension(grant): Extension<Grant>,
    Query(query): Query<SourceQuery>,
) -> Result<Response, Failure> {
    let checkout = grant.checkouts.get(query.index);
    let checkout =
        checkout.ok_or_else(|| Failure::not_found(format!("{} has no source {}", grant.run, query.index)))?;
    let remote = shared
        .allowed
        .admit(&checkout.url)
        .map_err(|refused| Failure::invalid(refused.to_string()).hint(refused.hint()))?;
    let archive = shared.git.archive(&remote, &checkout.commit).await?;
    // An archive that breaks off ends the connection: whoever reads it sees that it is not whole.
    let portions = futures::stream::try_unfold(archive, |mut archive| async move {
        let portion = archive.next().await?;
        Ok::<_, herder_git::Error>(portion.map(|portion| (portion, archive)))
    });
    Ok((
        [(header::CONTENT_TYPE, "application/x-tar")],
        axum::body::Body::from_stream(portions),
    )
        .into_response())
}

/// `POST /api/v1/promote` from a job's step: only into the namespace the run deploys to.
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
    let target = reading
        .fleet
        .environment(&request.to)
        .map(|environment| environment.namespace.clone());
    let run = shared.ledger.run(&grant.run.job, grant.run.number).await?;
    if target.is_none() || run.and_then(|run| run.namespace) != target {
        return Err(
            Failure::invalid(format!("{} may not promote to `{}`", grant.run, request.to))
                .hint("a job promotes only into the namespace it deploys to: set `namespace` in the job"),
        );
    }
    // Whatever name the request brings: its token is the run's.
    let who = Actor::new(Principal::Run {
        job: grant.run.job.clone(),
        number: grant.run.number,
    });
    shared.promote(request, &who).await
}
