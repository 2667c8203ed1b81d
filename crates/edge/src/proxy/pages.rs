//! The edge's own answers: plain words, for people and for programs.

use super::{Body, answer};
use http::header::{ACCEPT, HeaderMap};
use http::{HeaderValue, Response, StatusCode};

/// What went wrong.
pub(super) enum Page<'a> {
    NoRoute { host: &'a str, path: &'a str },
    NoEndpoint { backend: &'a str, reason: &'a str },
    Broken { backend: &'a str, reason: &'a str },
    Slow { backend: &'a str, seconds: u64 },
    BadHost,
    BadMethod,
    BadPath,
    BadBody { reason: &'a str },
}

impl Page<'_> {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute { .. } => StatusCode::NOT_FOUND,
            Self::NoEndpoint { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken { .. } => StatusCode::BAD_GATEWAY,
            Self::Slow { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::BadHost | Self::BadPath | Self::BadBody { .. } => StatusCode::BAD_REQUEST,
            Self::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    fn texts(&self) -> (&'static str, String) {
        match self {
            Self::NoRoute { host, path } => (
                "Nothing is here",
                format!(
                    "No Ingress has a rule for {host}{path}. Look at the rules with: kubectl get ingress --all-namespaces"
                ),
            ),
            Self::NoEndpoint { backend, reason } => (
                "Not available now",
                format!("{backend} cannot answer: {reason}. Try again in a moment."),
            ),
            Self::Broken { backend, reason } => (
                "The application broke off",
                format!(
                    "{backend} ended the connection before it answered ({reason}). The request was not repeated, as it may have had an effect."
                ),
            ),
            Self::Slow { backend, seconds } => (
                "The application is too slow",
                format!("{backend} did not answer within {seconds} s."),
            ),
            Self::BadHost => (
                "Bad request",
                "The request has no valid Host header, or more than one.".to_owned(),
            ),
            Self::BadPath => (
                "Bad request",
                "The request's path has `.` or `..` as a part: whoever resolves it would see another path than the one that was allowed."
                    .to_owned(),
            ),
            Self::BadMethod => ("Not here", "This is no proxy for other hosts.".to_owned()),
            Self::BadBody { reason } => (
                "Bad request",
                format!("The request's body could not be read: {reason}."),
            ),
        }
    }
}

/// Whether a browser asks.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// The answer for what went wrong.
pub(super) fn page(what: &Page<'_>, html: bool, head: bool) -> Response<Body> {
    let status = what.status();
    let (title, text) = what.texts();
    let (kind, text) = if html {
        let (title, text) = (escape(title), escape(&text));
        let page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>{title}</title><style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;\
             padding:0 1rem;color-scheme:light dark}}small{{opacity:.6}}</style><h1>{title}</h1><p>{text}</p>\
             <small>{}</small>\n",
            status.as_u16()
        );
        ("text/html; charset=utf-8", page)
    } else {
        ("text/plain; charset=utf-8", format!("{title}: {text}\n"))
    };
    let mut response = answer(status, kind, text, head);
    for (name, value) in [
        (
            http::header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (http::header::REFERRER_POLICY, "no-referrer"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '&' => out.push_str("&amp;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                c => out.push(c),
            }
            out
        })
}
