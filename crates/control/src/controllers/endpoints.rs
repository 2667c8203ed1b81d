//! Which pods serve a Service: EndpointSlices, and the older Endpoints with the same content.

use super::context::{Context, Outcome};
use super::{pod, select};
use herder_object::field::{annotation, deleting, flag, int, items, label, map, put, text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) const SLICES: &str = "endpointslices.discovery.k8s.io";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED: &str = "endpointslice.kubernetes.io/managed-by";

/// Writes the slices and the Endpoints of one Service.
pub(super) async fn reconcile(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let service = ctx.get("services", namespace, name);
    let service = service.filter(|s| !deleting(s) && text(s, "/spec/type") != "ExternalName");
    // Endpoints go with their Service also where they were written by hand, as in Kubernetes.
    let Some(service) = service else {
        remove_slices(ctx, namespace, name, &[]).await?;
        return Ok(None);
    };
    let Some(selector) = map(&service, "/spec/selector").filter(|s| !s.is_empty()) else {
        return Ok(None);
    };
    let pods: Vec<Arc<Value>> = ctx
        .list("pods", namespace)
        .into_iter()
        .filter(|p| select::subset(selector, map(p, "/metadata/labels")))
        .collect();
    let slices = slices(&service, &pods);
    let mut kept = Vec::new();
    for slice in slices {
        kept.push(text(&slice, "/metadata/name").to_owned());
        write(ctx, SLICES, slice).await?;
    }
    remove_slices(ctx, namespace, name, &kept).await?;
    write(ctx, "endpoints", endpoints(&service, &pods)).await?;
    Ok(None)
}

async fn remove_slices(
    ctx: &Context,
    namespace: &str,
    service: &str,
    kept: &[String],
) -> Result<(), super::context::Failure> {
    for slice in ctx.list(SLICES, namespace) {
        let ours = label(&slice, SERVICE) == service && label(&slice, MANAGED) == MANAGER;
        if ours && !kept.iter().any(|k| k == text(&slice, "/metadata/name")) {
            ctx.delete(SLICES, &slice).await?;
        }
    }
    Ok(())
}

async fn write(ctx: &Context, resource: &str, object: Value) -> Result<(), super::context::Failure> {
    let (namespace, name) = (
        text(&object, "/metadata/namespace"),
        text(&object, "/metadata/name"),
    );
    if ctx.get(resource, namespace, name).is_none() {
        match ctx.create(resource, object.clone()).await {
            Err(failure) if failure.already_exists() => {}
            other => return other.map(drop),
        }
    }
    ctx.modify(resource, namespace, name, |live| {
        let Some(wanted) = object.as_object() else {
            return false;
        };
        let mut changed = false;
        for (field, value) in wanted {
            if field == "metadata" {
                for part in ["labels", "ownerReferences", "annotations"] {
                    let want = object.pointer(&format!("/metadata/{part}"));
                    if let Some(want) = want
                        && live.pointer(&format!("/metadata/{part}")) != Some(want)
                    {
                        put(live, &["metadata", part], want.clone());
                        changed = true;
                    }
                }
            } else if live.get(field) != Some(value) {
                put(live, &[field], value.clone());
                changed = true;
            }
        }
        changed
    })
    .await
}

/// One resolved port of a service for one pod.
type Port = (String, String, i64, String);

fn ports(service: &Value, pod: &Value) -> Vec<Port> {
    items(service, "/spec/ports")
        .iter()
        .filter_map(|port| {
            let protocol = match text(port, "/protocol") {
                "" => "TCP",
                protocol => protocol,
            };
            let number = match port.get("targetPort") {
                Some(Value::String(name)) => match name.parse::<i64>() {
                    Ok(number) => number,
                    Err(_) => named_port(pod, name, protocol)?,
                },
                Some(Value::Number(n)) if n.as_i64() != Some(0) => n.as_i64()?,
                _ => int(port, "/port")?,
            };
            let app = text(port, "/appProtocol").to_owned();
            Some((text(port, "/name").to_owned(), protocol.to_owned(), number, app))
        })
        .collect()
}

fn named_port(pod: &Value, name: &str, protocol: &str) -> Option<i64> {
    let sidecars = items(pod, "/spec/initContainers")
        .iter()
        .filter(|c| text(c, "/restartPolicy") == "Always");
    items(pod, "/spec/containers")
        .iter()
        .chain(sidecars)
        .flat_map(|c| items(c, "/ports"))
        .find(|p| {
            text(p, "/name") == name && (text(p, "/protocol") == protocol || text(p, "/protocol").is_empty())
        })
        .and_then(|p| int(p, "/containerPort"))
}

fn address(pod: &Value) -> Option<IpAddr> {
    text(pod, "/status/podIP").parse().ok()
}

fn reference(pod: &Value) -> Value {
    json!({
        "kind": "Pod",
        "namespace": text(pod, "/metadata/namespace"),
        "name": text(pod, "/metadata/name"),
        "uid": text(pod, "/metadata/uid"),
    })
}

fn hostname<'a>(service: &Value, pod: &'a Value) -> Option<&'a str> {
    let name = text(pod, "/spec/hostname");
    (!name.is_empty() && text(pod, "/spec/subdomain") == text(service, "/metadata/name")).then_some(name)
}

fn port_values(ports: &[Port]) -> Vec<Value> {
    ports
        .iter()
        .map(|(name, protocol, port, app)| {
            let mut value = json!({"name": name, "protocol": protocol, "port": port});
            if !app.is_empty() {
                put(&mut value, &["appProtocol"], app.clone());
            }
            value
        })
        .collect()
}

fn base(service: &Value, api_version: &str, kind: &str, name: &str) -> Value {
    let mut labels: Map<String, Value> = map(service, "/metadata/labels").cloned().unwrap_or_default();
    if text(service, "/spec/clusterIP") == "None" {
        labels.insert("service.kubernetes.io/headless".to_owned(), json!(""));
    }
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": text(service, "/metadata/namespace"), "labels": labels},
    })
}

/// The slices of a service: one per address family and set of resolved ports.
fn slices(service: &Value, pods: &[Arc<Value>]) -> Vec<Value> {
    let name = text(service, "/metadata/name");
    let everybody = flag(service, "/spec/publishNotReadyAddresses");
    let mut groups: BTreeMap<(bool, Vec<Port>), Vec<Value>> = BTreeMap::new();
    for pod in pods.iter().filter(|p| !pod::ended(p)) {
        let Some(ip) = address(pod) else { continue };
        let terminating = deleting(pod);
        let serving = pod::ready(pod);
        let mut endpoint = json!({
            "addresses": [ip.to_string()],
            "conditions": {
                "ready": everybody || (serving && !terminating),
                "serving": everybody || serving,
                "terminating": terminating,
            },
            "targetRef": reference(pod),
        });
        if !text(pod, "/spec/nodeName").is_empty() {
            put(&mut endpoint, &["nodeName"], text(pod, "/spec/nodeName"));
        }
        if let Some(host) = hostname(service, pod) {
            put(&mut endpoint, &["hostname"], host);
        }
        groups
            .entry((ip.is_ipv6(), ports(service, pod)))
            .or_default()
            .push(endpoint);
    }
    if groups.is_empty() {
        groups.insert((false, Vec::new()), Vec::new());
    }
    let owner = super::pod::controlled_by(service, "v1", "Service");
    groups
        .into_iter()
        .map(|((v6, ports), mut endpoints)| {
            endpoints.sort_by(|a, b| text(a, "/addresses/0").cmp(text(b, "/addresses/0")));
            let key = json!([v6, port_values(&ports)]);
            let suffix: String = super::template::hash(&key, 0).chars().take(5).collect();
            let mut slice = base(
                service,
                "discovery.k8s.io/v1",
                "EndpointSlice",
                &format!("{name}-{suffix}"),
            );
            put(&mut slice, &["metadata", "labels", SERVICE], name);
            put(&mut slice, &["metadata", "labels", MANAGED], MANAGER);
            put(&mut slice, &["metadata", "ownerReferences"], vec![owner.clone()]);
            put(&mut slice, &["addressType"], if v6 { "IPv6" } else { "IPv4" });
            put(&mut slice, &["endpoints"], endpoints);
            put(&mut slice, &["ports"], port_values(&ports));
            slice
        })
        .collect()
}

/// The Endpoints of a service.
fn endpoints(service: &Value, pods: &[Arc<Value>]) -> Value {
    let everybody = flag(service, "/spec/publishNotReadyAddresses");
    let mut groups: BTreeMap<Vec<Port>, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for pod in pods
        .iter()
        .filter(|p| !pod::ended(p) && (everybody || !deleting(p)))
    {
        let Some(ip) = address(pod) else { continue };
        let mut address = json!({"ip": ip.to_string(), "targetRef": reference(pod)});
        if !text(pod, "/spec/nodeName").is_empty() {
            put(&mut address, &["nodeName"], text(pod, "/spec/nodeName"));
        }
        if let Some(host) = hostname(service, pod) {
            put(&mut address, &["hostname"], host);
        }
        let (ready, waiting) = groups.entry(ports(service, pod)).or_default();
        if everybody || pod::ready(pod) {
            ready.push(address);
        } else {
            waiting.push(address);
        }
    }
    let subsets: Vec<Value> = groups
        .into_iter()
        .map(|(ports, (mut ready, mut waiting))| {
            let mut subset = json!({});
            for (field, list) in [("addresses", &mut ready), ("notReadyAddresses", &mut waiting)] {
                list.sort_by(|a, b| text(a, "/ip").cmp(text(b, "/ip")));
                if !list.is_empty() {
                    put(&mut subset, &[field], std::mem::take(list));
                }
            }
            let mut list = port_values(&ports);
            for port in &mut list {
                if text(port, "/name").is_empty() {
                    herder_object::field::remove(port, &["name"]);
                }
            }
            put(&mut subset, &["ports"], list);
            subset
        })
        .collect();
    let mut object = base(service, "v1", "Endpoints", text(service, "/metadata/name"));
    put(
        &mut object,
        &["metadata", "labels", MANAGED],
        "endpoint-controller",
    );
    let since = pods
        .iter()
        .map(|p| annotation(p, "endpoints.kubernetes.io/last-change-trigger-time"))
        .max()
        .unwrap_or_default();
    if !since.is_empty() {
        put(
            &mut object,
            &[
                "metadata",
                "annotations",
                "endpoints.kubernetes.io/last-change-trigger-time",
            ],
            since,
        );
    }
    put(&mut object, &["subsets"], subsets);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        json!({"metadata": {"name": "shop", "namespace": "s", "uid": "u", "labels": {"a": "b"}}, "spec": {
            "selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}})
    }

    fn pod(name: &str, ip: &str, ready: bool, deleting: bool, port: i64) -> Arc<Value> {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "s"},
            "spec": {"nodeName": "n1", "containers": [{"ports": [{"name": "web", "containerPort": port}]}]},
            "status": {"podIP": ip, "phase": "Running",
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        });
        if deleting {
            put(
                &mut pod,
                &["metadata", "deletionTimestamp"],
                "2026-01-01T00:00:00Z",
            );
        }
        Arc::new(pod)
    }

    #[test]
    fn only_ready_pods_are_ready() {
        let pods = [
            pod("a", "10.42.1.2", true, false, 8080),
            pod("b", "10.42.1.3", false, false, 8080),
            pod("c", "10.42.1.4", true, true, 8080),
            pod("d", "10.42.2.2", true, false, 9090),
            pod("e", "", true, false, 8080),
        ];
        let slices = slices(&service(), &pods);
        assert_eq!(slices.len(), 2);
        let conditions: Vec<_> = items(&slices[0], "/endpoints")
            .iter()
            .map(|e| {
                let c = |f: &str| flag(e, &format!("/conditions/{f}"));
                (
                    text(e, "/addresses/0"),
                    c("ready"),
                    c("serving"),
                    c("terminating"),
                )
            })
            .collect();
        assert_eq!(
            conditions,
            [
                ("10.42.1.2", true, true, false),
                ("10.42.1.3", false, false, false),
                ("10.42.1.4", false, true, true)
            ]
        );
        assert_eq!(int(&slices[0], "/ports/0/port"), Some(8080));
        assert_eq!(int(&slices[1], "/ports/0/port"), Some(9090));
        let endpoints = endpoints(&service(), &pods);
        assert_eq!(items(&endpoints, "/subsets/0/addresses").len(), 1);
        assert_eq!(text(&endpoints, "/subsets/0/notReadyAddresses/0/ip"), "10.42.1.3");
    }
}
