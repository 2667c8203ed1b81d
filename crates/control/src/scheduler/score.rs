//! Which of several nodes suits a pod best. Pure.

use super::fit::{Room, requests, term};
use crate::controllers::pod::controller_uid;
use crate::controllers::select;
use herder_object::field;
use herder_object::field::{int, items, label, map, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A score; higher is better. Spreading comes before room, room before the name.
pub(super) fn score(pod: &Value, room: &Room, pods: &[Arc<Value>]) -> i64 {
    let here = |p: &Value| text(p, "/spec/nodeName") == room.name();
    let namespace = text(pod, "/metadata/namespace");
    let owner = controller_uid(pod);
    let siblings = pods
        .iter()
        .filter(|p| !owner.is_empty() && controller_uid(p) == owner && here(p) && !field::deleting(p))
        .count();
    // Pods of a Deployment's other ReplicaSets count too, but less: they are about to go.
    let app = label(pod, "app.kubernetes.io/name");
    let app = if app.is_empty() { label(pod, "app") } else { app };
    let relatives = pods
        .iter()
        .filter(|p| {
            !app.is_empty()
                && here(p)
                && text(p, "/metadata/namespace") == namespace
                && (label(p, "app.kubernetes.io/name") == app || label(p, "app") == app)
        })
        .count();
    let count = |n: usize| i64::try_from(n).unwrap_or(1000);
    preferred(pod, &room.node)
        - 1000 * count(siblings)
        - 100 * count(relatives)
        - spread(pod, room, pods)
        - soft_taints(pod, &room.node)
        + free(pod, room)
        - room.pods
}

/// Up to 100 for an empty node, by the scarcer of CPU and memory.
fn free(pod: &Value, room: &Room) -> i64 {
    let wanted = requests(pod);
    ["cpu", "memory"]
        .iter()
        .filter_map(|resource| {
            let has = room.has(resource);
            let of = |m: &BTreeMap<String, i128>| m.get(*resource).copied().unwrap_or_default();
            let left = has - of(&room.taken) - of(&wanted);
            (has > 0).then(|| i64::try_from(left * 100 / has).unwrap_or_default())
        })
        .min()
        .unwrap_or_default()
}

fn preferred(pod: &Value, node: &Value) -> i64 {
    items(
        pod,
        "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution",
    )
    .iter()
    .filter(|p| p.get("preference").is_some_and(|t| term(t, node)))
    .filter_map(|p| int(p, "/weight"))
    .sum::<i64>()
        * 10
}

fn soft_taints(pod: &Value, node: &Value) -> i64 {
    let bad = items(node, "/spec/taints")
        .iter()
        .filter(|t| text(t, "/effect") == "PreferNoSchedule")
        .filter(|t| {
            !items(pod, "/spec/tolerations")
                .iter()
                .any(|o| super::fit::tolerates(o, t))
        })
        .count();
    500 * i64::try_from(bad).unwrap_or_default()
}

/// Costs for pods that a topology spread constraint or an anti-affinity picks in the node's domain.
fn spread(pod: &Value, room: &Room, pods: &[Arc<Value>]) -> i64 {
    let namespace = text(pod, "/metadata/namespace");
    let on_node = |selector: Option<&Value>| {
        let found = pods.iter().filter(|p| {
            text(p, "/spec/nodeName") == room.name()
                && text(p, "/metadata/namespace") == namespace
                && select::matches(selector, map(p, "/metadata/labels"))
        });
        i64::try_from(found.count()).unwrap_or(1000)
    };
    let spread: i64 = items(pod, "/spec/topologySpreadConstraints")
        .iter()
        .filter(|c| text(c, "/topologyKey") == "kubernetes.io/hostname")
        .map(|c| 1000 * on_node(c.get("labelSelector")))
        .sum();
    let anti: i64 = items(
        pod,
        "/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution",
    )
    .iter()
    .map(|t| int(t, "/weight").unwrap_or(1) * 20 * on_node(t.pointer("/podAffinityTerm/labelSelector")))
    .sum();
    spread + anti
}

/// Whether required anti-affinity or a hard spread constraint by host name forbids the node.
pub(super) fn forbidden(
    pod: &Value,
    room: &Room,
    rooms: &[Room],
    pods: &[Arc<Value>],
) -> Option<&'static str> {
    let namespace = text(pod, "/metadata/namespace");
    let on = |node: &str, selector: Option<&Value>| {
        pods.iter()
            .filter(|p| {
                text(p, "/spec/nodeName") == node
                    && text(p, "/metadata/namespace") == namespace
                    && !field::deleting(p)
                    && select::matches(selector, map(p, "/metadata/labels"))
            })
            .count()
    };
    for t in items(
        pod,
        "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution",
    ) {
        if text(t, "/topologyKey") == "kubernetes.io/hostname" && on(room.name(), t.get("labelSelector")) > 0
        {
            return Some("node(s) didn't match pod anti-affinity rules");
        }
    }
    for c in items(pod, "/spec/topologySpreadConstraints") {
        if text(c, "/topologyKey") != "kubernetes.io/hostname"
            || text(c, "/whenUnsatisfiable") == "ScheduleAnyway"
        {
            continue;
        }
        let selector = c.get("labelSelector");
        let least = rooms
            .iter()
            .map(|r| on(r.name(), selector))
            .min()
            .unwrap_or_default();
        let skew = i64::try_from(on(room.name(), selector) + 1 - least).unwrap_or(i64::MAX);
        if skew > int(c, "/maxSkew").unwrap_or(1) {
            return Some("node(s) didn't match pod topology spread constraints");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spreads_siblings_then_prefers_room() {
        let node = |name: &str| {
            Arc::new(
                json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "4", "memory": "4Gi"}}}),
            )
        };
        let pod = |owner: &str, node: &str| {
            json!({"metadata": {"namespace": "s", "labels": {"app": owner}, "ownerReferences": [{"uid": owner, "controller": true}]},
                "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": "1"}}}]}})
        };
        let pods = vec![
            Arc::new(pod("a", "n1")),
            Arc::new(pod("b", "n2")),
            Arc::new(pod("b", "n2")),
        ];
        let rooms: Vec<Room> = ["n1", "n2"]
            .iter()
            .map(|n| {
                let mut room = Room::new(node(n));
                pods.iter()
                    .filter(|p| text(p, "/spec/nodeName") == *n)
                    .for_each(|p| room.take(p));
                room
            })
            .collect();
        let best = |owner: &str| {
            let p = pod(owner, "");
            rooms
                .iter()
                .max_by_key(|r| score(&p, r, &pods))
                .unwrap()
                .name()
                .to_owned()
        };
        assert_eq!(
            (best("a").as_str(), best("b").as_str(), best("c").as_str()),
            ("n2", "n1", "n1")
        );
        let mut apart = pod("a", "");
        apart["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}}]}});
        assert!(forbidden(&apart, &rooms[0], &rooms, &pods).is_some());
        assert!(forbidden(&apart, &rooms[1], &rooms, &pods).is_none());
    }
}
