//! Whose turn it is, as Priority and Fairness decides in Kubernetes: requests of one tenant are answered a few at a time,
//! some more wait, the rest is sent away with 429 and a time to come again, so that nobody's flood is another's wait.
//! Watches and followed logs last, and are counted apart.
//!
//! A tenant is a user, all service accounts of a namespace together, or an address that does not say who it is. The
//! administrator, the node agents and questions after the server's health are exempt, as there.

use super::answer::{Answer, Body};
use crate::auth::User;
use crate::registry::Status;
use bytes::Bytes;
use http::Uri;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one tenant that are answered at once, and that may wait beside them.
const AT_ONCE: usize = 16;
const WAITING: usize = 64;
/// How long one may wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// Watches, followed logs and sessions in pods of one tenant.
const LASTING: usize = 400;

/// Everybody's shares.
#[derive(Debug)]
pub(crate) struct Fairness {
    tenants: Mutex<HashMap<String, Arc<Share>>>,
    patience: Duration,
}

impl Default for Fairness {
    fn default() -> Self {
        Self {
            tenants: Mutex::default(),
            patience: PATIENCE,
        }
    }
}

#[derive(Debug, Clone)]
struct Share {
    turns: Arc<Semaphore>,
    /// Of those answered and those waiting.
    places: Arc<Semaphore>,
    lasting: Arc<Semaphore>,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            lasting: Arc::new(Semaphore::new(LASTING)),
        }
    }
}

/// The right to be answered now; over when the answer has been sent.
#[derive(Debug, Default)]
pub(crate) struct Turn(Option<Held>);

#[derive(Debug)]
struct Held {
    fairness: Arc<Fairness>,
    tenant: String,
    share: Option<Arc<Share>>,
    permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Drop for Held {
    fn drop(&mut self) {
        self.permits = [None, None];
        let mut tenants = self.fairness.tenants();
        self.share = None;
        // The last of a tenant takes its share along: the table has only who is here.
        if tenants
            .get(&self.tenant)
            .is_some_and(|share| Arc::strong_count(share) == 1)
        {
            tenants.remove(&self.tenant);
        }
    }
}

impl Fairness {
    fn tenants(&self) -> MutexGuard<'_, HashMap<String, Arc<Share>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a request.
    ///
    /// # Errors
    /// 429 if too many of the tenant's wait already, or this has waited too long.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        user: &User,
        from: Option<IpAddr>,
        uri: &Uri,
    ) -> Result<Turn, Status> {
        if is_exempt(user, uri) {
            return Ok(Turn(None));
        }
        let tenant = tenant(user, from);
        let kept = Arc::clone(self.tenants().entry(tenant.clone()).or_default());
        let share = Share::clone(&kept);
        let mut held = Held {
            fairness: Arc::clone(self),
            tenant,
            share: Some(kept),
            permits: [None, None],
        };
        if lasts(uri) {
            let permit = Arc::clone(&share.lasting).try_acquire_owned();
            let permit = permit.map_err(|_| {
                too_many(format!(
                    "{} has {LASTING} watches, followed logs and sessions open, which is the most",
                    held.tenant
                ))
            })?;
            held.permits = [Some(permit), None];
            return Ok(Turn(Some(held)));
        }
        let refuse = |held: &Held| {
            too_many(format!(
                "{AT_ONCE} requests of {} are being answered and others wait",
                held.tenant
            ))
        };
        let place = Arc::clone(&share.places)
            .try_acquire_owned()
            .map_err(|_| refuse(&held))?;
        let turn = tokio::time::timeout(self.patience, Arc::clone(&share.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(refuse(&held));
        };
        held.permits = [Some(place), Some(turn)];
        Ok(Turn(Some(held)))
    }
}

impl Turn {
    /// The answer, which now lasts as long as the turn.
    pub(crate) fn held_by(self, answer: Answer) -> Answer {
        match self.0 {
            None => answer,
            Some(held) => answer.map(|body| Holding { body, _held: held }.boxed_unsync()),
        }
    }
}

struct Holding {
    body: Body,
    _held: Held,
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn too_many(what: String) -> Status {
    let mut status = Status::new(
        429,
        "TooManyRequests",
        format!("Too many requests, please try again later: {what}"),
    );
    status.retry_after = Some(1);
    status
}

fn is_exempt(user: &User, uri: &Uri) -> bool {
    user.is_in("system:masters")
        || user.is_in("system:nodes")
        || matches!(uri.path(), "/healthz" | "/livez" | "/readyz")
}

/// Who shares turns.
fn tenant(user: &User, from: Option<IpAddr>) -> String {
    if let Some((namespace, _)) = user
        .name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
    {
        return format!("system:serviceaccounts:{namespace}");
    }
    match from {
        // Nobody in particular: as many as there are addresses.
        Some(address) if user.is_in("system:unauthenticated") => format!("{} at {address}", user.name),
        _ => user.name.clone(),
    }
}

/// Whether a request is answered for as long as its client listens.
fn lasts(uri: &Uri) -> bool {
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    if matches!(last, "exec" | "attach" | "portforward") {
        return true;
    }
    let follows = last == "log";
    uri.query().unwrap_or_default().split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let wanted = !matches!(value, "false" | "0");
        wanted && (name == "watch" || (follows && name == "follow"))
    }) || uri.path().split('/').any(|part| part == "watch")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(namespace: &str, name: &str) -> User {
        User::known(format!("system:serviceaccount:{namespace}:{name}"), Vec::new())
    }

    #[tokio::test]
    async fn one_tenants_flood_is_nobody_elses_wait() {
        let fairness = Arc::new(Fairness {
            patience: Duration::from_millis(20),
            ..Fairness::default()
        });
        let uri = Uri::from_static("/api/v1/pods");
        let mut held = Vec::new();
        for n in 0..AT_ONCE {
            let name = format!("a{n}");
            held.push(fairness.turn(&account("a", &name), None, &uri).await.unwrap());
        }
        let refused = fairness
            .turn(&account("a", "more"), None, &uri)
            .await
            .unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (429, Some(1)));
        assert!(refused.message.starts_with("Too many requests"), "{refused}");
        assert!(fairness.turn(&account("b", "b"), None, &uri).await.is_ok());
        let admin = User::known("kubernetes-admin", vec!["system:masters".to_owned()]);
        assert!(fairness.turn(&admin, None, &uri).await.is_ok());
        let watch = Uri::from_static("/api/v1/pods?watch=true");
        let watching = fairness.turn(&account("a", "w"), None, &watch).await.unwrap();
        held.pop();
        assert!(fairness.turn(&account("a", "more"), None, &uri).await.is_ok());
        drop((held, watching));
        assert!(fairness.tenants().is_empty(), "shares go with their tenants");
    }

    #[test]
    fn what_lasts() {
        let of = |text: &str| lasts(&text.parse().unwrap());
        assert!(of("/api/v1/namespaces/a/pods/p/exec?command=ls"));
        assert!(of("/api/v1/pods?watch=1") && of("/api/v1/watch/pods") && of("/api/v1/p/log?follow=true"));
        assert!(!of("/api/v1/pods?watch=false") && !of("/api/v1/p/log") && !of("/api/v1/pods?follow=true"));
    }
}
