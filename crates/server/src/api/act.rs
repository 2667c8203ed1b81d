//! Requests that change something: promote, environments, sync, down.

use super::Failure;
use super::progress::answer;
use crate::ops::{PromoteRequest, RollbackRequest, SuspendRequest};
use crate::state::Shared;
use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use herder_ledger::Actor;
use http::HeaderMap;
use serde::Deserialize;
use std::time::Duration;

/// `POST /api/v1/promote`
pub(crate) async fn promote(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    headers: HeaderMap,
    Json(request): Json<PromoteRequest>,
) -> Response {
    let who = who.claiming(&request.by);
    answer(&headers, async move { shared.promote(&request, &who).await }).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LeaseRequest {
    /// How long, such as `8h`.
    lease: Option<String>,
    by: String,
}

impl LeaseRequest {
    /// How long, if it says so.
    pub(crate) fn lease(&self) -> Result<Option<Duration>, Failure> {
        let lease = self
            .lease
            .as_deref()
            .map(herder_base::duration_with_unit)
            .transpose();
        lease.map_err(|error| Failure::invalid(error.to_string()))
    }
}

/// `POST /api/v1/environments/NAME/up`
pub(crate) async fn environment_up(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Extension(who): Extension<Actor>,
    headers: HeaderMap,
    Json(request): Json<LeaseRequest>,
) -> Response {
    let up = async move {
        let lease = request.lease()?;
        shared
            .environment_up(&name, lease, &who.claiming(&request.by))
            .await
    };
    answer(&headers, up).await
}

/// `POST /api/v1/environments/NAME/down`
pub(crate) async fn environment_down(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Extension(who): Extension<Actor>,
    headers: HeaderMap,
    Json(request): Json<LeaseRequest>,
) -> Response {
    let down = async move { shared.environment_down(&name, &who.claiming(&request.by)).await };
    answer(&headers, down).await
}

/// `POST /api/v1/sync`: reads git and makes it true now; answers when that pass is over.
pub(crate) async fn sync(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    answer(&headers, async move { shared.sync().await }).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DownRequest {
    /// Must be said, so that nobody removes everything by a stray request.
    everything: bool,
}

/// `POST /api/v1/down`
pub(crate) async fn down(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    headers: HeaderMap,
    Json(request): Json<DownRequest>,
) -> Response {
    let down = async move {
        if !request.everything {
            return Err(
                Failure::invalid("`everything` must be true").hint("`herder down --everything` says so")
            );
        }
        shared.down_everything(&who).await
    };
    answer(&headers, down).await
}

/// `POST /api/v1/rollback`
pub(crate) async fn rollback(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    headers: HeaderMap,
    Json(request): Json<RollbackRequest>,
) -> Response {
    let who = who.claiming(&request.by);
    answer(&headers, async move { shared.rollback(&request, &who).await }).await
}

/// `POST /api/v1/suspend`
pub(crate) async fn suspend(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    headers: HeaderMap,
    Json(request): Json<SuspendRequest>,
) -> Response {
    let who = who.claiming(&request.by);
    answer(&headers, async move { shared.suspend(&request, &who).await }).await
}

/// `POST /api/v1/resume`
pub(crate) async fn resume(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    headers: HeaderMap,
    Json(request): Json<SuspendRequest>,
) -> Response {
    let who = who.claiming(&request.by);
    answer(&headers, async move { shared.resume(&request, &who).await }).await
}
