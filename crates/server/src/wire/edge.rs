//! The cluster's routing objects → the edge's routes, and certificates for the hosts that bring none of their own.
//!
//! Certificates come from Vault's PKI engine like everybody else's; until Vault has signed one the edge shows a
//! self-signed certificate rather than none.

use super::hosts;
use super::hosts::Verdicts;
use crate::state::Shared;
use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use herder_edge::{Dial, Edge, routes};
use herder_node::fabric::Fabric;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;
use std::collections::BTreeSet;
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

/// Pods are inside the fabric's network.
pub(crate) struct FabricDial(pub(crate) Fabric);

impl Dial for FabricDial {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        // The address comes from an object that others may write.
        Box::pin(self.0.dial_backend(address))
    }
}

/// The certificate for hosts that bring none: Vault's once there is one, self-signed before.
#[derive(Debug)]
pub(crate) struct OwnCertificate {
    signed: ArcSwapOption<CertifiedKey>,
    before: Arc<dyn ResolvesServerCert>,
}

impl OwnCertificate {
    pub(crate) fn new(before: Arc<dyn ResolvesServerCert>) -> Self {
        Self {
            signed: ArcSwapOption::empty(),
            before,
        }
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.signed.load_full().or_else(|| self.before.resolve(hello))
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
    let mut hosts = BTreeSet::new();
    let mut signed = BTreeSet::new();
    let mut due = Instant::now();
    loop {
        let objects = shared.cluster.routing();
        let same = objects.len() == known.len()
            && objects
                .iter()
                .zip(&known)
                .all(|(now, before)| Arc::ptr_eq(now, before));
        if owners.refresh(shared) || !same {
            let built = routes::build(objects.iter().map(|object| &**object), owners.owners());
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
            hosts = routes
                .hosts()
                .filter(|host| !host.is_empty() && host != "*")
                .collect();
            edge.set_routes(routes);
        }
        if !hosts.is_empty() && (hosts != signed || Instant::now() >= due) {
            match issue(shared, &hosts).await {
                Ok(key) => {
                    own.signed.store(Some(Arc::new(key)));
                    signed.clone_from(&hosts);
                    due = Instant::now() + RENEW;
                }
                Err(reason) => {
                    warn!(%reason, "no certificate for the edge yet");
                    due = Instant::now() + RETRY;
                    signed.clone_from(&hosts);
                }
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            // The fleet may say something else of hosts.
            changed = bell.changed() => if changed.is_err() { return },
            () = sleep_until(due.max(Instant::now() + RETRY)) => {}
        }
        changes.borrow_and_update();
        bell.borrow_and_update();
    }
}

/// One certificate for all hosts.
async fn issue(shared: &Shared, hosts: &BTreeSet<String>) -> Result<CertifiedKey, String> {
    let text = |error: herder_vault::Error| herder_base::chain(&error).to_string();
    let role = json!({"allow_any_name": true, "enforce_hostnames": false, "key_type": "ec", "key_bits": 256, "max_ttl": format!("{}s", TTL.as_secs()), "server_flag": true, "require_cn": false});
    shared
        .vault
        .write(&format!("pki/roles/{ROLE}"), &role)
        .await
        .map_err(text)?;
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let request = json!({"alt_names": names.join(","), "ttl": format!("{}s", TTL.as_secs())});
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
