//! What every page shares: the frame around it, ages of times, and turning a template into a response.

use crate::api::Failure;
use crate::state::Shared;
use crate::view::View;
use askama::Template;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;

/// No inline script, nothing from elsewhere, no framing.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The head of every page.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) fleet: String,
    pub(crate) commit: String,
    pub(crate) read_at: String,
    pub(crate) age: String,
    /// When git was last looked at for something newer, and how long ago that is.
    pub(crate) looked_at: String,
    pub(crate) looked: String,
    pub(crate) wall: bool,
}

impl Frame {
    pub(crate) fn new(view: &View, now: Timestamp, wall: bool) -> Self {
        let fleet = if view.fleet.name.is_empty() {
            "herder"
        } else {
            &view.fleet.name
        };
        Self {
            fleet: fleet.to_owned(),
            commit: view
                .fleet
                .commit
                .get(..12)
                .unwrap_or(&view.fleet.commit)
                .to_owned(),
            read_at: view.fleet.read_at.clone(),
            age: age(&view.fleet.read_at, now),
            looked: age(&view.fleet.looked_at.text(), now),
            looked_at: view.fleet.looked_at.text(),
            wall,
        }
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    message: String,
    hint: String,
}

/// What a browser shows when a page or a button's action failed.
pub(crate) fn failure(shared: &Shared, failure: &Failure) -> Response {
    let (message, hint) = failure.for_people();
    page(&FailurePage {
        frame: Frame::new(&shared.view(), shared.clock.now(), false),
        message: message.to_owned(),
        hint: hint.to_owned(),
    })
}

/// How long ago an RFC 3339 time was, for people; empty if there is none.
pub(crate) fn age(then: &str, now: Timestamp) -> String {
    then.parse::<Timestamp>()
        .map(|then| span(then, now))
        .unwrap_or_default()
}

/// How long from `then` to `now`, never negative.
pub(crate) fn span(then: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.duration_since(then).as_secs()).unwrap_or_default();
    herder_base::format_duration(std::time::Duration::from_secs(seconds)).replace("0ms", "0s")
}

/// The headers that everything from the dashboard's listener carries, whatever it is.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Nothing of an address reaches other sites; `no-referrer` would also make browsers send our own forms with
        // `Origin: null`, which nobody could tell from a foreign one.
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Renders a page.
pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the page could not be made: {error}"),
        )
            .into_response(),
    }
}
