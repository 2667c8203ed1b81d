//! The names the dashboard answers to. A name of somebody else's that leads here (DNS rebinding) is refused, because a
//! browser would take the page that used it for our own.

use super::Failure;
use crate::state::Shared;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::{HeaderMap, Uri};
use std::net::{IpAddr, SocketAddr};

/// An address by which people open the dashboard through something in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    secure: bool,
    /// With the port, if it is not the scheme's own.
    authority: String,
}

/// All names of the dashboard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    own: Vec<Own>,
    machine: Option<String>,
}

impl Names {
    /// From the addresses that were configured, and where the dashboard listens. Addresses of the machine and
    /// `localhost` are always known: nobody else can have them. So is the machine's name if others can reach it.
    pub(crate) fn new(urls: &[String], listen: SocketAddr) -> Self {
        let own = urls.iter().filter_map(|url| {
            let (scheme, rest) = url.split_once("://")?;
            let authority = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
            let default = if scheme == "https" { ":443" } else { ":80" };
            Some(Own {
                secure: scheme == "https",
                authority: authority.strip_suffix(default).unwrap_or(&authority).to_owned(),
            })
        });
        let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        Self {
            own: own.collect(),
            machine: (!listen.ip().is_loopback())
                .then(machine)
                .flatten()
                .map(|name| name.trim().to_ascii_lowercase())
                .filter(|name| !name.is_empty()),
        }
    }

    fn configured(&self, authority: &str) -> Option<&Own> {
        let authority = authority.to_ascii_lowercase();
        let plain = |default: &str| authority.strip_suffix(default).unwrap_or(&authority).to_owned();
        self.own
            .iter()
            .find(|own| own.authority == plain(if own.secure { ":443" } else { ":80" }))
    }

    /// Whether a request for this authority is for the dashboard.
    pub(crate) fn knows(&self, authority: &str) -> bool {
        let host = host(authority);
        host == "localhost"
            || is_address(&host)
            || self.machine.as_deref() == Some(&host)
            || self.configured(authority).is_some()
    }

    /// Whether browsers reach this authority over TLS.
    pub(crate) fn secure(&self, authority: &str) -> bool {
        self.configured(authority).is_some_and(|own| own.secure)
    }

    /// The hosts that are the dashboard's and no application's, for the edge.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = String> {
        let own = self.own.iter().map(|own| host(&own.authority));
        own.chain(self.machine.clone())
    }
}

/// The host of an authority, lower case, without port and the root's dot.
fn host(authority: &str) -> String {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let name = name.to_ascii_lowercase();
    name.strip_suffix('.').map_or(name.clone(), str::to_owned)
}

fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => matches!(host.parse(), Ok(IpAddr::V4(_))),
    }
}

/// The one authority that a request is for.
pub(crate) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut hosts = headers.get_all(HOST).iter();
    let header = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() {
        return None;
    }
    match (uri.authority(), header) {
        (Some(own), Some(header)) if own.as_str() != header => None,
        (Some(own), _) => Some(own.as_str()),
        (None, header) => header,
    }
}

/// Refuses what is for another name.
pub(crate) async fn known(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match authority(request.uri(), request.headers()) {
        Some(authority) if shared.names.knows(authority) => next.run(request).await,
        Some(authority) => Failure::misdirected(authority).into_response(),
        None => Failure::invalid("the request has no Host header, or more than one").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_have() {
        let listen = "127.0.0.1:80".parse().unwrap();
        let names = Names::new(
            &["https://Herder.example.org/".into(), "http://board:8080".into()],
            listen,
        );
        for known in [
            "localhost:8080",
            "LOCALHOST.",
            "127.0.0.1:1",
            "[::1]:80",
            "192.0.2.1",
            "herder.example.org",
            "herder.example.org:443",
            "board:8080",
        ] {
            assert!(names.knows(known), "{known}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "a@localhost",
            "board",
            "herder.example.org.evil:443",
            "shop.localhost",
            "::1",
        ] {
            assert!(!names.knows(foreign), "{foreign}");
        }
        assert!(names.secure("herder.example.org") && !names.secure("board:8080"));
        assert!(!names.secure("herder.example.org:8080"));
    }
}
