//! Random resources: the kinds that have rules of their own, with names that refer to each other.

use super::Numbers;
use serde_json::{Value, json};

pub(crate) const NAMES: [&str; 6] = ["shop", "api", "db", "web", "settings", "x"];
pub(crate) const KINDS: [&str; 19] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "Pod",
    "Service",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "Ingress",
    "HorizontalPodAutoscaler",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Widget",
];
const NAMESPACES: [&str; 3] = ["default", "team-a", "kube-system"];
pub(crate) const VALUES: [&str; 12] = [
    "a",
    "true",
    "1",
    "1.0",
    "",
    "no",
    "two words",
    "$(VAR)",
    "a=b",
    "x:1",
    "null",
    "~",
];

fn labels(rng: &mut Numbers) -> Value {
    let mut labels = json!({"app": rng.one(&NAMES)});
    if rng.once_in(3) {
        labels[rng.one(&["tier", "app.kubernetes.io/name", "a"])] = json!(rng.one(&VALUES));
    }
    labels
}

fn metadata(rng: &mut Numbers, cluster: bool) -> Value {
    let mut metadata = json!({"name": rng.one(&NAMES)});
    if !cluster && rng.once_in(4) {
        metadata["namespace"] = json!(rng.one(&NAMESPACES));
    }
    if rng.once_in(2) {
        metadata["labels"] = labels(rng);
    }
    if rng.once_in(4) {
        metadata["annotations"] = json!({rng.one(&["note", "a/b"]): rng.one(&VALUES)});
    }
    if rng.once_in(40) {
        metadata["annotations"] = json!({"config.kubernetes.io/local-config": "true"});
    }
    metadata
}

fn container(rng: &mut Numbers, name: &str) -> Value {
    let image = rng.one(&[
        "shop",
        "shop:1",
        "registry.example/shop:1.2",
        "shop@sha256:aaaa",
        "nginx",
        "r.example:5000/nginx:v1",
    ]);
    let mut container = json!({"name": name, "image": image});
    if rng.once_in(2) {
        container["env"] = json!([
            {"name": "A", "value": rng.one(&VALUES)},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": rng.one(&NAMES), "key": "k"}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": rng.one(&NAMES), "key": "k"}}},
        ]);
    }
    if rng.once_in(3) {
        container["envFrom"] =
            json!([{"configMapRef": {"name": rng.one(&NAMES)}}, {"secretRef": {"name": rng.one(&NAMES)}}]);
    }
    if rng.once_in(3) {
        container["ports"] =
            json!([{"containerPort": 8080, "name": "http"}, {"containerPort": 8080, "protocol": "UDP"}]);
    }
    if rng.once_in(4) {
        container["args"] = json!(["--name", rng.one(&VALUES), rng.next(5)]);
    }
    if rng.once_in(4) {
        container["volumeMounts"] =
            json!([{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w", "readOnly": true}]);
    }
    container
}

pub(crate) fn pod_spec(rng: &mut Numbers) -> Value {
    let mut spec = json!({"containers": [container(rng, "app")]});
    if rng.once_in(3) {
        let side = container(rng, "side");
        spec["containers"].as_array_mut().unwrap().push(side);
    }
    if rng.once_in(4) {
        spec["initContainers"] = json!([container(rng, "init")]);
    }
    if rng.once_in(3) {
        spec["volumes"] = json!([
            {"name": "v", "configMap": {"name": rng.one(&NAMES)}},
            {"name": "w", "secret": {"secretName": rng.one(&NAMES)}},
            {"name": "p", "persistentVolumeClaim": {"claimName": rng.one(&NAMES)}},
            {"name": "q", "projected": {"sources": [{"configMap": {"name": rng.one(&NAMES)}}, {"secret": {"name": rng.one(&NAMES)}}]}},
        ]);
    }
    if rng.once_in(3) {
        spec["serviceAccountName"] = json!(rng.one(&NAMES));
    }
    if rng.once_in(6) {
        spec["imagePullSecrets"] = json!([{"name": rng.one(&NAMES)}]);
    }
    if rng.once_in(6) {
        spec["tolerations"] =
            json!([{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}]);
    }
    spec
}

fn template(rng: &mut Numbers) -> Value {
    json!({"metadata": {"labels": labels(rng)}, "spec": pod_spec(rng)})
}

fn rules() -> Value {
    json!([{"apiGroups": [""], "resources": ["pods", "configmaps"], "resourceNames": ["settings"], "verbs": ["get"]}])
}

fn binding(rng: &mut Numbers, role: &str) -> Value {
    let mut subject =
        json!({"kind": "ServiceAccount", "name": rng.one(&["default", "shop", "api", "other"])});
    if rng.once_in(2) {
        subject["namespace"] = json!(rng.one(&NAMESPACES));
    }
    json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": rng.one(&NAMES)},
        "subjects": [subject, {"kind": "Group", "name": "people", "apiGroup": "rbac.authorization.k8s.io"}],
    })
}

/// A resource of a kind.
pub(crate) fn resource(rng: &mut Numbers, kind: &str) -> Value {
    let cluster = kind.starts_with("Cluster");
    let (api, mut rest) = match kind {
        "Deployment" | "DaemonSet" | "StatefulSet" => {
            let mut spec = json!({"selector": {"matchLabels": labels(rng)}, "template": template(rng)});
            if kind != "DaemonSet" {
                spec["replicas"] = json!(rng.next(4));
            }
            if kind == "StatefulSet" {
                spec["serviceName"] = json!(rng.one(&NAMES));
                spec["volumeClaimTemplates"] =
                    json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]);
            }
            ("apps/v1", json!({"spec": spec}))
        }
        "Job" => ("batch/v1", json!({"spec": {"template": template(rng)}})),
        "CronJob" => (
            "batch/v1",
            json!({"spec": {"schedule": "0 1 * * *", "jobTemplate": {"spec": {"template": template(rng)}}}}),
        ),
        "Pod" => ("v1", json!({"spec": pod_spec(rng)})),
        "Service" => (
            "v1",
            json!({"spec": {"selector": labels(rng), "ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "protocol": "UDP"}]}}),
        ),
        "ConfigMap" => (
            "v1",
            json!({"data": {"k": rng.one(&VALUES), "file.txt": "one\ntwo\n", "name": rng.one(&NAMES)}}),
        ),
        "Secret" => (
            "v1",
            json!({"type": "Opaque", "data": {"k": "YWJj"}, "stringData": {"plain": rng.one(&VALUES)}}),
        ),
        "ServiceAccount" => ("v1", json!({"secrets": [{"name": rng.one(&NAMES)}]})),
        "Role" | "ClusterRole" => ("rbac.authorization.k8s.io/v1", json!({"rules": rules()})),
        "RoleBinding" => {
            let role = rng.one(&["Role", "ClusterRole"]);
            ("rbac.authorization.k8s.io/v1", binding(rng, role))
        }
        "ClusterRoleBinding" => ("rbac.authorization.k8s.io/v1", binding(rng, "ClusterRole")),
        "Ingress" => (
            "networking.k8s.io/v1",
            json!({"spec": {
                "tls": [{"hosts": ["a.example"], "secretName": rng.one(&NAMES)}],
                "rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
                    "backend": {"service": {"name": rng.one(&NAMES), "port": {"number": 80}}}}]}}],
            }}),
        ),
        "HorizontalPodAutoscaler" => (
            "autoscaling/v2",
            json!({"spec": {"minReplicas": 1, "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": rng.one(&["Deployment", "StatefulSet"]), "name": rng.one(&NAMES)}}}),
        ),
        "PersistentVolumeClaim" => (
            "v1",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        ),
        "NetworkPolicy" => (
            "networking.k8s.io/v1",
            json!({"spec": {"podSelector": {"matchLabels": labels(rng)},
                "ingress": [{"from": [{"podSelector": {"matchLabels": labels(rng)}}]}]}}),
        ),
        _ => (
            "example.org/v1",
            json!({"spec": {"items": [{"name": "a", "value": 1}, {"name": "b", "value": rng.next(9)}],
                "template": {"spec": {"containers": [{"name": "app", "image": "shop:1"}]}},
                "ref": {"name": rng.one(&NAMES)}, "replicas": 1, "size": 1.5}}),
        ),
    };
    rest["apiVersion"] = json!(api);
    rest["kind"] = json!(kind);
    rest["metadata"] = metadata(rng, cluster);
    rest
}
