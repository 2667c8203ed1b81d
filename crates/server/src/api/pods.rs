//! What pods of jobs may ask for with their run's token: the checkout, and promotions of what they built.

use super::Failure;
use crate::ops::PromoteRequest;
use crate::run_tokens::Grant;
use crate::state::Shared;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::Value;

fn grant(shared: &Shared, headers: &HeaderMap) -> Result<Grant, Failure> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    token
        .and_then(|token| shared.run_tokens.grant(token))
        .ok_or_else(Failure::unauthorised)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceQuery {
    index: usize,
}

/// `GET /internal/source.tar?index=N`: the files of the run's N-th checkout.
pub(crate) async fn source(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<SourceQuery>,
) -> Result<Response, Failure> {
    let grant = grant(&shared, &headers)?;
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
    headers: HeaderMap,
    Json(mut request): Json<PromoteRequest>,
) -> Result<Json<Value>, Failure> {
    let grant = grant(&shared, &headers)?;
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
    request.by = grant.run.to_string();
    Ok(Json(shared.promote(&request).await?))
}
