//! The platform API `/api/v1`, webhooks, and what pods of jobs fetch. JSON in and out, one error shape.
//!
//! Owns routes and their translation to operations of [`crate::ops`]; decides nothing itself.

mod act;
mod auth;
mod codes;
mod events;
mod failure;
mod login;
mod metrics;
mod names;
mod next;
mod pods;
mod progress;
mod read;
mod runs;
mod sessions;
mod throttle;
mod webhooks;

pub(crate) use auth::encode;
pub(crate) use codes::Codes;
pub(crate) use failure::Failure;
pub(crate) use names::Names;
pub(crate) use progress::waits_for;
pub(crate) use throttle::Throttle;
pub(crate) use webhooks::Rung;

use crate::board;
use crate::state::Shared;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};

/// The largest body anyone may send, bytes.
const BODY_LIMIT: usize = 1 << 20;
/// The largest part of an artefact, bytes.
const PART_LIMIT: usize = 8 << 20;

/// Everything the dashboard's listener serves.
pub(crate) fn router(shared: Shared) -> Router {
    let guarded = Router::new()
        .route("/api/v1/status", get(read::status))
        .route("/api/v1/plan", get(read::plan))
        .route("/api/v1/plans", get(read::plans))
        .route("/api/v1/why", get(read::why))
        .route("/api/v1/logs", get(read::logs))
        .route("/api/v1/audit", get(read::audit))
        .route("/api/v1/audit/export", get(read::export))
        .route("/api/v1/login-codes", post(login::code))
        .route("/api/v1/events", get(events::events))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/jobs", get(runs::jobs))
        .route("/api/v1/runs", get(runs::runs).post(runs::start))
        .route("/api/v1/runs/log", get(runs::log))
        .route("/api/v1/runs/one", get(runs::one))
        .route("/api/v1/runs/artefacts", get(runs::artefacts))
        .route("/api/v1/runs/artefact", get(runs::artefact))
        .route("/api/v1/runs/abort", post(runs::abort))
        .route("/api/v1/promote", post(act::promote))
        .route("/api/v1/environments/{name}/up", post(act::environment_up))
        .route("/api/v1/environments/{name}/down", post(act::environment_down))
        .route("/api/v1/sync", post(act::sync))
        .route("/api/v1/rollback", post(act::rollback))
        .route("/api/v1/suspend", post(act::suspend))
        .route("/api/v1/resume", post(act::resume))
        .route("/api/v1/history", get(read::history))
        .route("/api/v1/down", post(act::down))
        .route("/logout", post(login::logout))
        .merge(board::router())
        .fallback(|| async { Failure::not_found("there is no such page") })
        .layer(from_fn_with_state(shared.clone(), auth::guard));
    // Only for who has the token, not for who looks over a signed-in browser's shoulder.
    let tokens = Router::new()
        .route("/api/v1/webhook", get(webhooks::setup))
        .layer(from_fn_with_state(shared.clone(), auth::token_guard));
    Router::new()
        .merge(guarded)
        .merge(tokens)
        .route("/login", get(login::form).post(login::submit))
        .layer(from_fn_with_state(shared.clone(), names::known))
        .merge(board::assets())
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(metrics::ready))
        .route("/webhooks/git", post(webhooks::git))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(board::headers))
        .with_state(shared)
}

/// What the platform serves inside the cluster's network: only what a run's own token opens.
pub(crate) fn pod_router(shared: Shared) -> Router {
    Router::new()
        .route("/internal/source.tar", get(pods::source))
        .route("/internal/repository.tar", get(pods::repository))
        .route("/internal/submodules", post(pods::submodules))
        .route(
            "/internal/artefact",
            put(pods::keep).layer(DefaultBodyLimit::max(PART_LIMIT)),
        )
        .route("/api/v1/promote", post(pods::promote))
        .route("/api/v1/environments/{name}/up", post(pods::environment_up))
        .route("/api/v1/environments/{name}/down", post(pods::environment_down))
        .route("/api/v1/status", get(pods::status))
        .route("/api/v1/why", get(pods::why))
        .route("/api/v1/logs", get(pods::logs))
        .route("/api/v1/jobs", get(pods::jobs))
        .route("/api/v1/runs", get(pods::runs).post(pods::start))
        .route("/api/v1/runs/one", get(pods::one))
        .route("/api/v1/runs/log", get(pods::log))
        .fallback(pods::nothing)
        .layer(from_fn_with_state(shared.clone(), auth::run_guard))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(shared)
}
