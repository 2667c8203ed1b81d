//! Who may say where a pod is: its address stands for it in network policies, services and the edge, so that whoever
//! could write it anywhere would have another pod's way in, or take it away.
//!
//! The agent of a pod's node says it, within the addresses of that node; Herder's own controllers write past this.

use super::User;
use crate::registry::{Registry, Resource, Status};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};

/// What only a pod's node knows.
const OF_NODE: [&str; 5] = ["hostIP", "hostIPs", "phase", "podIP", "podIPs"];

/// Judges one write of a pod's status.
#[derive(Debug)]
pub(crate) enum PodStatus {
    /// A node's agent, with the node's range of addresses.
    Node(String, Range),
    /// Somebody who has the right to write it, and is no node.
    Other(String),
}

/// IPv4 addresses with a common beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    first: u32,
    bits: u32,
}

/// All pods' addresses.
const PODS: Range = Range {
    first: u32::from_be_bytes([10, 42, 0, 0]),
    bits: 16,
};

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits) = (address.parse::<Ipv4Addr>().ok()?, bits.parse().ok()?);
        // A node's range is part of the pods'; what says otherwise is none.
        let range = Self {
            first: u32::from(address),
            bits,
        };
        ((PODS.bits..=32).contains(&bits) && PODS.has(address)).then_some(range)
    }

    fn has(self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX
            .checked_shl(32_u32.saturating_sub(self.bits))
            .unwrap_or(0);
        u32::from(address) & mask == self.first & mask
    }
}

impl PodStatus {
    /// For a write of `pods/status`; `None` where it does not matter who writes.
    pub(crate) fn of(
        registry: &Registry,
        user: &User,
        resource: &Resource,
        subresource: &str,
    ) -> Option<Self> {
        if resource.storage_name != "pods" || subresource != "status" || user.is_in("system:masters") {
            return None;
        }
        let Some(node) = user.node() else {
            return Some(Self::Other(user.name.clone()));
        };
        let range = registry
            .get("nodes", "", node)
            .and_then(|node| Range::parse(node.pointer("/spec/podCIDR")?.as_str()?))
            .unwrap_or(PODS);
        Some(Self::Node(node.to_owned(), range))
    }

    /// Refuses a pod's status; `current` is the pod before.
    ///
    /// # Errors
    /// A [`Status`] that says what is not allowed.
    pub(crate) fn check(
        &self,
        resource: &Resource,
        current: Option<&Value>,
        object: &Value,
    ) -> Result<(), Status> {
        let field = |pod: &Value, name: &str| {
            let value = pod.get("status").and_then(|status| status.get(name)).cloned();
            value.unwrap_or(Value::Null)
        };
        let before = current.unwrap_or(&Value::Null);
        let changed: Vec<&str> = OF_NODE
            .into_iter()
            .filter(|name| field(before, name) != field(object, name))
            .collect();
        let refuse = |why: String| Err(Status::forbidden(resource, herder_object::name(object), &why));
        let (node, range) = match self {
            Self::Other(_) if changed.is_empty() => return Ok(()),
            Self::Other(user) => {
                let list = changed.join(", status.");
                return refuse(format!(
                    "user \"{user}\" may not change status.{list}: only the pod's own node says where it is"
                ));
            }
            Self::Node(node, range) => (node, range),
        };
        if !changed.iter().any(|name| name.starts_with("podIP")) {
            return Ok(());
        }
        let of_host = object.pointer("/spec/hostNetwork") == Some(&Value::Bool(true));
        let first = field(object, "podIP");
        let all = field(object, "podIPs");
        let more = all.as_array().into_iter().flatten();
        let addresses = more
            .filter_map(|one| one.get("ip").and_then(Value::as_str))
            .chain(first.as_str());
        for address in addresses.filter(|address| !address.is_empty()) {
            let fine = match address.parse::<IpAddr>() {
                // The first is the node's own, the last is everybody's.
                Ok(IpAddr::V4(ip)) => {
                    range.has(ip) && (of_host || !matches!(ip.octets(), [_, _, _, 0 | 1 | 255]))
                }
                _ => false,
            };
            if !fine {
                return refuse(format!(
                    "node \"{node}\" may not give a pod the address {address}, which is none of its own"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pods() -> std::sync::Arc<Resource> {
        let catalog = crate::registry::Catalog::new(std::iter::empty());
        std::sync::Arc::clone(catalog.stored("pods").unwrap())
    }

    #[test]
    fn only_the_node_says_where_a_pod_is() {
        let pod = |status: Value| json!({"metadata": {"name": "p"}, "spec": {}, "status": status});
        let before = pod(json!({"podIP": "10.42.1.2", "phase": "Running"}));
        let other = PodStatus::Other("system:serviceaccount:alpha:default".to_owned());
        let check = |who: &PodStatus, status: Value| who.check(&pods(), Some(&before), &pod(status)).is_ok();
        let conditions = json!({"podIP": "10.42.1.2", "phase": "Running", "conditions": [{"type": "gate"}]});
        assert!(check(&other, conditions));
        for status in [
            json!({"podIP": "10.42.1.3", "phase": "Running"}),
            json!({"phase": "Running"}),
            json!({"podIP": "10.42.1.2", "phase": "Running", "podIPs": [{"ip": "10.42.1.3"}]}),
            json!({"podIP": "10.42.1.2", "phase": "Failed"}),
            json!({"podIP": "10.42.1.2", "phase": "Running", "hostIP": "10.42.1.1"}),
        ] {
            assert!(!check(&other, status.clone()), "{status}");
        }
        let node = PodStatus::Node("n1".to_owned(), Range::parse("10.42.1.0/24").unwrap());
        assert!(check(
            &node,
            json!({"podIP": "10.42.1.9", "podIPs": [{"ip": "10.42.1.9"}]})
        ));
        for address in [
            "10.42.2.9",
            "10.42.1.1",
            "127.0.0.1",
            "0.0.0.0",
            "::ffff:127.0.0.1",
            "10.96.0.2",
            "x",
        ] {
            assert!(!check(&node, json!({"podIP": address})), "{address}");
            let also = json!({"podIP": "10.42.1.9", "podIPs": [{"ip": "10.42.1.9"}, {"ip": address}]});
            assert!(!check(&node, also), "{address}");
        }
        assert!(Range::parse("0.0.0.0/0").is_none() && Range::parse("10.43.0.0/24").is_none());
    }
}
