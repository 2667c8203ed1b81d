//! The rules for pods, alone and as templates: names, volumes, mounts, and what may not change.

use super::Cause;
use super::meta::text;
use super::names::{
    LABEL, SUBDOMAIN, descending, duplicate, file, forbidden, invalid, is_label, is_subdomain, key,
    needed_reference, no_backsteps, reference, required,
};
use serde_json::{Value, json};
use std::net::IpAddr;

pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn unsupported(field: impl Into<String>, value: &str, known: &[&str]) -> Cause {
    let known: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
    Cause {
        reason: "FieldValueNotSupported".to_owned(),
        message: format!(
            "Unsupported value: {}: supported values: {}",
            json!(value),
            known.join(", ")
        ),
        field: field.into(),
    }
}

/// All that is wrong with the specification of a pod.
pub(super) fn check(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    if items(spec, "/containers").is_empty() {
        causes.push(required(format!("{path}.containers")));
    }
    let mut volumes: Vec<&str> = Vec::new();
    for (index, volume) in items(spec, "/volumes").iter().enumerate() {
        let (place, name) = (format!("{path}.volumes[{index}]"), text(volume, "/name"));
        label(&format!("{place}.name"), name, &volumes, causes);
        volumes.push(name);
        source(volume, &place, causes);
    }
    let mut seen: Vec<&str> = Vec::new();
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for (index, own) in items(spec, &format!("/{list}")).iter().enumerate() {
            let place = format!("{path}.{list}[{index}]");
            let name = text(own, "/name");
            label(&format!("{place}.name"), name, &seen, causes);
            seen.push(name);
            container(own, &place, &volumes, causes);
        }
    }
    if !matches!(
        text(spec, "/restartPolicy"),
        "" | "Always" | "OnFailure" | "Never"
    ) {
        causes.push(unsupported(
            format!("{path}.restartPolicy"),
            text(spec, "/restartPolicy"),
            &["Always", "OnFailure", "Never"],
        ));
    }
    for field in [
        "nodeName",
        "serviceAccountName",
        "serviceAccount",
        "priorityClassName",
    ] {
        reference(
            format!("{path}.{field}"),
            text(spec, &format!("/{field}")),
            causes,
        );
    }
    for (index, secret) in items(spec, "/imagePullSecrets").iter().enumerate() {
        reference(
            format!("{path}.imagePullSecrets[{index}].name"),
            text(secret, "/name"),
            causes,
        );
    }
    hosts(spec, path, causes);
}

/// What ends up in a pod's `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`, and in the cluster's DNS.
fn hosts(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    for field in ["hostname", "subdomain"] {
        let name = text(spec, &format!("/{field}"));
        if !name.is_empty() && !is_label(name) {
            causes.push(invalid(format!("{path}.{field}"), &json!(name), LABEL));
        }
    }
    let address = |field: String, ip: &str, causes: &mut Vec<Cause>| {
        if ip.parse::<IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            causes.push(invalid(field, &json!(ip), why));
        }
    };
    for (index, alias) in items(spec, "/hostAliases").iter().enumerate() {
        let place = format!("{path}.hostAliases[{index}]");
        address(format!("{place}.ip"), text(alias, "/ip"), causes);
        for name in items(alias, "/hostnames").iter().filter_map(Value::as_str) {
            if !is_subdomain(name) {
                causes.push(invalid(format!("{place}.hostnames"), &json!(name), SUBDOMAIN));
            }
        }
    }
    let place = format!("{path}.dnsConfig");
    for (index, server) in items(spec, "/dnsConfig/nameservers").iter().enumerate() {
        let ip = server.as_str().unwrap_or_default();
        address(format!("{place}.nameservers[{index}]"), ip, causes);
    }
    for (index, search) in items(spec, "/dnsConfig/searches").iter().enumerate() {
        let search = search.as_str().unwrap_or_default();
        // "." is the root, and a name may end in one; underscores are found in the wild, and allowed.
        let bare = search.strip_suffix('.').unwrap_or(search).replace('_', "-");
        if search != "." && !is_subdomain(bare.trim_matches('-')) {
            causes.push(invalid(
                format!("{place}.searches[{index}]"),
                &json!(search),
                SUBDOMAIN,
            ));
        }
    }
    for (index, option) in items(spec, "/dnsConfig/options").iter().enumerate() {
        let (name, value) = (text(option, "/name"), text(option, "/value"));
        let field = format!("{place}.options[{index}]");
        if name.is_empty() {
            causes.push(required(field));
        } else if [name, value]
            .iter()
            .any(|text| text.contains(char::is_whitespace))
        {
            causes.push(invalid(field, option, "must not contain white space"));
        }
    }
}

/// A name that is a label and not yet taken.
fn label(field: &str, name: &str, taken: &[&str], causes: &mut Vec<Cause>) {
    if name.is_empty() {
        causes.push(required(field));
    } else if !is_label(name) {
        causes.push(invalid(field, &json!(name), LABEL));
    } else if taken.contains(&name) {
        causes.push(duplicate(field, name));
    }
}

fn container(container: &Value, place: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    if text(container, "/image").trim().is_empty() {
        causes.push(required(format!("{place}.image")));
    }
    let mut targets: Vec<&str> = Vec::new();
    for (index, mount) in items(container, "/volumeMounts").iter().enumerate() {
        let place = format!("{place}.volumeMounts[{index}]");
        let volume = text(mount, "/name");
        if volume.is_empty() {
            causes.push(required(format!("{place}.name")));
        } else if !volumes.contains(&volume) {
            causes.push(Cause {
                reason: "FieldValueNotFound".to_owned(),
                message: format!("Not found: {}", json!(volume)),
                field: format!("{place}.name"),
            });
        }
        let target = text(mount, "/mountPath");
        if target.is_empty() {
            causes.push(required(format!("{place}.mountPath")));
        } else {
            // Kubernetes leaves this to the runtime; no honest path needs it.
            no_backsteps(&format!("{place}.mountPath"), target, causes);
        }
        if targets.contains(&target) {
            let field = format!("{place}.mountPath");
            causes.push(invalid(field, &json!(target), "must be unique"));
        }
        targets.push(target);
        let (sub, expression) = (text(mount, "/subPath"), text(mount, "/subPathExpr"));
        descending(&format!("{place}.subPath"), sub, causes);
        descending(&format!("{place}.subPathExpr"), expression, causes);
        if !sub.is_empty() && !expression.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            causes.push(invalid(format!("{place}.subPathExpr"), &json!(expression), why));
        }
    }
    for (index, port) in items(container, "/ports").iter().enumerate() {
        let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or(0);
        if !(1..=65535).contains(&number) {
            causes.push(invalid(
                format!("{place}.ports[{index}].containerPort"),
                &json!(number),
                "must be between 1 and 65535, inclusive",
            ));
        }
    }
    for (index, env) in items(container, "/env").iter().enumerate() {
        let place = format!("{place}.env[{index}]");
        let name = text(env, "/name");
        if name.is_empty() {
            causes.push(required(format!("{place}.name")));
        } else if name.contains('=') || !name.chars().all(|l| l == ' ' || l.is_ascii_graphic()) {
            let why = "a valid environment variable name must consist only of printable ASCII characters other than '='";
            causes.push(invalid(format!("{place}.name"), &json!(name), why));
        }
        for kind in ["configMapKeyRef", "secretKeyRef"] {
            let name = text(env, &format!("/valueFrom/{kind}/name"));
            reference(format!("{place}.valueFrom.{kind}.name"), name, causes);
        }
    }
    for (index, from) in items(container, "/envFrom").iter().enumerate() {
        for kind in ["configMapRef", "secretRef"] {
            let name = text(from, &format!("/{kind}/name"));
            reference(format!("{place}.envFrom[{index}].{kind}.name"), name, causes);
        }
    }
}

/// Where a volume comes from.
fn source(volume: &Value, place: &str, causes: &mut Vec<Cause>) {
    let sources = volume.as_object().into_iter().flatten();
    let kinds: Vec<(&String, &Value)> = sources
        .filter(|(kind, source)| *kind != "name" && !source.is_null())
        .collect();
    if kinds.is_empty() {
        let mut cause = required(place);
        "Required value: must specify a volume type".clone_into(&mut cause.message);
        causes.push(cause);
    }
    for (kind, _) in kinds.iter().skip(1) {
        causes.push(forbidden(
            format!("{place}.{kind}"),
            "may not specify more than 1 volume type",
        ));
    }
    let mut files = Vec::new();
    for (kind, source) in kinds {
        let place = format!("{place}.{kind}");
        match kind.as_str() {
            "configMap" => keyed(source, "name", &place, &mut files, causes),
            "secret" => keyed(source, "secretName", &place, &mut files, causes),
            "downwardAPI" => downward(source, &place, &mut files, causes),
            "projected" => projected(source, &place, &mut files, causes),
            "hostPath" => {
                let path = text(source, "/path");
                if path.is_empty() {
                    causes.push(required(format!("{place}.path")));
                }
                no_backsteps(&format!("{place}.path"), path, causes);
                let known = [
                    "BlockDevice",
                    "CharDevice",
                    "Directory",
                    "DirectoryOrCreate",
                    "File",
                    "FileOrCreate",
                    "Socket",
                    "",
                ];
                if !known.contains(&text(source, "/type")) {
                    causes.push(unsupported(
                        format!("{place}.type"),
                        text(source, "/type"),
                        &known,
                    ));
                }
            }
            "persistentVolumeClaim" => {
                needed_reference(format!("{place}.claimName"), text(source, "/claimName"), causes);
            }
            _ => {}
        }
    }
}

fn mode(source: &Value, field: &str, place: &str, causes: &mut Vec<Cause>) {
    let value = source.get(field).unwrap_or(&Value::Null);
    if !value.is_null() && !value.as_i64().is_some_and(|mode| (0..=0o777).contains(&mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        causes.push(invalid(format!("{place}.{field}"), value, why));
    }
}

/// A file that no other part of the volume writes.
fn own_file<'a>(field: &str, path: &'a str, files: &mut Vec<&'a str>, causes: &mut Vec<Cause>) {
    file(field, path, causes);
    if !path.is_empty() && files.contains(&path) {
        causes.push(invalid(field, &json!(path), "conflicting duplicate paths"));
    }
    files.push(path);
}

fn keyed<'a>(source: &'a Value, name: &str, place: &str, files: &mut Vec<&'a str>, causes: &mut Vec<Cause>) {
    needed_reference(
        format!("{place}.{name}"),
        text(source, &format!("/{name}")),
        causes,
    );
    mode(source, "defaultMode", place, causes);
    for (index, item) in items(source, "/items").iter().enumerate() {
        let place = format!("{place}.items[{index}]");
        let wanted = text(item, "/key");
        if wanted.is_empty() {
            causes.push(required(format!("{place}.key")));
        } else {
            key(|| format!("{place}.key"), wanted, causes);
        }
        own_file(&format!("{place}.path"), text(item, "/path"), files, causes);
        mode(item, "mode", &place, causes);
    }
}

fn downward<'a>(source: &'a Value, place: &str, files: &mut Vec<&'a str>, causes: &mut Vec<Cause>) {
    mode(source, "defaultMode", place, causes);
    for (index, item) in items(source, "/items").iter().enumerate() {
        let place = format!("{place}.items[{index}]");
        own_file(&format!("{place}.path"), text(item, "/path"), files, causes);
        mode(item, "mode", &place, causes);
    }
}

fn projected<'a>(source: &'a Value, place: &str, files: &mut Vec<&'a str>, causes: &mut Vec<Cause>) {
    mode(source, "defaultMode", place, causes);
    for (index, part) in items(source, "/sources").iter().enumerate() {
        let place = format!("{place}.sources[{index}]");
        for (kind, source) in part.as_object().into_iter().flatten() {
            let place = format!("{place}.{kind}");
            match kind.as_str() {
                "configMap" | "secret" => keyed(source, "name", &place, files, causes),
                "downwardAPI" => downward(source, &place, files, causes),
                "serviceAccountToken" => {
                    let seconds = source.get("expirationSeconds").unwrap_or(&Value::Null);
                    let why = match seconds.as_i64() {
                        Some(short) if short < 600 => Some("may not specify a duration less than 10 minutes"),
                        Some(long) if long > 1 << 32 => {
                            Some("may not specify a duration larger than 2^32 seconds")
                        }
                        _ => None,
                    };
                    if let Some(why) = why {
                        causes.push(invalid(format!("{place}.expirationSeconds"), seconds, why));
                    }
                    own_file(&format!("{place}.path"), text(source, "/path"), files, causes);
                }
                _ => {}
            }
        }
    }
}

/// Of a pod's specification only images, deadlines, tolerations and the node may change.
pub(super) fn check_update(object: &Value, current: &Value, causes: &mut Vec<Cause>) {
    let bare = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        if let Some(map) = spec.as_object_mut() {
            for field in [
                "activeDeadlineSeconds",
                "tolerations",
                "nodeName",
                "terminationGracePeriodSeconds",
                "schedulingGates",
                "ephemeralContainers",
            ] {
                map.remove(field);
            }
            for list in ["containers", "initContainers"] {
                let containers = map.get_mut(list).and_then(Value::as_array_mut);
                for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                    container.remove("image");
                    container.remove("resources");
                    container.remove("imagePullPolicy");
                }
            }
        }
        spec
    };
    let was_bound = text(current, "/spec/nodeName");
    if bare(object) != bare(current) || (!was_bound.is_empty() && was_bound != text(object, "/spec/nodeName"))
    {
        causes.push(forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}
