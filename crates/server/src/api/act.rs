//! Requests that change something: promote, environments, sync, down, webhooks.

use super::Failure;
use crate::ops::PromoteRequest;
use crate::state::Shared;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

/// `POST /api/v1/promote`
pub(crate) async fn promote(
    State(shared): State<Shared>,
    Json(request): Json<PromoteRequest>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(shared.promote(&request).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LeaseRequest {
    /// How long, such as `8h`.
    lease: Option<String>,
    by: String,
}

/// `POST /api/v1/environments/NAME/up`
pub(crate) async fn environment_up(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(request): Json<LeaseRequest>,
) -> Result<Json<Value>, Failure> {
    let lease = request
        .lease
        .as_deref()
        .map(herder_base::parse_duration)
        .transpose();
    let lease = lease.map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(Json(shared.environment_up(&name, lease, &request.by).await?))
}

/// `POST /api/v1/environments/NAME/down`
pub(crate) async fn environment_down(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(request): Json<LeaseRequest>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(shared.environment_down(&name, &request.by).await?))
}

/// `POST /api/v1/sync`: reads git and makes it true now; answers when that pass is over.
pub(crate) async fn sync(State(shared): State<Shared>) -> Result<Json<Value>, Failure> {
    Ok(Json(shared.sync().await?))
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
    Json(request): Json<DownRequest>,
) -> Result<Json<Value>, Failure> {
    if !request.everything {
        return Err(Failure::invalid("`everything` must be true").hint("herder down --everything"));
    }
    Ok(Json(shared.down_everything().await?))
}

/// `POST /webhooks/git`: a git server says that a repository changed. Anyone may send it: it only makes Herder look
/// at remotes it already knows, never at one the request names.
pub(crate) async fn webhook(State(shared): State<Shared>, body: Bytes) -> Result<Json<Value>, Failure> {
    let payload: Value = serde_json::from_slice(&body)
        .map_err(|error| Failure::invalid(format!("the body is no JSON: {error}")))?;
    // The fields of GitHub, GitLab, Gitea and Bitbucket, and the plain form.
    let pointers = [
        "/repository/clone_url",
        "/repository/ssh_url",
        "/repository/html_url",
        "/repository/git_http_url",
        "/project/git_http_url",
        "/project/git_ssh_url",
        "/repository",
        "/url",
    ];
    let urls: Vec<&str> = pointers
        .iter()
        .filter_map(|pointer| payload.pointer(pointer)?.as_str())
        .collect();
    if urls.is_empty() {
        return Err(Failure::invalid("the payload names no repository")
            .hint("send {\"repository\": \"URL\"} or what GitHub, GitLab or Gitea send"));
    }
    let woken = shared.notify_remotes(&urls).await;
    Ok(Json(json!({"woken": woken})))
}
