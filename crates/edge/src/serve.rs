//! Listeners: whose connections become requests, and how what belongs to them ends. How connections are taken and bounded
//! is `herder_listen`'s.

use crate::edge::{Edge, Inner};
use crate::proxy::{Body, Client, handle, no_room};
use crate::tls::{CertificateError, server_config};
use herder_listen::{Arriving, Handler, Peer, Plain, Refusal, Settings};
use http::{Request, Response};
use rustls::server::ResolvesServerCert;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections to endpoints may take to end once nobody has a request on them.
const LAST: Duration = Duration::from_millis(200);

/// The tasks of one listener. They end when they are done, or together when `kill` is given.
#[derive(Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    /// Asks for an orderly end.
    pub(crate) stop: CancellationToken,
    /// Ends at once.
    kill: CancellationToken,
}

impl Tasks {
    /// Runs a task that the listener waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = task => {}
                () = kill.cancelled() => {}
            }
        });
    }
}

impl Edge {
    /// Serves plain HTTP/1.1 and HTTP/2 until cancelled; then no new connection is taken, requests in flight finish
    /// within the drain limit, and everything is closed.
    pub async fn serve_http(&self, listener: TcpListener, cancel: CancellationToken) {
        self.serve(listener, None, cancel).await;
    }

    /// Serves HTTPS; `fallback` gives the certificate for names that no route has one for.
    ///
    /// # Errors
    /// If TLS cannot be set up; nothing was served then.
    pub async fn serve_https(
        &self,
        listener: TcpListener,
        fallback: Arc<dyn ResolvesServerCert>,
        cancel: CancellationToken,
    ) -> Result<(), CertificateError> {
        let config = server_config(Arc::clone(&self.0.routes), fallback)?;
        self.serve(listener, Some(Arc::new(config)), cancel).await;
        Ok(())
    }

    async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        cancel: CancellationToken,
    ) {
        let tasks = Tasks {
            tracker: TaskTracker::new(),
            stop: cancel.clone(),
            kill: CancellationToken::new(),
        };
        let limits = &self.0.limits;
        let settings = Settings {
            name: "the edge",
            limits: herder_listen::Limits {
                connections: limits.connections,
                per_peer: limits.connections / 4,
                header: limits.header,
                header_size: limits.header_size,
                // Bodies are passed on as they come, however large.
                body_total: None,
                streams: 250,
                ..herder_listen::Limits::default()
            },
            tls,
            plain: Plain::Either,
            half_close: false,
            drain: limits.drain,
        };
        let (edge, inner, peers) = (Arc::clone(&self.0), tasks.clone(), Arc::clone(&self.0));
        let make = move |peer: Peer| Connection {
            edge: Arc::clone(&edge),
            client: Client {
                address: peer
                    .address
                    .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip()),
                tls: peer.tls,
                tasks: inner.clone(),
            },
        };
        let ended = cancel.clone();
        let serving = herder_listen::serve(listener, settings, make, cancel);
        let closing = async {
            ended.cancelled().await;
            peers.peers.keep(|_| false);
            Instant::now() + limits.drain
        };
        let ((), until) = tokio::join!(serving, closing);
        tasks.tracker.close();
        // What is left are tunnels, and connections to endpoints that are being closed.
        let until = until.max(Instant::now() + LAST);
        if tokio::time::timeout_at(until, tasks.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                left = tasks.tracker.len(),
                "cutting off what did not finish in time"
            );
            tasks.kill.cancel();
            tasks.tracker.wait().await;
        }
    }
}

/// One client's connection.
#[derive(Clone)]
struct Connection {
    edge: Arc<Inner>,
    client: Client,
}

impl Handler for Connection {
    type Body = Body;

    async fn answer(self, request: Request<Arriving>) -> Response<Body> {
        handle(self.edge, self.client, request).await
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        no_room(refusal)
    }
}
