//! The rules that objects must keep: names, required fields, what may not change.

use super::meta::text;
use super::names::{LABEL, SUBDOMAIN, forbidden, invalid, is_label, is_subdomain, key, required};
use super::pod_rules::{self, items};
use super::{Cause, Resource, endpoint_rules, storage_rules};
use crate::api::select::matches_structured;
use serde_json::{Value, json};

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
    // What did not change was looked at when it was written. What an older version let in can so still be finished and
    // deleted; agents look for themselves.
    let same = current.is_some_and(|current| current.get("spec") == object.get("spec"));
    match resource.storage_name.as_str() {
        "pods"
        | "deployments.apps"
        | "replicasets.apps"
        | "statefulsets.apps"
        | "daemonsets.apps"
        | "replicationcontrollers"
        | "podtemplates"
        | "jobs.batch"
        | "cronjobs.batch"
        | "persistentvolumeclaims"
        | "persistentvolumes"
            if same => {}
        "pods" => {
            pod_rules::check(object.get("spec").unwrap_or(&Value::Null), "spec", &mut causes);
            if let Some(current) = current {
                pod_rules::check_update(object, current, &mut causes);
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
            pod_rules::check(
                spec.unwrap_or(&Value::Null),
                "spec.jobTemplate.spec.template.spec",
                &mut causes,
            );
        }
        "replicationcontrollers" => {
            let spec = object.pointer("/spec/template/spec");
            pod_rules::check(spec.unwrap_or(&Value::Null), "spec.template.spec", &mut causes);
        }
        "podtemplates" => {
            let spec = object.pointer("/template/spec");
            pod_rules::check(spec.unwrap_or(&Value::Null), "template.spec", &mut causes);
        }
        "endpoints" => endpoint_rules::endpoints(object, &mut causes),
        "endpointslices.discovery.k8s.io" => endpoint_rules::slice(object, &mut causes),
        "services" => service(object, &mut causes),
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
            for section in ["data", "binaryData"] {
                let data = object.get(section).and_then(Value::as_object);
                for name in data.into_iter().flat_map(serde_json::Map::keys) {
                    key(|| format!("{section}[{name}]"), name, &mut causes);
                }
            }
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            if text(object, "/roleRef/name").is_empty() {
                causes.push(required("roleRef.name"));
            }
            let kinds: &[&str] = if resource.namespaced {
                &["Role", "ClusterRole"]
            } else {
                &["ClusterRole"]
            };
            let kind = text(object, "/roleRef/kind");
            if !kinds.contains(&kind) {
                let known: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
                causes.push(Cause {
                    reason: "FieldValueNotSupported".to_owned(),
                    message: format!(
                        "Unsupported value: {kind:?}: supported values: {}",
                        known.join(", ")
                    ),
                    field: "roleRef.kind".to_owned(),
                });
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
        "persistentvolumeclaims" => storage_rules::claim(object, current, &mut causes),
        "persistentvolumes" => storage_rules::volume(object, current, &mut causes),
        "customresourcedefinitions.apiextensions.k8s.io" => definition(object, &mut causes),
        _ => {}
    }
    causes
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
        let (prefix, name) = key.split_once('/').unwrap_or(("", key));
        if !prefix.is_empty() && !is_subdomain(prefix) || key.starts_with('/') {
            causes.push(invalid(
                "metadata.labels",
                &json!(key),
                &format!("prefix part {SUBDOMAIN}"),
            ));
        }
        if name.is_empty() || !fine(name) {
            causes.push(invalid("metadata.labels", &json!(key), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
        if !fine(value) {
            causes.push(invalid("metadata.labels", &json!(value), "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"));
        }
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
    let known: Vec<String> = items(&spec, "/volumes")
        .iter()
        .map(|volume| text(volume, "/name").to_owned())
        .collect();
    let claims: Vec<Value> = items(object, "/spec/volumeClaimTemplates")
        .iter()
        .map(|claim| text(claim, "/metadata/name"))
        .filter(|name| !known.iter().any(|known| known == name))
        .map(|name| json!({"name": name, "emptyDir": {}}))
        .collect();
    if !claims.is_empty() && spec.is_object() {
        let volumes = items(&spec, "/volumes").iter().cloned().chain(claims).collect();
        if let Some(map) = spec.as_object_mut() {
            map.insert("volumes".to_owned(), volumes);
        }
    }
    pod_rules::check(&spec, "spec.template.spec", causes);
}

fn job(object: &Value, current: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = object.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    pod_rules::check(spec, "spec.template.spec", causes);
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
    let external = text(object, "/spec/externalName");
    if kind == "ExternalName" && !is_subdomain(external.strip_suffix('.').unwrap_or(external)) {
        causes.push(invalid("spec.externalName", &json!(external), SUBDOMAIN));
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
    if super::kinds::built_in().any(|own| own.group == group && own.plural == plural) {
        causes.push(invalid(
            "spec.names.plural",
            &json!(plural),
            "is a kind of this server itself; another would take its place",
        ));
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
