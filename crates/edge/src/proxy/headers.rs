//! Header hygiene: what belongs to one connection stays on it; the endpoint learns who asked and how.

use super::Client;
use http::header::{
    CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Request, Response, Uri, Version};
use hyper::upgrade::OnUpgrade;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The host asked for, with its port if it had one; `None` if it is missing where it must not be, or is given twice.
pub(super) fn host<B>(request: &Request<B>) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str().to_owned());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = host.to_str().ok()?;
            (host.is_empty()
                || host
                    .parse::<http::uri::Authority>()
                    .is_ok_and(|found| !found.as_str().contains('@')))
            .then(|| host.to_owned())
        }
        (None, _) if request.version() == Version::HTTP_10 => Some(String::new()),
        _ => None,
    }
}

/// The host alone.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// A protocol change that the client asks for.
pub(super) struct Upgrade {
    pub(super) protocol: HeaderValue,
    pub(super) client: OnUpgrade,
}

/// Makes the request for an endpoint out of the client's.
pub(super) fn outgoing<B>(
    mut request: Request<B>,
    host: &str,
    client: &Client,
) -> (Request<B>, Option<Upgrade>) {
    let wants_upgrade = request.version() == Version::HTTP_11
        && request.headers().get(UPGRADE).is_some()
        && tokens(request.headers(), &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let upgrade = wants_upgrade
        .then(|| request.headers().get(UPGRADE).cloned())
        .flatten()
        .map(|protocol| Upgrade {
            protocol,
            client: hyper::upgrade::on(&mut request),
        });
    let trailers = tokens(request.headers(), &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    let path = request.uri().path_and_query().cloned();
    // The origin form: endpoints see a path, whatever form the client used.
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    strip(headers);
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove(FORWARDED);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // This is the first door: what a client claims about itself is not passed on.
    let mut set = |name: HeaderName, text: &str| match HeaderValue::from_str(text) {
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(_) => {
            headers.remove(name);
        }
    };
    let address = client.address.to_canonical().to_string();
    set(HOST, host);
    set(FORWARDED_FOR, &address);
    set(REAL_IP, &address);
    set(FORWARDED_HOST, host);
    set(FORWARDED_PROTO, if client.tls { "https" } else { "http" });
    if let Some(upgrade) = &upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade.protocol.clone());
    }
    (request, upgrade)
}

/// Makes the answer for the client out of the endpoint's.
pub(super) fn incoming<B>(response: &mut Response<B>) {
    *response.version_mut() = Version::default();
    if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    strip(response.headers_mut());
    response.headers_mut().remove(PROXY_AUTHENTICATE);
}

/// Removes what belongs to one connection, also what `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        // Nobody may have the framing or the host removed by naming it.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    headers.remove("http2-settings");
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (given, expected) in [
            ("a.b:80", "a.b"),
            ("a.b", "a.b"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("1.2.3.4:5", "1.2.3.4"),
        ] {
            assert_eq!(without_port(given), expected);
        }
        let request = |headers: &[&str]| {
            headers
                .iter()
                .fold(Request::builder(), |b, h| b.header(HOST, *h))
                .body(())
                .unwrap()
        };
        assert_eq!(host(&request(&["a"])).as_deref(), Some("a"));
        assert_eq!(host(&request(&["a", "b"])), None);
        assert_eq!(host(&request(&["a b"])), None);
        assert_eq!(host(&request(&["u@a"])), None);
        assert_eq!(host(&request(&[])), None);
    }

    #[test]
    fn strips_what_belongs_to_a_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-secret, host"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("host", "a"),
            ("accept", "b"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host"]);
    }
}
