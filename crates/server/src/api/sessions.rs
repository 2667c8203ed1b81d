//! Signed-in browsers: a random id in a cookie, its digest in the ledger, so that a restart signs nobody out.
//!
//! A session opens the board and what the board reads, never the platform API's changes: those need the token. It ends
//! when it was not used for a while, at its age, when somebody signs out, and when the token's file is replaced.

use super::names;
use crate::secret_file;
use crate::state::Shared;
use aws_lc_rs::digest::{SHA256, digest};
use herder_ledger::Session;
use http::{HeaderMap, HeaderValue, Uri, header};
use std::net::IpAddr;
use std::time::Duration;

/// Where the browser reaches us over TLS, no other host or path and nothing without TLS may set it.
const SECURE: &str = "__Host-herder_session";
/// Elsewhere.
const PLAIN: &str = "herder_session";
/// A session that was not used for so long is over.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// A session this old is over.
const AGE: Duration = Duration::from_secs(12 * 3600);
/// Uses are recorded to this precision.
const TOUCH: Duration = Duration::from_secs(60);
/// Cookies of our name that are looked at: a neighbour on another port can set more.
const TRIED: usize = 4;

fn key(id: &str) -> String {
    hex::encode(digest(&SHA256, format!("herder session\n{id}").as_bytes()))
}

/// Opens a session; the `Set-Cookie` to answer with.
pub(crate) async fn open(
    shared: &Shared,
    uri: &Uri,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<HeaderValue, super::Failure> {
    let now = shared.clock.now();
    let fingerprint = shared.token.fingerprint();
    let past = |span: Duration| now.saturating_sub(span).unwrap_or(jiff::Timestamp::MIN);
    shared
        .ledger
        .sweep_sessions(&fingerprint, past(AGE), past(IDLE))
        .await?;
    let id = secret_file::random().map_err(|error| super::Failure::upstream(&error))?;
    shared
        .ledger
        .put_session(&Session {
            id: key(&id),
            fingerprint,
            address: address.to_string(),
            since: now,
            seen: now,
        })
        .await?;
    Ok(cookie(shared, uri, headers, &id, AGE.as_secs()))
}

/// The session that a request's cookies name, if one of them is live; the first digits of its digest.
pub(crate) async fn find(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let now = shared.clock.now();
    for id in ids(shared, uri, headers) {
        let found = shared.ledger.session(&key(&id)).await.ok().flatten();
        let Some(session) = found else { continue };
        let since = |then| now.duration_since(then).unsigned_abs();
        let live = since(session.seen) < IDLE
            && since(session.since) < AGE
            && session.fingerprint == shared.token.fingerprint();
        if !live {
            // Gone is what it is, recorded or not.
            let _ended = shared.ledger.end_session(&session.id).await;
            continue;
        }
        if since(session.seen) > TOUCH {
            let _recorded = shared.ledger.touch_session(&session.id, now).await;
        }
        return Some(session.id.chars().take(8).collect());
    }
    None
}

/// Ends the sessions that a request's cookies name; the `Set-Cookie` that makes the browser forget.
pub(crate) async fn close(
    shared: &Shared,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<HeaderValue, super::Failure> {
    for id in ids(shared, uri, headers) {
        shared.ledger.end_session(&key(&id)).await?;
    }
    Ok(cookie(shared, uri, headers, "", 0))
}

fn is_secure(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> bool {
    names::authority(uri, headers).is_some_and(|authority| shared.names.secure(authority))
}

fn ids(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Vec<String> {
    let name = if is_secure(shared, uri, headers) {
        SECURE
    } else {
        PLAIN
    };
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
        .filter(|id| id.len() == 64)
        .take(TRIED)
        .map(str::to_owned)
        .collect()
}

/// `Lax`, so that a link from elsewhere opens a page for who is signed in: pages read by GET change nothing, and every
/// change is checked for where it comes from, which `Strict` would not do for a neighbour on another port.
fn cookie(shared: &Shared, uri: &Uri, headers: &HeaderMap, id: &str, seconds: u64) -> HeaderValue {
    let (name, secure) = if is_secure(shared, uri, headers) {
        (SECURE, "; Secure")
    } else {
        (PLAIN, "")
    };
    let text = format!("{name}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    // Hexadecimal digits and constants always make a header.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}
