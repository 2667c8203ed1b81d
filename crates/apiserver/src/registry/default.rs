//! Defaults, as kubectl users see them. Filling in twice changes nothing.

use super::Resource;
use super::meta::section;
use base64::Engine as _;
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

fn or(map: &mut Object, key: &str, value: Value) {
    let slot = map.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value;
    }
}

fn child<'a>(map: &'a mut Object, key: &str) -> Option<&'a mut Object> {
    map.get_mut(key)?.as_object_mut()
}

fn made<'a>(map: &'a mut Object, key: &str) -> Option<&'a mut Object> {
    or(map, key, json!({}));
    child(map, key)
}

fn each(map: &mut Object, key: &str, mut edit: impl FnMut(&mut Object)) {
    let items = map.get_mut(key).and_then(Value::as_array_mut);
    for item in items.into_iter().flatten().filter_map(Value::as_object_mut) {
        edit(item);
    }
}

fn text<'a>(map: &'a Object, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Fills in the defaults of a kind.
pub(super) fn fill(resource: &Resource, object: &mut Value) {
    if resource.custom.is_some() {
        if let Some(custom) = &resource.custom {
            open(object, &custom.schema);
        }
        return;
    }
    match resource.storage_name.as_str() {
        "secrets" => secret(object),
        "services" => with_spec(object, service),
        "pods" => with_spec(object, pod_spec),
        "deployments.apps" => with_spec(object, deployment),
        "replicasets.apps" => with_spec(object, |spec| {
            or(spec, "replicas", json!(1));
            template(spec);
        }),
        "replicationcontrollers" => with_spec(object, |spec| {
            or(spec, "replicas", json!(1));
            template(spec);
        }),
        "statefulsets.apps" => with_spec(object, stateful_set),
        "daemonsets.apps" => with_spec(object, daemon_set),
        "jobs.batch" => job(object),
        "cronjobs.batch" => with_spec(object, cron_job),
        "ingresses.networking.k8s.io" => with_spec(object, |spec| {
            each(spec, "rules", |rule| {
                if let Some(http) = child(rule, "http") {
                    each(http, "paths", |path| {
                        or(path, "pathType", json!("ImplementationSpecific"))
                    });
                }
            });
        }),
        "networkpolicies.networking.k8s.io" => with_spec(object, |spec| {
            let mut types = vec!["Ingress"];
            // An empty list says nothing, as in Kubernetes.
            if spec
                .get("egress")
                .and_then(Value::as_array)
                .is_some_and(|rules| !rules.is_empty())
            {
                types.push("Egress");
            }
            or(spec, "policyTypes", json!(types));
            for (list, _) in [("ingress", 0), ("egress", 0)] {
                each(spec, list, |rule| {
                    each(rule, "ports", |port| or(port, "protocol", json!("TCP")))
                });
            }
        }),
        "persistentvolumeclaims" => {
            with_spec(object, |spec| or(spec, "volumeMode", json!("Filesystem")));
            if let Some(map) = object.as_object_mut() {
                or(map, "status", json!({"phase": "Pending"}));
            }
        }
        "persistentvolumes" => {
            with_spec(object, |spec| {
                or(spec, "volumeMode", json!("Filesystem"));
                or(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
            });
            if let Some(map) = object.as_object_mut() {
                or(map, "status", json!({"phase": "Pending"}));
            }
        }
        "storageclasses.storage.k8s.io" => {
            if let Some(map) = object.as_object_mut() {
                or(map, "reclaimPolicy", json!("Delete"));
                or(map, "volumeBindingMode", json!("Immediate"));
            }
        }
        "horizontalpodautoscalers.autoscaling" => with_spec(object, |spec| or(spec, "minReplicas", json!(1))),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            if let Some(map) = object.as_object_mut() {
                if let Some(role) = child(map, "roleRef") {
                    or(role, "apiGroup", json!("rbac.authorization.k8s.io"));
                }
                each(map, "subjects", |subject| {
                    if text(subject, "kind") != "ServiceAccount" {
                        or(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
                    }
                });
            }
        }
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => {
            if let Some(map) = object.as_object_mut() {
                or(map, "rules", Value::Null);
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => with_spec(object, |spec| {
            let conversion = json!({"strategy": "None"});
            or(spec, "conversion", conversion);
            if let Some(names) = child(spec, "names") {
                let kind = text(names, "kind").to_owned();
                or(names, "listKind", json!(format!("{kind}List")));
                or(names, "singular", json!(kind.to_lowercase()));
            }
        }),
        _ => {}
    }
}

fn with_spec(object: &mut Value, edit: impl FnOnce(&mut Object)) {
    if let Some(spec) = section(object, "spec") {
        edit(spec);
    }
}

fn secret(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    or(map, "type", json!("Opaque"));
    if let Some(Value::Object(plain)) = map.remove("stringData")
        && let Some(data) = made(map, "data")
    {
        for (key, value) in plain {
            let encoded =
                base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(key, json!(encoded));
        }
    }
}

fn service(spec: &mut Object) {
    or(spec, "type", json!("ClusterIP"));
    or(spec, "sessionAffinity", json!("None"));
    let kind = text(spec, "type").to_owned();
    if kind != "ExternalName" {
        or(spec, "internalTrafficPolicy", json!("Cluster"));
        or(spec, "ipFamilies", json!(["IPv4"]));
        or(spec, "ipFamilyPolicy", json!("SingleStack"));
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        or(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        or(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    each(spec, "ports", |port| {
        or(port, "protocol", json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        or(port, "targetPort", number);
    });
}

fn template(spec: &mut Object) {
    let Some(template) = child(spec, "template") else {
        return;
    };
    if let Some(metadata) = made(template, "metadata") {
        or(metadata, "creationTimestamp", Value::Null);
    }
    if let Some(spec) = made(template, "spec") {
        pod_spec(spec);
    }
}

fn deployment(spec: &mut Object) {
    or(spec, "replicas", json!(1));
    or(spec, "revisionHistoryLimit", json!(10));
    or(spec, "progressDeadlineSeconds", json!(600));
    if let Some(strategy) = made(spec, "strategy") {
        or(strategy, "type", json!("RollingUpdate"));
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            or(rolling, "maxSurge", json!("25%"));
            or(rolling, "maxUnavailable", json!("25%"));
        }
    }
    template(spec);
}

fn stateful_set(spec: &mut Object) {
    or(spec, "replicas", json!(1));
    or(spec, "revisionHistoryLimit", json!(10));
    or(spec, "podManagementPolicy", json!("OrderedReady"));
    if let Some(strategy) = made(spec, "updateStrategy") {
        or(strategy, "type", json!("RollingUpdate"));
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            or(rolling, "partition", json!(0));
        }
    }
    if let Some(policy) = made(spec, "persistentVolumeClaimRetentionPolicy") {
        or(policy, "whenDeleted", json!("Retain"));
        or(policy, "whenScaled", json!("Retain"));
    }
    each(spec, "volumeClaimTemplates", |claim| {
        or(claim, "apiVersion", json!("v1"));
        or(claim, "kind", json!("PersistentVolumeClaim"));
        if let Some(spec) = made(claim, "spec") {
            or(spec, "volumeMode", json!("Filesystem"));
        }
        or(claim, "status", json!({"phase": "Pending"}));
    });
    template(spec);
}

fn daemon_set(spec: &mut Object) {
    or(spec, "revisionHistoryLimit", json!(10));
    if let Some(strategy) = made(spec, "updateStrategy") {
        or(strategy, "type", json!("RollingUpdate"));
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            or(rolling, "maxSurge", json!(0));
            or(rolling, "maxUnavailable", json!(1));
        }
    }
    template(spec);
}

fn job_spec(spec: &mut Object) {
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        or(spec, "completions", json!(1));
    }
    or(spec, "parallelism", json!(1));
    or(spec, "backoffLimit", json!(6));
    or(spec, "completionMode", json!("NonIndexed"));
    or(spec, "suspend", json!(false));
    or(spec, "manualSelector", json!(false));
    or(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    template(spec);
}

/// A job selects its pods by its own uid, unless it says otherwise.
fn job(object: &mut Value) {
    let uid = super::meta::text(object, "/metadata/uid").to_owned();
    let name = super::meta::text(object, "/metadata/name").to_owned();
    with_spec(object, |spec| {
        job_spec(spec);
        let manual = spec.get("manualSelector").and_then(Value::as_bool) == Some(true);
        if manual || uid.is_empty() {
            return;
        }
        or(
            spec,
            "selector",
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
        );
        let labels = child(spec, "template")
            .and_then(|template| made(template, "metadata"))
            .and_then(|metadata| made(metadata, "labels"));
        if let Some(labels) = labels {
            for (key, value) in [
                ("batch.kubernetes.io/controller-uid", &uid),
                ("batch.kubernetes.io/job-name", &name),
                ("controller-uid", &uid),
                ("job-name", &name),
            ] {
                or(labels, key, json!(value));
            }
        }
    });
}

fn cron_job(spec: &mut Object) {
    or(spec, "concurrencyPolicy", json!("Allow"));
    or(spec, "suspend", json!(false));
    or(spec, "successfulJobsHistoryLimit", json!(3));
    or(spec, "failedJobsHistoryLimit", json!(1));
    if let Some(job) = child(spec, "jobTemplate") {
        if let Some(metadata) = made(job, "metadata") {
            or(metadata, "creationTimestamp", Value::Null);
        }
        if let Some(spec) = made(job, "spec") {
            template(spec);
        }
    }
}

fn pod_spec(spec: &mut Object) {
    or(spec, "restartPolicy", json!("Always"));
    or(spec, "terminationGracePeriodSeconds", json!(30));
    or(spec, "dnsPolicy", json!("ClusterFirst"));
    or(spec, "schedulerName", json!("default-scheduler"));
    or(spec, "securityContext", json!({}));
    let account = text(spec, "serviceAccountName").to_owned();
    if !account.is_empty() {
        or(spec, "serviceAccount", json!(account));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, list, container);
    }
    each(spec, "volumes", |volume| {
        if volume
            .iter()
            .all(|(kind, source)| kind == "name" || source.is_null())
        {
            or(volume, "emptyDir", json!({}));
        }
        let modes = [
            ("configMap", "defaultMode", 420),
            ("secret", "defaultMode", 420),
            ("projected", "defaultMode", 420),
            ("downwardAPI", "defaultMode", 420),
        ];
        for (kind, field, mode) in modes {
            if let Some(source) = child(volume, kind) {
                or(source, field, json!(mode));
            }
        }
        if let Some(path) = child(volume, "hostPath") {
            or(path, "type", json!(""));
        }
        if let Some(projected) = child(volume, "projected") {
            each(projected, "sources", |source| {
                if let Some(token) = child(source, "serviceAccountToken") {
                    or(token, "expirationSeconds", json!(3600));
                }
            });
        }
    });
}

fn container(container: &mut Object) {
    or(container, "terminationMessagePath", json!("/dev/termination-log"));
    or(container, "terminationMessagePolicy", json!("File"));
    let image = text(container, "image");
    let last = image.rsplit('/').next().unwrap_or(image);
    let latest = !image.contains('@') && (!last.contains(':') || last.ends_with(":latest"));
    or(
        container,
        "imagePullPolicy",
        json!(if latest { "Always" } else { "IfNotPresent" }),
    );
    if let Some(resources) = made(container, "resources") {
        let limits = resources
            .get("limits")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if !limits.is_empty()
            && let Some(requests) = made(resources, "requests")
        {
            for (key, value) in limits {
                or(requests, &key, value);
            }
        }
    }
    each(container, "ports", |port| or(port, "protocol", json!("TCP")));
    each(container, "env", |env| {
        if let Some(field) = child(env, "valueFrom").and_then(|from| child(from, "fieldRef")) {
            or(field, "apiVersion", json!("v1"));
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = child(container, probe) {
            or(probe, "timeoutSeconds", json!(1));
            or(probe, "periodSeconds", json!(10));
            or(probe, "successThreshold", json!(1));
            or(probe, "failureThreshold", json!(3));
            if let Some(http) = child(probe, "httpGet") {
                or(http, "path", json!("/"));
                or(http, "scheme", json!("HTTP"));
            }
        }
    }
}

/// The quality of service class of a pod.
pub(super) fn qos(pod: &Object) -> &'static str {
    let containers = pod
        .get("spec")
        .and_then(|spec| spec.get("containers"))
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let amounts = |container: &Value, kind: &str| {
        container
            .pointer(&format!("/resources/{kind}"))
            .cloned()
            .unwrap_or_default()
    };
    let any = containers.iter().any(|c| {
        ["requests", "limits"]
            .iter()
            .any(|kind| amounts(c, kind).as_object().is_some_and(|map| !map.is_empty()))
    });
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|c| {
        let (requests, limits) = (amounts(c, "requests"), amounts(c, "limits"));
        ["cpu", "memory"]
            .iter()
            .all(|kind| limits.get(kind).is_some() && requests.get(kind) == limits.get(kind))
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// Defaults of a custom resource's schema.
fn open(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (key, schema) in properties.into_iter().flatten() {
                if let Some(default) = schema.get("default")
                    && !map.contains_key(key)
                {
                    map.insert(key.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(key) {
                    open(value, schema);
                }
            }
            if let Some(more) = schema.get("additionalProperties").filter(|more| more.is_object()) {
                for value in map.values_mut() {
                    open(value, more);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    open(item, schema);
                }
            }
        }
        _ => {}
    }
}
