//! The agent's side of the Kubernetes API, over the unix socket. Knows HTTP and JSON, not what objects mean.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// A request that is not a watch takes no longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a request failed.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    /// The socket.
    #[error("the API server cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The exchange.
    #[error("the API server broke off")]
    Broken(#[source] hyper::Error),
    /// No answer.
    #[error("the API server did not answer in time")]
    TimedOut,
    /// An answer that is no success.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        code: StatusCode,
        /// The server's words.
        message: String,
    },
    /// Not JSON, or not what was asked for.
    #[error("the API server's answer could not be read")]
    Unreadable(#[source] serde_json::Error),
    /// A request that cannot be made.
    #[error("a request could not be made")]
    Request(#[source] http::Error),
}

impl ApiError {
    /// The HTTP status, if the server answered.
    pub(crate) fn code(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The object does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        self.code() == Some(StatusCode::NOT_FOUND)
    }
}

/// Objects as they are.
const WHOLE: &str = "application/json";
/// Of objects only what they are called.
const NAMES: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// What kind of request: method, what is wanted back, and what is sent.
type Kind = (Method, &'static str, &'static str);

/// How a patch is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patch {
    /// RFC 7386.
    Merge,
}

/// The API server.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// The directory of `api.sock`.
    pub(crate) dir: PathBuf,
    /// Shown with every request.
    pub(crate) token: String,
}

impl Api {
    /// Reads an object or a list.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call((Method::GET, WHOLE, WHOLE), path, None).await
    }

    /// Reads a list without what is in the objects.
    pub(crate) async fn names(&self, path: &str) -> Result<Value, ApiError> {
        self.call((Method::GET, NAMES, WHOLE), path, None).await
    }

    /// Creates an object.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.call((Method::POST, WHOLE, WHOLE), path, Some(body)).await
    }

    /// Changes an object.
    pub(crate) async fn patch(&self, path: &str, kind: Patch, body: &Value) -> Result<Value, ApiError> {
        let Patch::Merge = kind;
        let content = "application/merge-patch+json";
        self.call((Method::PATCH, WHOLE, content), path, Some(body)).await
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, ApiError> {
        self.call((Method::DELETE, WHOLE, WHOLE), path, Some(options))
            .await
    }

    async fn call(&self, kind: Kind, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let exchange = async {
            let mut connection = JoinSet::new();
            let response = self.send(&mut connection, kind, path, body).await?;
            let status = response.status();
            let bytes = response
                .into_body()
                .collect()
                .await
                .map_err(ApiError::Broken)?
                .to_bytes();
            if !status.is_success() {
                return Err(refused(status, &bytes));
            }
            serde_json::from_slice(&bytes).map_err(ApiError::Unreadable)
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| ApiError::TimedOut)?
    }

    /// Watches a collection; `path` carries `watch=true` and the revision.
    pub(crate) async fn watch(&self, path: &str) -> Result<Watch, ApiError> {
        self.begin_watch(path, WHOLE).await
    }

    /// As `watch`, without what is in the objects.
    pub(crate) async fn watch_names(&self, path: &str) -> Result<Watch, ApiError> {
        self.begin_watch(path, NAMES).await
    }

    async fn begin_watch(&self, path: &str, accept: &'static str) -> Result<Watch, ApiError> {
        let mut connection = JoinSet::new();
        let begin = self.send(&mut connection, (Method::GET, accept, WHOLE), path, None);
        let response = tokio::time::timeout(PATIENCE, begin)
            .await
            .map_err(|_| ApiError::TimedOut)??;
        let status = response.status();
        if !status.is_success() {
            let bytes = response
                .into_body()
                .collect()
                .await
                .map_err(ApiError::Broken)?
                .to_bytes();
            return Err(refused(status, &bytes));
        }
        Ok(Watch {
            body: response.into_body(),
            rest: Vec::new(),
            _connection: connection,
        })
    }

    async fn send(
        &self,
        connection: &mut JoinSet<()>,
        (method, accept, content): Kind,
        path: &str,
        body: Option<&Value>,
    ) -> Result<http::Response<Incoming>, ApiError> {
        let stream = self.connect().await.map_err(ApiError::Unreachable)?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ApiError::Broken)?;
        connection.spawn(async move {
            // Its failure shows in the exchange as well.
            _ = driver.await;
        });
        let bytes = body
            .map(serde_json::to_vec)
            .transpose()
            .map_err(ApiError::Unreadable)?
            .unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("accept", accept)
            .header("content-type", content)
            .header("user-agent", "herder-node")
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(bytes)))
            .map_err(ApiError::Request)?;
        sender.send_request(request).await.map_err(ApiError::Broken)
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        // Through a descriptor: a socket's own path may have 107 bytes at most, and data directories lie deep.
        let dir = std::fs::File::open(&self.dir)?;
        UnixStream::connect(format!("/proc/self/fd/{}/api.sock", dir.as_raw_fd())).await
    }
}

fn refused(code: StatusCode, bytes: &[u8]) -> ApiError {
    let status: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let message = status
        .get("message")
        .and_then(Value::as_str)
        .map_or_else(|| format!("the API server answered {code}"), str::to_owned);
    ApiError::Refused { code, message }
}

/// A running watch.
#[derive(Debug)]
pub(crate) struct Watch {
    body: Incoming,
    rest: Vec<u8>,
    _connection: JoinSet<()>,
}

impl Watch {
    /// The next event; `None` when the server ended the watch.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, ApiError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if line.len() > 1 {
                    return serde_json::from_slice(&line)
                        .map(Some)
                        .map_err(ApiError::Unreadable);
                }
                continue;
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(ApiError::Broken)?.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
