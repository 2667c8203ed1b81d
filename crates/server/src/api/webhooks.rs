//! `POST /webhooks/git`: a forge says that a repository changed.
//!
//! It only makes Herder look at remotes it knows. Who rings is checked as the forge lets it be: by a signature over the
//! body or a token, with the secret of `state/webhook.secret`. The answer tells nothing but a count.

use super::{Failure, auth};
use crate::state::Shared;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The largest notice that is read, bytes. GitHub cuts its own at 25 MB; what is larger is found by polling.
const LARGEST: usize = 1 << 20;
/// How far a signed time may be off.
const SKEW: Duration = Duration::from_secs(300);
/// Who is not known, and who repeats, makes Herder look this often at most.
const UNKNOWN: Duration = Duration::from_secs(5);
/// Signatures remembered, to know a repeated one.
const REMEMBERED: usize = 4096;

/// What was rung before.
#[derive(Debug, Default)]
pub(crate) struct Rung(Mutex<(Option<Timestamp>, VecDeque<[u8; 32]>)>);

impl Rung {
    /// Whether this signature was seen before; it was after this.
    fn seen(&self, proof: &str) -> bool {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(digest(&SHA256, proof.as_bytes()).as_ref()) {
            *to = *from;
        }
        let mut rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rung.1.contains(&key) {
            return true;
        }
        if rung.1.len() >= REMEMBERED {
            rung.1.pop_front();
        }
        rung.1.push_back(key);
        false
    }

    /// Whether it is time to look for somebody who is not known.
    fn may(&self, now: Timestamp) -> bool {
        let mut rung = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = rung
            .0
            .is_none_or(|last| now.duration_since(last).unsigned_abs() >= UNKNOWN);
        if due {
            rung.0 = Some(now);
        }
        due
    }
}

/// What a request brings to show who sends it.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// A hexadecimal HMAC-SHA256 of the body.
    Signature(String),
    /// The secret itself.
    Token(String),
    /// A signature over an id, a time and the body (Standard Webhooks), base64.
    Standard {
        id: String,
        time: String,
        signatures: Vec<String>,
    },
}

/// What the forges send: GitHub and Gitea `X-Hub-Signature-256`, Bitbucket `X-Hub-Signature`, Gitea, Forgejo and Gogs
/// their own, GitLab its token or a signature as Standard Webhooks has it.
fn proofs(headers: &HeaderMap) -> Vec<Proof> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut found = Vec::new();
    for name in [
        "x-hub-signature-256",
        "x-hub-signature",
        "x-gitea-signature",
        "x-forgejo-signature",
        "x-gogs-signature",
    ] {
        if let Some(value) = text(name) {
            // GitHub's older one is SHA-1: not looked at.
            let hex = match value.split_once('=') {
                Some(("sha256", hex)) => hex,
                Some(_) => continue,
                None => value,
            };
            found.push(Proof::Signature(hex.trim().to_ascii_lowercase()));
        }
    }
    if let Some(token) = text("x-gitlab-token") {
        found.push(Proof::Token(token.to_owned()));
    }
    if let (Some(id), Some(time), Some(all)) = (
        text("webhook-id"),
        text("webhook-timestamp"),
        text("webhook-signature"),
    ) {
        let signatures = all
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,").map(str::to_owned));
        found.push(Proof::Standard {
            id: id.to_owned(),
            time: time.to_owned(),
            signatures: signatures.collect(),
        });
    }
    found
}

/// Whether a proof holds for a body.
fn holds(proof: &Proof, secret: &str, body: &[u8], now: Timestamp) -> bool {
    match proof {
        Proof::Signature(hex) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hex::decode(hex).is_ok_and(|tag| hmac::verify(&key, body, &tag).is_ok())
        }
        Proof::Token(token) => {
            let (own, given) = (
                digest(&SHA256, secret.as_bytes()),
                digest(&SHA256, token.as_bytes()),
            );
            verify_slices_are_equal(own.as_ref(), given.as_ref()).is_ok()
        }
        Proof::Standard { id, time, signatures } => {
            let at = time
                .parse()
                .ok()
                .and_then(|time| Timestamp::from_second(time).ok());
            let fresh = at.is_some_and(|at| now.duration_since(at).unsigned_abs() <= SKEW);
            let bytes = secret
                .strip_prefix("whsec_")
                .and_then(|text| STANDARD.decode(text).ok())
                .unwrap_or_else(|| secret.as_bytes().to_vec());
            let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
            let mut signed = format!("{id}.{time}.").into_bytes();
            signed.extend_from_slice(body);
            fresh
                && signatures.iter().any(|one| {
                    STANDARD
                        .decode(one)
                        .is_ok_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
                })
        }
    }
}

/// The addresses a notice names: the fields of GitHub, GitLab, Gitea and Bitbucket, and the plain form.
fn addresses(payload: &Value) -> Vec<&str> {
    [
        "/repository/clone_url",
        "/repository/ssh_url",
        "/repository/html_url",
        "/repository/git_http_url",
        "/repository/links/html/href",
        "/project/git_http_url",
        "/project/git_ssh_url",
        "/repository",
        "/url",
    ]
    .iter()
    .filter_map(|pointer| payload.pointer(pointer)?.as_str())
    .collect()
}

/// `POST /webhooks/git`
pub(crate) async fn git(State(shared): State<Shared>, request: Request) -> Result<Json<Value>, Failure> {
    let now = shared.clock.now();
    let proofs = proofs(request.headers());
    let by_token = match auth::bearer(request.headers()) {
        Some(token) if shared.token.is(token) => true,
        Some(_) => return Err(Failure::unauthorised()),
        None => false,
    };
    // Before the body: who brings nothing to check has none of it read.
    if !by_token && proofs.is_empty() {
        if !shared.options.unsigned_webhooks {
            return Err(Failure::unsigned("this notice is not signed"));
        }
        let looks = shared.rung.may(now);
        if looks {
            shared.look_again().await;
        }
        return Ok(Json(json!({"looks": looks})));
    }
    let body = to_bytes(request.into_body(), LARGEST).await.map_err(|_| {
        Failure::invalid(format!(
            "the notice is larger than {LARGEST} bytes, or was cut off"
        ))
    })?;
    let secret = shared.webhook_secret.current();
    let held = proofs
        .iter()
        .find(|proof| holds(proof, secret.expose(), &body, now));
    if !by_token && held.is_none() {
        return Err(Failure::unsigned("this notice's signature is not right"));
    }
    // A token says nothing of one notice, so only a signature can be a repeated one.
    let again = match held {
        Some(proof @ (Proof::Signature(_) | Proof::Standard { .. })) => {
            shared.rung.seen(&format!("{proof:?}"))
        }
        _ => false,
    };
    if again && !shared.rung.may(now) {
        return Ok(Json(json!({"woken": 0, "seen": true})));
    }
    let payload: Value = serde_json::from_slice(&body)
        .map_err(|error| Failure::invalid(format!("the body is no JSON: {error}")))?;
    let urls = addresses(&payload);
    if urls.is_empty() {
        return Err(Failure::invalid("the payload names no repository")
            .hint("send {\"repository\": \"URL\"} or what GitHub, GitLab, Gitea or Bitbucket send as JSON"));
    }
    Ok(Json(json!({"woken": shared.notify_remotes(&urls).await})))
}

/// `GET /api/v1/webhook`: where a forge is to ring and with what secret, for who has the token.
pub(crate) async fn setup(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({
        "path": "webhooks/git",
        "secret": shared.webhook_secret.current().expose(),
        "secret_file": shared.options.dir.join("state/webhook.secret"),
        "unsigned": shared.options.unsigned_webhooks,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn checks(all: &[(&'static str, &str)], secret: &str, body: &[u8], second: i64) -> bool {
        let now = Timestamp::from_second(second).unwrap();
        proofs(&headers(all))
            .iter()
            .any(|proof| holds(proof, secret, body, now))
    }

    #[test]
    fn as_the_forges_sign() {
        // From GitHub's documentation.
        let (secret, body) = ("It's a Secret to Everybody", b"Hello, World!");
        let tag = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let prefixed = format!("sha256={tag}");
        for (name, value) in [
            ("x-hub-signature-256", prefixed.as_str()),
            ("x-hub-signature", &prefixed),
            ("x-gitea-signature", tag),
            ("x-forgejo-signature", tag),
        ] {
            assert!(checks(&[(name, value)], secret, body, 0), "{name}");
            assert!(!checks(&[(name, value)], secret, b"Hello, World?", 0), "{name}");
            assert!(!checks(&[(name, value)], "another", body, 0), "{name}");
            assert!(
                !checks(&[(name, &value[..value.len() - 2])], secret, body, 0),
                "{name}"
            );
        }
        assert!(!checks(&[("x-hub-signature", "sha1=00")], secret, body, 0));
        assert!(!checks(&[("x-hub-signature-256", "")], secret, body, 0));
        assert!(checks(&[("x-gitlab-token", secret)], secret, body, 0));
        assert!(!checks(&[("x-gitlab-token", "")], secret, body, 0));
        // From the specification of Standard Webhooks.
        let standard = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            (
                "webhook-signature",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ];
        let (secret, body) = (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            br#"{"test": 2432232314}"#,
        );
        assert!(checks(&standard, secret, body, 1_614_265_400));
        assert!(!checks(&standard, secret, body, 1_614_266_400));
    }

    #[test]
    fn who_repeats_or_is_not_known_is_slow() {
        let rung = Rung::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!rung.seen("a") && rung.seen("a") && !rung.seen("b"));
        assert!(rung.may(at(0)) && !rung.may(at(4)) && rung.may(at(5)));
        for n in 0..REMEMBERED {
            rung.seen(&n.to_string());
        }
        assert!(!rung.seen("a"));
    }
}
