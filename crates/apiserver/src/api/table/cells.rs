//! The cells per kind, in the order of the columns.

use super::super::read::selector_text;
use super::rows::{event, ingress, job, node, pod, service};
use crate::registry::Resource;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(super) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

pub(super) fn or_none(text: &str) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text.to_owned()
    }
}

/// A value as one word.
fn word(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// How long ago, as kubectl prints durations.
pub(super) fn since(at: &str, now: Timestamp) -> String {
    match at.parse::<Timestamp>() {
        Ok(at) => human(now.as_second() - at.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

fn human(seconds: i64) -> String {
    let s = seconds.max(0);
    let (m, h, d) = (s / 60, s / 3600, s / 86_400);
    let with = |major: i64, unit: char, minor: i64, minor_unit: char| {
        if minor == 0 {
            format!("{major}{unit}")
        } else {
            format!("{major}{unit}{minor}{minor_unit}")
        }
    };
    if s < 120 {
        format!("{s}s")
    } else if m < 10 {
        with(m, 'm', s % 60, 's')
    } else if m < 180 {
        format!("{m}m")
    } else if h < 8 {
        with(h, 'h', m % 60, 'm')
    } else if h < 48 {
        format!("{h}h")
    } else if d < 8 {
        with(d, 'd', h % 24, 'h')
    } else if d < 365 * 2 {
        format!("{d}d")
    } else if d < 365 * 8 {
        with(d / 365, 'y', d % 365, 'd')
    } else {
        format!("{}y", d / 365)
    }
}

pub(super) fn joined(items: impl Iterator<Item = String>) -> String {
    or_none(&items.collect::<Vec<_>>().join(","))
}

fn containers(object: &Value, pointer: &str) -> [Value; 2] {
    let items = list(object, pointer);
    [
        json!(joined(items.iter().map(|item| text(item, "/name").to_owned()))),
        json!(joined(items.iter().map(|item| text(item, "/image").to_owned()))),
    ]
}

pub(super) fn workload(object: &Value, template: &str) -> [Value; 3] {
    let [names, images] = containers(object, &format!("{template}/spec/containers"));
    let selector = object
        .pointer("/spec/selector")
        .map(selector_text)
        .unwrap_or_default();
    [names, images, json!(or_none(&selector))]
}

/// The cells of an object.
pub(super) fn of(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let name = json!(text(object, "/metadata/name"));
    let age = json!(since(text(object, "/metadata/creationTimestamp"), now));
    let created = json!(text(object, "/metadata/creationTimestamp"));
    let n = |pointer: &str| json!(number(object, pointer));
    let t = |pointer: &str| json!(text(object, pointer));
    if let Some(custom) = &resource.custom {
        let mut cells = vec![name];
        if custom.columns.is_empty() {
            cells.push(age);
        }
        for column in &custom.columns {
            let path = text(column, "/jsonPath")
                .replace(['.', '['], "/")
                .replace(']', "");
            let value = object.pointer(&path);
            cells.push(match (text(column, "/type"), value) {
                ("date", Some(Value::String(at))) => json!(since(at, now)),
                (_, Some(value)) if value.is_array() || value.is_object() => json!(value.to_string()),
                (_, value) => value.cloned().unwrap_or_else(|| json!("")),
            });
        }
        return cells;
    }
    match resource.storage_name.as_str() {
        "pods" => pod(object, name, age, now),
        "deployments.apps" => {
            let ready = format!(
                "{}/{}",
                number(object, "/status/readyReplicas"),
                number(object, "/spec/replicas")
            );
            let [a, b, c] = workload(object, "/spec/template");
            vec![
                name,
                json!(ready),
                n("/status/updatedReplicas"),
                n("/status/availableReplicas"),
                age,
                a,
                b,
                c,
            ]
        }
        "replicasets.apps" | "replicationcontrollers" => {
            let [a, b, c] = workload(object, "/spec/template");
            vec![
                name,
                n("/spec/replicas"),
                n("/status/replicas"),
                n("/status/readyReplicas"),
                age,
                a,
                b,
                c,
            ]
        }
        "statefulsets.apps" => {
            let ready = format!(
                "{}/{}",
                number(object, "/status/readyReplicas"),
                number(object, "/spec/replicas")
            );
            let [a, b, _] = workload(object, "/spec/template");
            vec![name, json!(ready), age, a, b]
        }
        "daemonsets.apps" => {
            let [a, b, c] = workload(object, "/spec/template");
            let nodes = object
                .pointer("/spec/template/spec/nodeSelector")
                .map(selector_text)
                .unwrap_or_default();
            vec![
                name,
                n("/status/desiredNumberScheduled"),
                n("/status/currentNumberScheduled"),
                n("/status/numberReady"),
                n("/status/updatedNumberScheduled"),
                n("/status/numberAvailable"),
                json!(or_none(&nodes)),
                age,
                a,
                b,
                c,
            ]
        }
        "jobs.batch" => job(object, name, age, now),
        "cronjobs.batch" => {
            let last = text(object, "/status/lastScheduleTime");
            let last = if last.is_empty() {
                "<none>".to_owned()
            } else {
                since(last, now)
            };
            let suspend = object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
            let [a, b] = containers(object, "/spec/jobTemplate/spec/template/spec/containers");
            vec![
                name,
                t("/spec/schedule"),
                json!(or_none(text(object, "/spec/timeZone"))),
                json!(if suspend { "True" } else { "False" }),
                json!(list(object, "/status/active").len()),
                json!(last),
                age,
                a,
                b,
                json!("<none>"),
            ]
        }
        "services" => service(object, name, age),
        "endpoints" => {
            let addresses = list(object, "/subsets").iter().flat_map(|subset| {
                let ports: Vec<i64> = list(subset, "/ports")
                    .iter()
                    .map(|port| number(port, "/port"))
                    .collect();
                list(subset, "/addresses").iter().flat_map(move |address| {
                    let ip = text(address, "/ip").to_owned();
                    ports.clone().into_iter().map(move |port| format!("{ip}:{port}"))
                })
            });
            vec![name, json!(few(addresses.collect())), age]
        }
        "endpointslices.discovery.k8s.io" => {
            let ports = list(object, "/ports")
                .iter()
                .map(|port| number(port, "/port").to_string())
                .collect();
            let addresses = list(object, "/endpoints")
                .iter()
                .flat_map(|endpoint| list(endpoint, "/addresses"));
            let addresses = addresses
                .filter_map(|address| address.as_str().map(str::to_owned))
                .collect();
            vec![
                name,
                t("/addressType"),
                json!(few(ports)),
                json!(few(addresses)),
                age,
            ]
        }
        "configmaps" => {
            let count = |key: &str| {
                object
                    .get(key)
                    .and_then(Value::as_object)
                    .map_or(0, serde_json::Map::len)
            };
            vec![name, json!(count("data") + count("binaryData")), age]
        }
        "secrets" => {
            let count = object
                .get("data")
                .and_then(Value::as_object)
                .map_or(0, serde_json::Map::len);
            vec![name, t("/type"), json!(count), age]
        }
        "namespaces" => vec![name, t("/status/phase"), age],
        "nodes" => node(object, name, age),
        "events" => event(object, now),
        "ingresses.networking.k8s.io" => ingress(object, name, age),
        "ingressclasses.networking.k8s.io" => vec![name, t("/spec/controller"), json!("<none>"), age],
        "networkpolicies.networking.k8s.io" => {
            let selector = object
                .pointer("/spec/podSelector")
                .map(selector_text)
                .unwrap_or_default();
            vec![name, json!(or_none(&selector)), age]
        }
        "persistentvolumeclaims" => vec![
            name,
            t("/status/phase"),
            t("/spec/volumeName"),
            t("/status/capacity/storage"),
            json!(modes(list(object, "/status/accessModes"))),
            t("/spec/storageClassName"),
            json!(unset(text(object, "/spec/volumeAttributesClassName"))),
            age,
            t("/spec/volumeMode"),
        ],
        "persistentvolumes" => {
            let claim = match text(object, "/spec/claimRef/name") {
                "" => String::new(),
                claim => format!("{}/{claim}", text(object, "/spec/claimRef/namespace")),
            };
            vec![
                name,
                t("/spec/capacity/storage"),
                json!(modes(list(object, "/spec/accessModes"))),
                t("/spec/persistentVolumeReclaimPolicy"),
                t("/status/phase"),
                json!(claim),
                t("/spec/storageClassName"),
                json!(unset(text(object, "/spec/volumeAttributesClassName"))),
                t("/status/reason"),
                age,
                t("/spec/volumeMode"),
            ]
        }
        "storageclasses.storage.k8s.io" => {
            let default = text(
                object,
                "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
            ) == "true";
            let name = if default {
                json!(format!("{} (default)", text(object, "/metadata/name")))
            } else {
                name
            };
            let grows = object.get("allowVolumeExpansion").and_then(Value::as_bool) == Some(true);
            vec![
                name,
                t("/provisioner"),
                t("/reclaimPolicy"),
                t("/volumeBindingMode"),
                json!(grows),
                age,
            ]
        }
        "serviceaccounts" => vec![name, json!(list(object, "/secrets").len()), age],
        "resourcequotas" => {
            let pairs = |wanted: fn(&str) -> bool| {
                let hard = object
                    .pointer("/status/hard")
                    .or_else(|| object.pointer("/spec/hard"))
                    .and_then(Value::as_object);
                let parts: Vec<String> = hard
                    .into_iter()
                    .flatten()
                    .filter(|(key, _)| wanted(key))
                    .map(|(key, hard)| {
                        let used = object.pointer("/status/used").and_then(|used| used.get(key));
                        format!(
                            "{key}: {}/{}",
                            used.map_or("0".to_owned(), |used| word(Some(used))),
                            word(Some(hard))
                        )
                    })
                    .collect();
                json!(parts.join(", "))
            };
            vec![
                name,
                age,
                pairs(|key| !key.starts_with("limits.")),
                pairs(|key| key.starts_with("limits.")),
            ]
        }
        "limitranges"
        | "roles.rbac.authorization.k8s.io"
        | "clusterroles.rbac.authorization.k8s.io"
        | "customresourcedefinitions.apiextensions.k8s.io" => vec![name, created],
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            let role = format!(
                "{}/{}",
                text(object, "/roleRef/kind"),
                text(object, "/roleRef/name")
            );
            let of = |kind: &str| {
                let subjects = list(object, "/subjects")
                    .iter()
                    .filter(|subject| text(subject, "/kind") == kind);
                let names: Vec<String> = subjects
                    .map(|subject| match text(subject, "/namespace") {
                        "" => text(subject, "/name").to_owned(),
                        namespace => format!("{namespace}/{}", text(subject, "/name")),
                    })
                    .collect();
                json!(names.join(", "))
            };
            vec![
                name,
                json!(role),
                age,
                of("User"),
                of("Group"),
                of("ServiceAccount"),
            ]
        }
        "horizontalpodautoscalers.autoscaling" => {
            let reference = format!(
                "{}/{}",
                text(object, "/spec/scaleTargetRef/kind"),
                text(object, "/spec/scaleTargetRef/name")
            );
            vec![
                name,
                json!(reference),
                json!("<unknown>"),
                json!(word(object.pointer("/spec/minReplicas"))),
                json!(word(object.pointer("/spec/maxReplicas"))),
                n("/status/currentReplicas"),
                age,
            ]
        }
        "poddisruptionbudgets.policy" => {
            let or_na = |pointer: &str| {
                object
                    .pointer(pointer)
                    .map_or_else(|| json!("N/A"), |value| json!(word(Some(value))))
            };
            vec![
                name,
                or_na("/spec/minAvailable"),
                or_na("/spec/maxUnavailable"),
                n("/status/disruptionsAllowed"),
                age,
            ]
        }
        "leases.coordination.k8s.io" => vec![name, t("/spec/holderIdentity"), age],
        "priorityclasses.scheduling.k8s.io" => {
            let default = object.get("globalDefault").and_then(Value::as_bool) == Some(true);
            vec![name, n("/value"), json!(default), age, t("/preemptionPolicy")]
        }
        "controllerrevisions.apps" => {
            let owner = list(object, "/metadata/ownerReferences").first();
            let owner = owner.map(|owner| {
                format!(
                    "{}.apps/{}",
                    text(owner, "/kind").to_lowercase(),
                    text(owner, "/name")
                )
            });
            vec![
                name,
                json!(owner.unwrap_or_else(|| "<none>".to_owned())),
                n("/revision"),
                age,
            ]
        }
        _ => vec![name, age],
    }
}

pub(super) fn few(mut items: Vec<String>) -> String {
    let more = items.len().saturating_sub(3);
    items.truncate(3);
    let text = or_none(&items.join(","));
    if more > 0 {
        format!("{text} + {more} more...")
    } else {
        text
    }
}

fn unset(text: &str) -> String {
    if text.is_empty() {
        "<unset>".to_owned()
    } else {
        text.to_owned()
    }
}

fn modes(modes: &[Value]) -> String {
    let short = |mode: &Value| match mode.as_str().unwrap_or_default() {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    modes.iter().map(short).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn durations_as_kubectl_prints_them() {
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (660, "11m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (172_800, "2d"),
            (800_000, "9d"),
            (63_072_000, "2y"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(human(seconds), expected);
        }
    }
}
