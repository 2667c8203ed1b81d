//! Tells the cluster network which addresses and names there are and who answers for them.

use super::context::{Context, Failure, Outcome};
use super::endpoints::SLICES;
use super::pod;
use herder_node::fabric::{Protocol, ServiceEntry, ServicePortEntry, ServiceSnapshot, is_pod_address};
use herder_object::field::{flag, int, items, label, text};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};

/// Computes the snapshot and hands it over if it differs from the last one.
pub(super) async fn publish(ctx: &Context) -> Outcome {
    let Some(fabric) = &ctx.fabric else {
        return Ok(None);
    };
    let services = ctx.list_all("services");
    let (snapshot, refused) = snapshot(&services, &ctx.list_all(SLICES), &places(ctx));
    let same = {
        let last = ctx.published.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref() == Some(&snapshot)
    };
    if !same {
        tell(ctx, &services, &refused);
        fabric
            .set_services(snapshot.clone())
            .await
            .map_err(Failure::Publish)?;
        *ctx.published.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }
    Ok(None)
}

/// Namespace and address of the pods that there are.
fn places(ctx: &Context) -> HashSet<(String, IpAddr)> {
    let pods = ctx.list_all("pods");
    pods.iter()
        .filter(|one| !pod::ended(one))
        .filter_map(|one| {
            let address = text(one, "/status/podIP").parse().ok()?;
            Some((text(one, "/metadata/namespace").to_owned(), address))
        })
        .collect()
}

/// An endpoint that is not used: namespace, service and address.
type Refused = BTreeSet<(String, String, IpAddr)>;

/// Says at the service why an endpoint is not used: whoever wrote it would look there.
fn tell(ctx: &Context, services: &[Arc<Value>], refused: &Refused) {
    for (namespace, name, address) in refused {
        let service = services.iter().find(|service| {
            text(service, "/metadata/namespace") == namespace && text(service, "/metadata/name") == name
        });
        if let Some(service) = service {
            let message = format!(
                "endpoint {address} is not used: endpoints may only lead to pods of their own namespace, not to others' \
                 pods, to the machine, to a node or to service addresses"
            );
            ctx.event(service, "Warning", "EndpointRefused", &message);
        }
    }
}

/// All services with their ready backends, and the endpoints that are none.
fn snapshot(
    services: &[Arc<Value>],
    slices: &[Arc<Value>],
    places: &HashSet<(String, IpAddr)>,
) -> (ServiceSnapshot, Refused) {
    let mut of: HashMap<(&str, &str), Vec<&Value>> = HashMap::new();
    for slice in slices {
        let key = (
            text(slice, "/metadata/namespace"),
            label(slice, "kubernetes.io/service-name"),
        );
        of.entry(key).or_default().push(slice);
    }
    let taken: HashSet<IpAddr> = places.iter().map(|(_, address)| *address).collect();
    let mut refused = Refused::new();
    let mut entries: Vec<ServiceEntry> = services
        .iter()
        .map(|service| {
            let (namespace, name) = (
                text(service, "/metadata/namespace"),
                text(service, "/metadata/name"),
            );
            let slices = of.get(&(namespace, name)).map(Vec::as_slice).unwrap_or_default();
            let mut entry = entry(service, slices);
            for port in &mut entry.ports {
                // Anybody may write a slice: it must not lead where pods have no business, nor into another namespace
                // past what guards the pods there.
                port.backends.retain(|backend| {
                    let fine = places.contains(&(namespace.to_owned(), backend.ip()));
                    // A pod that is gone a moment before its slice is no news.
                    let gone = matches!(backend.ip(), IpAddr::V4(v4) if is_pod_address(v4))
                        && !taken.contains(&backend.ip());
                    if !fine && !gone {
                        refused.insert((namespace.to_owned(), name.to_owned(), backend.ip()));
                    }
                    fine
                });
            }
            entry
        })
        .collect();
    entries.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    (ServiceSnapshot { services: entries }, refused)
}

fn entry(service: &Value, slices: &[&Value]) -> ServiceEntry {
    let external = text(service, "/spec/externalName");
    let cluster_ip: Option<IpAddr> = text(service, "/spec/clusterIP").parse().ok();
    let mut entry = ServiceEntry {
        namespace: text(service, "/metadata/namespace").to_owned(),
        name: text(service, "/metadata/name").to_owned(),
        cluster_ip,
        external_name: (text(service, "/spec/type") == "ExternalName" && !external.is_empty())
            .then(|| external.to_owned()),
        ..ServiceEntry::default()
    };
    for endpoint in slices.iter().flat_map(|s| items(s, "/endpoints")) {
        if !is_ready(endpoint) {
            continue;
        }
        for ip in addresses(endpoint) {
            if cluster_ip.is_none() {
                entry.headless_ips.push(ip);
            }
            let host = text(endpoint, "/hostname");
            if !host.is_empty() {
                entry.hosts.push((host.to_owned(), ip));
            }
        }
    }
    entry.headless_ips.sort_unstable();
    entry.headless_ips.dedup();
    entry.hosts.sort();
    // A service without a selector and without slices is one that the control plane answers itself, or nobody.
    if slices.is_empty() {
        return entry;
    }
    for port in items(service, "/spec/ports") {
        let Some(number) = int(port, "/port").and_then(|n| u16::try_from(n).ok()) else {
            continue;
        };
        let protocol = match text(port, "/protocol") {
            "" | "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            _ => continue,
        };
        let name = text(port, "/name");
        entry.ports.push(ServicePortEntry {
            name: (!name.is_empty()).then(|| name.to_owned()),
            port: number,
            protocol,
            backends: backends(slices, name),
            sticky: text(service, "/spec/sessionAffinity") == "ClientIP",
        });
    }
    entry
}

fn is_ready(endpoint: &Value) -> bool {
    // Absent means ready, for slices written by hand.
    endpoint
        .pointer("/conditions/ready")
        .and_then(Value::as_bool)
        .unwrap_or(true)
        && !flag(endpoint, "/conditions/terminating")
}

fn addresses(endpoint: &Value) -> impl Iterator<Item = IpAddr> {
    items(endpoint, "/addresses")
        .iter()
        .filter_map(|a| a.as_str()?.parse().ok())
}

fn backends(slices: &[&Value], port_name: &str) -> Vec<SocketAddr> {
    let mut backends = Vec::new();
    for slice in slices {
        let port = items(slice, "/ports")
            .iter()
            .find(|p| text(p, "/name") == port_name);
        let Some(port) = port
            .and_then(|p| int(p, "/port"))
            .and_then(|n| u16::try_from(n).ok())
        else {
            continue;
        };
        for endpoint in items(slice, "/endpoints").iter().filter(|e| is_ready(e)) {
            backends.extend(addresses(endpoint).map(|ip| SocketAddr::new(ip, port)));
        }
    }
    backends.sort_unstable();
    backends.dedup();
    backends
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn snapshots() {
        let service = |name: &str, ip: &str| {
            Arc::new(json!({"metadata": {"namespace": "s", "name": name},
                "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80}]}}))
        };
        let slice = |name: &str| {
            Arc::new(json!({
            "metadata": {"namespace": "s", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": ["10.42.1.2"], "hostname": "db-0", "conditions": {"ready": true}},
                {"addresses": ["10.42.1.3"], "conditions": {"ready": false}},
                {"addresses": ["10.42.1.4"], "conditions": {"ready": true, "terminating": true}},
            ]}))
        };
        let (all, refused) = snapshot(
            &[
                service("web", "10.96.1.1"),
                service("db", "None"),
                service("kubernetes", "10.96.0.1"),
            ],
            &[slice("web"), slice("db")],
            &HashSet::from([("s".to_owned(), "10.42.1.2".parse().unwrap())]),
        );
        assert!(refused.is_empty());
        let names: Vec<_> = all.services.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["db", "kubernetes", "web"]);
        assert_eq!(
            all.services[0].headless_ips,
            ["10.42.1.2".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(
            all.services[0].hosts,
            [("db-0".to_owned(), "10.42.1.2".parse().unwrap())]
        );
        assert!(
            all.services[1].ports.is_empty(),
            "the API server listens there itself"
        );
        assert_eq!(
            all.services[2].ports[0].backends,
            ["10.42.1.2:8080".parse().unwrap()]
        );
    }
    #[test]
    fn endpoints_lead_to_pods_only() {
        let service = Arc::new(json!({"metadata": {"namespace": "s", "name": "x"},
            "spec": {"clusterIP": "10.96.1.1", "ports": [{"port": 80}]}}));
        let addresses = [
            "127.0.0.1",
            "169.254.169.254",
            "10.96.0.2",
            "10.42.0.1",
            "10.42.1.1",
            "192.168.0.1",
            "10.42.1.7",
        ];
        let slice = Arc::new(json!({
            "metadata": {"namespace": "s", "labels": {"kubernetes.io/service-name": "x"}},
            "ports": [{"name": "", "port": 8080}],
            "endpoints": addresses.map(|address| json!({"addresses": [address]})),
        }));
        let of = |places: &HashSet<(String, IpAddr)>| {
            let slices = [Arc::clone(&slice)];
            let (all, refused) = snapshot(&[Arc::clone(&service)], &slices, places);
            let backends: Vec<String> = all.services[0].ports[0]
                .backends
                .iter()
                .map(ToString::to_string)
                .collect();
            (backends.join(" "), refused.len())
        };
        // Nobody has that address: nothing leads there, and nobody is accused.
        assert_eq!(of(&HashSet::new()), (String::new(), 6));
        let (node, pod): (IpAddr, IpAddr) = ("10.42.1.1".parse().unwrap(), "10.42.1.7".parse().unwrap());
        // Only the namespace of a pod may lead to it, at its node's address too if it uses the node's network.
        let theirs = HashSet::from([("other".to_owned(), node), ("other".to_owned(), pod)]);
        assert_eq!(of(&theirs), (String::new(), 7));
        let own = HashSet::from([("s".to_owned(), node), ("s".to_owned(), pod)]);
        assert_eq!(of(&own), ("10.42.1.1:8080 10.42.1.7:8080".to_owned(), 5));
    }
}
