//! What node agents may do: Kubernetes' Node authorizer and NodeRestriction. An agent reads what the pods that are bound
//! to its node use, and changes its own Node, its own Lease and the status of its own pods.
//!
//! Three parts that belong together: [`decide`] says yes or no from what a request names; [`View`] hides from lists and
//! watches what a node may not see; [`restrict`] looks at what an agent is about to write.

use super::{Attributes, User};
use crate::registry::{Registry, Resource, Status};
use serde_json::Value;

/// Where nodes have their leases.
const LEASES: &str = "kube-node-lease";

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn is_on(pod: &Value, node: &str) -> bool {
    text(pod, "/spec/nodeName") == node
}

/// Whether the agent of `node` may do this, and if not, why. `None` if nothing here speaks of it.
pub(super) fn decide(registry: &Registry, node: &str, want: &Attributes) -> Option<Result<(), String>> {
    let (namespace, name) = (want.namespace.as_str(), want.name.as_str());
    let used = |resource: &str| registry.read(|index| index.uses.has(node, resource, namespace, name));
    let related = |related: bool| {
        let why = || format!("no relationship found between node '{node}' and this object");
        related.then_some(()).ok_or_else(why)
    };
    let own = |own: bool| {
        let why = || format!("node '{node}' may do this to its own object only");
        own.then_some(()).ok_or_else(why)
    };
    let kind = (
        want.group.as_str(),
        want.resource.as_str(),
        want.subresource.as_str(),
    );
    Some(match (kind, want.verb.as_str()) {
        // Answered with what `View` lets through.
        (("", "configmaps" | "secrets" | "pods", ""), "list" | "watch") => Ok(()),
        (("", resource @ ("configmaps" | "secrets" | "persistentvolumeclaims"), ""), "get") => {
            related(used(resource))
        }
        (("", "persistentvolumes", ""), "get") => related(mounts(registry, node, name)),
        // `namespace` is the name, for a namespace.
        (("", "namespaces", ""), "get") => related(used("namespaces")),
        (("", "serviceaccounts", "token"), "create") => related(used("serviceaccounts")),
        (("", "pods", ""), "get" | "delete") | (("", "pods", "status"), "get" | "patch" | "update") => {
            let pod = registry.get("pods", namespace, name);
            // One that is gone is no secret: the agent must hear that it is gone.
            related(pod.is_none_or(|pod| is_on(&pod, node)))
        }
        // Of what is created the name is in the body: see `restrict`.
        (("", "nodes", ""), "create")
        | (("" | "events.k8s.io", "events", ""), "create" | "patch" | "update") => Ok(()),
        (("", "nodes", "" | "status"), "get" | "patch" | "update") => own(name == node),
        (("coordination.k8s.io", "leases", ""), "create") => own(namespace == LEASES),
        (("coordination.k8s.io", "leases", ""), "get" | "patch" | "update") => {
            own(namespace == LEASES && name == node)
        }
        _ => return None,
    })
}

/// Whether a volume is one that a pod of the node mounts: the claim it is bound to says so itself, with its uid.
fn mounts(registry: &Registry, node: &str, name: &str) -> bool {
    let Some(volume) = registry.get("persistentvolumes", "", name) else {
        return false;
    };
    let (namespace, claim) = (
        text(&volume, "/spec/claimRef/namespace"),
        text(&volume, "/spec/claimRef/name"),
    );
    registry.read(|index| {
        index.uses.has(node, "persistentvolumeclaims", namespace, claim)
            && index
                .get("persistentvolumeclaims", namespace, claim)
                .is_some_and(|found| {
                    text(found, "/spec/volumeName") == name
                        && text(found, "/metadata/uid") == text(&volume, "/spec/claimRef/uid")
                })
    })
}

/// What an agent sees of a resource in lists and watches.
#[derive(Debug, Clone)]
pub(crate) struct View {
    node: String,
    resource: String,
    registry: Registry,
}

impl View {
    /// The view of a user; `None` for those who see everything they may ask for.
    pub(crate) fn of(user: &User, resource: &Resource, registry: &Registry) -> Option<Self> {
        let resource = resource.storage_name.clone();
        let registry = registry.clone();
        user.node().map(|node| Self {
            node: node.to_owned(),
            resource,
            registry,
        })
    }

    /// Whether an object is in it.
    pub(crate) fn shows(&self, object: &Value) -> bool {
        if self.resource == "pods" {
            return is_on(object, &self.node);
        }
        let (namespace, name) = (herder_object::namespace(object), herder_object::name(object));
        self.registry
            .read(|index| index.uses.has(&self.node, &self.resource, namespace, name))
    }
}

/// Refuses what the agent of `node` may not write. `current` is the object before, `None` when it is created.
///
/// # Errors
/// A [`Status`] that says what is not allowed.
pub(crate) fn restrict(
    node: &str,
    resource: &Resource,
    current: Option<&Value>,
    object: &Value,
) -> Result<(), Status> {
    let name = herder_object::name(object);
    let refuse = |why: String| Err(Status::forbidden(resource, name, &why));
    let all = || current.into_iter().chain([object]);
    match resource.storage_name.as_str() {
        "nodes" if name != node => refuse(format!(
            "node \"{node}\" is not allowed to modify node \"{name}\""
        )),
        "nodes" => {
            let before = current.map(|node| node.pointer("/spec/taints"));
            // As Kubernetes has it, a node may come with taints and not change them later.
            if before.is_some_and(|before| before != object.pointer("/spec/taints")) {
                return refuse(format!("node \"{node}\" is not allowed to modify taints"));
            }
            let labels = changed_labels(current, object);
            let wrong: Vec<&str> = labels.into_iter().filter(|label| is_reserved(label)).collect();
            if wrong.is_empty() {
                return Ok(());
            }
            refuse(format!("is not allowed to modify labels: {}", wrong.join(", ")))
        }
        "pods" if all().any(|pod| !is_on(pod, node)) => refuse(format!(
            "node \"{node}\" can only change pods that are bound to it"
        )),
        "leases.coordination.k8s.io" if name != node || herder_object::namespace(object) != LEASES => refuse(
            format!("node \"{node}\" has one lease, its own in the namespace \"{LEASES}\""),
        ),
        "events" if all().any(|event| !is_from(event, node)) => refuse(format!(
            "node \"{node}\" can only write events that say they are from it"
        )),
        // Nothing else is written by agents, unless somebody gave nodes a role: then that role decides.
        _ => Ok(()),
    }
}

fn is_from(event: &Value, node: &str) -> bool {
    ["/source/host", "/deprecatedSource/host", "/reportingInstance"]
        .iter()
        .any(|pointer| text(event, pointer) == node)
}

fn changed_labels<'a>(current: Option<&'a Value>, object: &'a Value) -> Vec<&'a str> {
    let labels = |object: &'a Value| object.pointer("/metadata/labels").and_then(Value::as_object);
    let (before, after) = (current.and_then(labels), labels(object));
    let value = |labels: Option<&'a serde_json::Map<String, Value>>, key: &str| {
        labels.and_then(|l| l.get(key).cloned())
    };
    let mut changed: Vec<&str> = before
        .into_iter()
        .chain(after)
        .flat_map(serde_json::Map::keys)
        .filter(|key| value(before, key) != value(after, key))
        .map(String::as_str)
        .collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

/// Labels that say something about a node that must hold even if its agent is bad: pods are kept apart by them.
fn is_reserved(label: &str) -> bool {
    const OWN: &[&str] = &[
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "node.kubernetes.io/instance-type",
    ];
    let Some((prefix, _)) = label.split_once('/') else {
        return false;
    };
    let within = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    if OWN.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io") {
        return false;
    }
    within("kubernetes.io") || within("k8s.io")
}

/// Refuses a token that the pods of `node` do not have: it must be bound to a pod that is bound to the node, of that
/// pod's account, and for an audience that the pod asks for.
///
/// # Errors
/// Why not, in Kubernetes' words.
pub(crate) fn restrict_token(
    registry: &Registry,
    node: &str,
    (namespace, account): (&str, &str),
    bound: Option<&(String, String, String)>,
    audiences: &[String],
) -> Result<(), String> {
    let Some((_, name, uid)) = bound.filter(|(kind, _, _)| kind == "Pod") else {
        return Err("node requested token not bound to a pod".to_owned());
    };
    let pod = registry
        .get("pods", namespace, name)
        .filter(|pod| herder_object::uid(pod) == uid);
    let Some(pod) = pod.filter(|pod| is_on(pod, node)) else {
        return Err("node requested token bound to a pod scheduled on a different node".to_owned());
    };
    let own = match text(&pod, "/spec/serviceAccountName") {
        "" => "default",
        name => name,
    };
    if own != account {
        return Err(format!(
            "node requested token for service account \"{account}\", and the pod has \"{own}\""
        ));
    }
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let asked: Vec<&str> = volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| volume.pointer("/projected/sources")?.as_array())
        .flatten()
        .map(|source| text(source, "/serviceAccountToken/audience"))
        .collect();
    match audiences
        .iter()
        .find(|audience| *audience != super::ISSUER && !asked.contains(&audience.as_str()))
    {
        Some(audience) => Err(format!(
            "audience \"{audience}\" not found in pod spec volume, {node} is not authorized to request tokens for this audience"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_that_keep_pods_apart_are_reserved() {
        for label in [
            "node-restriction.kubernetes.io/tenant",
            "node-role.kubernetes.io/control-plane",
            "kubernetes.io/anything",
            "x.k8s.io/y",
        ] {
            assert!(is_reserved(label), "{label}");
        }
        for label in [
            "herder.dev/user",
            "disk",
            "kubernetes.io/hostname",
            "node.kubernetes.io/x",
            "a.kubelet.kubernetes.io/x",
            "notkubernetes.io/x",
        ] {
            assert!(!is_reserved(label), "{label}");
        }
        let node = |labels: Value| json!({"metadata": {"name": "n1", "labels": labels}});
        let (before, after) = (
            node(json!({"kept": "1", "gone": "1", "other": "1"})),
            node(json!({"kept": "1", "new": "1", "other": "2"})),
        );
        assert_eq!(changed_labels(Some(&before), &after), ["gone", "new", "other"]);
        assert_eq!(changed_labels(None, &after), ["kept", "new", "other"]);
    }
}
