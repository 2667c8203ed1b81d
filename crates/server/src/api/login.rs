//! Signing in and out. A link that is printed carries a code behind `#`, which browsers send to nobody: it reaches
//! neither logs nor referrers, and looking at the page uses it up for nobody.

use super::next::local;
use super::{Failure, auth, codes, sessions};
use crate::board;
use crate::state::Shared;
use askama::Template;
use axum::body::to_bytes;
use axum::extract::{Extension, Query, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use herder_ledger::{Actor, Principal};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};

/// The largest form anybody may send to sign in, bytes.
const FORM: usize = 4096;

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
    wrong: String,
}

/// `GET /login`
pub(crate) async fn form(Query(wanted): Query<Wanted>) -> Response {
    board::page(&Login {
        next: local(&wanted.next),
        wrong: String::new(),
    })
}

/// `POST /login`: where it comes from is looked at before its body, how often it was wrong after what it says.
pub(crate) async fn submit(State(shared): State<Shared>, request: Request) -> Response {
    let refuse = |status: StatusCode, next: &str, wrong: String| {
        let next = local(next);
        (status, board::page(&Login { next, wrong })).into_response()
    };
    let (parts, body) = request.into_parts();
    if !auth::same_origin(&parts.uri, &parts.headers) {
        let wrong = "The form came from another page. Sign in here.".to_owned();
        return refuse(StatusCode::FORBIDDEN, "", wrong);
    }
    let (address, now) = (auth::address(&parts.extensions), shared.clock.now());
    let Ok(bytes) = to_bytes(body, FORM).await else {
        let wrong = "The form is too long.".to_owned();
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "", wrong);
    };
    let mut again = http::Request::new(axum::body::Body::from(bytes));
    *again.method_mut() = parts.method;
    again.headers_mut().clone_from(&parts.headers);
    let wanted = match <Form<Wanted> as axum::extract::FromRequest<()>>::from_request(again, &()).await {
        Ok(Form(wanted)) => wanted,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "", error.to_string()),
    };
    let given = wanted.token.trim();
    // Both are looked at, whatever the first says.
    let (by_token, by_code) = (shared.token.is(given), shared.codes.redeem(given, now));
    // Tokens and codes are too long to be guessed: what wrong tries of others from the same address (a proxy's) wait for
    // must not keep out who has the right one.
    if !by_token && !by_code {
        if let Some(wait) = shared.throttle.wait(address, now) {
            let wrong = format!("Too many wrong tries: wait {} s.", wait.as_secs() + 1);
            let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, "", wrong);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            return response;
        }
        shared.throttle.wrong(address, now);
        // The throttle bounds how many of these one address makes.
        let recorded = shared
            .audit(&Actor::herder(), "sign-in.refused", &address.to_string(), "")
            .await;
        if let Err(failure) = recorded {
            return failure.into_response();
        }
        let wrong = "That is neither the token nor a code that still holds.".to_owned();
        return refuse(StatusCode::FORBIDDEN, &wanted.next, wrong);
    }
    match sessions::open(&shared, &parts.uri, &parts.headers, address).await {
        Ok(cookie) => {
            let how = if by_token { "with the token" } else { "with a link" };
            let who = Actor::new(Principal::Token);
            let recorded = shared.audit(&who, "sign-in", &address.to_string(), how).await;
            if let Err(failure) = recorded {
                return failure.into_response();
            }
            let mut response = Redirect::to(&local(&wanted.next)).into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(failure) => failure.into_response(),
    }
}

/// `POST /logout`
pub(crate) async fn logout(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    shared.audit(&who, "sign-out", "", "").await?;
    let cookie = sessions::close(&shared, &uri, &headers).await?;
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// `POST /api/v1/login-codes`: a code for a link, for who has the token.
pub(crate) async fn code(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
) -> Result<Json<Value>, Failure> {
    let code = shared
        .codes
        .issue(shared.clock.now())
        .map_err(|error| Failure::upstream(&error))?;
    shared.audit(&who, "login-link", "", "").await?;
    Ok(Json(
        json!({"path": format!("login#{code}"), "seconds": codes::HOLDS.as_secs()}),
    ))
}
