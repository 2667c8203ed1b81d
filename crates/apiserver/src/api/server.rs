//! Connections: says who is at the other end of TLS and unix listeners, and whose turn it is. How connections are taken
//! and bounded is `herder_listen`'s.

use super::alive;
use super::answer::{self, Body};
use super::dispatch;
use super::fairness::Fairness;
use crate::auth::{Agents, Attributes, Rbac, Tokens, User, user_of_certificate};
use crate::images::Images;
use crate::registry::{Registry, Status};
use herder_listen::{Arriving, Handler, Limits, Peer, Plain, Refusal, Settings, Socket};
use herder_node::fabric::Fabric;
use http::{Request, Response};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long open requests get to end after the order to stop.
const DRAIN: Duration = Duration::from_secs(3);

/// What requests are answered from.
#[derive(Debug, Clone)]
pub struct Context {
    /// The objects.
    pub registry: Registry,
    /// Who may do what.
    pub rbac: Rbac,
    /// Bearer tokens of service accounts.
    pub tokens: Arc<Tokens>,
    /// Bearer tokens of node agents.
    pub agents: Arc<Agents>,
    /// Who pulls images.
    pub images: Images,
    /// The network, to reach pods; `None` without nodes.
    pub fabric: Option<Fabric>,
    /// The data directory, for pod logs.
    pub dir: PathBuf,
    /// Ends watches, logs and sessions when the server stops.
    pub stop: CancellationToken,
    /// Commands, attached containers and forwarded ports that are under way.
    pub sessions: TaskTracker,
}

/// The API server: serves any number of listeners.
#[derive(Debug, Clone)]
pub struct ApiServer {
    context: Arc<Context>,
    fairness: Arc<Fairness>,
    tls: Arc<rustls::ServerConfig>,
}

impl ApiServer {
    /// Over this context, with this certificate.
    #[must_use]
    pub fn new(context: Context, tls: Arc<rustls::ServerConfig>) -> Self {
        Self {
            context: Arc::new(context),
            fairness: Arc::default(),
            tls,
        }
    }

    /// Serves HTTPS on a listener until `cancel`, then drains.
    pub async fn serve_tls(self, listener: TcpListener, cancel: CancellationToken) {
        let tls = Some(Arc::clone(&self.tls));
        self.serve(listener, tls, cancel).await;
    }

    /// Serves plain HTTP on a unix socket until `cancel`, then drains.
    pub async fn serve_unix(self, listener: UnixListener, cancel: CancellationToken) {
        self.serve(listener, None, cancel).await;
    }

    async fn serve(
        self,
        socket: impl Into<Socket>,
        tls: Option<Arc<rustls::ServerConfig>>,
        cancel: CancellationToken,
    ) {
        let settings = Settings {
            name: "the Kubernetes API",
            limits: Limits {
                streams: 250,
                ..Limits::default()
            },
            tls,
            plain: Plain::Either,
            half_close: false,
            drain: DRAIN,
        };
        let context = Arc::clone(&self.context);
        let make = move |peer: Peer| Connection {
            context: Arc::clone(&context),
            fairness: Arc::clone(&self.fairness),
            user: peer
                .certificates
                .first()
                .and_then(|der| user_of_certificate(der))
                .map(Arc::new),
            from: peer.address.map(|address| address.ip()),
        };
        let sessions = self.context.sessions.clone();
        herder_listen::serve(socket, settings, make, cancel).await;
        sessions.close();
        if tokio::time::timeout(DRAIN, sessions.wait()).await.is_err() {
            tracing::warn!("sessions in pods did not end in time");
        }
    }
}

/// One connection, and whom its certificate names.
#[derive(Clone)]
struct Connection {
    context: Arc<Context>,
    fairness: Arc<Fairness>,
    user: Option<Arc<User>>,
    from: Option<IpAddr>,
}

impl Handler for Connection {
    type Body = Body;

    async fn answer(self, request: Request<Arriving>) -> Response<Body> {
        respond(self, request)
            .await
            .unwrap_or_else(|refusal| answer::status(&refusal))
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        let (code, reason) = match refusal {
            Refusal::Peer => (429, "TooManyRequests"),
            Refusal::Full => (503, "ServiceUnavailable"),
        };
        let mut status = Status::new(code, reason, refusal.to_string());
        status.retry_after = Some(u32::from(Refusal::RETRY_AFTER));
        answer::status(&status)
    }
}

async fn respond(connection: Connection, request: Request<Arriving>) -> Result<Response<Body>, Status> {
    let context = &connection.context;
    let user = authenticate(context, connection.user.as_deref().cloned(), &request)?;
    let mut turn = connection
        .fairness
        .turn(&user, connection.from, request.uri())
        .await?;
    let bearer = request.headers().get(http::header::AUTHORIZATION).cloned();
    // A certificate goes before a token.
    let bearer = bearer.filter(|_| connection.user.is_none());
    let answer = dispatch::answer(context, user, request, &mut turn).await?;
    Ok(turn.held_by(alive::keep(context, bearer, answer)))
}

fn authenticate(context: &Context, peer: Option<User>, request: &Request<Arriving>) -> Result<User, Status> {
    let user = match peer {
        Some(user) => user,
        None => match request.headers().get(http::header::AUTHORIZATION) {
            Some(header) => bearer(context, header)?,
            None => User::anonymous(),
        },
    };
    impersonate(context, user, request.headers())
}

pub(super) fn bearer(context: &Context, header: &http::HeaderValue) -> Result<User, Status> {
    let unauthorized = || Status::new(401, "Unauthorized", "Unauthorized");
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("Bearer "))
        .ok_or_else(unauthorized)?;
    let token = token.trim();
    if Agents::are_meant(token) {
        return context.agents.user(token).ok_or_else(unauthorized);
    }
    let now = context.registry.clock().now();
    let (user, _) = context
        .tokens
        .check(token, &[], &context.registry, now)
        .map_err(|error| {
            tracing::debug!(%error, "a bearer token was refused");
            unauthorized()
        })?;
    Ok(user)
}

/// Acts as somebody else (`kubectl --as`), if the user may.
fn impersonate(context: &Context, user: User, headers: &http::HeaderMap) -> Result<User, Status> {
    let text = |value: &http::HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
    let name = headers.get("impersonate-user").map(text);
    let mut groups: Vec<String> = headers.get_all("impersonate-group").iter().map(text).collect();
    let Some(name) = name else {
        if groups.is_empty() {
            return Ok(user);
        }
        return Err(Status::bad_request("Impersonate-Group needs Impersonate-User"));
    };
    let account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let mut wants = vec![match account {
        Some((namespace, account)) => ("serviceaccounts", namespace.to_owned(), account.to_owned()),
        None => ("users", String::new(), name.clone()),
    }];
    wants.extend(
        groups
            .iter()
            .map(|group| ("groups", String::new(), group.clone())),
    );
    for (resource, namespace, wanted) in wants {
        let want = Attributes {
            verb: "impersonate".to_owned(),
            resource: resource.to_owned(),
            namespace,
            name: wanted,
            ..Attributes::default()
        };
        let decision = context.rbac.decide(&user, &want);
        if !decision.allowed {
            let message = Rbac::refusal(&user, &want, &decision);
            return Err(Status::new(403, "Forbidden", message));
        }
    }
    if let Some((namespace, _)) = account
        && groups.is_empty()
    {
        groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
    }
    Ok(User::known(name, groups))
}
