//! The cluster's routing objects → the edge's routes, and certificates for the hosts that bring none of their own.
//!
//! Certificates come from Vault's PKI engine like everybody else's; until Vault has signed one the edge shows a
//! self-signed certificate rather than none.

use super::hosts;
use super::hosts::Verdicts;
use crate::state::Shared;
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use herder_edge::{Dial, Edge, routes};
use herder_node::fabric::Fabric;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The role of the PKI engine that signs for the edge.
const ROLE: &str = "herder-edge";
/// How long the edge's own certificates live, and when they are renewed.
const TTL: Duration = Duration::from_secs(72 * 3600);
const RENEW: Duration = Duration::from_secs(48 * 3600);
/// How soon a failed issue is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// So many are signed before routes are looked at again.
const AT_ONCE: usize = 8;

/// Pods are inside the fabric's network.
pub(crate) struct FabricDial(pub(crate) Fabric);

impl Dial for FabricDial {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        // The address comes from an object that others may write.
        Box::pin(self.0.dial_backend(address))
    }
}

/// The certificates of hosts that bring none, each for one host: what one namespace asks for neither shows nor spoils
/// another's. Who asks for no known name is shown a self-signed certificate that names nobody.
#[derive(Debug)]
pub(crate) struct OwnCertificate {
    signed: ArcSwap<BTreeMap<String, Arc<CertifiedKey>>>,
    before: Arc<dyn ResolvesServerCert>,
}

impl OwnCertificate {
    pub(crate) fn new(before: Arc<dyn ResolvesServerCert>) -> Self {
        Self {
            signed: ArcSwap::default(),
            before,
        }
    }

    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let signed = self.signed.load();
        let wildcard = || {
            let (_, domain) = name.split_once('.')?;
            signed.get(&format!("*.{domain}"))
        };
        signed.get(&name).or_else(wildcard).cloned()
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        named.or_else(|| self.before.resolve(hello))
    }
}

/// When which host's certificate is to be signed (again), and how often that failed.
#[derive(Debug, Default)]
struct Due(BTreeMap<String, (Instant, u32)>);

impl Due {
    /// Keeps to these hosts; new ones are due now.
    fn keep(&mut self, hosts: &BTreeSet<String>) {
        self.0.retain(|host, _| hosts.contains(host));
        for host in hosts {
            self.0.entry(host.clone()).or_insert_with(|| (Instant::now(), 0));
        }
    }

    /// The host that has waited longest, if one is due.
    fn next(&self) -> Option<String> {
        let (host, (at, _)) = self.0.iter().min_by_key(|(_, (at, _))| *at)?;
        (*at <= Instant::now()).then(|| host.clone())
    }

    fn at(&self) -> Option<Instant> {
        self.0.values().map(|(at, _)| *at).min()
    }

    fn done(&mut self, host: &str, fine: bool) {
        if let Some((at, failures)) = self.0.get_mut(host) {
            *failures = if fine { 0 } else { failures.saturating_add(1) };
            // One that cannot be signed must not keep the others waiting.
            let pause = RETRY.saturating_mul(1 << (*failures).min(8)) / 2;
            *at = Instant::now() + if fine { RENEW } else { pause };
        }
    }
}

/// Keeps routes and certificates up to date.
pub(crate) async fn run(
    shared: Shared,
    edge: Edge,
    own: Arc<OwnCertificate>,
    cancel: CancellationToken,
) -> Result<(), Infallible> {
    let (verdicts, news) = watch::channel(Arc::new(Verdicts::default()));
    let writing = hosts::tell(&shared, news);
    let routing = keep(&shared, &edge, &own, &verdicts, &cancel);
    tokio::select! {
        () = routing => {}
        () = writing => {}
    }
    Ok(())
}

async fn keep(
    shared: &Shared,
    edge: &Edge,
    own: &OwnCertificate,
    verdicts: &watch::Sender<Arc<Verdicts>>,
    cancel: &CancellationToken,
) {
    let mut changes = shared.cluster.changes();
    let mut bell = shared.live.listen();
    let mut owners = hosts::Keeper::load(shared).await;
    let mut known = Vec::new();
    let mut places = BTreeSet::new();
    let mut due = Due::default();
    loop {
        let objects = shared.cluster.routing();
        let same = objects.len() == known.len()
            && objects
                .iter()
                .zip(&known)
                .all(|(now, before)| Arc::ptr_eq(now, before));
        let now = shared.cluster.places();
        let moved = now != places;
        places = now;
        if owners.refresh(shared) || !same || moved {
            let may = |namespace: &str, address| places.contains(&(namespace.to_owned(), address));
            let built = routes::build(objects.iter().map(|object| &**object), owners.owners(), &may);
            for diagnostic in &built.diagnostics {
                debug!("{diagnostic}");
            }
            owners.record(shared, built.claims).await;
            let refused = Arc::new(built.refused);
            shared.refused_hosts.store(Arc::clone(&refused));
            verdicts.send_replace(Arc::new(Verdicts {
                refused,
                objects: objects.clone(),
            }));
            let routes = built.routes;
            known = objects;
            let hosts: BTreeSet<String> = routes
                .hosts()
                .filter(|host| !host.is_empty() && host != "*")
                .collect();
            due.keep(&hosts);
            let mut signed = BTreeMap::clone(&own.signed.load());
            signed.retain(|host, _| hosts.contains(host));
            own.signed.store(Arc::new(signed));
            edge.set_routes(routes);
        }
        for _ in 0..AT_ONCE {
            let Some(host) = due.next() else { break };
            let issued = issue(shared, &host).await;
            due.done(&host, issued.is_ok());
            match issued {
                Ok(key) => {
                    let mut signed = BTreeMap::clone(&own.signed.load());
                    signed.insert(host, Arc::new(key));
                    own.signed.store(Arc::new(signed));
                }
                Err(reason) => warn!(%host, %reason, "no certificate for a host of the edge yet"),
            }
        }
        let wake = due.at().unwrap_or_else(|| Instant::now() + RENEW);
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            // The fleet may say something else of hosts.
            changed = bell.changed() => if changed.is_err() { return },
            () = sleep_until(wake) => {}
        }
        changes.borrow_and_update();
        bell.borrow_and_update();
    }
}

/// A certificate for one host.
async fn issue(shared: &Shared, host: &str) -> Result<CertifiedKey, String> {
    let text = |error: herder_vault::Error| herder_base::chain(&error).to_string();
    let role = json!({"allow_any_name": true, "enforce_hostnames": false, "key_type": "ec", "key_bits": 256, "max_ttl": format!("{}s", TTL.as_secs()), "server_flag": true, "require_cn": false});
    shared
        .vault
        .write(&format!("pki/roles/{ROLE}"), &role)
        .await
        .map_err(text)?;
    let request = json!({"alt_names": host, "ttl": format!("{}s", TTL.as_secs())});
    let answer = shared
        .vault
        .write(&format!("pki/issue/{ROLE}"), &request)
        .await
        .map_err(text)?;
    let field = |name: &str| {
        answer
            .pointer(&format!("/data/{name}"))
            .and_then(|value| value.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let chain = format!("{}\n{}\n", field("certificate"), field("issuing_ca"));
    if let Err(error) = tokio::fs::write(shared.options.dir.join("edge-ca.pem"), field("issuing_ca")).await {
        warn!(%error, "the edge's authority could not be written to edge-ca.pem");
    }
    herder_edge::certified_key(chain.as_bytes(), field("private_key").as_bytes())
        .map_err(|error| herder_base::chain(&error).to_string())
}
