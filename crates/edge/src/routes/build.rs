//! Kubernetes objects → routes, with a finding for everything that cannot be served. Pure.

use super::object::{PortRef, list, text};
use super::{Backend, Claim, EVERY, Owners, PathType, Route, Routes, normalise_host, order};
use crate::tls::certified_key;
use base64::Engine as _;
use herder_base::Diagnostic;
use herder_object::{kind, name, namespace};
use rustls::sign::CertifiedKey;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// So many hosts may one namespace have: each costs a certificate, and memory of what serves all.
const MAX_HOSTS: usize = 200;

/// The objects that matter, by namespace and name.
struct Objects<'a> {
    may: &'a dyn Fn(&str, IpAddr) -> bool,
    services: BTreeMap<(&'a str, &'a str), &'a Value>,
    slices: BTreeMap<(&'a str, &'a str), Vec<&'a Value>>,
    secrets: BTreeMap<(&'a str, &'a str), &'a Value>,
}

/// What was made of the objects.
#[derive(Debug, Default)]
pub struct Built {
    /// The ways in.
    pub routes: Routes,
    /// What cannot be served, and why.
    pub diagnostics: Vec<Diagnostic>,
    /// Ingresses of which a host is another's, by namespace and name.
    pub refused: BTreeMap<(String, String), Refusal>,
    /// Whose the hosts were found to be.
    pub claims: BTreeMap<String, Claim>,
}

/// Why hosts of an Ingress are not served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The Ingress's identity.
    pub uid: String,
    /// The application it belongs to, if it says so.
    pub application: String,
    /// Each reason once, sentences for people.
    pub reasons: Vec<String>,
    /// Whether other rules of it are served.
    pub serves: bool,
}

/// Builds the routes from Ingress, Service, EndpointSlice and Secret objects, in any order and mixed with others.
///
/// `may` says whether the services of a namespace may lead to an address: anybody may write an EndpointSlice, and the
/// edge comes past what guards other namespaces' pods. A host is served for the namespaces whose it is. Rules of one host and path that contradict each other: the older
/// Ingress wins, then the first by name.
pub fn build<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    owners: &Owners,
    may: &'a dyn Fn(&str, IpAddr) -> bool,
) -> Built {
    let mut ingresses = Vec::new();
    let mut found = Objects {
        may,
        services: BTreeMap::new(),
        slices: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    for object in objects {
        let key = (namespace(object), name(object));
        match kind(object) {
            "Ingress" => ingresses.push(object),
            "Service" => {
                found.services.insert(key, object);
            }
            "EndpointSlice" => {
                let service = text(object, "/metadata/labels/kubernetes.io~1service-name");
                found.slices.entry((key.0, service)).or_default().push(object);
            }
            "Secret" => {
                found.secrets.insert(key, object);
            }
            _ => {}
        }
    }
    ingresses.sort_by_key(|ingress| {
        (
            text(ingress, "/metadata/creationTimestamp"),
            namespace(ingress),
            name(ingress),
        )
    });
    let live: Vec<(String, String)> = ingresses
        .iter()
        .flat_map(|ingress| {
            list(ingress, "/spec/rules")
                .map(|rule| text(rule, "/host"))
                .filter(|host| valid_host(host))
                .map(|host| (normalise_host(host), namespace(ingress).to_owned()))
        })
        .collect();
    let mut builder = Builder {
        owners,
        claims: owners.claims(&live),
        refused: BTreeMap::new(),
        hosts: BTreeMap::new(),
        objects: found,
        routes: Routes::default(),
        diagnostics: Vec::new(),
        backends: BTreeMap::new(),
    };
    for ingress in ingresses {
        builder.ingress(ingress);
    }
    let mut routes = builder.routes;
    for list in routes
        .hosts
        .values_mut()
        .chain(routes.wildcards.values_mut())
        .chain([&mut routes.any])
    {
        list.sort_by(|a, b| order(a, b));
    }
    Built {
        routes,
        diagnostics: builder.diagnostics,
        refused: builder.refused,
        claims: builder.claims,
    }
}

struct Builder<'a> {
    owners: &'a Owners,
    claims: BTreeMap<String, Claim>,
    refused: BTreeMap<(String, String), Refusal>,
    /// The hosts that were found to be a namespace's.
    hosts: BTreeMap<String, BTreeSet<String>>,
    objects: Objects<'a>,
    routes: Routes,
    diagnostics: Vec<Diagnostic>,
    backends: BTreeMap<(&'a str, &'a str, PortRef), Arc<Backend>>,
}

impl<'a> Builder<'a> {
    fn ingress(&mut self, ingress: &'a Value) {
        let here = format!("{}/{}", namespace(ingress), name(ingress));
        let mut serves = false;
        if let Some(backend) = ingress.pointer("/spec/defaultBackend")
            && self.may(ingress, EVERY)
        {
            serves = true;
            let route = self.route(ingress, &here, "", "/", PathType::Prefix, backend);
            if self.routes.default.is_some() {
                self.warn(
                    "default-backend-taken",
                    &here,
                    "its default backend is not used, as an older Ingress has one",
                );
            } else if let Some(route) = route {
                self.routes.default = Some(Arc::new(route));
            }
        }
        for rule in list(ingress, "/spec/rules") {
            let host = text(rule, "/host");
            if !valid_host(host) {
                self.error(
                    "bad-host",
                    &here,
                    &format!("`{host}` is no hostname: no port, no address; a wildcard is `*.` and a domain, other letters are written `xn--…`"),
                );
                continue;
            }
            let key = match normalise_host(host) {
                none if none.is_empty() => EVERY.to_owned(),
                host => host,
            };
            if !self.may(ingress, &key) {
                continue;
            }
            serves = true;
            for entry in list(rule, "/http/paths") {
                let path = match text(entry, "/path") {
                    "" => "/",
                    path => path,
                };
                if !path.starts_with('/') {
                    self.error(
                        "bad-path",
                        &here,
                        &format!("path `{path}` does not begin with `/`"),
                    );
                    continue;
                }
                let path_type = match text(entry, "/pathType") {
                    "Exact" => PathType::Exact,
                    "Prefix" | "ImplementationSpecific" | "" => PathType::Prefix,
                    other => {
                        self.error(
                            "bad-path-type",
                            &here,
                            &format!("`{other}` is neither Exact nor Prefix"),
                        );
                        continue;
                    }
                };
                let Some(backend) = entry.get("backend") else {
                    self.error("no-backend", &here, &format!("path `{path}` has no backend"));
                    continue;
                };
                if let Some(route) = self.route(ingress, &here, host, path, path_type, backend) {
                    self.insert(&here, host, route);
                }
            }
        }
        self.certificates(ingress, &here);
        let key = (namespace(ingress).to_owned(), name(ingress).to_owned());
        if let Some(refusal) = self.refused.get_mut(&key) {
            refusal.serves = serves;
        }
    }

    /// Whether an Ingress may have a host; if not, the reason is kept with it.
    fn may(&mut self, ingress: &Value, host: &str) -> bool {
        let (namespace, name) = (namespace(ingress), name(ingress));
        let reason = match self.owners.check(&self.claims, host, namespace) {
            Ok(()) => {
                let taken = self.hosts.entry(namespace.to_owned()).or_default();
                if taken.contains(host) {
                    return true;
                }
                if taken.len() < MAX_HOSTS {
                    taken.insert(host.to_owned());
                    return true;
                }
                format!(
                    "namespace {namespace} has {MAX_HOSTS} hosts already, and more are not served for one namespace"
                )
            }
            Err(reason) => reason,
        };
        let refusal = self
            .refused
            .entry((namespace.to_owned(), name.to_owned()))
            .or_insert_with(|| Refusal {
                uid: text(ingress, "/metadata/uid").to_owned(),
                application: text(ingress, "/metadata/labels/herder.dev~1application").to_owned(),
                ..Refusal::default()
            });
        if !refusal.reasons.contains(&reason) {
            self.diagnostics.push(Diagnostic::error(
                "host-refused",
                format!("Ingress {namespace}/{name}: {reason}"),
            ));
            refusal.reasons.push(reason);
        }
        false
    }

    fn insert(&mut self, here: &str, host: &str, route: Route) {
        let host = normalise_host(host);
        let list = if host.is_empty() {
            &mut self.routes.any
        } else if let Some(suffix) = host.strip_prefix('*') {
            self.routes.wildcards.entry(suffix.to_owned()).or_default()
        } else {
            self.routes.hosts.entry(host.clone()).or_default()
        };
        let same = |other: &Arc<Route>| {
            other.path_type == route.path_type && order(other, &route).is_eq() && same_path(other, &route)
        };
        if let Some(first) = list.iter().find(|other| same(other)) {
            let message = format!("{host}{} is not used, as {} has the same", route.path, first.name);
            self.warn("route-taken", here, &message);
        } else {
            list.push(Arc::new(route));
        }
    }

    fn route(
        &mut self,
        ingress: &'a Value,
        here: &str,
        host: &str,
        path: &str,
        path_type: PathType,
        backend: &'a Value,
    ) -> Option<Route> {
        let service = text(backend, "/service/name");
        let (false, Some(port)) = (service.is_empty(), PortRef::of(backend)) else {
            self.error(
                "bad-backend",
                here,
                &format!("the backend of `{path}` names no service and port"),
            );
            return None;
        };
        let key = (namespace(ingress), service, port);
        let backend = match self.backends.get(&key) {
            Some(backend) => Arc::clone(backend),
            None => {
                let backend = Arc::new(self.objects.backend(key.0, key.1, &key.2));
                if backend.endpoints.is_empty()
                    && let Some(problem) = &backend.problem
                {
                    self.diagnostics.push(
                        Diagnostic::warning("no-endpoint", format!("Ingress {here}: {problem}"))
                            .hint("requests are answered with 503 until a pod is ready"),
                    );
                }
                self.backends.insert(key, Arc::clone(&backend));
                backend
            }
        };
        Some(Route {
            name: format!("{here} {host}{path}"),
            path: path.to_owned(),
            path_type,
            backend,
        })
    }

    fn certificates(&mut self, ingress: &'a Value, here: &str) {
        for entry in list(ingress, "/spec/tls") {
            let secret = text(entry, "/secretName");
            if secret.is_empty() {
                continue;
            }
            match self.objects.certificate(namespace(ingress), secret) {
                Ok(key) => {
                    let mut hosts: Vec<&str> = list(entry, "/hosts").filter_map(Value::as_str).collect();
                    if hosts.is_empty() {
                        hosts = list(ingress, "/spec/rules")
                            .map(|rule| text(rule, "/host"))
                            .filter(|host| !host.is_empty())
                            .collect();
                    }
                    for host in hosts {
                        let host = normalise_host(host);
                        // A certificate for another's host would be shown to its clients.
                        if host.is_empty() || !self.may(ingress, &host) {
                            continue;
                        }
                        self.routes
                            .certificates
                            .entry(host)
                            .or_insert_with(|| Arc::clone(&key));
                    }
                }
                Err(reason) => {
                    self.diagnostics.push(
                        Diagnostic::warning(
                            "no-certificate",
                            format!("Ingress {here}: Secret {secret} {reason}"),
                        )
                        .hint("the edge's own certificate is used for its hosts"),
                    );
                }
            }
        }
    }

    fn error(&mut self, code: &'static str, here: &str, message: &str) {
        self.diagnostics
            .push(Diagnostic::error(code, format!("Ingress {here}: {message}")));
    }

    fn warn(&mut self, code: &'static str, here: &str, message: &str) {
        self.diagnostics
            .push(Diagnostic::warning(code, format!("Ingress {here}: {message}")));
    }
}

impl Objects<'_> {
    fn backend(&self, namespace: &str, service: &str, wanted: &PortRef) -> Backend {
        let mut backend = Backend {
            name: format!("{namespace}/{service}:{wanted}"),
            endpoints: Vec::new(),
            problem: None,
        };
        let Some(found) = self.services.get(&(namespace, service)) else {
            backend.problem = Some(format!("service {namespace}/{service} does not exist"));
            return backend;
        };
        let port = list(found, "/spec/ports").find(|port| match wanted {
            PortRef::Number(number) => port.get("port").and_then(Value::as_u64) == Some(u64::from(*number)),
            PortRef::Name(name) => text(port, "/name") == name,
        });
        let Some(port) = port else {
            backend.problem = Some(format!("service {namespace}/{service} has no port {wanted}"));
            return backend;
        };
        let port_name = text(port, "/name");
        let (mut waiting, mut others) = (0usize, 0usize);
        for slice in self.slices.get(&(namespace, service)).into_iter().flatten() {
            let number = list(slice, "/ports")
                .find(|port| text(port, "/name") == port_name)
                .and_then(|port| port.get("port"))
                .and_then(Value::as_u64)
                .and_then(|port| u16::try_from(port).ok());
            for endpoint in list(slice, "/endpoints") {
                let condition = |name: &str| {
                    endpoint
                        .pointer(&format!("/conditions/{name}"))
                        .and_then(Value::as_bool)
                };
                let live = condition("ready").unwrap_or(true) && !condition("terminating").unwrap_or(false);
                let address =
                    list(endpoint, "/addresses").find_map(|address| address.as_str()?.parse::<IpAddr>().ok());
                if address.is_some_and(|address| !(self.may)(namespace, address)) {
                    others += 1;
                    continue;
                }
                match (live, address, number) {
                    (true, Some(address), Some(number)) => {
                        backend.endpoints.push(SocketAddr::new(address, number))
                    }
                    _ => waiting += 1,
                }
            }
        }
        backend.endpoints.sort_unstable();
        backend.endpoints.dedup();
        if backend.endpoints.is_empty() {
            backend.problem = Some(if text(found, "/spec/type") == "ExternalName" {
                format!(
                    "service {namespace}/{service} is only another name (ExternalName), which the edge does not follow"
                )
            } else if waiting > 0 {
                format!("service {namespace}/{service} has no ready pod ({waiting} not ready)")
            } else if others > 0 {
                format!(
                    "service {namespace}/{service} leads to {others} addresses that are no pod's of its namespace"
                )
            } else {
                format!("service {namespace}/{service} has no pod")
            });
        }
        backend
    }

    fn certificate(&self, namespace: &str, secret: &str) -> Result<Arc<CertifiedKey>, String> {
        let found = self.secrets.get(&(namespace, secret)).ok_or("does not exist")?;
        if text(found, "/type") != "kubernetes.io/tls" {
            return Err("is not of type kubernetes.io/tls".to_owned());
        }
        let part = |key: &str| {
            base64::engine::general_purpose::STANDARD
                .decode(
                    found
                        .get("data")
                        .and_then(|data| data.get(key))
                        .and_then(Value::as_str)
                        .unwrap_or_default(),
                )
                .map_err(|_| format!("has a `{key}` that is no base64"))
        };
        certified_key(&part("tls.crt")?, &part("tls.key")?)
            .map(Arc::new)
            .map_err(|error| error.to_string())
    }
}

/// Whether two routes of one kind have the same path, as far as matching goes.
fn same_path(a: &Route, b: &Route) -> bool {
    match a.path_type {
        PathType::Exact => a.path == b.path,
        PathType::Prefix => a.path.trim_end_matches('/') == b.path.trim_end_matches('/'),
    }
}

fn valid_host(host: &str) -> bool {
    let domain = host.strip_prefix("*.").unwrap_or(host);
    host.is_empty()
        || host.len() <= 253
            && domain.split('.').all(|label| {
                !label.is_empty()
                    && label.len() <= 63
                    && label
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            })
            && domain.parse::<IpAddr>().is_err()
}
