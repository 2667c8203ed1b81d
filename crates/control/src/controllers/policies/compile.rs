//! NetworkPolicies, pods and namespaces → what the fabric enforces: a pure function.
//!
//! Only policies that select a pod that runs are looked at closely, and rules that mean the same are made once however
//! many pods and policies have them: the work grows with the pods there are, not with policies times pods.
//!
//! What is doubtful allows nothing: a peer that says nothing, a network that cannot be read, a port name that no
//! container has.

use super::cidr;
use crate::controllers::{pod, select};
use herder_node::fabric::{
    DNS, Peers, PolicyPod, PolicySnapshot, PortRange, Profile, ProfileRule, Transport, device,
    is_pod_address, short,
};
use herder_object::field::{deleting, items, map, text};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Where the control plane's own are, for policies.
pub(super) const OWN_NAMESPACES: [&str; 2] = ["kube-system", "herder-system"];

/// A pod, or something of the control plane that policies see as one.
struct Place<'a> {
    address: Ipv4Addr,
    namespace: &'a str,
    labels: Option<&'a Map<String, Value>>,
    object: &'a Value,
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Ingress,
    Egress,
}

impl Way {
    /// `(policy type, list of rules, list of peers)`.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Ingress => ("Ingress", "/spec/ingress", "/from"),
            Self::Egress => ("Egress", "/spec/egress", "/to"),
        }
    }
}

/// What the control plane serves in the cluster, as policies see it: cluster DNS where Kubernetes has it, Vault and
/// the platform in Herder's own namespace. The API server is no pod, as in Kubernetes.
fn built_in() -> [(Ipv4Addr, Value); 3] {
    let port = |name: &str, number: u16, protocol: &str| json!({"name": name, "containerPort": number, "protocol": protocol});
    let place = |namespace: &str, labels: Value, ports: Value| json!({"metadata": {"namespace": namespace, "labels": labels}, "spec": {"containers": [{"ports": ports}]}});
    let own = |name: &str, number: u16, port_name: &str| {
        let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "herder"});
        place("herder-system", labels, json!([port(port_name, number, "TCP")]))
    };
    let dns = json!([port("dns", 53, "UDP"), port("dns-tcp", 53, "TCP")]);
    [
        (DNS, place("kube-system", json!({"k8s-app": "kube-dns"}), dns)),
        (Ipv4Addr::new(10, 96, 0, 2), own("vault", 8200, "http")),
        (Ipv4Addr::new(10, 96, 0, 3), own("platform", 80, "http")),
    ]
}

/// Whether a pod has a network.
pub(super) fn runs(pod: &Value) -> bool {
    !pod::ended(pod) && address(pod).is_some()
}

/// A pod's own address; a pod that uses its node's network has none.
fn address(pod: &Value) -> Option<Ipv4Addr> {
    text(pod, "/status/podIP")
        .parse()
        .ok()
        .filter(|ip| is_pod_address(*ip))
}

/// Compiles: `policies` and `namespaces` need only be those of namespaces that have one of the pods.
pub(super) fn compile(
    policies: &[Arc<Value>],
    pods: &[Arc<Value>],
    namespaces: &[Arc<Value>],
) -> PolicySnapshot {
    let own = built_in();
    let running = running(pods);
    let mut of_namespace: HashMap<&str, Vec<&Value>> = HashMap::new();
    for policy in policies {
        of_namespace
            .entry(text(policy, "/metadata/namespace"))
            .or_default()
            .push(policy);
    }
    let mut compiler = Compiler {
        places: running
            .values()
            .map(|(address, pod)| place(*address, pod))
            .chain(own.iter().map(|(address, object)| place(*address, object)))
            .collect(),
        namespaces: namespaces
            .iter()
            .map(|namespace| {
                let name = text(namespace, "/metadata/name");
                (name, labels_of(name, map(namespace, "/metadata/labels")))
            })
            .collect(),
        snapshot: PolicySnapshot::default(),
    };
    for (_, object) in &own {
        let name = text(object, "/metadata/namespace");
        compiler
            .namespaces
            .entry(name)
            .or_insert_with(|| labels_of(name, None));
    }
    for (address, pod) in running.values() {
        let namespace = text(pod, "/metadata/namespace");
        let labels = map(pod, "/metadata/labels");
        let selecting: Vec<&Value> = of_namespace
            .get(namespace)
            .into_iter()
            .flatten()
            .copied()
            // A missing selector is an empty one here.
            .filter(|policy| match policy.pointer("/spec/podSelector") {
                Some(selector) => select::matches(Some(selector), labels),
                None => true,
            })
            .collect();
        let ingress = compiler.profile(Way::Ingress, &selecting, pod);
        let egress = compiler.profile(Way::Egress, &selecting, pod);
        compiler.snapshot.pods.push(PolicyPod {
            device: device(text(pod, "/metadata/uid"), *address),
            address: *address,
            ingress,
            egress,
        });
    }
    compiler.snapshot.pods.sort_by(|a, b| a.device.cmp(&b.device));
    compiler.snapshot
}

fn place(address: Ipv4Addr, object: &Value) -> Place<'_> {
    Place {
        address,
        namespace: text(object, "/metadata/namespace"),
        labels: map(object, "/metadata/labels"),
        object,
    }
}

/// A namespace's labels, with its name among them in any case.
fn labels_of(name: &str, labels: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut labels = labels.cloned().unwrap_or_default();
    labels.insert("kubernetes.io/metadata.name".to_owned(), json!(name));
    labels
}

/// Pods that have a network, by address. An address has one pod: of two that claim it, the one that is not going, or
/// the one that came last.
fn running(pods: &[Arc<Value>]) -> BTreeMap<Ipv4Addr, (Ipv4Addr, &Value)> {
    let mut running: BTreeMap<Ipv4Addr, (Ipv4Addr, &Value)> = BTreeMap::new();
    let rank = |pod: &Value| {
        let version: u64 = text(pod, "/metadata/resourceVersion").parse().unwrap_or(0);
        (
            !deleting(pod),
            text(pod, "/metadata/creationTimestamp").to_owned(),
            version,
        )
    };
    for pod in pods.iter().filter(|pod| runs(pod)) {
        let Some(address) = address(pod) else { continue };
        if running
            .get(&address)
            .is_none_or(|(_, other)| rank(other) < rank(pod))
        {
            running.insert(address, (address, pod));
        }
    }
    running
}

struct Compiler<'a> {
    places: Vec<Place<'a>>,
    namespaces: HashMap<&'a str, Map<String, Value>>,
    snapshot: PolicySnapshot,
}

impl Compiler<'_> {
    /// What a pod may do one way: `None` if no policy says anything about it.
    fn profile(&mut self, way: Way, policies: &[&Value], pod: &Value) -> Option<String> {
        let (kind, rules, peers) = way.words();
        let mut isolated = false;
        let mut all: BTreeSet<ProfileRule> = BTreeSet::new();
        for policy in policies.iter().filter(|policy| is_of(policy, kind)) {
            isolated = true;
            let namespace = text(policy, "/metadata/namespace");
            for rule in items(policy, rules) {
                let peers = items(rule, peers);
                self.rule(way, namespace, rule, peers, pod, &mut all);
            }
        }
        isolated.then(|| {
            let profile = Profile {
                rules: all.into_iter().collect(),
            };
            let name = short(&format!("{profile:?}"));
            self.snapshot.profiles.entry(name.clone()).or_insert(profile);
            name
        })
    }

    fn rule(
        &mut self,
        way: Way,
        namespace: &str,
        rule: &Value,
        peers: &[Value],
        pod: &Value,
        into: &mut BTreeSet<ProfileRule>,
    ) {
        let ports = items(rule, "/ports");
        let mut numbers = Vec::new();
        let mut names = Vec::new();
        for port in ports {
            let Some(transport) = transport(text(port, "/protocol")) else {
                continue;
            };
            match port.get("port") {
                None | Some(Value::Null) => numbers.push(range(transport, 0, u16::MAX)),
                Some(Value::Number(number)) => {
                    let first = number.as_u64().and_then(|n| u16::try_from(n).ok());
                    let end = port.get("endPort").filter(|end| !end.is_null());
                    let last = match end {
                        Some(end) => end.as_u64().and_then(|n| u16::try_from(n).ok()),
                        None => first,
                    };
                    if let (Some(first), Some(last)) = (first, last)
                        && first <= last
                    {
                        numbers.push(range(transport, first, last));
                    }
                }
                Some(Value::String(name)) if way == Way::Ingress => {
                    let own = named(pod, name, transport);
                    numbers.extend(own.into_iter().map(|port| range(transport, port, port)));
                }
                Some(Value::String(name)) => names.push((name.clone(), transport)),
                Some(_) => {}
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let selected = (!peers.is_empty()).then(|| self.peers(namespace, peers));
        let nobody = |peers: &Option<Peers>| {
            peers
                .as_ref()
                .is_some_and(|peers| peers.sets.is_empty() && peers.ranges.is_empty())
        };
        for (name, transport) in names {
            let target = self.target(namespace, peers, &name, transport);
            into.insert(ProfileRule::Targets(target));
        }
        if !nobody(&selected) && (ports.is_empty() || !numbers.is_empty()) {
            into.insert(ProfileRule::Peers {
                peers: selected,
                ports: (!ports.is_empty()).then_some(numbers),
            });
        }
    }

    fn peers(&mut self, namespace: &str, peers: &[Value]) -> Peers {
        let mut found = Peers::default();
        for peer in peers {
            if let Some(block) = peer.get("ipBlock").filter(|block| !block.is_null()) {
                found.ranges.extend(ranges(block));
            } else if let Some(key) = key(namespace, peer) {
                let name = short(&key);
                if !self.snapshot.sets.contains_key(&name) {
                    let members = self.members(namespace, peer).map(|place| place.address);
                    let members = members.collect();
                    self.snapshot.sets.insert(name.clone(), members);
                }
                found.sets.push(name);
            }
        }
        found.sets.sort();
        found.sets.dedup();
        found.ranges = cidr::merge(found.ranges);
        found
    }

    /// The pods that a peer selects.
    fn members<'b>(&'b self, namespace: &'b str, peer: &'b Value) -> impl Iterator<Item = &'b Place<'b>> {
        let of_namespaces = peer
            .get("namespaceSelector")
            .filter(|selector| !selector.is_null());
        let of_pods = peer.get("podSelector").filter(|selector| !selector.is_null());
        let chosen: Option<BTreeSet<&str>> = of_namespaces.map(|selector| {
            let matching = self
                .namespaces
                .iter()
                .filter(|(_, labels)| select::matches(Some(selector), Some(labels)));
            matching.map(|(name, _)| *name).collect()
        });
        self.places.iter().filter(move |place| {
            let there = match &chosen {
                Some(names) => names.contains(place.namespace),
                None => place.namespace == namespace,
            };
            there && of_pods.is_none_or(|selector| select::matches(Some(selector), place.labels))
        })
    }

    /// The ports named `name` of the pods that are peers; of all pods if there are no peers.
    fn target(&mut self, namespace: &str, peers: &[Value], name: &str, transport: Transport) -> String {
        let keys: Vec<Option<String>> = peers.iter().map(|peer| key(namespace, peer)).collect();
        let set = short(&format!("{keys:?} {name} {transport:?}"));
        if !self.snapshot.targets.contains_key(&set) {
            let of = |place: &Place<'_>| {
                let ports = named(place.object, name, transport);
                let address = place.address;
                ports.into_iter().map(move |port| (address, transport, port))
            };
            let targets = if peers.is_empty() {
                self.places.iter().flat_map(of).collect()
            } else {
                peers
                    .iter()
                    .filter(|peer| key(namespace, peer).is_some())
                    .flat_map(|peer| self.members(namespace, peer).flat_map(of))
                    .collect()
            };
            self.snapshot.targets.insert(set.clone(), targets);
        }
        set
    }
}

/// Whether a policy is of a type, by what it says or by what follows from what it does not say.
fn is_of(policy: &Value, kind: &str) -> bool {
    let types = items(policy, "/spec/policyTypes");
    if types.is_empty() {
        return kind == "Ingress" || !items(policy, "/spec/egress").is_empty();
    }
    types.iter().any(|one| one.as_str() == Some(kind))
}

/// What a peer of selectors selects, as text; `None` if it has none.
fn key(namespace: &str, peer: &Value) -> Option<String> {
    let selector = |field: &str| peer.get(field).filter(|selector| !selector.is_null());
    if peer.get("ipBlock").is_some_and(|block| !block.is_null()) {
        return None;
    }
    let (namespaces, pods) = (selector("namespaceSelector"), selector("podSelector"));
    // A selector for namespaces means the same wherever it stands.
    let here = namespaces.is_none().then_some(namespace);
    (namespaces.is_some() || pods.is_some()).then(|| json!([here, namespaces, pods]).to_string())
}

/// The addresses of a block.
fn ranges(block: &Value) -> Vec<cidr::Range> {
    let Some(all) = cidr::parse(text(block, "/cidr")) else {
        return Vec::new();
    };
    let holes: Option<Vec<cidr::Range>> = items(block, "/except")
        .iter()
        .map(|hole| cidr::parse(hole.as_str()?))
        .collect();
    // A hole that cannot be read might be any.
    holes.map_or_else(Vec::new, |holes| cidr::without(all, &holes))
}

fn range(transport: Transport, first: u16, last: u16) -> PortRange {
    PortRange {
        transport,
        first,
        last,
    }
}

fn transport(name: &str) -> Option<Transport> {
    match name {
        "" | "TCP" => Some(Transport::Tcp),
        "UDP" => Some(Transport::Udp),
        "SCTP" => Some(Transport::Sctp),
        _ => None,
    }
}

/// The numbers of a pod's ports of a name.
fn named(pod: &Value, name: &str, wanted: Transport) -> Vec<u16> {
    let sidecars = items(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always");
    items(pod, "/spec/containers")
        .iter()
        .chain(sidecars)
        .flat_map(|container| items(container, "/ports"))
        .filter(|port| text(port, "/name") == name && transport(text(port, "/protocol")) == Some(wanted))
        .filter_map(|port| u16::try_from(port.get("containerPort")?.as_u64()?).ok())
        .collect()
}
