//! Who may ask: the holder of the platform's token, by header, and a signed-in browser, by its session, which opens the
//! board and what it reads. Runs before anything of a request's body is read.

use super::{Failure, names, sessions};
use crate::board;
use crate::run_tokens::Grant;
use crate::state::Shared;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use herder_ledger::{Actor, Principal};
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Uri, header};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a command line says who uses it. Nobody checks it: it is recorded as a claim.
const CLAIM: &str = "x-herder-user";

/// Lets a request through if it carries the token or a session; sends browsers to the sign-in page.
pub(crate) async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let page = is_page(&parts.headers);
    let actor = match who(&shared, &parts).await {
        Ok(actor) => actor,
        Err(_) if page && parts.method == Method::GET => {
            let path = parts
                .uri
                .path_and_query()
                .map_or("/", http::uri::PathAndQuery::as_str);
            return Redirect::to(&format!("/login?next={}", encode(path))).into_response();
        }
        Err(failure) => return failure.into_response(),
    };
    parts.extensions.insert(actor);
    let response = next.run(Request::from_parts(parts, body)).await;
    match response.extensions().get::<Failure>() {
        Some(failure) if page => (response.status(), board::failure(&shared, failure)).into_response(),
        _ => response,
    }
}

/// Who sends a request, if they may.
async fn who(shared: &Shared, parts: &Parts) -> Result<Actor, Failure> {
    let (uri, headers) = (&parts.uri, &parts.headers);
    if let Some(token) = bearer(headers) {
        if !shared.token.is(token) {
            return Err(Failure::unauthorised());
        }
        let claim = headers.get(CLAIM).and_then(|claim| claim.to_str().ok());
        return Ok(Actor::new(Principal::Token).claiming(claim.unwrap_or_default()));
    }
    let id = sessions::find(shared, uri, headers).await;
    let id = id.ok_or_else(Failure::unauthorised)?;
    let api = uri.path().starts_with("/api/");
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    // A cookie comes along by itself: what it changes must come from our own pages, and those use no API for it.
    if api && !reads {
        return Err(Failure::token_only());
    }
    if (!reads && !same_origin(uri, headers)) || (api && from_elsewhere(headers)) {
        return Err(Failure::foreign());
    }
    Ok(Actor::new(Principal::Session { id }))
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a browser asks for a page.
fn is_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
}

/// Whether a browser says that a page of ours sends this. Silence is no yes: every browser of today says where a change
/// comes from, by one of the two.
pub(crate) fn same_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let by_site = text("sec-fetch-site").map(|site| site == "same-origin");
    let by_origin = text("origin").and_then(|origin| {
        // Without a referrer browsers say `null`, which says nothing of where.
        let (scheme, from) = origin.split_once("://")?;
        let own = names::authority(uri, headers)?;
        let default = if scheme == "https" { ":443" } else { ":80" };
        let plain = |authority: &str| {
            let authority = authority.to_ascii_lowercase();
            authority.strip_suffix(default).unwrap_or(&authority).to_owned()
        };
        Some(plain(from) == plain(own))
    });
    match (by_origin, by_site) {
        (Some(origin), site) => origin && site.unwrap_or(true),
        (None, site) => site.unwrap_or(false),
    }
}

/// Whether a browser says that another site's page sends this.
fn from_elsewhere(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none")
}

/// Where a request comes from; one address for all if the listener did not say.
pub(crate) fn address(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
}

/// Lets a request through if it carries the token; a session is not enough.
pub(crate) async fn token_guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match bearer(request.headers()) {
        Some(token) if shared.token.is(token) => next.run(request).await,
        _ => Failure::unauthorised().into_response(),
    }
}

/// Lets a pod's request through if it carries the token of a run that goes on.
pub(crate) async fn run_guard(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let grant: Option<Grant> = bearer(request.headers()).and_then(|token| shared.run_tokens.grant(token));
    match grant {
        Some(grant) => {
            request.extensions_mut().insert(grant);
            next.run(request).await
        }
        None => Failure::unauthorised().into_response(),
    }
}

/// Escapes a query's value; a path stays readable.
pub(crate) fn encode(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_change_things() {
        let from = |headers: &[(&str, &str)]| {
            let request = http::Request::post("/runs/a").header("host", "127.0.0.1:8080");
            let request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value));
            let request = request.body(()).unwrap();
            same_origin(request.uri(), request.headers())
        };
        assert!(from(&[("origin", "http://127.0.0.1:8080")]));
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        assert!(from(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        for foreign in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1:8081")],
            &[("origin", "http://evil.example")],
            &[("origin", "http://127.0.0.1:8080.evil.example")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[
                ("origin", "http://127.0.0.1:8080"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[("referer", "http://127.0.0.1:8080/")],
        ] {
            assert!(!from(foreign), "{foreign:?}");
        }
    }
}
