//! One request: finds its route, tries endpoints until one answers, and passes the answer on.

mod body;
mod cookies;
mod headers;
mod pages;
mod send;
mod upgrade;

pub(crate) use body::Body;

use crate::edge::Inner;
use crate::metrics::Counters;
use crate::routes::{Route, Routes};
use crate::serve::Tasks;
use body::{Payload, Tracked, full};
use herder_listen::{Arriving, Refusal};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use pages::{Page, page};
use send::{Failure, send};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// The counters' name for requests that matched no route.
pub(crate) const NO_ROUTE: &str = "no route";

/// Who asks, and over what.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) tls: bool,
    pub(crate) tasks: Tasks,
}

/// A request counted as active until dropped.
pub(crate) struct Active(Arc<Counters>);

impl Active {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.requests.fetch_add(1, Relaxed);
        counters.active.fetch_add(1, Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

/// Answers a request, always.
pub(crate) async fn handle(edge: Arc<Inner>, client: Client, request: Request<Arriving>) -> Response<Body> {
    let html = pages::wants_html(request.headers());
    let head = request.method() == Method::HEAD;
    let fail = |counters: &Counters, what: Page<'_>| {
        counters.errors.fetch_add(1, Relaxed);
        counters.status(what.status().as_u16());
        page(&what, html, head)
    };
    let Some(host) = headers::host(&request) else {
        return fail(&edge.metrics.of(NO_ROUTE), Page::BadHost);
    };
    if request.method() == Method::CONNECT {
        return fail(&edge.metrics.of(NO_ROUTE), Page::BadMethod);
    }
    let path = request.uri().path().to_owned();
    if has_dots(&path) {
        return fail(&edge.metrics.of(NO_ROUTE), Page::BadPath);
    }
    let routes = edge.routes.load_full();
    let Some(route) = routes.find(headers::without_port(&host), &path).cloned() else {
        let counters = edge.metrics.of(NO_ROUTE);
        counters.requests.fetch_add(1, Relaxed);
        return fail(
            &counters,
            Page::NoRoute {
                host: &host,
                path: &path,
            },
        );
    };
    drop(routes);
    let counters = edge.metrics.of(&route.name);
    let active = Active::new(&counters);
    let (request, upgrade) = headers::outgoing(request, &host, &client);
    let target = Target { host, path };
    let outcome = if let Some(upgrade) = upgrade {
        upgrade::tunnel(&edge, &client, &target, request, upgrade).await
    } else {
        match Payload::read(request, edge.limits.replay).await {
            Ok(payload) => exchange(&edge, &client, &target, route, payload, &counters).await,
            Err(reason) => Err(Trouble::Client(reason)),
        }
    };
    match outcome {
        Ok(mut response) => {
            headers::incoming(&mut response);
            counters.status(response.status().as_u16());
            response.map(|body| Tracked::active(body, active))
        }
        Err(trouble) => {
            let what = match &trouble {
                Trouble::Gone => Page::NoRoute {
                    host: &target.host,
                    path: &target.path,
                },
                Trouble::Nobody { backend, reason } => Page::NoEndpoint { backend, reason },
                Trouble::Broken { backend, reason } => Page::Broken { backend, reason },
                Trouble::Slow { backend, seconds } => Page::Slow {
                    backend,
                    seconds: *seconds,
                },
                Trouble::Client(reason) => Page::BadBody { reason },
            };
            tracing::debug!(host = %target.host, path = %target.path, status = %what.status(), "request failed");
            fail(&counters, what)
        }
    }
}

/// Whether a path has a part that leads to itself or up, in any spelling that some server takes for one. Routes are
/// chosen by the path as it is, and `/public/../admin` may be `/admin` to the application.
fn has_dots(path: &str) -> bool {
    let mut plain = path.to_ascii_lowercase();
    for (spelling, meaning) in [
        ("%2e", "."),
        ("%2f", "/"),
        ("%5c", "/"),
        ("\\", "/"),
        ("%3b", ";"),
    ] {
        plain = plain.replace(spelling, meaning);
    }
    plain
        .split('/')
        .map(|part| part.split(';').next().unwrap_or_default())
        .any(|part| matches!(part, "." | ".."))
}

/// What the client asked for.
pub(crate) struct Target {
    host: String,
    path: String,
}

impl Target {
    /// The route of this moment: endpoints change while a request is tried.
    fn route(&self, routes: &Routes) -> Option<Arc<Route>> {
        routes
            .find(headers::without_port(&self.host), &self.path)
            .cloned()
    }
}

/// Why there is no answer.
pub(crate) enum Trouble {
    /// The route went away meanwhile.
    Gone,
    /// No endpoint is live.
    Nobody { backend: String, reason: String },
    /// An endpoint broke off, and asking another is not safe.
    Broken { backend: String, reason: String },
    /// An endpoint did not answer.
    Slow { backend: String, seconds: u64 },
    /// The client's body could not be read.
    Client(String),
}

/// Which endpoints were tried, and until when to try again.
pub(crate) struct Attempts {
    tried: Vec<SocketAddr>,
    deadline: Instant,
    last: Option<String>,
    count: usize,
}

impl Attempts {
    fn new(wait: Duration) -> Self {
        Self {
            tried: Vec::new(),
            deadline: Instant::now() + wait,
            last: None,
            count: 0,
        }
    }

    /// The next endpoint of the current routes, waiting for one to appear or come back.
    async fn next(
        &mut self,
        edge: &Inner,
        target: &Target,
    ) -> Result<(crate::peers::InFlight, String), Trouble> {
        let mut changed = edge.changed.subscribe();
        loop {
            let routes = edge.routes.load_full();
            let route = target.route(&routes).ok_or(Trouble::Gone)?;
            drop(routes);
            if let Some(peer) = edge.peers.choose(&route.backend.endpoints, &self.tried) {
                self.count += 1;
                return Ok((peer, route.backend.name.clone()));
            }
            if Instant::now() >= self.deadline {
                let reason = self
                    .last
                    .take()
                    .filter(|_| !route.backend.endpoints.is_empty())
                    .or_else(|| route.backend.problem.clone())
                    .unwrap_or_else(|| "no endpoint answers".to_owned());
                return Err(Trouble::Nobody {
                    backend: route.backend.name.clone(),
                    reason,
                });
            }
            // All were tried: once more in a moment, or as soon as the cluster says something new.
            let pause =
                Duration::from_millis(100).min(self.deadline.saturating_duration_since(Instant::now()));
            let _ = tokio::time::timeout(pause.max(Duration::from_millis(1)), changed.changed()).await;
            self.tried.clear();
        }
    }

    fn failed(&mut self, address: SocketAddr, reason: String) {
        self.tried.push(address);
        self.last = Some(reason);
    }
}

async fn exchange(
    edge: &Arc<Inner>,
    client: &Client,
    target: &Target,
    route: Arc<Route>,
    mut payload: Payload,
    counters: &Counters,
) -> Result<Response<Body>, Trouble> {
    let replayable = payload.replayable();
    let mut attempts = Attempts::new(edge.limits.wait);
    let mut reuse = true;
    drop(route);
    loop {
        let (peer, backend) = attempts.next(edge, target).await?;
        if attempts.count > 1 {
            counters.retries.fetch_add(1, Relaxed);
        }
        let address = peer.peer().address;
        let Some(request) = payload.request() else {
            return Err(Trouble::Broken {
                backend,
                reason: "the request's body was sent already".to_owned(),
            });
        };
        let sending = send(edge, &client.tasks, peer.peer(), request, reuse);
        let result = if replayable {
            tokio::select! {
                result = sending => result,
                () = left(edge, target, address) => Err(Failure::Broken {
                    reason: "left the cluster without an answer".to_owned(),
                    reused: false,
                }),
            }
        } else {
            sending.await
        };
        match result {
            Ok((response, sender)) => {
                let size = response.body().size_hint().exact();
                let small = size.is_some_and(|size| size <= edge.limits.replay as u64);
                let (head, incoming) = response.into_parts();
                if !(replayable && small) {
                    let body = Tracked::streaming(incoming, peer, sender);
                    return Ok(Response::from_parts(head, body));
                }
                // A small answer to a repeatable request is read whole first, so that an endpoint that dies in the
                // middle of it costs nobody anything.
                match tokio::time::timeout(edge.limits.response, incoming.collect()).await {
                    Ok(Ok(collected)) => {
                        peer.peer().checkin(sender);
                        return Ok(Response::from_parts(head, body::collected(collected)));
                    }
                    Ok(Err(error)) => {
                        edge.peers.eject(peer.peer());
                        attempts.failed(address, format!("{address} broke off its answer: {error}"));
                    }
                    Err(_) => return Err(slow(backend, edge.limits.response)),
                }
            }
            Err(Failure::NotSent { request, reason }) => {
                payload.restore(request);
                edge.peers.eject(peer.peer());
                attempts.failed(address, format!("{address}: {reason}"));
            }
            Err(Failure::Broken { reason, reused }) if replayable => {
                if reused {
                    // Most likely an idle connection that was being closed: a new one tells.
                    reuse = false;
                    attempts.last = Some(reason);
                } else {
                    edge.peers.eject(peer.peer());
                    attempts.failed(address, format!("{address}: {reason}"));
                }
            }
            Err(Failure::Broken { reason, .. }) => {
                edge.peers.eject(peer.peer());
                return Err(Trouble::Broken { backend, reason });
            }
            Err(Failure::Slow) => return Err(slow(backend, edge.limits.response)),
        }
    }
}

/// Ends some time after an endpoint left the routes while others are there: it had its chance to finish.
async fn left(edge: &Inner, target: &Target, address: SocketAddr) {
    let mut changed = edge.changed.subscribe();
    loop {
        let route = target.route(&edge.routes.load());
        if route.is_some_and(|route| {
            !route.backend.endpoints.is_empty() && !route.backend.endpoints.contains(&address)
        }) {
            return tokio::time::sleep(edge.limits.leave).await;
        }
        if changed.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn slow(backend: String, after: Duration) -> Trouble {
    Trouble::Slow {
        backend,
        seconds: after.as_secs(),
    }
}

/// Says that nobody more can be served now.
pub(crate) fn no_room(refusal: Refusal) -> Response<Body> {
    let status = match refusal {
        Refusal::Peer => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Full => StatusCode::SERVICE_UNAVAILABLE,
    };
    let text = format!("Not available now: {refusal}.\n");
    answer(status, "text/plain; charset=utf-8", text, false)
}

/// An answer of the edge's own.
fn answer(status: StatusCode, kind: &'static str, text: String, head: bool) -> Response<Body> {
    let length = text.len();
    let mut response = Response::new(if head { body::empty() } else { full(text) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(length));
    headers.insert(
        http::header::CACHE_CONTROL,
        http::HeaderValue::from_static("no-store"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::has_dots;

    #[test]
    fn dots_are_found_in_every_spelling() {
        for path in [
            "/public/../admin",
            "/public/%2e%2E/admin",
            "/public/.%2e",
            "/a/./b",
            "/a/..;x=1/b",
            "/a%2f..%2fb",
            "/a\\..\\b",
            "/a/%2e%2e%5cb",
            "/..",
        ] {
            assert!(has_dots(path), "{path}");
        }
        for path in [
            "/",
            "/a..b/...",
            "/.well-known/x",
            "/a.b/c;..",
            "/a/%2e%2e%2e",
            "/v1.2/x..y",
        ] {
            assert!(!has_dots(path), "{path}");
        }
    }
}
