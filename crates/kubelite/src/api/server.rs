//! Connections: accepts on TLS and unix listeners, says who is at the other end, and drains at the end.

use super::answer::{self, Body};
use super::dispatch;
use crate::auth::{Agents, Attributes, Rbac, Tokens, User, user_of_certificate};
use crate::registry::{Registry, Status};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long a client may take to say hello.
const HANDSHAKE: Duration = Duration::from_secs(10);
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
    /// The data directory, for pod logs.
    pub dir: PathBuf,
    /// Ends watches and logs when the server stops.
    pub stop: CancellationToken,
}

/// The API server: serves any number of listeners.
#[derive(Debug, Clone)]
pub struct ApiServer {
    context: Arc<Context>,
    tls: Arc<rustls::ServerConfig>,
}

impl ApiServer {
    /// Over this context, with this certificate.
    #[must_use]
    pub fn new(context: Context, tls: Arc<rustls::ServerConfig>) -> Self {
        Self {
            context: Arc::new(context),
            tls,
        }
    }

    /// Serves HTTPS on a listener until `cancel`, then drains.
    pub async fn serve_tls(self, listener: TcpListener, cancel: CancellationToken) {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else {
                // Out of descriptors, most likely: those in use must end first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _best_effort = socket.set_nodelay(true);
            let (acceptor, context, cancel) = (acceptor.clone(), Arc::clone(&self.context), cancel.clone());
            connections.spawn(async move {
                let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await else {
                    return;
                };
                let (_, session) = stream.get_ref();
                let certificate = session.peer_certificates().and_then(<[_]>::first);
                let peer = certificate.and_then(|der| user_of_certificate(der));
                connection(stream, peer, context, cancel).await;
            });
        }
        drain(connections).await;
    }

    /// Serves plain HTTP on a unix socket until `cancel`, then drains.
    pub async fn serve_unix(self, listener: UnixListener, cancel: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            connections.spawn(connection(
                socket,
                None,
                Arc::clone(&self.context),
                cancel.clone(),
            ));
        }
        drain(connections).await;
    }
}

async fn drain(mut connections: JoinSet<()>) {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection<S>(stream: S, peer: Option<User>, context: Arc<Context>, cancel: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1000);
    let service = service_fn(move |request| respond(Arc::clone(&context), peer.clone(), request));
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
        () = cancel.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ended = serving.await;
        }
    }
}

async fn respond(
    context: Arc<Context>,
    peer: Option<User>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let answered = match authenticate(&context, peer, &request) {
        Ok(user) => dispatch::answer(&context, user, request).await,
        Err(refusal) => Err(refusal),
    };
    Ok(answered.unwrap_or_else(|refusal| answer::status(&refusal)))
}

fn authenticate(context: &Context, peer: Option<User>, request: &Request<Incoming>) -> Result<User, Status> {
    let user = match peer {
        Some(user) => user,
        None => bearer(context, request)?,
    };
    impersonate(context, user, request.headers())
}

fn bearer(context: &Context, request: &Request<Incoming>) -> Result<User, Status> {
    let Some(header) = request.headers().get(http::header::AUTHORIZATION) else {
        return Ok(User::anonymous());
    };
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
