//! Kubernetes objects from files, and whose they are.

use super::documents::is_yaml;
use super::{glob, values};
use herder_base::{Diagnostic, Location, Tree};
use herder_object::{Key, yaml};
use serde_json::Value;

/// An object and where it is from.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) value: Value,
    pub(crate) at: Location,
}

/// The objects of some files.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) raws: Vec<Raw>,
    /// The first thing that could not be read; whatever it names is not here.
    pub(crate) missing: Option<String>,
    /// Whether what could not be read may say which namespace all of it is for.
    pub(crate) doubtful: bool,
}

impl Read {
    /// Everything there is.
    pub(crate) fn all(raws: Vec<Raw>) -> Self {
        Self {
            raws,
            ..Self::default()
        }
    }

    /// All of them, for whoever takes all or nothing.
    pub(crate) fn whole(self) -> Result<Vec<Raw>, String> {
        match self.missing {
            Some(why) => Err(why),
            None => Ok(self.raws),
        }
    }
}

/// The objects of the YAML files directly in a directory, or below it if `deep`. What cannot be read is left out by
/// itself: a document if only it is at fault, a file if it is no YAML.
pub(crate) fn files(
    tree: &Tree,
    repository: &str,
    dir: &str,
    deep: bool,
    found: &mut Vec<Diagnostic>,
) -> Read {
    let chart = if dir.is_empty() {
        "Chart.yaml".to_owned()
    } else {
        format!("{dir}/Chart.yaml")
    };
    if tree.file(&chart).is_some() {
        let why = "this folder is a Helm chart, which is not rendered here".to_owned();
        found.push(
            Diagnostic::error("helm-chart", why.clone())
                .at(Location {
                    repository: repository.to_owned(),
                    ..Location::new(chart, 0, 0)
                })
                .hint("commit what `helm template` prints, or keep charts outside of the folders that are applied"),
        );
        return Read {
            raws: Vec::new(),
            missing: Some(why),
            doubtful: true,
        };
    }
    let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
    let mut all = Vec::new();
    let (mut bad, mut doubtful) = (None, false);
    for (path, file) in tree.below(dir) {
        let rest = path.get(skip..).unwrap_or_default();
        if !is_yaml(path) || (!deep && rest.contains('/')) {
            continue;
        }
        let at = |line, column| Location {
            repository: repository.to_owned(),
            ..Location::new(path, line, column)
        };
        let real = if file.symlink {
            glob::real(tree, path)
        } else {
            Some(path.to_owned())
        };
        let Some(real) = real else {
            found.push(Diagnostic::error("link", "this link leads nowhere in the repository").at(at(0, 0)));
            bad.get_or_insert_with(|| format!("{path} leads nowhere"));
            doubtful = true;
            continue;
        };
        if let Some(by) = tree.bytes(&real).and_then(values::encrypted_file) {
            found.push(
                Diagnostic::error("encrypted", format!("the file is encrypted by {by}; what runs of it stays as it is"))
                    .at(at(0, 0))
                    .hint("put the values into Vault and name them with `herder.dev/file.NAME` on the pod template, or commit the file decrypted to a repository of its own"),
            );
            bad.get_or_insert_with(|| format!("{path} is encrypted by {by}"));
            continue;
        }
        let Some(text) = tree.text(&real) else {
            found.push(Diagnostic::error("encoding", "the file is not UTF-8 text").at(at(0, 0)));
            bad.get_or_insert_with(|| format!("{path} is not UTF-8 text"));
            doubtful = true;
            continue;
        };
        let (mut objects, errors) = yaml::parse_objects(text);
        if !errors.is_empty() && !yaml::parse(text).1.is_empty() {
            // What stands beside something that is no YAML may be half of what was meant.
            objects.clear();
        }
        for error in errors {
            doubtful = true;
            bad.get_or_insert_with(|| format!("{path}:{}: {}", error.line, error.message));
            found.push(Diagnostic::error("yaml", error.message).at(at(error.line, error.column)));
        }
        for (value, line) in objects {
            match identified(&value).and_then(|()| readable(&value)) {
                Ok(()) => all.push(Raw {
                    value,
                    at: at(line, 0),
                }),
                Err(why) => {
                    doubtful |= matches!(herder_object::kind(&value), "" | "Namespace");
                    bad.get_or_insert_with(|| format!("{path}:{line}: {why}"));
                    let mut diagnostic = Diagnostic::error("object", why).at(at(line, 0));
                    if value.pointer("/metadata/generateName").is_some() {
                        diagnostic = diagnostic.hint("`generateName` makes a new object each time: give it a name, a hook runs again by itself");
                    }
                    found.push(diagnostic);
                }
            }
        }
    }
    Read {
        raws: all,
        missing: bad,
        doubtful,
    }
}

/// Whether what an object says that it is can be read.
fn readable(value: &Value) -> Result<(), String> {
    let hidden = [herder_object::kind(value), herder_object::name(value)]
        .iter()
        .any(|text| text.starts_with("ENC["));
    if hidden {
        return Err("this object is encrypted as a whole (SOPS)".to_owned());
    }
    Ok(())
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
pub(crate) fn settle(raw: &mut Raw, namespace: &str, cluster_scoped: bool) -> Result<(), Box<Diagnostic>> {
    let Some(key) = Key::of(&raw.value) else {
        return Err(Diagnostic::error("object", "this object does not say what it is")
            .at(raw.at.clone())
            .into());
    };
    if is_cluster_scoped(&key) {
        let is_namespace = key.gvk.kind == "Namespace";
        if is_namespace && key.name == namespace || cluster_scoped && !is_namespace {
            return Ok(());
        }
        return Err(Diagnostic::error(
            "not-theirs",
            format!("{key} is outside every namespace, but this is for namespace {namespace}"),
        )
        .at(raw.at.clone())
        .hint("cluster-level objects belong into manifests/ of the fleet repository; `clusterScoped: allow` lets them stand here")
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
