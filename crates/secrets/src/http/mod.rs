//! The HTTP skin: requests into the core's form, answers into Vault's JSON. Owns the envelope, headers and limits; no
//! rules.

mod ask;
mod pinned;
pub(crate) mod serve;
pub(crate) mod sql;
mod tls;
mod translate;

pub(crate) use ask::Asker;
pub use tls::{ClientCertificates, DevCertificate, TlsSetupError, dev_certificate, server_tls};
pub(crate) use translate::{Envelope, envelope};

use crate::core::request::{Op, Request, Response, wipe};
use crate::server::Server;
use crate::{Error, Result};
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use zeroize::Zeroizing;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest accepted body.
const MOST_BYTES: usize = 32 << 20;

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
    let body = if body.is_end_stream() {
        Bytes::new()
    } else {
        let whole = Box::pin(Limited::new(body, MOST_BYTES).collect());
        match tokio::time::timeout(MOST_WAITING, whole).await {
            late if is_late(&late) => {
                return failure(
                    408,
                    vec!["the request's body did not arrive in time: 30 seconds are the most".to_owned()],
                );
            }
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) | Err(_) => {
                return failure(
                    413,
                    vec!["request body too large: 32 MiB are the most".to_owned()],
                );
            }
        }
    };
    let request = match read(&parts, &body) {
        Ok(request) => request,
        Err(error) => return failure(error.status(), error.texts()),
    };
    let mut response = if outlives_its_client(&request) {
        let task = server.clone();
        server
            .tasks
            .spawn(async move { conclude(&task, request).await })
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
                tracing::error!(path = request.path, error = %herder_base::chain(&error), "a request failed");
            }
            failure(error.status(), error.texts())
        }
    };
    wipe(&mut request.data);
    response
}

/// Whether a body took too long, by our clock or by the listener's.
fn is_late<T>(
    outcome: &std::result::Result<std::result::Result<T, BoxError>, tokio::time::error::Elapsed>,
) -> bool {
    match outcome {
        Err(_) => true,
        Ok(Ok(_)) => false,
        Ok(Err(error)) => matches!(error.downcast_ref(), Some(herder_listen::BodyError::Slow)),
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

fn text_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get(name)?
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

fn read(parts: &http::request::Parts, body: &[u8]) -> Result<Request> {
    let path = parts.uri.path();
    let path = percent_decode(path.strip_prefix("/v1/").unwrap_or(path))?;
    let path = match path.strip_prefix('/') {
        Some(rest) => rest.trim_start_matches('/').to_owned(),
        None => path,
    };
    if path.split('/').any(|segment| segment == ".." || segment == ".") || path.contains('\0') {
        return Err(Error::invalid("path cannot contain parent references"));
    }
    let headers = &parts.headers;
    let mut data = Map::new();
    let mut list = false;
    for pair in parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (
            percent_decode(&key.replace('+', " "))?,
            percent_decode(&value.replace('+', " "))?,
        );
        if key == "list" {
            list = matches!(value.to_ascii_lowercase().as_str(), "true" | "t" | "1");
        } else {
            data.insert(key, Value::String(value));
        }
    }
    let op = match parts.method.as_str() {
        "GET" | "HEAD" if list => Op::List,
        "GET" | "HEAD" => Op::Read,
        "LIST" => Op::List,
        "PUT" | "POST" => Op::Write,
        "PATCH" => Op::Patch,
        "DELETE" => Op::Delete,
        _ => return Err(Error::Unsupported),
    };
    let content_type = text_header(headers, "content-type").unwrap_or_default();
    if matches!(op, Op::Write | Op::Patch | Op::Delete) && !body.iter().all(u8::is_ascii_whitespace) {
        if content_type.starts_with("application/x-www-form-urlencoded")
            && !body.trim_ascii_start().starts_with(b"{")
        {
            let text = std::str::from_utf8(body).map_err(|_| Error::invalid("the form is not UTF-8"))?;
            for pair in text.split('&') {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                data.insert(
                    percent_decode(&key.replace('+', " "))?,
                    Value::String(percent_decode(&value.replace('+', " "))?),
                );
            }
        } else {
            match serde_json::from_slice(body) {
                Ok(Value::Object(map)) => data.extend(map),
                Ok(Value::Null) => {}
                Ok(_) => return Err(Error::invalid("error parsing JSON: the body must be an object")),
                Err(error) => return Err(Error::invalid(format!("error parsing JSON: {error}"))),
            }
        }
    }
    let mut request = Request::new(op, path);
    if op == Op::List && !request.path.ends_with('/') {
        request.path.push('/');
    }
    request.data = data;
    request.merge_patch = content_type.starts_with("application/merge-patch+json");
    request.token = text_header(headers, "x-vault-token")
        .or_else(|| {
            text_header(headers, "authorization")?
                .strip_prefix("Bearer ")
                .map(str::trim)
        })
        .map(|token| Zeroizing::new(token.to_owned()));
    if let Some(ttl) = text_header(headers, "x-vault-wrap-ttl") {
        let ttl = crate::core::fields::duration(&Value::String(ttl.to_owned())).ok_or_else(|| {
            Error::invalid("X-Vault-Wrap-TTL: write a duration as 30s, 5m or a number of seconds")
        })?;
        request.wrap_ttl = (ttl > 0).then_some(ttl);
    }
    if text_header(headers, "x-vault-namespace")
        .is_some_and(|namespace| !matches!(namespace, "/" | "root" | "root/"))
    {
        return Err(Error::invalid(
            "namespaces are not supported: leave X-Vault-Namespace out",
        ));
    }
    request.remote = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip())
        .or_else(|| parts.extensions.get::<SocketAddr>().map(SocketAddr::ip));
    request.peer = parts
        .extensions
        .get::<PeerCertificates>()
        .map(|peer| peer.0.clone())
        .unwrap_or_default();
    Ok(request)
}

fn percent_decode(text: &str) -> Result<String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let wrong = || Error::invalid("the address has a wrong percent sign");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = after.split_at_checked(2).ok_or_else(wrong)?;
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
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
