//! Which work follows from which change. Reads, never writes.

use super::context::Context;
use super::{Task, budget, endpoints, job, nodes, pod, policies, select};
use herder_apiserver::registry::EventKind;
use herder_object::field::{deleting, items, label, map, text};
use serde_json::Value;

/// The work that a change of an object asks for.
pub(super) fn route(
    ctx: &Context,
    resource: &str,
    kind: EventKind,
    object: &Value,
    previous: Option<&Value>,
) -> Vec<Task> {
    let namespace = text(object, "/metadata/namespace").to_owned();
    let name = text(object, "/metadata/name").to_owned();
    let place = || (namespace.clone(), name.clone());
    let mut tasks = Vec::new();
    if policies::matters(resource, kind, object, previous) {
        tasks.push(Task::Policies);
    }
    match resource {
        "deployments.apps" => tasks.push(Task::Deployment(namespace.clone(), name.clone())),
        "replicasets.apps" => {
            let (ns, n) = place();
            tasks.push(Task::ReplicaSet(ns, n));
            tasks.extend(owner(object, &namespace));
            if pod::controller(object).is_none() {
                tasks.extend(adopters(ctx, "deployments.apps", object, Task::Deployment));
            }
        }
        "statefulsets.apps" => tasks.push(Task::StatefulSet(namespace.clone(), name.clone())),
        "daemonsets.apps" => tasks.push(Task::DaemonSet(namespace.clone(), name.clone())),
        job::JOBS => {
            tasks.push(Task::Job(namespace.clone(), name.clone()));
            tasks.extend(owner(object, &namespace));
        }
        "cronjobs.batch" => tasks.push(Task::CronJob(namespace.clone(), name.clone())),
        "pods" => of_pod(ctx, kind, object, previous, &mut tasks),
        "services" => {
            tasks.push(Task::Endpoints(namespace.clone(), name.clone()));
            tasks.push(Task::LoadBalancer(namespace.clone(), name.clone()));
            tasks.push(Task::Publish);
        }
        endpoints::SLICES => {
            tasks.push(Task::Publish);
            // A slice that somebody else changed or deleted is put right.
            let service = label(object, "kubernetes.io/service-name");
            if kind != EventKind::Added && !service.is_empty() {
                tasks.push(Task::Endpoints(namespace.clone(), service.to_owned()));
            }
        }
        "persistentvolumeclaims" => {
            if kind == EventKind::Deleted {
                tasks.push(Task::Volume(text(object, "/spec/volumeName").to_owned()));
            }
            tasks.push(Task::Claim(namespace.clone(), name.clone()));
        }
        "persistentvolumes" => {
            tasks.push(Task::Volume(name.clone()));
            let claim = text(object, "/spec/claimRef/name");
            if claim.is_empty() {
                tasks.extend(pending_claims(ctx));
            } else {
                tasks.push(Task::Claim(
                    text(object, "/spec/claimRef/namespace").to_owned(),
                    claim.to_owned(),
                ));
            }
        }
        "storageclasses.storage.k8s.io" => tasks.extend(pending_claims(ctx)),
        "namespaces" if kind != EventKind::Deleted => tasks.push(Task::Namespace(name.clone())),
        "configmaps" | "serviceaccounts"
            if kind == EventKind::Deleted && matches!(name.as_str(), "default" | "kube-root-ca.crt") =>
        {
            tasks.push(Task::Namespace(namespace.clone()));
        }
        "nodes" => {
            tasks.push(Task::Node(name.clone()));
            if kind != EventKind::Modified
                || previous
                    .is_some_and(|p| p.get("spec") != object.get("spec") || labels(p) != labels(object))
            {
                for set in ctx.list_all("daemonsets.apps") {
                    tasks.push(Task::DaemonSet(
                        text(&set, "/metadata/namespace").to_owned(),
                        text(&set, "/metadata/name").to_owned(),
                    ));
                }
            }
        }
        "resourcequotas" => tasks.push(Task::Quota(namespace.clone())),
        "poddisruptionbudgets.policy" => tasks.push(Task::Budget(namespace.clone())),
        _ => {}
    }
    if !namespace.is_empty() && resource != "events" {
        let counts = kind != EventKind::Modified
            || (resource == "pods"
                && previous.is_some_and(|p| text(p, "/status/phase") != text(object, "/status/phase")))
            // What a quota counts of these may change while they are there.
            || (matches!(resource, "pods" | "services" | "persistentvolumeclaims")
                && previous.is_some_and(|p| p.get("spec") != object.get("spec")));
        if counts && !ctx.list("resourcequotas", &namespace).is_empty() {
            tasks.push(Task::Quota(namespace.clone()));
        }
    }
    if kind == EventKind::Deleted
        && !namespace.is_empty()
        && ctx
            .get("namespaces", "", &namespace)
            .is_some_and(|n| deleting(&n))
    {
        tasks.push(Task::Namespace(namespace));
    }
    tasks
}

fn labels(object: &Value) -> Option<&Value> {
    object.pointer("/metadata/labels")
}

/// The work of the controller that owns an object.
fn owner(object: &Value, namespace: &str) -> Option<Task> {
    let reference = pod::controller(object)?;
    let (ns, name) = (namespace.to_owned(), text(reference, "/name").to_owned());
    match text(reference, "/kind") {
        "Deployment" => Some(Task::Deployment(ns, name)),
        "ReplicaSet" => Some(Task::ReplicaSet(ns, name)),
        "StatefulSet" => Some(Task::StatefulSet(ns, name)),
        "DaemonSet" => Some(Task::DaemonSet(ns, name)),
        "Job" => Some(Task::Job(ns, name)),
        "CronJob" => Some(Task::CronJob(ns, name)),
        _ => None,
    }
}

/// Controllers of a kind whose selector picks an object that nobody owns.
fn adopters(ctx: &Context, resource: &str, object: &Value, task: fn(String, String) -> Task) -> Vec<Task> {
    let namespace = text(object, "/metadata/namespace");
    ctx.list(resource, namespace)
        .iter()
        .filter(|c| select::matches(c.pointer("/spec/selector"), map(object, "/metadata/labels")))
        .map(|c| task(namespace.to_owned(), text(c, "/metadata/name").to_owned()))
        .collect()
}

fn of_pod(ctx: &Context, kind: EventKind, pod: &Value, previous: Option<&Value>, tasks: &mut Vec<Task>) {
    let namespace = text(pod, "/metadata/namespace");
    tasks.extend(owner(pod, namespace));
    // A pod that changed hands concerns both.
    if let Some(before) = previous
        && pod::controller_uid(before) != pod::controller_uid(pod)
    {
        tasks.extend(owner(before, namespace));
    }
    match pod::controller(pod) {
        None if kind != EventKind::Deleted => {
            tasks.extend(adopters(ctx, "replicasets.apps", pod, Task::ReplicaSet));
            tasks.extend(adopters(ctx, "statefulsets.apps", pod, Task::StatefulSet));
        }
        // A Recreate Deployment waits for its old pods to be gone.
        Some(reference)
            if text(reference, "/kind") == "ReplicaSet"
                && (kind == EventKind::Deleted || pod::ended(pod)) =>
        {
            let set = ctx.get("replicasets.apps", namespace, text(reference, "/name"));
            tasks.extend(set.as_deref().and_then(|s| owner(s, namespace)));
        }
        _ => {}
    }
    let matters = match previous {
        Some(before) if kind == EventKind::Modified => serving(before) != serving(pod),
        _ => true,
    };
    // Services lead to pods that there are, of their own namespace.
    let place = |pod: &Value| (text(pod, "/status/podIP").to_owned(), pod::ended(pod));
    if kind == EventKind::Deleted || previous.is_none_or(|before| place(before) != place(pod)) {
        tasks.push(Task::Publish);
    }
    if matters {
        for service in ctx.list("services", namespace) {
            let picks = |p: &Value| {
                map(&service, "/spec/selector")
                    .is_some_and(|s| !s.is_empty() && select::subset(s, map(p, "/metadata/labels")))
            };
            if picks(pod) || previous.is_some_and(picks) {
                tasks.push(Task::Endpoints(
                    namespace.to_owned(),
                    text(&service, "/metadata/name").to_owned(),
                ));
            }
        }
        if budget::any(ctx, namespace) {
            tasks.push(Task::Budget(namespace.to_owned()));
        }
    }
    if kind == EventKind::Deleted || pod::ended(pod) {
        for volume in items(pod, "/spec/volumes") {
            let claim = text(volume, "/persistentVolumeClaim/claimName");
            if !claim.is_empty() {
                tasks.push(Task::Claim(namespace.to_owned(), claim.to_owned()));
            }
        }
    }
    // A pod on a node that does not exist (any more) would wait for ever.
    let node = text(pod, "/spec/nodeName");
    let arrived = kind == EventKind::Added || previous.is_some_and(|p| text(p, "/spec/nodeName").is_empty());
    if arrived && !node.is_empty() && (nodes::is_dead(ctx, node) || ctx.get("nodes", "", node).is_none()) {
        tasks.push(Task::Node(node.to_owned()));
    }
}

/// What of a pod its services care about.
fn serving(pod: &Value) -> (bool, bool, bool, &str, &str, Option<&Value>) {
    (
        pod::ready(pod),
        deleting(pod),
        pod::ended(pod),
        text(pod, "/status/podIP"),
        text(pod, "/spec/nodeName"),
        labels(pod),
    )
}

fn pending_claims(ctx: &Context) -> Vec<Task> {
    ctx.list_all("persistentvolumeclaims")
        .iter()
        .filter(|c| text(c, "/status/phase") != "Bound")
        .map(|c| {
            Task::Claim(
                text(c, "/metadata/namespace").to_owned(),
                text(c, "/metadata/name").to_owned(),
            )
        })
        .collect()
}
