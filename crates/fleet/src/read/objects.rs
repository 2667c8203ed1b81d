//! Kubernetes objects from files, and whose they are.

use super::documents::is_yaml;
use herder_base::{Diagnostic, Location, Tree};
use herder_object::{Key, yaml};
use serde_json::Value;

/// An object and where it is from.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) value: Value,
    pub(crate) at: Location,
}

/// The objects of the YAML files directly in a directory, or below it if `deep`; the error says that some could not be
/// read, the diagnostics which.
pub(crate) fn files(
    tree: &Tree,
    repository: &str,
    dir: &str,
    deep: bool,
    found: &mut Vec<Diagnostic>,
) -> Result<Vec<Raw>, String> {
    let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
    let mut all = Vec::new();
    let mut bad = None;
    for (path, _) in tree.below(dir) {
        let rest = path.get(skip..).unwrap_or_default();
        if !is_yaml(path) || (!deep && rest.contains('/')) {
            continue;
        }
        let at = |line, column| Location {
            repository: repository.to_owned(),
            ..Location::new(path, line, column)
        };
        let Some(text) = tree.text(path) else {
            found.push(Diagnostic::error("encoding", "the file is not UTF-8 text").at(at(0, 0)));
            bad.get_or_insert_with(|| format!("{path} is not UTF-8 text"));
            continue;
        };
        let (objects, errors) = yaml::parse_objects(text);
        for error in errors {
            bad.get_or_insert_with(|| format!("{path}:{}: {}", error.line, error.message));
            found.push(Diagnostic::error("yaml", error.message).at(at(error.line, error.column)));
        }
        for (value, line) in objects {
            match identified(&value) {
                Ok(()) => all.push(Raw {
                    value,
                    at: at(line, 0),
                }),
                Err(why) => {
                    bad.get_or_insert_with(|| format!("{path}:{line}: {why}"));
                    found.push(Diagnostic::error("object", why).at(at(line, 0)));
                }
            }
        }
    }
    match bad {
        Some(why) => Err(why),
        None => Ok(all),
    }
}

/// Whether an object says what it is.
pub(crate) fn identified(value: &Value) -> Result<(), String> {
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    for (pointer, name) in [
        ("/apiVersion", "apiVersion"),
        ("/kind", "kind"),
        ("/metadata/name", "metadata.name"),
    ] {
        if !text(pointer) {
            return Err(format!("this object has no `{name}`"));
        }
    }
    match value.pointer("/metadata/namespace") {
        None | Some(Value::String(_) | Value::Null) => Ok(()),
        Some(_) => Err("metadata.namespace is not text".to_owned()),
    }
}

/// Whether objects of a kind are outside namespaces, as far as can be known without a cluster.
pub(crate) fn is_cluster_scoped(key: &Key) -> bool {
    let group = key.gvk.group.as_str();
    match key.gvk.kind.as_str() {
        "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus" => group.is_empty(),
        "ClusterRole" | "ClusterRoleBinding" => group == "rbac.authorization.k8s.io",
        "CustomResourceDefinition" => group == "apiextensions.k8s.io",
        "APIService" => group == "apiregistration.k8s.io",
        "StorageClass" | "CSIDriver" | "CSINode" | "VolumeAttachment" | "VolumeAttributesClass" => {
            group == "storage.k8s.io"
        }
        "PriorityClass" => group == "scheduling.k8s.io",
        "IngressClass" => group == "networking.k8s.io",
        "RuntimeClass" => group == "node.k8s.io",
        "PriorityLevelConfiguration" | "FlowSchema" => group == "flowcontrol.apiserver.k8s.io",
        "CertificateSigningRequest" => group == "certificates.k8s.io",
        "ValidatingWebhookConfiguration"
        | "MutatingWebhookConfiguration"
        | "ValidatingAdmissionPolicy"
        | "ValidatingAdmissionPolicyBinding" => group == "admissionregistration.k8s.io",
        "ClusterIssuer" => group == "cert-manager.io",
        "GatewayClass" => group == "gateway.networking.k8s.io",
        "GlobalNetworkPolicy" | "GlobalNetworkSet" | "IPPool" => group.ends_with("projectcalico.org"),
        _ => false,
    }
}

/// Puts an object into the namespace of its unit, or says why it cannot be there.
pub(crate) fn settle(raw: &mut Raw, namespace: &str) -> Result<(), Box<Diagnostic>> {
    let Some(key) = Key::of(&raw.value) else {
        return Err(Diagnostic::error("object", "this object does not say what it is")
            .at(raw.at.clone())
            .into());
    };
    if is_cluster_scoped(&key) {
        if key.gvk.kind == "Namespace" && key.name == namespace {
            return Ok(());
        }
        return Err(Diagnostic::error(
            "not-theirs",
            format!("{key} is outside every namespace, but this is for namespace {namespace}"),
        )
        .at(raw.at.clone())
        .hint("cluster-level objects belong into manifests/ of the fleet repository")
        .into());
    }
    if key.namespace.is_empty() {
        if let Some(metadata) = raw.value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), Value::String(namespace.to_owned()));
        }
        return Ok(());
    }
    if key.namespace != namespace {
        return Err(Diagnostic::error(
            "not-theirs",
            format!("{key} addresses a namespace that is not theirs; theirs is {namespace}"),
        )
        .at(raw.at.clone())
        .hint("remove `metadata.namespace`, or move the object to where that namespace is defined")
        .into());
    }
    Ok(())
}
