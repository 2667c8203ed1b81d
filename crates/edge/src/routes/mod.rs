//! Which backend a request goes to: an immutable table and its lookup. Pure.

mod build;
mod object;
mod owners;

pub use build::{Built, Refusal, build};
pub use owners::{Claim, EVERY, Owners};

use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A service's port and the live endpoints behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `namespace/service:port`.
    pub name: String,
    /// Endpoints that are ready and not terminating, in order, each once.
    pub endpoints: Vec<SocketAddr>,
    /// Why there are none, a sentence for people.
    pub problem: Option<String>,
}

/// How a path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathType {
    /// Element by element, a trailing slash ignored.
    Prefix,
    /// Character by character.
    Exact,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `namespace/ingress host/path`, for metrics and pages.
    pub name: String,
    /// The path as written.
    pub path: String,
    /// How it is compared.
    pub path_type: PathType,
    /// Where it leads.
    pub backend: Arc<Backend>,
}

/// All ways in, and the certificates for them.
#[derive(Clone, Default)]
pub struct Routes {
    hosts: BTreeMap<String, Vec<Arc<Route>>>,
    /// By the part after `*`, with its dot.
    wildcards: BTreeMap<String, Vec<Arc<Route>>>,
    any: Vec<Arc<Route>>,
    default: Option<Arc<Route>>,
    certificates: BTreeMap<String, Arc<CertifiedKey>>,
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("hosts", &self.hosts)
            .field("wildcards", &self.wildcards)
            .field("any", &self.any)
            .field("default", &self.default)
            .field("certificates", &self.certificates.keys())
            .finish()
    }
}

impl Routes {
    /// The route for a host (without port) and a path. Of the rules whose host matches, an exact host goes before a
    /// wildcard and that before none; then the longest path wins, and `Exact` over `Prefix`.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        let host = normalise_host(host);
        let wildcard = host
            .find('.')
            .filter(|dot| *dot > 0)
            .and_then(|dot| host.get(dot..));
        let candidates = [
            self.hosts.get(&host),
            wildcard.and_then(|suffix| self.wildcards.get(suffix)),
            Some(&self.any),
        ];
        candidates
            .into_iter()
            .flatten()
            .find_map(|routes| routes.iter().find(|route| route.matches(path)))
            .or(self.default.as_ref())
    }

    /// The certificate for a server name: its own, or a wildcard's.
    #[must_use]
    pub fn certificate(&self, server_name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = normalise_host(server_name);
        self.certificates.get(&name).or_else(|| {
            let (_, rest) = name.split_once('.')?;
            self.certificates.get(&format!("*.{rest}"))
        })
    }

    /// Every route, for lists.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.hosts
            .values()
            .chain(self.wildcards.values())
            .flatten()
            .chain(&self.any)
            .chain(&self.default)
    }

    /// Every host that has a rule of its own; wildcards with their `*`.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.hosts
            .keys()
            .cloned()
            .chain(self.wildcards.keys().map(|suffix| format!("*{suffix}")))
    }

    /// Adds a route that no Ingress made, for the platform's own pages.
    pub fn insert(&mut self, host: &str, route: Route) {
        let list = match (host, host.strip_prefix('*')) {
            ("", _) => &mut self.any,
            (_, Some(suffix)) => self.wildcards.entry(normalise_host(suffix)).or_default(),
            _ => self.hosts.entry(normalise_host(host)).or_default(),
        };
        list.push(Arc::new(route));
        list.sort_by(|a, b| order(a, b));
    }

    /// Adds a certificate for a host or `*.domain`.
    pub fn insert_certificate(&mut self, host: &str, key: Arc<CertifiedKey>) {
        self.certificates.insert(normalise_host(host), key);
    }
}

/// The longest path first, `Exact` before `Prefix`; a stable sort keeps the older rule first after that.
fn order(a: &Route, b: &Route) -> std::cmp::Ordering {
    let length = |route: &Route| match route.path_type {
        PathType::Exact => route.path.len(),
        PathType::Prefix => route.path.trim_end_matches('/').len(),
    };
    (length(b), b.path_type).cmp(&(length(a), a.path_type))
}

impl Route {
    fn matches(&self, path: &str) -> bool {
        match self.path_type {
            PathType::Exact => path == self.path,
            PathType::Prefix => {
                let prefix = self.path.trim_end_matches('/');
                path.strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

/// Lower case, without the root's dot: the form in which hosts are compared.
#[must_use]
pub fn normalise_host(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}
