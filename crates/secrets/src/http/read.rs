//! Requests as they come: the head into the core's form, the body into its data. A body is read only as far as whoever
//! asks may make the server hold it. Owns these limits; no rules.

use super::PeerCertificates;
use crate::core::fields::duration;
use crate::core::path::{CanonicalPath, NotCanonical};
use crate::core::request::{Op, Request};
use crate::server::Server;
use crate::{Error, Result};
use axum::extract::ConnectInfo;
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::pin::pin;
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

/// Longest accepted body, as Vault's.
const LONGEST: usize = 32 << 20;
/// Longest body of who has shown no token that could be allowed more: enough for any log in.
const SHORT: usize = 64 << 10;
/// Most entries of one object or list, as Vault's, and of all in one body.
const ENTRIES: usize = 10_000;
const ALL_ENTRIES: usize = 250_000;

/// Why a body was not taken.
pub(super) enum Unread {
    /// Whoever asks will be refused whatever it says.
    Denied,
    Wrong(Error),
    TooLong(&'static str),
    /// It did not arrive in time.
    Late,
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Wrong(error)
    }
}

fn text_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get(name)?
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

/// Without its parameters.
fn content_type(headers: &HeaderMap) -> &str {
    let text = text_header(headers, "content-type").unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim_ascii_end()
}

/// A request without its body. One whose path is not canonical is one, too: it is to be recorded.
pub(super) fn head(parts: &http::request::Parts) -> Result<Request> {
    let mut list = false;
    let mut data = Map::new();
    let query = parts.uri.query().unwrap_or_default();
    for (key, value) in pairs(query) {
        let (key, value) = (decoded(key), decoded(value));
        let (Some(key), Some(value)) = (key, value) else {
            return Err(Error::invalid("the address has a wrong percent sign after its ?"));
        };
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
    let path = parts.uri.path();
    let path = path.strip_prefix("/v1/").unwrap_or(path);
    let path = match percent_decode(path) {
        Some(path) => CanonicalPath::new(op, path),
        None => Err(NotCanonical::undecodable(path)),
    };
    let mut request = Request::to(op, path);
    if op == Op::Patch && request.refused.is_none() {
        let given = content_type(&parts.headers);
        if !given.eq_ignore_ascii_case("application/merge-patch+json") {
            return Err(Error::MediaType(format!(
                "PATCH requires Content-Type of application/merge-patch+json, provided {given:?}"
            )));
        }
    }
    if request.refused.is_some() {
        request.query = parts.uri.query().map(str::to_owned);
    }
    request.data = data;
    let headers = &parts.headers;
    request.token = text_header(headers, "x-vault-token")
        .or_else(|| {
            text_header(headers, "authorization")?
                .strip_prefix("Bearer ")
                .map(str::trim)
        })
        .map(|token| Zeroizing::new(token.to_owned()));
    if let Some(ttl) = headers.get("x-vault-wrap-ttl") {
        let ttl = ttl
            .to_str()
            .ok()
            .and_then(|ttl| duration(&Value::String(ttl.trim().to_owned())))
            .ok_or_else(|| {
                Error::invalid("X-Vault-Wrap-TTL: write a duration as 30s, 5m or a number of seconds")
            })?;
        request.wrap_ttl = (ttl > 0).then_some(ttl);
    }
    if headers
        .get_all("x-vault-namespace")
        .iter()
        .any(|namespace| !matches!(namespace.as_bytes().trim_ascii(), b"" | b"/" | b"root" | b"root/"))
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

/// Reads a body into a request's data. What it returns makes room for others' long bodies when it is dropped.
pub(super) async fn body<B>(
    server: &Server,
    parts: &http::request::Parts,
    request: &mut Request,
    body: B,
) -> std::result::Result<Option<OwnedSemaphorePermit>, Unread>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let mut room = None;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    // A long one is known before it comes, if its client says so.
    let mut length = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut read = 0_usize;
    loop {
        if length.max(read) > LONGEST {
            return Err(Unread::TooLong("32 MiB"));
        }
        if length.max(read) > SHORT && room.is_none() {
            room = Some(admit(server, request).await?);
        }
        length = 0;
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| match error.into().downcast_ref() {
            Some(herder_listen::BodyError::Slow) => Unread::Late,
            _ => Error::invalid("the request's body ended before its end").into(),
        })?;
        let Ok(mut data) = frame.into_data() else { continue };
        let bytes = data.copy_to_bytes(data.remaining());
        read += bytes.len();
        if first.is_empty() {
            first = bytes;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&bytes);
        }
        if read > LONGEST {
            return Err(Unread::TooLong("32 MiB"));
        }
    }
    let whole: &[u8] = if all.is_empty() { &first } else { &all };
    fill(&parts.headers, request, whole)?;
    Ok(room)
}

/// Room for a long body, for who could be allowed what it asks.
async fn admit(server: &Server, request: &Request) -> std::result::Result<OwnedSemaphorePermit, Unread> {
    if request.token.is_none() || server.is_public(request) {
        return Err(Unread::TooLong("64 KiB without a token, and to log in,"));
    }
    if !server.core.may_be_long(request)? {
        return Err(Unread::Denied);
    }
    Ok(server.limits.long().await?)
}

fn fill(headers: &HeaderMap, request: &mut Request, body: &[u8]) -> Result<()> {
    if matches!(request.op, Op::Read | Op::List) || body.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    if content_type(headers) == "application/x-www-form-urlencoded"
        && !body.trim_ascii_start().starts_with(b"{")
    {
        let wrong = || Error::invalid("the form is not UTF-8, or has a wrong percent sign");
        let text = std::str::from_utf8(body).map_err(|_| wrong())?;
        for (at, (key, value)) in pairs(text).enumerate() {
            if at >= ENTRIES {
                return Err(too_many());
            }
            let key = decoded(key).ok_or_else(wrong)?;
            let value = decoded(value).ok_or_else(wrong)?;
            request.data.insert(key, Value::String(value));
        }
        return Ok(());
    }
    check(body)?;
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => request.data.extend(map),
        Ok(Value::Null) => {}
        Ok(_) => return Err(Error::invalid("error parsing JSON: the body must be an object")),
        Err(error) => return Err(Error::invalid(format!("error parsing JSON: {error}"))),
    }
    Ok(())
}

fn too_many() -> Error {
    Error::invalid(format!(
        "error parsing JSON: an object or list has more than {ENTRIES} entries, or there are more than {ALL_ENTRIES} in all"
    ))
}

/// Refuses JSON that is small as text and large in memory. How deep it may be is the parser's to say.
fn check(body: &[u8]) -> Result<()> {
    if body.len() <= ENTRIES {
        return Ok(());
    }
    let mut all = 0_usize;
    let mut within: Vec<usize> = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                // As deep as the parser goes; it says so itself.
                if within.len() > 128 {
                    return Ok(());
                }
                within.push(0);
                all += 1;
            }
            b'}' | b']' => drop(within.pop()),
            b',' => {
                all += 1;
                if let Some(entries) = within.last_mut() {
                    *entries += 1;
                    if *entries >= ENTRIES {
                        return Err(too_many());
                    }
                }
            }
            _ => {}
        }
        if all > ALL_ENTRIES {
            return Err(too_many());
        }
    }
    Ok(())
}

/// Keys and values of a form or of what follows a path's question mark.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decoded(text: &str) -> Option<String> {
    if text.contains('+') {
        percent_decode(&text.replace('+', " "))
    } else {
        percent_decode(text)
    }
}

fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                after
            }
            (b'%', _) => return None,
            (other, after) => {
                bytes.push(other);
                after
            }
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_read_once_and_strictly() {
        for (text, read) in [
            ("a%2fb%2Fc", Some("a/b/c")),
            ("%2e%2E", Some("..")),
            ("%252e", Some("%2e")),
            ("%c3%a9", Some("é")),
            ("%", None),
            ("%2", None),
            ("%+5", None),
            ("%zz", None),
            ("%c0%ae", None),
            ("%ff", None),
            ("%ed%a0%80", None),
        ] {
            assert_eq!(percent_decode(text).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn counts_entries_before_it_parses() {
        let list = |entries: usize| format!("{{\"a\":[{}0]}}", "0,".repeat(entries - 1));
        assert!(check(list(ENTRIES).as_bytes()).is_ok());
        assert!(check(list(ENTRIES + 1).as_bytes()).is_err());
        let commas = format!("{{\"a\":\"{}\"}}", ",\\\"".repeat(ENTRIES * 2));
        assert!(check(commas.as_bytes()).is_ok(), "in a text they are no entries");
        let lists = format!("[{}[]]", "[],".repeat(ENTRIES - 1));
        let many = format!(
            "{{{}}}",
            (0..30)
                .map(|at| format!("\"{at}\":{lists}"))
                .collect::<Vec<_>>()
                .join(",")
        );
        assert!(check(many.as_bytes()).is_err(), "in all");
    }
}
