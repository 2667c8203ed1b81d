//! Header hygiene: what belongs to one connection stays on it; the endpoint learns who asked and how, from us alone.

use super::{Client, cookies};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SEC_WEBSOCKET_KEY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Request, Response, Uri, Version};
use hyper::upgrade::OnUpgrade;

/// What clients say about where a request came from, for whom it is and what it is for, in words that some application
/// or framework takes from a proxy. Besides these everything that begins with `x-forwarded-`.
const CLAIMS: [&str; 25] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "forwarded-for-ip",
    "front-end-https",
    "proxy",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-url",
    "x-originating-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
];
/// Whether a header is such a claim. Gateways turn `-` and `_` into one (`HTTP_X_REAL_IP`), so they are one here.
fn is_claim(name: &str) -> bool {
    let plain = name.replace('_', "-");
    plain.starts_with("x-forwarded-") || CLAIMS.binary_search(&plain.as_str()).is_ok()
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The host asked for, with its port if it had one; `None` if it is missing where it must not be, or is given twice.
pub(super) fn host<B>(request: &Request<B>) -> Option<String> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if let Some(authority) = request.uri().authority() {
        let authority = authority.as_str();
        // Two names for one request: whoever reads the other one would be led astray.
        let same = first.is_none_or(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
        return (second.is_none() && same && is_authority(authority)).then(|| authority.to_owned());
    }
    match (first, second) {
        (Some(host), None) => {
            let host = host.to_str().ok()?;
            (host.is_empty() || is_authority(host)).then(|| host.to_owned())
        }
        (None, _) if request.version() == Version::HTTP_10 => Some(String::new()),
        _ => None,
    }
}

/// A name or an address, and perhaps a port; nothing that another reader could take apart differently.
fn is_authority(text: &str) -> bool {
    let parsed = text.parse::<http::uri::Authority>();
    let Ok(parsed) = parsed else { return false };
    let name = without_port(text);
    let port = text.get(name.len()..).unwrap_or_default();
    let port_fits = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok());
    let bare = name.strip_suffix('.').unwrap_or(name);
    let name_fits = match bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => bare.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        }),
    };
    parsed.as_str() == text && port_fits && name_fits
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
    // Every other change of protocol (`h2c`) opens a way past the routes and all that is done to headers here.
    let mut protocols = request.headers().get_all(UPGRADE).iter();
    let websocket = protocols
        .next()
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
        && request.headers().contains_key(SEC_WEBSOCKET_KEY);
    let wants_upgrade = request.version() == Version::HTTP_11
        && websocket
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
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name.as_str()))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
    cookies::take_out(headers);
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
    cookies::refuse(response.headers_mut());
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
        for strange in [
            "a:", "a:x", "a:99999", "a:80:80", "a..b", ".a", "a/b", "[::1", "[x]", "a:80 ", "a,b",
        ] {
            assert_eq!(host(&request(&[strange])), None, "{strange}");
        }
        for fine in ["a.", "a_b.c:65535", "[::1]:1", "xn--bcher-kva.example"] {
            assert_eq!(host(&request(&[fine])).as_deref(), Some(fine));
        }
        let absolute = |hosts: &[&str]| {
            let mut request = request(hosts);
            *request.uri_mut() = "http://a.b/x".parse().unwrap();
            host(&request)
        };
        assert_eq!(absolute(&["A.b"]).as_deref(), Some("a.b"));
        assert_eq!(absolute(&[]).as_deref(), Some("a.b"));
        assert_eq!(absolute(&["other"]), None);
        assert_eq!(absolute(&["a.b", "a.b"]), None);
    }

    #[test]
    fn claims_of_clients() {
        assert!(CLAIMS.is_sorted());
        for name in [
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-anything",
            "x_real-ip",
            "forwarded",
            "x-scheme",
        ] {
            assert!(is_claim(name), "{name}");
        }
        for name in [
            "host",
            "accept",
            "x-request-id",
            "authorization",
            "x-forwarder",
            "cookie",
        ] {
            assert!(!is_claim(name), "{name}");
        }
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
