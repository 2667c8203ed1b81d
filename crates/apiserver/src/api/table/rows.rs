//! The rows that take some computing: pods, jobs, services, nodes, events, ingresses.

use super::super::read::selector_text;
use super::cells::{few, joined, list, number, or_none, since, text, workload};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A pod's status in one word, as kubectl computes it.
fn pod_status(object: &Value) -> String {
    let reason = text(object, "/status/reason");
    let mut status = if reason.is_empty() {
        text(object, "/status/phase")
    } else {
        reason
    }
    .to_owned();
    let init = list(object, "/status/initContainerStatuses");
    let specs = list(object, "/spec/initContainers");
    let mut initializing = false;
    for (index, container) in init.iter().enumerate() {
        let always = specs.iter().any(|spec| {
            text(spec, "/name") == text(container, "/name") && text(spec, "/restartPolicy") == "Always"
        });
        if let Some(ended) = container.pointer("/state/terminated") {
            if number(ended, "/exitCode") == 0 {
                continue;
            }
            status = match text(ended, "/reason") {
                "" => format!("Init:ExitCode:{}", number(ended, "/exitCode")),
                reason => format!("Init:{reason}"),
            };
        } else if always && container.get("started").and_then(Value::as_bool) == Some(true) {
            continue;
        } else {
            status = match text(container, "/state/waiting/reason") {
                "" | "PodInitializing" => format!("Init:{index}/{}", specs.len()),
                reason => format!("Init:{reason}"),
            };
        }
        initializing = true;
        break;
    }
    if !initializing {
        let mut running = false;
        for container in list(object, "/status/containerStatuses").iter().rev() {
            let waiting = text(container, "/state/waiting/reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut status);
            } else if let Some(ended) = container.pointer("/state/terminated") {
                status = match text(ended, "/reason") {
                    "" => format!("ExitCode:{}", number(ended, "/exitCode")),
                    reason => reason.to_owned(),
                };
            } else if container.get("ready").and_then(Value::as_bool) == Some(true)
                && container.pointer("/state/running").is_some()
            {
                running = true;
            }
        }
        if status == "Completed" && running {
            let ready = list(object, "/status/conditions")
                .iter()
                .any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True");
            status = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        status = if text(object, "/status/reason") == "NodeLost" {
            "Unknown"
        } else {
            "Terminating"
        }
        .to_owned();
    }
    status
}

pub(super) fn pod(object: &Value, name: Value, age: Value, now: Timestamp) -> Vec<Value> {
    let statuses = list(object, "/status/containerStatuses");
    let sidecars: Vec<&Value> = list(object, "/spec/initContainers")
        .iter()
        .filter(|spec| text(spec, "/restartPolicy") == "Always")
        .collect();
    let init = list(object, "/status/initContainerStatuses");
    let counted = init.iter().filter(|status| {
        sidecars
            .iter()
            .any(|spec| text(spec, "/name") == text(status, "/name"))
    });
    let all: Vec<&Value> = statuses.iter().chain(counted).collect();
    let ready = all
        .iter()
        .filter(|status| status.get("ready").and_then(Value::as_bool) == Some(true))
        .count();
    let total = list(object, "/spec/containers").len() + sidecars.len();
    let restarts: i64 = all.iter().map(|status| number(status, "/restartCount")).sum();
    let last = all
        .iter()
        .map(|status| text(status, "/lastState/terminated/finishedAt"))
        .max()
        .unwrap_or_default();
    let restarts = if restarts > 0 && !last.is_empty() {
        format!("{restarts} ({} ago)", since(last, now))
    } else {
        restarts.to_string()
    };
    vec![
        name,
        json!(format!("{ready}/{total}")),
        json!(pod_status(object)),
        json!(restarts),
        age,
        json!(or_none(text(object, "/status/podIP"))),
        json!(or_none(text(object, "/spec/nodeName"))),
        json!(or_none(text(object, "/status/nominatedNodeName"))),
        json!("<none>"),
    ]
}

pub(super) fn job(object: &Value, name: Value, age: Value, now: Timestamp) -> Vec<Value> {
    let condition = |kind: &str| {
        list(object, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
    };
    let status = if condition("Complete") {
        "Complete"
    } else if condition("Failed") {
        "Failed"
    } else if object.pointer("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else if condition("Suspended") {
        "Suspended"
    } else {
        "Running"
    };
    let wanted = object
        .pointer("/spec/completions")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let start = text(object, "/status/startTime");
    let end = text(object, "/status/completionTime").parse().unwrap_or(now);
    let duration = if start.is_empty() {
        String::new()
    } else {
        since(start, end)
    };
    let [a, b, c] = workload(object, "/spec/template");
    vec![
        name,
        json!(status),
        json!(format!("{}/{wanted}", number(object, "/status/succeeded"))),
        json!(duration),
        age,
        a,
        b,
        c,
    ]
}

pub(super) fn service(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let kind = text(object, "/spec/type");
    let external = match kind {
        "ExternalName" => text(object, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let given = list(object, "/status/loadBalancer/ingress").iter().map(|entry| {
                if text(entry, "/ip").is_empty() {
                    text(entry, "/hostname")
                } else {
                    text(entry, "/ip")
                }
                .to_owned()
            });
            match joined(given).as_str() {
                "<none>" => "<pending>".to_owned(),
                given => given.to_owned(),
            }
        }
        _ => joined(
            list(object, "/spec/externalIPs")
                .iter()
                .filter_map(|ip| ip.as_str().map(str::to_owned)),
        ),
    };
    let ports = list(object, "/spec/ports").iter().map(|port| {
        let protocol = text(port, "/protocol");
        match number(port, "/nodePort") {
            0 => format!("{}/{protocol}", number(port, "/port")),
            node => format!("{}:{node}/{protocol}", number(port, "/port")),
        }
    });
    let selector = object
        .pointer("/spec/selector")
        .map(selector_text)
        .unwrap_or_default();
    vec![
        name,
        json!(kind),
        json!(or_none(text(object, "/spec/clusterIP"))),
        json!(external),
        json!(joined(ports)),
        age,
        json!(or_none(&selector)),
    ]
}

pub(super) fn node(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let ready = list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some("False" | "Unknown") => "NotReady",
        _ => "Unknown",
    }
    .to_owned();
    if object.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let roles = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/").map(str::to_owned));
    let address = |kind: &str| {
        let found = list(object, "/status/addresses")
            .iter()
            .find(|address| text(address, "/type") == kind);
        json!(or_none(
            found.map(|address| text(address, "/address")).unwrap_or_default()
        ))
    };
    let info = |key: &str| json!(text(object, &format!("/status/nodeInfo/{key}")));
    vec![
        name,
        json!(status),
        json!(joined(roles)),
        age,
        info("kubeletVersion"),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let pick = |pointers: &[&str]| {
        let found = pointers
            .iter()
            .map(|pointer| text(object, pointer))
            .find(|text| !text.is_empty());
        found.unwrap_or_default().to_owned()
    };
    let last = pick(&[
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
    ]);
    let first = pick(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let kind = pick(&["/involvedObject/kind", "/regarding/kind"]).to_lowercase();
    let target = pick(&["/involvedObject/name", "/regarding/name"]);
    let count = ["/series/count", "/count", "/deprecatedCount"]
        .iter()
        .map(|pointer| number(object, pointer))
        .find(|count| *count > 0);
    let source = pick(&[
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ]);
    vec![
        json!(since(&last, now)),
        json!(text(object, "/type")),
        json!(text(object, "/reason")),
        json!(format!("{kind}/{target}")),
        json!(pick(&["/involvedObject/fieldPath", "/regarding/fieldPath"])),
        json!(source),
        json!(pick(&["/message", "/note"]).trim()),
        json!(since(&first, now)),
        json!(count.unwrap_or(1)),
        json!(text(object, "/metadata/name")),
    ]
}

pub(super) fn ingress(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let hosts: Vec<String> = list(object, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host").to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    let hosts = if hosts.is_empty() {
        "*".to_owned()
    } else {
        few(hosts)
    };
    let addresses: Vec<String> = list(object, "/status/loadBalancer/ingress")
        .iter()
        .map(|entry| {
            if text(entry, "/ip").is_empty() {
                text(entry, "/hostname")
            } else {
                text(entry, "/ip")
            }
            .to_owned()
        })
        .collect();
    let ports = if list(object, "/spec/tls").is_empty() {
        "80"
    } else {
        "80, 443"
    };
    vec![
        name,
        json!(or_none(text(object, "/spec/ingressClassName"))),
        json!(hosts),
        json!(addresses.join(",")),
        json!(ports),
        age,
    ]
}
