//! The namespace of an environment, and the service account that jobs deploy with.

use crate::Environment;
use serde_json::{Value, json};

/// The service account of jobs in an environment's namespace.
pub(crate) const DEPLOYER: &str = "herder-deployer";

/// The label by which a namespace says what its pods may ask for.
pub(crate) const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// A namespace and nothing else.
pub(crate) fn bare_namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

/// The namespace, its quota, and the deployer with rights in that namespace only.
pub(crate) fn namespace(environment: &Environment) -> Vec<Value> {
    let name = environment.namespace.as_str();
    let mut namespace = bare_namespace(name);
    if let Some(metadata) = namespace.get_mut("metadata").and_then(Value::as_object_mut) {
        let mut labels = environment.labels.clone();
        labels.insert("herder.dev/environment".to_owned(), environment.name.clone());
        // Said outright, so that it holds on any Kubernetes, whatever its own default is.
        if let Some(level) = &environment.pod_security {
            labels.insert(ENFORCE.to_owned(), level.clone());
        }
        labels
            .entry(ENFORCE.to_owned())
            .or_insert_with(|| "baseline".to_owned());
        metadata.insert("labels".to_owned(), json!(labels));
    }
    let metadata = json!({ "name": DEPLOYER, "namespace": name });
    let role = match &environment.deployer_role {
        Some(role) => json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role }),
        None => json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": DEPLOYER }),
    };
    let mut objects = vec![
        namespace,
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": role,
            "subjects": [{ "kind": "ServiceAccount", "name": DEPLOYER, "namespace": name }],
        }),
    ];
    if environment.deployer_role.is_none() {
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules(),
        }));
    }
    if !environment.quota.is_empty() {
        objects.push(json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": { "name": "herder-quota", "namespace": name },
            "spec": { "hard": environment.quota },
        }));
    }
    objects
}

/// Everything a deployment needs, and nothing that changes rights, quotas or the namespace itself.
fn rules() -> Value {
    let change = json!([
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection"
    ]);
    let look = json!(["get", "list", "watch"]);
    json!([
        { "apiGroups": [""], "verbs": change, "resources": [
            "configmaps", "secrets", "services", "serviceaccounts", "persistentvolumeclaims", "pods",
        ] },
        { "apiGroups": [""], "verbs": look, "resources": [
            "events", "endpoints", "pods/log", "pods/status", "resourcequotas", "limitranges",
        ] },
        { "apiGroups": ["apps"], "verbs": change, "resources": [
            "deployments", "deployments/scale", "statefulsets", "statefulsets/scale", "daemonsets", "replicasets",
        ] },
        { "apiGroups": ["batch"], "verbs": change, "resources": ["jobs", "cronjobs"] },
        { "apiGroups": ["networking.k8s.io"], "verbs": change, "resources": ["ingresses", "networkpolicies"] },
        { "apiGroups": ["autoscaling"], "verbs": change, "resources": ["horizontalpodautoscalers"] },
        { "apiGroups": ["policy"], "verbs": change, "resources": ["poddisruptionbudgets"] },
        { "apiGroups": ["discovery.k8s.io", "events.k8s.io"], "verbs": look, "resources": ["endpointslices", "events"] },
    ])
}
