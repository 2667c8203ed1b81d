//! Tells the cluster network which addresses and names there are and who answers for them.

use super::context::{Context, Failure, Outcome};
use super::endpoints::SLICES;
use super::field::{flag, int, items, label, text};
use crate::fabric::{Protocol, ServiceEntry, ServicePortEntry, ServiceSnapshot};
use serde_json::Value;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};

/// Computes the snapshot and hands it over if it differs from the last one.
pub(super) async fn publish(ctx: &Context) -> Outcome {
    let Some(fabric) = &ctx.fabric else {
        return Ok(None);
    };
    let snapshot = snapshot(&ctx.list_all("services"), &ctx.list_all(SLICES));
    let same = {
        let last = ctx.published.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref() == Some(&snapshot)
    };
    if !same {
        fabric
            .set_services(snapshot.clone())
            .await
            .map_err(Failure::Publish)?;
        *ctx.published.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }
    Ok(None)
}

/// All services with their ready backends.
fn snapshot(services: &[Arc<Value>], slices: &[Arc<Value>]) -> ServiceSnapshot {
    let mut of: HashMap<(&str, &str), Vec<&Value>> = HashMap::new();
    for slice in slices {
        let key = (
            text(slice, "/metadata/namespace"),
            label(slice, "kubernetes.io/service-name"),
        );
        of.entry(key).or_default().push(slice);
    }
    let mut entries: Vec<ServiceEntry> = services
        .iter()
        .map(|service| {
            let key = (
                text(service, "/metadata/namespace"),
                text(service, "/metadata/name"),
            );
            entry(service, of.get(&key).map(Vec::as_slice).unwrap_or_default())
        })
        .collect();
    entries.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    ServiceSnapshot { services: entries }
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
        let all = snapshot(
            &[
                service("web", "10.96.1.1"),
                service("db", "None"),
                service("kubernetes", "10.96.0.1"),
            ],
            &[slice("web"), slice("db")],
        );
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
}
