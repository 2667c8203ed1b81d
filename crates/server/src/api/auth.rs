//! Who may ask: the holder of the platform's token, by header or, for browsers, by a cookie.

use super::Failure;
use crate::board;
use crate::state::Shared;
use askama::Template;
use axum::Form;
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;

const COOKIE: &str = "herder_token";

/// Lets a request through if it carries the token; sends browsers to the sign-in page.
pub(crate) async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let by_header = bearer(headers).is_some_and(|token| shared.is_token(token));
    let by_cookie = cookie(headers).is_some_and(|token| shared.is_token(token));
    // A cookie comes along by itself, so what it changes must come from our own pages.
    let foreign = by_cookie && !by_header && request.method() != Method::GET && !same_origin(headers);
    let page = headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"));
    if (by_header || by_cookie) && !foreign {
        let response = next.run(request).await;
        return match response.extensions().get::<Failure>() {
            Some(failure) if page => (response.status(), board::failure(&shared, failure)).into_response(),
            _ => response,
        };
    }
    if page && request.method() == Method::GET {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        return Redirect::to(&format!("/login?next={}", encode(path))).into_response();
    }
    Failure::unauthorised().into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
        (None, _) => true,
        _ => false,
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    next: String,
    token: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    next: String,
    wrong: bool,
}

/// `GET /login`; with `?token=` it signs in at once, for the link that `herder up` prints.
pub(crate) async fn form(State(shared): State<Shared>, Query(wanted): Query<Wanted>) -> Response {
    if wanted.token.is_empty() {
        return board::page(&Login {
            next: local(&wanted.next),
            wrong: false,
        });
    }
    sign_in(&shared, &wanted)
}

/// `POST /login`
pub(crate) async fn submit(State(shared): State<Shared>, Form(wanted): Form<Wanted>) -> Response {
    sign_in(&shared, &wanted)
}

fn sign_in(shared: &Shared, wanted: &Wanted) -> Response {
    let next = local(&wanted.next);
    if !shared.is_token(wanted.token.trim()) {
        return (StatusCode::FORBIDDEN, board::page(&Login { next, wrong: true })).into_response();
    }
    let mut response = Redirect::to(&next).into_response();
    let value = format!(
        "{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200",
        wanted.token.trim()
    );
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// Only paths of this site may be gone to after signing in.
fn local(next: &str) -> String {
    let safe = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    if safe { next.to_owned() } else { "/".to_owned() }
}
