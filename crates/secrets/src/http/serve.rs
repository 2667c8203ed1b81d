//! Serves the router on a listener, plain or with TLS, until cancelled; then lets requests under way finish, those that
//! change something also without their clients.

use super::{PeerCertificates, respond};
use crate::server::Server;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take after the end was asked for.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take for the head of a request, and how long its connection may lie idle between two.
const HEAD: Duration = Duration::from_secs(10);
/// How often a client of HTTP/2 is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// See the module.
pub(crate) async fn serve(
    server: Server,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    cancel: CancellationToken,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let graceful = Arc::new(GracefulShutdown::new());
    let mut tasks = JoinSet::new();
    loop {
        let (stream, address) = tokio::select! {
            () = cancel.cancelled() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let server = server.clone();
        let acceptor = acceptor.clone();
        let watcher = graceful.watcher();
        tasks.spawn(async move {
            let service = |peer: PeerCertificates| {
                hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                    request.extensions_mut().insert(ConnectInfo(address));
                    if !peer.0.is_empty() {
                        request.extensions_mut().insert(peer.clone());
                    }
                    let server = server.clone();
                    async move {
                        let answer = route(&server, request).await;
                        Ok::<_, std::convert::Infallible>(answer.map(Full::new))
                    }
                })
            };
            // Errors here are the client's: it hung up or spoke nonsense.
            if let Some(acceptor) = acceptor {
                let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
                    return;
                };
                let session = stream.get_ref().1;
                let second = session.alpn_protocol() == Some(b"h2".as_slice());
                let peer = session
                    .peer_certificates()
                    .map(|chain| chain.iter().map(|certificate| certificate.to_vec()).collect())
                    .unwrap_or_default();
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder
                    .http1()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .http2()
                    .timer(TokioTimer::new())
                    .keep_alive_interval(PING.0)
                    .keep_alive_timeout(PING.1);
                // As negotiated: to look at the first bytes would mean to wait for them without a limit.
                let builder = if second {
                    builder.http2_only()
                } else {
                    builder.http1_only()
                };
                let connection = builder
                    .serve_connection(TokioIo::new(stream), service(PeerCertificates(peer)))
                    .into_owned();
                let _ = watcher.watch(connection).await;
            } else {
                // Without TLS nobody negotiates HTTP/2.
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    // Nothing ends early because its client does not listen any more, so nobody has to look.
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service(PeerCertificates::default()));
                let _ = watcher.watch(connection).await;
            }
        });
    }
    drop(listener);
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }
    tasks.shutdown().await;
    // Their clients are gone; what they began is not.
    server.drained().await;
}

/// What the router does, without its machinery: the API is below one path.
async fn route(server: &Server, request: http::Request<hyper::body::Incoming>) -> http::Response<Bytes> {
    match request.uri().path() {
        path if path.starts_with("/v1/") && path.len() > 4 => respond(server, request).await,
        "/" => http::Response::new(Bytes::from_static(super::GREETING)),
        _ => super::failure(404, Vec::new()),
    }
}
