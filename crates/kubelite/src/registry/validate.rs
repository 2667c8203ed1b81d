//! The rules that objects must keep: names, required fields, what may not change.

use super::meta::text;
use super::{Cause, Resource};
use crate::api::select::matches_structured;
use serde_json::{Value, json};

fn required(field: impl Into<String>) -> Cause {
    Cause {
        reason: "FieldValueRequired".to_owned(),
        message: "Required value".to_owned(),
        field: field.into(),
    }
}

fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {value}: {why}"),
        field: field.into(),
    }
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn is_label(name: &str) -> bool {
    let edge = |letter: Option<char>| letter.is_some_and(|l| l.is_ascii_lowercase() || l.is_ascii_digit());
    name.len() <= 63
        && edge(name.chars().next())
        && edge(name.chars().last())
        && name
            .chars()
            .all(|l| l.is_ascii_lowercase() || l.is_ascii_digit() || l == '-')
}

fn is_subdomain(name: &str) -> bool {
    let edge = |part: &str| {
        let fine = |l: Option<char>| l.is_some_and(|l| l.is_ascii_lowercase() || l.is_ascii_digit());
        fine(part.chars().next())
            && fine(part.chars().last())
            && part
                .chars()
                .all(|l| l.is_ascii_lowercase() || l.is_ascii_digit() || l == '-')
    };
    name.len() <= 253 && name.split('.').all(edge)
}

/// All that is wrong with an object.
pub(super) fn check(resource: &Resource, object: &Value, current: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if current.is_none() {
        name(resource, object, &mut causes);
    }
    labels(object, &mut causes);
    if resource.custom.is_some() {
        if let Some(custom) = &resource.custom {
            open(object, &custom.schema, "", &mut causes);
        }
        return causes;
    }
    match resource.storage_name.as_str() {
        "pods" => {
            pod_spec(object.get("spec").unwrap_or(&Value::Null), "spec", &mut causes);
            if let Some(current) = current {
                pod_update(object, current, &mut causes);
            }
        }
        "deployments.apps" | "replicasets.apps" | "statefulsets.apps" | "daemonsets.apps" => {
            workload(object, current, &mut causes)
        }
        "jobs.batch" => job(object, current, &mut causes),
        "cronjobs.batch" => {
            if text(object, "/spec/schedule").is_empty() {
                causes.push(required("spec.schedule"));
            }
            let spec = object.pointer("/spec/jobTemplate/spec/template/spec");
            pod_spec(
                spec.unwrap_or(&Value::Null),
                "spec.jobTemplate.spec.template.spec",
                &mut causes,
            );
        }
        "services" => service(object, &mut causes),
        "endpoints" | "endpointslices.discovery.k8s.io" => causes.extend(super::endpoints::check(object)),
        "configmaps" | "secrets" => {
            if let Some(current) = current {
                let immutable = current.get("immutable").and_then(Value::as_bool) == Some(true);
                if immutable
                    && (object.get("data") != current.get("data")
                        || object.get("binaryData") != current.get("binaryData"))
                {
                    causes.push(forbidden("data", "field is immutable when `immutable` is set"));
                }
                if resource.storage_name == "secrets" && object.get("type") != current.get("type") {
                    causes.push(invalid(
                        "type",
                        object.get("type").unwrap_or(&Value::Null),
                        "field is immutable",
                    ));
                }
            }
            if let Some(data) = object.get("data").and_then(Value::as_object) {
                for key in data.keys() {
                    let fine = !key.is_empty()
                        && key.len() <= 253
                        && key
                            .chars()
                            .all(|l| l.is_ascii_alphanumeric() || "-_.".contains(l));
                    if !fine {
                        causes.push(invalid(
                            format!("data[{key}]"),
                            &json!(key),
                            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                        ));
                    }
                }
            }
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            if text(object, "/roleRef/name").is_empty() {
                causes.push(required("roleRef.name"));
            }
            if let Some(current) = current
                && object.get("roleRef") != current.get("roleRef")
            {
                causes.push(invalid(
                    "roleRef",
                    object.get("roleRef").unwrap_or(&Value::Null),
                    "cannot change roleRef",
                ));
            }
        }
        "persistentvolumeclaims" => {
            if object.pointer("/spec/resources/requests/storage").is_none() {
                causes.push(required("spec.resources[storage]"));
            }
            if object
                .pointer("/spec/accessModes")
                .and_then(Value::as_array)
                .is_none_or(Vec::is_empty)
            {
                causes.push(required("spec.accessModes"));
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => definition(object, &mut causes),
        _ => {}
    }
    causes
}

fn forbidden(field: &str, why: &str) -> Cause {
    Cause {
        reason: "FieldValueForbidden".to_owned(),
        message: format!("Forbidden: {why}"),
        field: field.to_owned(),
    }
}

fn name(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        let mut cause = required("metadata.name");
        "Required value: name or generateName is required".clone_into(&mut cause.message);
        causes.push(cause);
        return;
    }
    if resource.group == "rbac.authorization.k8s.io" {
        if name.contains('/') || name.contains('%') || name == "." || name == ".." {
            causes.push(invalid(
                "metadata.name",
                &json!(name),
                "may not contain '/' or '%'",
            ));
        }
        return;
    }
    let (fine, why) = match resource.storage_name.as_str() {
        "namespaces" => (is_label(name), LABEL),
        "services" => (
            is_label(name) && name.starts_with(|l: char| l.is_ascii_lowercase()),
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
        _ => (is_subdomain(name), SUBDOMAIN),
    };
    if !fine {
        causes.push(invalid("metadata.name", &json!(name), why));
    }
}

fn labels(object: &Value, causes: &mut Vec<Cause>) {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let edge = |letter: Option<char>| letter.is_none_or(|l| l.is_ascii_alphanumeric());
        let fine = |text: &str| {
            text.len() <= 63
                && edge(text.chars().next())
                && edge(text.chars().last())
                && text
                    .chars()
                    .all(|l| l.is_ascii_alphanumeric() || "-_.".contains(l))
        };
        let name = key.rsplit('/').next().unwrap_or(key);
        if name.is_empty() || !fine(name) {
            causes.push(invalid("metadata.labels", &json!(key), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
        if !fine(value) {
            causes.push(invalid("metadata.labels", &json!(value), "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"));
        }
    }
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn pod_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    if items(spec, "/containers").is_empty() {
        causes.push(required(format!("{path}.containers")));
    }
    let volumes: Vec<&str> = items(spec, "/volumes")
        .iter()
        .map(|volume| text(volume, "/name"))
        .collect();
    let mut seen: Vec<&str> = Vec::new();
    for list in ["containers", "initContainers"] {
        for (index, container) in items(spec, &format!("/{list}")).iter().enumerate() {
            let place = format!("{path}.{list}[{index}]");
            let name = text(container, "/name");
            if name.is_empty() {
                causes.push(required(format!("{place}.name")));
            } else if !is_label(name) {
                causes.push(invalid(format!("{place}.name"), &json!(name), LABEL));
            } else if seen.contains(&name) {
                causes.push(Cause {
                    reason: "FieldValueDuplicate".to_owned(),
                    message: format!("Duplicate value: {}", json!(name)),
                    field: format!("{place}.name"),
                });
            }
            seen.push(name);
            if text(container, "/image").trim().is_empty() {
                causes.push(required(format!("{place}.image")));
            }
            for (at, mount) in items(container, "/volumeMounts").iter().enumerate() {
                let volume = text(mount, "/name");
                if !volumes.contains(&volume) {
                    causes.push(Cause {
                        reason: "FieldValueNotFound".to_owned(),
                        message: format!("Not found: {}", json!(volume)),
                        field: format!("{place}.volumeMounts[{at}].name"),
                    });
                }
            }
            for (at, port) in items(container, "/ports").iter().enumerate() {
                let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or(0);
                if !(1..=65535).contains(&number) {
                    causes.push(invalid(
                        format!("{place}.ports[{at}].containerPort"),
                        &json!(number),
                        "must be between 1 and 65535, inclusive",
                    ));
                }
            }
        }
    }
    if !matches!(
        text(spec, "/restartPolicy"),
        "" | "Always" | "OnFailure" | "Never"
    ) {
        causes.push(Cause {
            reason: "FieldValueNotSupported".to_owned(),
            message: format!(
                "Unsupported value: {}: supported values: \"Always\", \"OnFailure\", \"Never\"",
                json!(text(spec, "/restartPolicy"))
            ),
            field: format!("{path}.restartPolicy"),
        });
    }
}

/// Of a pod's specification only images, deadlines, tolerations and the node may change.
fn pod_update(object: &Value, current: &Value, causes: &mut Vec<Cause>) {
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

fn workload(object: &Value, current: Option<&Value>, causes: &mut Vec<Cause>) {
    let selector = object.pointer("/spec/selector").unwrap_or(&Value::Null);
    let empty = |key: &str| {
        selector.get(key).is_none_or(|value| {
            value.as_object().is_some_and(serde_json::Map::is_empty)
                || value.as_array().is_some_and(Vec::is_empty)
        })
    };
    if empty("matchLabels") && empty("matchExpressions") {
        causes.push(required("spec.selector"));
    } else if let Some(template) = object.pointer("/spec/template")
        && !matches_structured(selector, template)
    {
        let labels = template.pointer("/metadata/labels").cloned().unwrap_or_default();
        causes.push(invalid(
            "spec.template.metadata.labels",
            &labels,
            "`selector` does not match template `labels`",
        ));
    }
    if let Some(current) = current
        && current.pointer("/spec/selector") != object.pointer("/spec/selector")
    {
        causes.push(invalid("spec.selector", selector, "field is immutable"));
    }
    if object
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .is_some_and(|replicas| replicas < 0)
    {
        let replicas = object.pointer("/spec/replicas").unwrap_or(&Value::Null);
        causes.push(invalid(
            "spec.replicas",
            replicas,
            "must be greater than or equal to 0",
        ));
    }
    let mut spec = object.pointer("/spec/template/spec").cloned().unwrap_or_default();
    // A StatefulSet's claims are volumes of its pods.
    let claims = items(object, "/spec/volumeClaimTemplates").iter();
    let claims: Vec<Value> = claims
        .map(|claim| json!({"name": text(claim, "/metadata/name")}))
        .collect();
    if !claims.is_empty() && spec.is_object() {
        let volumes = items(&spec, "/volumes").iter().cloned().chain(claims).collect();
        if let Some(map) = spec.as_object_mut() {
            map.insert("volumes".to_owned(), volumes);
        }
    }
    pod_spec(&spec, "spec.template.spec", causes);
}

fn job(object: &Value, current: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = object.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    pod_spec(spec, "spec.template.spec", causes);
    if text(spec, "/restartPolicy") == "Always" {
        causes.push(Cause {
            reason: "FieldValueNotSupported".to_owned(),
            message: "Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\"".to_owned(),
            field: "spec.template.spec.restartPolicy".to_owned(),
        });
    }
    if let Some(current) = current {
        for (pointer, field) in [
            ("/spec/template", "spec.template"),
            ("/spec/selector", "spec.selector"),
            ("/spec/completions", "spec.completions"),
        ] {
            if current.pointer(pointer) != object.pointer(pointer) {
                causes.push(invalid(
                    field,
                    object.pointer(pointer).unwrap_or(&Value::Null),
                    "field is immutable",
                ));
            }
        }
    }
}

fn service(object: &Value, causes: &mut Vec<Cause>) {
    let kind = text(object, "/spec/type");
    if !matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        causes.push(Cause {
            reason: "FieldValueNotSupported".to_owned(),
            message: format!("Unsupported value: {}: supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"", json!(kind)),
            field: "spec.type".to_owned(),
        });
    }
    let ports = items(object, "/spec/ports");
    if ports.is_empty() && kind != "ExternalName" && text(object, "/spec/clusterIP") != "None" {
        causes.push(required("spec.ports"));
    }
    for (index, port) in ports.iter().enumerate() {
        let number = port.get("port").and_then(Value::as_i64).unwrap_or(0);
        if !(1..=65535).contains(&number) {
            causes.push(invalid(
                format!("spec.ports[{index}].port"),
                &json!(number),
                "must be between 1 and 65535, inclusive",
            ));
        }
        if ports.len() > 1 && text(port, "/name").is_empty() {
            causes.push(required(format!("spec.ports[{index}].name")));
        }
    }
}

fn definition(object: &Value, causes: &mut Vec<Cause>) {
    let (group, plural) = (text(object, "/spec/group"), text(object, "/spec/names/plural"));
    for (value, field) in [
        (group, "spec.group"),
        (plural, "spec.names.plural"),
        (text(object, "/spec/names/kind"), "spec.names.kind"),
    ] {
        if value.is_empty() {
            causes.push(required(field));
        }
    }
    let expected = format!("{plural}.{group}");
    let name = text(object, "/metadata/name");
    if name != expected {
        causes.push(invalid(
            "metadata.name",
            &json!(name),
            &format!("must be spec.names.plural+\".\"+spec.group ({expected})"),
        ));
    }
    let stored = items(object, "/spec/versions")
        .iter()
        .filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .count();
    if stored != 1 {
        causes.push(invalid(
            "spec.versions",
            &json!(stored),
            "must have exactly one version marked as storage version",
        ));
    }
    if !matches!(text(object, "/spec/scope"), "Namespaced" | "Cluster") {
        causes.push(required("spec.scope"));
    }
}

/// A custom resource against its schema: required fields, enumerations, bounds, patterns.
fn open(value: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let join = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
        && !value.is_null()
    {
        let list: Vec<String> = allowed.iter().map(Value::to_string).collect();
        causes.push(Cause {
            reason: "FieldValueNotSupported".to_owned(),
            message: format!(
                "Unsupported value: {value}: supported values: {}",
                list.join(", ")
            ),
            field: path.to_owned(),
        });
    }
    if let (Some(number), Some(least)) = (value.as_f64(), schema.get("minimum").and_then(Value::as_f64))
        && number < least
    {
        causes.push(invalid(
            path,
            value,
            &format!("{path} in body should be greater than or equal to {least}"),
        ));
    }
    if let (Some(number), Some(most)) = (value.as_f64(), schema.get("maximum").and_then(Value::as_f64))
        && number > most
    {
        causes.push(invalid(
            path,
            value,
            &format!("{path} in body should be less than or equal to {most}"),
        ));
    }
    if let (Some(text), Some(pattern)) = (value.as_str(), schema.get("pattern").and_then(Value::as_str))
        && let Ok(matcher) = regex::Regex::new(pattern)
        && !matcher.is_match(text)
    {
        causes.push(invalid(
            path,
            value,
            &format!("{path} in body should match '{pattern}'"),
        ));
    }
    match value {
        Value::Object(map) => {
            for key in items(schema, "/required").iter().filter_map(Value::as_str) {
                if !map.contains_key(key) {
                    causes.push(required(join(key)));
                }
            }
            let known = schema.get("properties").and_then(Value::as_object);
            let more = schema.get("additionalProperties").filter(|more| more.is_object());
            for (key, value) in map {
                if path.is_empty() && matches!(key.as_str(), "metadata" | "apiVersion" | "kind") {
                    continue;
                }
                if let Some(schema) = known.and_then(|known| known.get(key)).or(more) {
                    open(value, schema, &join(key), causes);
                }
            }
        }
        Value::Array(list) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in list.iter().enumerate() {
                    open(item, schema, &format!("{path}[{index}]"), causes);
                }
            }
        }
        _ => {}
    }
}
