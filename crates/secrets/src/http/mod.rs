//! The HTTP skin: requests into the core's form, answers into Vault's JSON. Owns the envelope, headers and limits; no
//! rules.

mod ask;
mod pinned;
mod read;
pub(crate) mod serve;
pub(crate) mod sql;
mod tls;
mod translate;

pub(crate) use ask::Asker;
pub use tls::{ClientCertificates, DevCertificate, TlsSetupError, dev_certificate, server_tls};
pub(crate) use translate::{Envelope, envelope};

use crate::Error;
use crate::core::path::encoded;
use crate::core::request::{Op, Request, Response, wipe};
use crate::server::Server;
use axum::body::Body;
use axum::extract::State;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use std::time::Duration;

/// How long a body may take.
const MOST_WAITING: Duration = Duration::from_secs(30);

/// What the root path says.
const GREETING: &[u8] = b"Vault-compatible secrets of Herder. The API is below /v1/.\n";

/// The client's certificate chain, leaf first; put into a request's extensions by whoever accepted the connection.
#[derive(Debug, Clone, Default)]
pub struct PeerCertificates(pub Vec<Vec<u8>>);

/// All routes.
pub(crate) fn router(server: Server) -> axum::Router {
    axum::Router::new()
        .route("/v1/{*path}", any(answer))
        .route("/", any(|| async { GREETING }))
        .fallback(|| async { failure(404, Vec::new()).map(Body::from) })
        .with_state(server)
}

async fn answer(State(server): State<Server>, request: http::Request<Body>) -> axum::response::Response {
    respond(&server, request).await.map(Body::from)
}

/// Answers one request, whoever accepted its connection.
pub(crate) async fn respond<B>(server: &Server, request: http::Request<B>) -> http::Response<Bytes>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let head = parts.method == Method::HEAD;
    let mut request = match read::head(&parts) {
        Ok(request) => request,
        Err(error) => return failure(error.status(), error.texts()),
    };
    let mut room = None;
    if request.refused.is_none() && !body.is_end_stream() {
        let read = Box::pin(read::body(server, &parts, &mut request, body));
        match tokio::time::timeout(MOST_WAITING, read).await {
            Ok(Ok(held)) => room = held,
            // Answered as it would be with a body: refused, and recorded.
            Ok(Err(read::Unread::Denied)) => {}
            Ok(Err(read::Unread::Wrong(error))) => return failure(error.status(), error.texts()),
            Ok(Err(read::Unread::TooLong(most))) => {
                return failure(413, vec![format!("request body too large: {most} are the most")]);
            }
            // By the listener's clock or by ours.
            Ok(Err(read::Unread::Late)) | Err(_) => {
                return failure(
                    408,
                    vec!["the request's body did not arrive in time: 30 seconds are the most".to_owned()],
                );
            }
        }
    }
    let mut response = if outlives_its_client(&request) {
        let task = server.clone();
        server
            .tasks
            .spawn(async move {
                // What a long body needs is counted until it is done with.
                let _room = room;
                conclude(&task, request).await
            })
            .await
            .unwrap_or_else(|error| {
                tracing::error!(%error, "a request ended abnormally");
                failure(500, vec!["the request ended abnormally".to_owned()])
            })
    } else {
        conclude(server, request).await
    };
    if head {
        *response.body_mut() = Bytes::new();
    }
    response
}

/// Whether a request must come to its end although its client hung up: what is committed must also take effect and be
/// recorded. A read changes nothing of the server's, save those that make users, tokens or wrapped answers.
fn outlives_its_client(request: &Request) -> bool {
    !matches!(request.op, Op::Read | Op::List)
        || request.wrap_ttl.is_some()
        || request.path.ends_with("/oidc/callback")
        || request.path.contains("/creds/")
}

async fn conclude(server: &Server, mut request: Request) -> http::Response<Bytes> {
    let outcome = server.answer(&mut request).await;
    let response = match outcome {
        Ok(mut response) => {
            let rendered = render(&request, &mut response);
            if let Some(data) = &mut response.data {
                wipe(data);
            }
            rendered
        }
        Err(error) => {
            if error.status() >= 500 && !matches!(error, Error::Sealed | Error::NotInitialised) {
                tracing::error!(path = request.path.as_str(), error = %herder_base::chain(&error), "a request failed");
            }
            let mut response = failure(error.status(), error.texts());
            if let Error::NotCanonical(refused) = &error
                && let Some(path) = refused.redirect()
            {
                lead(&mut response, path, request.query.as_deref());
            }
            response
        }
    };
    wipe(&mut request.data);
    response
}

/// Sends a client that reads to where it probably wanted to.
fn lead(response: &mut http::Response<Bytes>, path: &str, query: Option<&str>) {
    let query = query.map(|query| ["?", query].concat()).unwrap_or_default();
    let address = ["/v1/", &encoded(path), &query].concat();
    if let Ok(address) = HeaderValue::try_from(address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
}

fn failure(status: u16, errors: Vec<String>) -> http::Response<Bytes> {
    json_response(status, &json!({ "errors": errors }))
}

fn json_response(status: u16, value: &impl serde::Serialize) -> http::Response<Bytes> {
    let mut body = Vec::with_capacity(1024);
    // Values with text keys, written into memory: cannot fail.
    let _written = serde_json::to_writer(&mut body, value);
    body.push(b'\n');
    let mut response = bytes_response(status, "application/json", body.into());
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn bytes_response(status: u16, content_type: &'static str, body: Bytes) -> http::Response<Bytes> {
    let mut response = http::Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn empty(status: StatusCode) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn render(request: &Request, response: &mut Response) -> http::Response<Bytes> {
    if let Some(raw) = response.raw.take() {
        if raw.body.is_empty() {
            return empty(StatusCode::NO_CONTENT);
        }
        return bytes_response(response.status.unwrap_or(200), raw.content_type, raw.body.into());
    }
    if let Some(bare) = &response.bare {
        return json_response(response.status.unwrap_or(200), bare);
    }
    if response.data.is_none()
        && response.auth.is_none()
        && response.wrap.is_none()
        && response.lease.is_none()
        && response.warnings.is_empty()
    {
        let status = response
            .status
            .and_then(|status| StatusCode::from_u16(status).ok());
        return empty(status.unwrap_or(StatusCode::NO_CONTENT));
    }
    let envelope = Envelope { request, response };
    json_response(response.status.unwrap_or(200), &envelope)
}
