//! Whose the edge's hosts are: from the fleet, git, the ledger and the cluster; and telling who is refused one.
//!
//! `herder-edge` decides; this module brings it what it needs and writes down what it found: into the ledger, so that a
//! host stays whose it was, and into each Ingress's status and events, as every ingress controller does.

use crate::reading::Reading;
use crate::state::Shared;
use futures::StreamExt;
use herder_edge::routes::{Claim, EVERY, Owners, Refusal, normalise_host};
use herder_ledger::HostOwner;
use herder_object::{Gvk, Key, name, namespace};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, error};

/// Ingresses of which a host was refused, by namespace and name.
pub(crate) type Refused = BTreeMap<(String, String), Refusal>;

/// How many statuses are written at once.
const AT_ONCE: usize = 8;
/// How soon a status that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What the edge found, for whoever writes it into the cluster.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) refused: Arc<Refused>,
    pub(crate) objects: Vec<Arc<Value>>,
}

/// What decides whose a host is, kept up to date.
pub(crate) struct Keeper {
    owners: Owners,
    reading: Option<Arc<Reading>>,
}

impl Keeper {
    /// With what the ledger holds.
    pub(crate) async fn load(shared: &Shared) -> Self {
        let held = shared.ledger.host_owners().await.unwrap_or_else(|error| {
            error!(error = %herder_base::chain(&error), "the ledger does not say whose the edge's hosts were");
            Vec::new()
        });
        let held = held.into_iter().map(|owner| {
            let claim = Claim {
                namespace: owner.namespace,
                declared: owner.declared,
            };
            (owner.host, claim)
        });
        Self {
            owners: Owners {
                held: held.collect(),
                reserved: shared.names.reserved().collect(),
                kept: BTreeSet::from(["localhost".to_owned()]),
                ..Owners::default()
            },
            reading: None,
        }
    }

    /// What decides now.
    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Takes up what git says now; whether that is something new.
    pub(crate) fn refresh(&mut self, shared: &Shared) -> bool {
        let now = shared.reading();
        let same = match (&now, &self.reading) {
            (Some(now), Some(before)) => Arc::ptr_eq(now, before),
            (None, _) => true,
            (Some(_), None) => false,
        };
        let Some(reading) = now.filter(|_| !same) else {
            return false;
        };
        let fleet = &reading.fleet;
        // A fleet.yaml that cannot be read, or a namespace's file, takes nothing from anybody.
        if fleet.held.units.is_some() && self.owners.known {
            self.reading = Some(reading);
            return false;
        }
        let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, object) in fleet
            .objects()
            .filter(|(_, object)| object.key.gvk.kind == "Ingress")
        {
            let rules = object.value.pointer("/spec/rules").and_then(Value::as_array);
            for host in rules
                .into_iter()
                .flatten()
                .filter_map(|rule| rule.get("host")?.as_str())
            {
                let namespaces = declared.entry(normalise_host(host)).or_default();
                if !namespaces.contains(&object.key.namespace) {
                    namespaces.push(object.key.namespace.clone());
                }
            }
        }
        let unread = fleet
            .units
            .iter()
            .filter(|unit| unit.held.is_some() || !unit.held_applications.is_empty())
            .map(|unit| unit.namespace.clone());
        let granted = fleet.settings.hosts.iter().map(|(host, namespaces)| {
            let host = if host == EVERY {
                host.clone()
            } else {
                normalise_host(host)
            };
            (host, namespaces.clone())
        });
        let next = Owners {
            granted: granted.collect(),
            declared,
            unread: unread.collect(),
            known: fleet.held.units.is_none(),
            ..self.owners.clone()
        };
        let changed = next != self.owners;
        self.owners = next;
        self.reading = Some(reading);
        changed
    }

    /// Keeps whose the hosts were found to be. Before git is known nobody is given anything for good.
    pub(crate) async fn record(&mut self, shared: &Shared, claims: BTreeMap<String, Claim>) {
        if !self.owners.known || claims == self.owners.held {
            return;
        }
        let put: Vec<HostOwner> = claims
            .iter()
            .filter(|(host, claim)| self.owners.held.get(*host) != Some(claim))
            .map(|(host, claim)| HostOwner {
                host: host.clone(),
                namespace: claim.namespace.clone(),
                declared: claim.declared,
            })
            .collect();
        let gone: Vec<String> = self
            .owners
            .held
            .keys()
            .filter(|host| !claims.contains_key(*host))
            .cloned()
            .collect();
        let recorded = shared
            .ledger
            .change_host_owners(&put, &gone, shared.clock.now())
            .await;
        if let Err(error) = recorded {
            error!(error = %herder_base::chain(&error), "the ledger could not record whose the edge's hosts are");
        }
        self.owners.held = claims;
    }
}

/// Writes into each Ingress where it is served, and says in an event why not.
pub(crate) async fn tell(shared: &Shared, mut news: watch::Receiver<Arc<Verdicts>>) {
    let address = shared.edge_http.ip();
    // By Ingress, so that what is said once is not said again; forgotten with the Ingress.
    let mut said: HashMap<(String, String), Refusal> = HashMap::new();
    loop {
        let verdicts = Arc::clone(&news.borrow_and_update());
        let ingresses: Vec<Arc<Value>> = verdicts
            .objects
            .iter()
            .filter(|object| herder_object::kind(object) == "Ingress")
            .cloned()
            .collect();
        said.retain(|key, _| verdicts.refused.contains_key(key));
        let mut new = Vec::new();
        for (key, refusal) in &*verdicts.refused {
            if said.get(key) != Some(refusal) {
                said.insert(key.clone(), refusal.clone());
                new.push((key.clone(), refusal.clone()));
            }
        }
        let failed = futures::stream::iter(ingresses)
            .map(|ingress| status(shared, ingress, &verdicts.refused, address))
            .buffer_unordered(AT_ONCE)
            .filter(|written| std::future::ready(!written))
            .count()
            .await;
        for (key, refusal) in new {
            event(shared, &key, &refusal).await;
        }
        let again = tokio::time::sleep(if failed > 0 {
            RETRY
        } else {
            Duration::from_secs(3600)
        });
        tokio::select! {
            changed = news.changed() => if changed.is_err() {
                return;
            },
            () = again => {}
        }
    }
}

/// Makes an Ingress's status say where it is served, if it is; whether it does.
async fn status(shared: &Shared, ingress: Arc<Value>, refused: &Refused, address: IpAddr) -> bool {
    let (namespace, name) = (namespace(&ingress).to_owned(), name(&ingress).to_owned());
    let served = refused
        .get(&(namespace.clone(), name.clone()))
        .is_none_or(|refusal| refusal.serves);
    let wanted = if served {
        json!([{"ip": address.to_string()}])
    } else {
        json!([])
    };
    let now = ingress.pointer("/status/loadBalancer/ingress");
    if now == Some(&wanted) || (!served && now.is_none_or(|now| now.as_array().is_none_or(Vec::is_empty))) {
        return true;
    }
    let key = Key {
        gvk: Gvk::new("networking.k8s.io/v1", "Ingress"),
        namespace,
        name,
    };
    let patch = json!({"status": {"loadBalancer": {"ingress": wanted}}});
    match shared.cluster.patch_status(&key, &patch).await {
        Ok(_) => true,
        Err(error) if error.is_not_found() => true,
        Err(error) => {
            debug!(ingress = %key, error = %herder_base::chain(&error), "an Ingress's status could not be written");
            false
        }
    }
}

async fn event(shared: &Shared, (namespace, name): &(String, String), refusal: &Refusal) {
    let now = shared.clock.now();
    let seconds = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"namespace": namespace, "name": format!("{name}.{:x}", now.as_millisecond())},
        "involvedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "namespace": namespace, "name": name, "uid": refusal.uid},
        "type": "Warning", "reason": "HostRefused", "message": refusal.reasons.join("; "),
        "source": {"component": "herder-edge"}, "reportingComponent": "herder-edge", "reportingInstance": "",
        "firstTimestamp": seconds, "lastTimestamp": seconds, "count": 1,
    });
    if let Err(error) = shared.cluster.create(event).await {
        debug!(error = %herder_base::chain(&error), "an event about a refused host could not be written");
    }
}
