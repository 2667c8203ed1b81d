//! Service addresses: which address and node ports a Service gets.

use super::index::Index;
use super::meta::text;
use super::{Cause, Resource, Status};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// Addresses below this one are given out by name only.
const FIRST: u32 = 0x0a60_0010;
/// The last address of 10.96.0.0/16 that is not its broadcast address.
const LAST: u32 = 0x0a60_fffe;
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

fn invalid(resource: &Resource, object: &Value, field: &str, message: String) -> Status {
    let cause = Cause {
        reason: "FieldValueInvalid".to_owned(),
        message,
        field: field.to_owned(),
    };
    Status::invalid(resource, text(object, "/metadata/name"), vec![cause])
}

/// Gives a Service what it needs, keeping what it had.
pub(super) fn allocate(
    resource: &Resource,
    index: &Index,
    object: &mut Value,
    current: Option<&Value>,
) -> Result<(), Status> {
    let kind = match text(object, "/spec/type") {
        "" => "ClusterIP",
        kind => kind,
    }
    .to_owned();
    let asked = text(object, "/spec/clusterIP").to_owned();
    let had = current
        .map(|current| text(current, "/spec/clusterIP").to_owned())
        .unwrap_or_default();
    let had_type = current
        .map(|current| text(current, "/spec/type").to_owned())
        .unwrap_or_default();
    let place = (
        text(object, "/metadata/namespace").to_owned(),
        text(object, "/metadata/name").to_owned(),
    );
    let Some(spec) = super::meta::section(object, "spec") else {
        return Ok(());
    };
    if kind == "ExternalName" {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
        return Ok(());
    }
    let address = if asked.is_empty() && !had.is_empty() {
        had.clone()
    } else if asked == "None" {
        asked
    } else if asked.is_empty() {
        let used = addresses(index);
        (FIRST..=LAST)
            .map(|bits| Ipv4Addr::from(bits).to_string())
            .find(|address| !used.contains(address.as_str()))
            .ok_or_else(|| Status::internal("no service address is free in 10.96.0.0/16"))?
    } else {
        asked
    };
    if !had.is_empty() && address != had && had_type != "ExternalName" {
        let message = format!("Invalid value: {}: may not change once set", json!([address]));
        return Err(invalid(resource, object, "spec.clusterIPs[0]", message));
    }
    if address != "None" && address != had {
        let parsed: Option<Ipv4Addr> = address.parse().ok();
        let inside = parsed.is_some_and(|parsed| parsed.octets().starts_with(&[10, 96]));
        if !inside {
            let message = format!(
                "Invalid value: {}: failed to allocate IP {address}: the provided network does not match the current range 10.96.0.0/16",
                json!([address])
            );
            return Err(invalid(resource, object, "spec.clusterIPs", message));
        }
        if parsed.is_some_and(|parsed| u32::from(parsed) < FIRST) && !may_have_low(&place) {
            let message = format!(
                "Invalid value: {}: failed to allocate IP {address}: it is kept for the control plane's own services",
                json!([address])
            );
            return Err(invalid(resource, object, "spec.clusterIPs", message));
        }
        if addresses(index).contains(address.as_str()) {
            let message = format!(
                "Invalid value: {}: failed to allocate IP {address}: provided IP is already allocated",
                json!([address])
            );
            return Err(invalid(resource, object, "spec.clusterIPs", message));
        }
    }
    spec.insert("clusterIP".to_owned(), json!(address));
    spec.insert("clusterIPs".to_owned(), json!([address]));
    node_ports(index, object, &kind, current);
    Ok(())
}

/// Whether a service may ask for one of the addresses that are not given out.
fn may_have_low((namespace, name): &(String, String)) -> bool {
    match namespace.as_str() {
        "kube-system" | "herder-system" => true,
        "default" => name == "kubernetes",
        _ => false,
    }
}

fn addresses(index: &Index) -> HashSet<&str> {
    index
        .all("services", None)
        .map(|service| text(service, "/spec/clusterIP"))
        .collect()
}

/// Node ports for the types that have them, as before where the port is the same.
fn node_ports(index: &Index, object: &mut Value, kind: &str, current: Option<&Value>) {
    let wants = matches!(kind, "NodePort" | "LoadBalancer");
    let number = |port: &Value, key: &str| port.get(key).and_then(Value::as_i64);
    let ports_of = |object: &'_ Value| {
        object
            .pointer("/spec/ports")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut used: HashSet<i64> = index
        .all("services", None)
        .flat_map(|service| ports_of(service))
        .filter_map(|port| number(&port, "nodePort"))
        .collect();
    let before = current.map(ports_of).unwrap_or_default();
    let Some(ports) = object.pointer_mut("/spec/ports").and_then(Value::as_array_mut) else {
        return;
    };
    for port in ports {
        let own = number(port, "nodePort").filter(|own| *own != 0);
        let same = before.iter().find(|old| old.get("port") == port.get("port"));
        let chosen = own.or_else(|| same.and_then(|old| number(old, "nodePort")));
        let Some(map) = port.as_object_mut() else { continue };
        if !wants {
            map.remove("nodePort");
            continue;
        }
        let chosen = chosen.or_else(|| NODE_PORTS.clone().find(|port| !used.contains(port)));
        if let Some(chosen) = chosen {
            used.insert(chosen);
            map.insert("nodePort".to_owned(), json!(chosen));
        }
    }
}
