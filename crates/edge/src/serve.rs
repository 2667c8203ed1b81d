//! Listeners: accepts, shakes hands, serves, and drains when asked to stop.

use crate::edge::Edge;
use crate::proxy::{Client, handle};
use crate::tls::{CertificateError, server_config};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::server::ResolvesServerCert;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
        self.serve(listener, Some(TlsAcceptor::from(Arc::new(config))), cancel)
            .await;
        Ok(())
    }

    async fn serve(&self, listener: TcpListener, tls: Option<TlsAcceptor>, cancel: CancellationToken) {
        let tasks = Tasks {
            tracker: TaskTracker::new(),
            stop: cancel.clone(),
            kill: CancellationToken::new(),
        };
        let room = Arc::new(Semaphore::new(self.0.limits.connections));
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                accepted = async {
                    let permit = Arc::clone(&room).acquire_owned().await.ok();
                    (permit, listener.accept().await)
                } => accepted,
            };
            match accepted {
                (permit, Ok((stream, from))) => {
                    let (edge, tls, inner) = (self.clone(), tls.clone(), tasks.clone());
                    tasks.spawn(async move {
                        edge.connection(stream, from, tls, inner).await;
                        drop(permit);
                    });
                }
                (_, Err(error)) => {
                    // Out of file descriptors, or a client that went away: both pass.
                    tracing::debug!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        drop(listener);
        self.0.peers.keep(|_| false);
        tasks.tracker.close();
        if tokio::time::timeout(self.0.limits.drain, tasks.tracker.wait())
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

    async fn connection(&self, stream: TcpStream, from: SocketAddr, tls: Option<TlsAcceptor>, tasks: Tasks) {
        let _ = stream.set_nodelay(true);
        match tls {
            None => {
                self.exchange(
                    stream,
                    Client {
                        address: from.ip(),
                        tls: false,
                        tasks,
                    },
                )
                .await
            }
            Some(acceptor) => {
                match tokio::time::timeout(Duration::from_secs(10), acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        self.exchange(
                            stream,
                            Client {
                                address: from.ip(),
                                tls: true,
                                tasks,
                            },
                        )
                        .await
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            }
        }
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, client: Client) {
        let limits = &self.0.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_buf_size(limits.header_size.max(8 << 10));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(250)
            .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(Duration::from_secs(20)))
            .keep_alive_timeout(Duration::from_secs(20));
        let stop = client.tasks.stop.clone();
        let service = service_fn(|request| {
            let (edge, client) = (Arc::clone(&self.0), client.clone());
            async move { Ok::<_, Infallible>(handle(edge, client, request).await) }
        });
        let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a client's connection ended early");
        }
    }
}
