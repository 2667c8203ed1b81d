//! A browser's stand-in: HTTP and HTTPS requests to the edge with a host name of choice.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET http://HOST/PATH` through the edge at `edge`.
pub(crate) async fn get(edge: SocketAddr, host: &str, path: &str) -> Result<Answer> {
    request(edge, host, Method::GET, path, Bytes::new(), None).await
}

/// `POST http://HOST/PATH`.
pub(crate) async fn post(edge: SocketAddr, host: &str, path: &str, body: &'static str) -> Result<Answer> {
    request(
        edge,
        host,
        Method::POST,
        path,
        Bytes::from_static(body.as_bytes()),
        None,
    )
    .await
}

/// `GET https://HOST/PATH`, trusting exactly `roots`.
pub(crate) async fn get_tls(
    edge: SocketAddr,
    host: &str,
    path: &str,
    roots: rustls::RootCertStore,
) -> Result<Answer> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    request(
        edge,
        host,
        Method::GET,
        path,
        Bytes::new(),
        Some(Arc::new(config)),
    )
    .await
}

async fn request(
    edge: SocketAddr,
    host: &str,
    method: Method,
    path: &str,
    body: Bytes,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Result<Answer> {
    let work = async {
        let stream = TcpStream::connect(edge)
            .await
            .with_context(|| format!("cannot connect to the edge at {edge}"))?;
        let request = Request::builder().method(method).uri(path).header("host", host);
        match tls {
            None => exchange(TokioIo::new(stream), request.body(Full::new(body))?).await,
            Some(config) => {
                let name = rustls::pki_types::ServerName::try_from(host.to_owned())?;
                let stream = tokio_rustls::TlsConnector::from(config)
                    .connect(name, stream)
                    .await
                    .context("TLS to the edge failed")?;
                exchange(TokioIo::new(stream), request.body(Full::new(body))?).await
            }
        }
    };
    tokio::time::timeout(PATIENCE, work)
        .await
        .with_context(|| format!("{host}{path} did not answer in {PATIENCE:?}"))?
}

async fn exchange<S>(stream: TokioIo<S>, request: Request<Full<Bytes>>) -> Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        drop(sender);
        Ok::<_, anyhow::Error>(Answer { status, body })
    };
    let (answer, _closed) = tokio::join!(exchange, connection);
    answer
}

/// One keep-alive connection on which requests follow each other, as a load generator's worker.
pub(crate) struct Worker {
    edge: SocketAddr,
    host: String,
    open: Option<(
        hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
        tokio::task::JoinHandle<()>,
    )>,
}

impl Worker {
    pub(crate) fn new(edge: SocketAddr, host: &str) -> Self {
        Self {
            edge,
            host: host.to_owned(),
            open: None,
        }
    }

    /// One GET; opens the connection if there is none.
    pub(crate) async fn get(&mut self, path: &str) -> Result<StatusCode> {
        if self.open.as_ref().is_none_or(|(sender, _)| sender.is_closed()) {
            let stream = TcpStream::connect(self.edge).await?;
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            #[expect(
                clippy::disallowed_methods,
                reason = "the worker keeps the handle and aborts it when dropped"
            )]
            let driver = tokio::spawn(async move {
                // How a connection ends shows in the request that was on it.
                let _ended = connection.await;
            });
            self.open = Some((sender, driver));
        }
        let (sender, _) = self.open.as_mut().context("no connection")?;
        sender.ready().await?;
        let request = Request::builder()
            .uri(path)
            .header("host", &self.host)
            .body(Empty::new())?;
        let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await??;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some((_, driver)) = self.open.take() {
            driver.abort();
        }
    }
}
