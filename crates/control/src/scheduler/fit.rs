//! Whether a pod may run on a node. Pure.

use crate::controllers::condition_is_true;
use crate::controllers::select::{expression, subset};
use herder_object::field::{flag, int, items, map, text};
use herder_object::quantity::{Amounts, milli, of_pod};
use serde_json::{Map, Value, json};

/// A node with what is already taken of it.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// The Node object.
    pub(super) node: std::sync::Arc<Value>,
    /// What its pods ask for.
    pub(super) taken: Amounts,
    /// How many pods it has.
    pub(super) pods: i64,
    /// Host ports in use.
    pub(super) ports: Vec<(i64, String)>,
}

impl Room {
    /// An empty node.
    pub(super) fn new(node: std::sync::Arc<Value>) -> Self {
        Self {
            node,
            taken: Amounts::new(),
            pods: 0,
            ports: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        text(&self.node, "/metadata/name")
    }

    /// Puts a pod on the node.
    pub(super) fn take(&mut self, pod: &Value) {
        herder_object::quantity::add(&mut self.taken, &requests(pod));
        self.pods += 1;
        self.ports.extend(host_ports(pod));
    }

    /// What the node has of a resource.
    pub(super) fn has(&self, resource: &str) -> i128 {
        map(&self.node, "/status/allocatable")
            .or_else(|| map(&self.node, "/status/capacity"))
            .and_then(|m| m.get(resource))
            .and_then(milli)
            .unwrap_or_default()
    }
}

pub(super) fn requests(pod: &Value) -> Amounts {
    of_pod(pod.get("spec").unwrap_or(&Value::Null), "requests")
}

fn host_ports(pod: &Value) -> Vec<(i64, String)> {
    items(pod, "/spec/containers")
        .iter()
        .flat_map(|c| items(c, "/ports"))
        .filter_map(|p| {
            let port = int(p, "/hostPort").filter(|n| *n > 0)?;
            Some((port, text(p, "/protocol").to_owned()))
        })
        .collect()
}

/// Whether a toleration covers a taint.
pub(crate) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let effect = text(toleration, "/effect");
    let key = text(toleration, "/key");
    (effect.is_empty() || effect == text(taint, "/effect"))
        && (key.is_empty() || key == text(taint, "/key"))
        && match text(toleration, "/operator") {
            "Exists" => true,
            _ => !key.is_empty() && text(toleration, "/value") == text(taint, "/value"),
        }
}

fn untolerated<'a>(pod: &Value, node: &'a Value, effects: &[&str]) -> Option<&'a Value> {
    items(node, "/spec/taints").iter().find(|taint| {
        effects.contains(&text(taint, "/effect"))
            && !items(pod, "/spec/tolerations")
                .iter()
                .any(|t| tolerates(t, taint))
    })
}

/// One term of a node selector.
pub(super) fn term(term: &Value, node: &Value) -> bool {
    let labels = map(node, "/metadata/labels");
    let fields: Map<String, Value> = [("metadata.name".to_owned(), json!(text(node, "/metadata/name")))]
        .into_iter()
        .collect();
    let (expressions, field_terms) = (items(term, "/matchExpressions"), items(term, "/matchFields"));
    // A term without requirements picks nothing.
    (!expressions.is_empty() || !field_terms.is_empty())
        && expressions.iter().all(|e| expression(e, labels))
        && field_terms.iter().all(|e| expression(e, Some(&fields)))
}

fn selected(pod: &Value, node: &Value) -> bool {
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    map(pod, "/spec/nodeSelector").is_none_or(|want| subset(want, map(node, "/metadata/labels")))
        && pod.pointer(required).is_none_or(|affinity| {
            items(affinity, "/nodeSelectorTerms")
                .iter()
                .any(|t| term(t, node))
        })
}

/// Why a pod may not run on a node, in Kubernetes' words; `None` if it may.
pub(super) fn refusal(pod: &Value, room: &Room) -> Option<String> {
    let node = &*room.node;
    let unschedulable = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
    if flag(node, "/spec/unschedulable")
        && !items(pod, "/spec/tolerations")
            .iter()
            .any(|t| tolerates(t, &unschedulable))
    {
        return Some("node(s) were unschedulable".to_owned());
    }
    if let Some(taint) = untolerated(pod, node, &["NoSchedule", "NoExecute"]) {
        let value = text(taint, "/value");
        return Some(format!(
            "node(s) had untolerated taint {{{}: {value}}}",
            text(taint, "/key")
        ));
    }
    if !condition_is_true(node, "Ready") {
        return Some("node(s) were not ready".to_owned());
    }
    if !selected(pod, node) {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    if host_ports(pod).iter().any(|p| room.ports.contains(p)) {
        return Some("node(s) didn't have free ports for the requested pod ports".to_owned());
    }
    if (i128::from(room.pods) + 1) * 1000 > room.has("pods") && room.has("pods") > 0 {
        return Some("Too many pods".to_owned());
    }
    requests(pod)
        .into_iter()
        .filter(|(_, amount)| *amount > 0)
        .find(|(name, amount)| room.taken.get(name).copied().unwrap_or_default() + amount > room.has(name))
        .map(|(name, _)| format!("Insufficient {name}"))
}

/// Whether a DaemonSet's pod belongs on a node, whatever room there is.
pub(crate) fn daemon_fits(pod: &Value, node: &Value) -> bool {
    selected(pod, node) && untolerated(pod, node, &["NoSchedule", "NoExecute"]).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn node() -> Value {
        json!({"metadata": {"name": "n1", "labels": {"disk": "ssd"}}, "spec": {},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "2"},
                "conditions": [{"type": "Ready", "status": "True"}]}})
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        let pod = |spec: Value| json!({"spec": spec});
        let with = |path: &[&str], value: Value| {
            let mut n = node();
            herder_object::field::put(&mut n, path, value);
            n
        };
        let affinity = |name: &str| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}}}})
        };
        let tainted = with(
            &["spec", "taints"],
            json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]),
        );
        for (pod, node, expected) in [
            (pod(json!({})), node(), None),
            (
                pod(json!({"nodeSelector": {"disk": "hdd"}})),
                node(),
                Some("node(s) didn't match Pod's node affinity/selector"),
            ),
            (pod(affinity("n1")), node(), None),
            (
                pod(affinity("n2")),
                node(),
                Some("node(s) didn't match Pod's node affinity/selector"),
            ),
            (
                pod(json!({})),
                tainted.clone(),
                Some("node(s) had untolerated taint {gpu: yes}"),
            ),
            (
                pod(json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]})),
                tainted.clone(),
                None,
            ),
            (
                pod(json!({"tolerations": [{"key": "gpu", "value": "no"}]})),
                tainted,
                Some("node(s) had untolerated taint {gpu: yes}"),
            ),
            (
                pod(json!({})),
                with(&["spec", "unschedulable"], json!(true)),
                Some("node(s) were unschedulable"),
            ),
            (
                pod(json!({})),
                with(&["status", "conditions"], json!([])),
                Some("node(s) were not ready"),
            ),
            (
                pod(json!({"containers": [{"resources": {"requests": {"cpu": "1500m"}}}]})),
                node(),
                Some("Insufficient cpu"),
            ),
            (
                pod(json!({"containers": [{"resources": {"requests": {"example.com/gpu": 1}}}]})),
                node(),
                Some("Insufficient example.com/gpu"),
            ),
        ] {
            let mut room = Room::new(Arc::new(node));
            room.take(&json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}}));
            assert_eq!(refusal(&pod, &room).as_deref(), expected, "{pod}");
        }
        let mut room = Room::new(Arc::new(node()));
        room.pods = 2;
        assert_eq!(refusal(&pod(json!({})), &room).as_deref(), Some("Too many pods"));
    }
}
