//! The roles and bindings every cluster has. A table of rules, and writing those that are missing.

use crate::registry::{DeleteOptions, Registry, Status};
use serde_json::{Value, json};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "delete",
    "deletecollection",
    "patch",
    "update",
];

const CORE_READ: &[&str] = &[
    "bindings",
    "configmaps",
    "endpoints",
    "events",
    "limitranges",
    "namespaces",
    "namespaces/status",
    "persistentvolumeclaims",
    "persistentvolumeclaims/status",
    "pods",
    "pods/log",
    "pods/status",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "replicationcontrollers/status",
    "resourcequotas",
    "resourcequotas/status",
    "serviceaccounts",
    "services",
    "services/status",
];
/// Not among them, as in Kubernetes: where services lead. Whoever writes that could make the network's proxy connect to
/// what their own pods may not reach.
const CORE_WRITE: &[&str] = &[
    "configmaps",
    "events",
    "persistentvolumeclaims",
    "pods",
    "pods/attach",
    "pods/exec",
    "pods/eviction",
    "pods/portforward",
    "pods/proxy",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "secrets",
    "serviceaccounts",
    "services",
    "services/proxy",
];
const SLICES: &str = "discovery.k8s.io";
const WORKLOADS: &[(&str, &[&str])] = &[
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    (
        "autoscaling",
        &["horizontalpodautoscalers", "horizontalpodautoscalers/status"],
    ),
    ("batch", &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    (SLICES, &["endpointslices"]),
    (
        "networking.k8s.io",
        &["ingresses", "ingresses/status", "networkpolicies"],
    ),
    ("policy", &["poddisruptionbudgets", "poddisruptionbudgets/status"]),
];

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn paths(paths: &[&str]) -> Value {
    json!({"nonResourceURLs": paths, "verbs": ["get"]})
}

fn view() -> Vec<Value> {
    let mut rules = vec![rule(&[""], CORE_READ, READ)];
    rules.extend(
        WORKLOADS
            .iter()
            .map(|(group, resources)| rule(&[group], resources, READ)),
    );
    rules.push(rule(&["metrics.k8s.io"], &["nodes", "pods"], READ));
    rules
}

fn edit() -> Vec<Value> {
    let mut rules = vec![
        rule(&[""], CORE_WRITE, WRITE),
        rule(
            &[""],
            &[
                "secrets",
                "pods/attach",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
                "services/proxy",
            ],
            READ,
        ),
        rule(&[""], &["serviceaccounts/token"], &["create"]),
        rule(&[""], &["serviceaccounts"], &["impersonate"]),
        rule(&["coordination.k8s.io"], &["leases"], ALL),
    ];
    rules.extend(
        WORKLOADS
            .iter()
            .filter(|(group, _)| *group != SLICES)
            .map(|(group, resources)| rule(&[group], resources, WRITE)),
    );
    rules
}

/// Takes the right to write endpoints from the rules of a role that an earlier version made.
fn without_endpoints(role: &mut Value) -> bool {
    let Some(rules) = role.get_mut("rules").and_then(Value::as_array_mut) else {
        return false;
    };
    let before = rules.clone();
    rules.retain(|own| *own != rule(&[SLICES], &["endpointslices"], WRITE));
    for own in rules.iter_mut() {
        let writes = own.get("verbs") == Some(&json!(WRITE)) && own.get("apiGroups") == Some(&json!([""]));
        let resources = own.get_mut("resources").and_then(Value::as_array_mut);
        if let Some(resources) = resources.filter(|_| writes) {
            resources.retain(|resource| resource != "endpoints");
        }
    }
    *rules != before
}

fn admin() -> Vec<Value> {
    vec![
        rule(
            &["authorization.k8s.io"],
            &["localsubjectaccessreviews"],
            &["create"],
        ),
        rule(&["rbac.authorization.k8s.io"], &["rolebindings", "roles"], ALL),
    ]
}

fn cluster_role(name: &str, labels: &[(&str, &str)], rules: &[Value], aggregate: Option<&str>) -> Value {
    let mut all: serde_json::Map<String, Value> = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    all.insert("kubernetes.io/bootstrapping".to_owned(), json!("rbac-defaults"));
    let mut role = json!({"metadata": {"name": name, "labels": all}, "rules": rules});
    if let (Some(target), Some(map)) = (aggregate, role.as_object_mut()) {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{target}");
        let selector = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        map.insert("aggregationRule".to_owned(), selector);
    }
    role
}

fn binding(role: &str, groups: &[&str]) -> Value {
    let subjects: Vec<Value> = groups
        .iter()
        .map(|group| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}))
        .collect();
    json!({
        "metadata": {"name": role, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    })
}

/// The default roles and bindings, with their resources.
#[must_use]
pub fn default_objects() -> Vec<(&'static str, Value)> {
    const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
    const BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
    let aggregates = |targets: &[&'static str]| -> Vec<(&'static str, &'static str)> {
        let label = |target: &&'static str| match *target {
            "admin" => "rbac.authorization.k8s.io/aggregate-to-admin",
            "edit" => "rbac.authorization.k8s.io/aggregate-to-edit",
            _ => "rbac.authorization.k8s.io/aggregate-to-view",
        };
        targets.iter().map(|target| (label(target), "true")).collect()
    };
    let everything = vec![
        rule(&["*"], &["*"], &["*"]),
        json!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
    ];
    let review = vec![
        rule(
            &["authorization.k8s.io"],
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            &["create"],
        ),
        rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
    ];
    let delegate = vec![
        rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
        rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
    ];
    let discovery = paths(&[
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ]);
    let public = paths(&["/healthz", "/livez", "/readyz", "/version", "/version/"]);
    let issuer = paths(&[
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/",
        "/openid/v1/jwks",
        "/openid/v1/jwks/",
    ]);
    let mut objects: Vec<(&'static str, Value)> = [
        cluster_role("cluster-admin", &[], &everything, None),
        cluster_role("admin", &[], &[], Some("admin")),
        cluster_role("edit", &aggregates(&["admin"]), &[], Some("edit")),
        cluster_role("view", &aggregates(&["edit"]), &[], Some("view")),
        cluster_role(
            "system:aggregate-to-admin",
            &aggregates(&["admin"]),
            &[admin(), edit(), view()].concat(),
            None,
        ),
        cluster_role(
            "system:aggregate-to-edit",
            &aggregates(&["edit"]),
            &[edit(), view()].concat(),
            None,
        ),
        cluster_role("system:aggregate-to-view", &aggregates(&["view"]), &view(), None),
        cluster_role("system:basic-user", &[], &review, None),
        cluster_role("system:auth-delegator", &[], &delegate, None),
        cluster_role("system:discovery", &[], &[discovery], None),
        cluster_role("system:public-info-viewer", &[], &[public], None),
        cluster_role("system:service-account-issuer-discovery", &[], &[issuer], None),
    ]
    .into_iter()
    .map(|role| (ROLES, role))
    .collect();
    objects.extend(
        [
            binding("cluster-admin", &["system:masters"]),
            binding("system:basic-user", &["system:authenticated"]),
            binding("system:discovery", &["system:authenticated"]),
            binding(
                "system:public-info-viewer",
                &["system:authenticated", "system:unauthenticated"],
            ),
            binding(
                "system:service-account-issuer-discovery",
                &["system:serviceaccounts"],
            ),
        ]
        .map(|binding| (BINDINGS, binding)),
    );
    objects
}

/// Writes the default roles and bindings that are missing; what an administrator changed stays. What nodes may do is
/// decided elsewhere: the binding that once gave them every secret goes.
///
/// # Errors
/// A [`Status`] if one cannot be written.
pub async fn bootstrap_roles(registry: &Registry) -> Result<(), Status> {
    const BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
    let nodes = registry.get(BINDINGS, "", "system:node").filter(|binding| {
        let label = binding
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get("kubernetes.io/bootstrapping"));
        label.is_some()
    });
    if nodes.is_some() {
        registry
            .delete(BINDINGS, "", "system:node", DeleteOptions::default())
            .await?;
    }
    for name in ["system:aggregate-to-edit", "system:aggregate-to-admin"] {
        const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
        if registry.get(ROLES, "", name).is_some() {
            registry.modify(ROLES, "", name, without_endpoints).await?;
        }
    }
    let missing = default_objects()
        .into_iter()
        .filter(|(resource, object)| registry.get(resource, "", herder_object::name(object)).is_none());
    futures::future::try_join_all(missing.map(|(resource, object)| registry.create(resource, object)))
        .await?;
    Ok(())
}
