//! Requests to the API server as JSON, through kube's client (its TLS and authentication). Knows no kinds.

use crate::Error;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use std::time::Duration;

/// No request may take longer, but for streams.
const LIMIT: Duration = Duration::from_secs(30);

/// Sends requests.
#[derive(Clone)]
pub(crate) struct Wire {
    client: kube::Client,
    /// Never gives up on a silent connection: a job may print nothing for an hour.
    patient: kube::Client,
    pub(crate) server: String,
}

/// A patch's media type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patch {
    Merge,
    Apply,
}

impl Wire {
    pub(crate) fn new(client: kube::Client, patient: kube::Client, server: String) -> Self {
        Self {
            client,
            patient,
            server,
        }
    }

    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    async fn send(
        &self,
        client: &kube::Client,
        method: Method,
        path: &str,
        media: Option<&str>,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<http::Response<Body>, Error> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or_default());
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreachable {
            server: self.server.clone(),
            what: what.clone(),
            source,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept);
        if let Some(media) = media {
            request = request.header(header::CONTENT_TYPE, media);
        }
        let request = request
            .body(Body::from(body))
            .map_err(|e| unreachable(Box::new(e)))?;
        match tokio::time::timeout(LIMIT, client.send(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(kube::Error::Api(status))) => Err(Error::Refused {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            }),
            Ok(Err(error)) => Err(unreachable(Box::new(error))),
            Err(elapsed) => Err(unreachable(Box::new(elapsed))),
        }
    }

    /// One request; the answer's status is a success.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        media: Option<&str>,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Value), Error> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or_default());
        let response = self.send(&self.client, method, path, media, accept, body).await?;
        let status = response.status();
        let read = tokio::time::timeout(LIMIT, response.into_body().collect()).await;
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreachable {
            server: self.server.clone(),
            what: what.clone(),
            source,
        };
        let bytes = match read {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err(unreachable(Box::new(error))),
            Err(elapsed) => return Err(unreachable(Box::new(elapsed))),
        };
        if status.is_success() {
            let value = serde_json::from_slice(&bytes).map_err(|source| Error::Answer { what, source })?;
            return Ok((status, value));
        }
        Err(refused(status, &bytes))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        let (_, value) = self
            .call(Method::GET, path, None, "application/json", Vec::new())
            .await?;
        Ok(value)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let body = body.to_string().into_bytes();
        let media = Some("application/json");
        Ok(self
            .call(Method::POST, path, media, "application/json", body)
            .await?
            .1)
    }

    pub(crate) async fn patch(
        &self,
        path: &str,
        kind: Patch,
        body: &Value,
    ) -> Result<(StatusCode, Value), Error> {
        let media = match kind {
            Patch::Merge => "application/merge-patch+json",
            // JSON is YAML.
            Patch::Apply => "application/apply-patch+yaml",
        };
        let body = body.to_string().into_bytes();
        self.call(Method::PATCH, path, Some(media), "application/json", body)
            .await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, Error> {
        let body = options.to_string().into_bytes();
        let media = Some("application/json");
        Ok(self
            .call(Method::DELETE, path, media, "application/json", body)
            .await?
            .1)
    }

    /// The answer's bytes as they come.
    pub(crate) async fn stream(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let response = self
            .send(&self.patient, Method::GET, path, None, "*/*", Vec::new())
            .await?;
        let status = response.status();
        if !status.is_success() {
            let body = response.into_body().collect().await;
            let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Err(refused(status, &bytes));
        }
        let (server, what) = (self.server.clone(), "a log".to_owned());
        let stream = response.into_body().into_data_stream();
        Ok(stream
            .map_err(move |error| Error::Unreachable {
                server: server.clone(),
                what: what.clone(),
                source: Box::new(error),
            })
            .boxed())
    }
}

fn refused(status: StatusCode, bytes: &Bytes) -> Error {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |field: &str| {
        value
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut message = text("message");
    if message.is_empty() {
        message = String::from_utf8_lossy(bytes).chars().take(300).collect();
    }
    if message.is_empty() {
        message = status.to_string();
    }
    Error::Refused {
        code: status.as_u16(),
        reason: text("reason"),
        message,
    }
}

/// A query string value, percent-encoded.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
