//! The dashboard: server-rendered pages that work without JavaScript and are live with it.
//!
//! Owns presentation only. Pages read the view and the ledger; buttons call the same operations as the API.

mod application;
mod frame;
mod overview;
mod places;
mod runs;

pub(crate) use frame::{age, failure, headers, page, span};

use crate::state::Shared;
use axum::Router;
use axum::routing::{get, post};
use http::header;

/// The pages behind the sign-in.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/apps/{name}", get(application::application))
        .route("/apps/{name}/promote", post(application::promote))
        .route("/apps/{name}/{namespace}/why", get(application::why))
        .route("/apps/{name}/{namespace}/logs", get(application::logs))
        .route("/apps/{name}/{namespace}/rollback", post(application::rollback))
        .route("/apps/{name}/{namespace}/suspend", post(application::suspend))
        .route("/apps/{name}/{namespace}/resume", post(application::resume))
        .route("/runs", get(runs::all))
        .route("/runs/{*path}", get(runs::one).post(runs::start))
        .route("/environments", get(places::environments))
        .route("/environments/{name}/up", post(places::up))
        .route("/environments/{name}/down", post(places::down))
        .route("/cluster", get(places::cluster))
        .route("/audit", get(places::audit))
}

/// Style and script, for anyone.
pub(crate) fn assets() -> Router<Shared> {
    const CACHE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "max-age=300");
    let css = || async {
        (
            [(header::CONTENT_TYPE, "text/css"), CACHE],
            include_str!("../../assets/board.css"),
        )
    };
    let js = || async {
        (
            [(header::CONTENT_TYPE, "text/javascript"), CACHE],
            include_str!("../../assets/board.js"),
        )
    };
    let sign_in = || async {
        (
            [(header::CONTENT_TYPE, "text/javascript"), CACHE],
            include_str!("../../assets/login.js"),
        )
    };
    let icon = || async {
        (
            [(header::CONTENT_TYPE, "image/svg+xml"), CACHE],
            include_str!("../../assets/icon.svg"),
        )
    };
    Router::new()
        .route("/assets/icon.svg", get(icon))
        .route("/assets/board.css", get(css))
        .route("/assets/board.js", get(js))
        .route("/assets/login.js", get(sign_in))
}
