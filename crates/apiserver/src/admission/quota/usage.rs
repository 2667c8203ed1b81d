//! What one object uses of what quotas count. Pure.

use crate::registry::Resource;
use herder_object::field::ended;
use herder_object::field::{items, text};
use herder_object::quantity::{Amounts, milli, of_pod};
use serde_json::Value;

/// One whole, in thousandths.
const ONE: i128 = 1000;

/// Everything that an object counts for, in thousandths of the unit.
pub(crate) fn usage(resource: &Resource, object: &Value) -> Amounts {
    let mut used = Amounts::from([(format!("count/{}", resource.name), ONE)]);
    let mut add = |what: &str, amount: i128| {
        *used.entry(what.to_owned()).or_default() += amount;
    };
    match resource.storage_name.as_str() {
        // What has ended uses nothing any more, but is still an object.
        "pods" if !ended(object) => {
            add("pods", ONE);
            of_containers(object, &mut add);
        }
        "services" => {
            add("services", ONE);
            let ports = items(object, "/spec/ports");
            let count = |length: usize| ONE * i128::try_from(length).unwrap_or(i128::MAX / ONE);
            match text(object, "/spec/type") {
                "NodePort" => add("services.nodeports", count(ports.len())),
                "LoadBalancer" => {
                    let open = ports.iter().filter(|port| {
                        port.get("nodePort")
                            .and_then(Value::as_i64)
                            .is_some_and(|port| port != 0)
                    });
                    add("services.nodeports", count(open.count()));
                    add("services.loadbalancers", ONE);
                }
                _ => {}
            }
        }
        "persistentvolumeclaims" => {
            let storage = object
                .pointer("/spec/resources/requests/storage")
                .and_then(milli)
                .unwrap_or_default();
            add("persistentvolumeclaims", ONE);
            add("requests.storage", storage);
            let class = text(object, "/spec/storageClassName");
            if !class.is_empty() {
                let prefix = format!("{class}.storageclass.storage.k8s.io");
                add(&format!("{prefix}/persistentvolumeclaims"), ONE);
                add(&format!("{prefix}/requests.storage"), storage);
            }
        }
        known @ ("configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas") => add(known, ONE),
        _ => {}
    }
    used
}

fn of_containers(pod: &Value, add: &mut impl FnMut(&str, i128)) {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    for side in ["requests", "limits"] {
        for (name, amount) in of_pod(spec, side) {
            add(&format!("{side}.{name}"), amount);
            // Without a prefix it is what is requested.
            let plain = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                || name.starts_with("hugepages-");
            if side == "requests" && plain {
                add(&name, amount);
            }
        }
    }
}

/// The amounts that every container must name where a quota limits them; the first of each pair is the quota's word.
const NAMED: [(&str, &str, &str); 6] = [
    ("cpu", "requests", "cpu"),
    ("memory", "requests", "memory"),
    ("requests.cpu", "requests", "cpu"),
    ("requests.memory", "requests", "memory"),
    ("limits.cpu", "limits", "cpu"),
    ("limits.memory", "limits", "memory"),
];

/// What a pod fails to say although a quota limits it: `must specify limits.cpu for: c; limits.memory for: c`.
pub(super) fn unsaid<'a>(hard: impl Iterator<Item = &'a String>, pod: &Value) -> Option<String> {
    let hard: std::collections::BTreeSet<&str> = hard.map(String::as_str).collect();
    let mut missing = Vec::new();
    for what in hard {
        let Some((_, side, name)) = NAMED.iter().find(|(known, ..)| *known == what) else {
            continue;
        };
        let containers = items(pod, "/spec/containers")
            .iter()
            .chain(items(pod, "/spec/initContainers"));
        let mut silent: Vec<&str> = containers
            .filter(|container| {
                container
                    .pointer(&format!("/resources/{side}/{name}"))
                    .and_then(milli)
                    .is_none()
            })
            .map(|container| text(container, "/name"))
            .collect();
        silent.sort_unstable();
        if !silent.is_empty() {
            missing.push(format!("{what} for: {}", silent.join(",")));
        }
    }
    (!missing.is_empty()).then(|| format!("must specify {}", missing.join("; ")))
}
