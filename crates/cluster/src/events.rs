//! What the cluster says happened to an application: its Events, newest first.

use crate::Cluster;
use crate::cache::Watch;
use jiff::Timestamp;
use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventState {
    /// When it happened last; none if the event does not say.
    pub at: Option<Timestamp>,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// In a word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// Of what, `Kind/name`.
    pub object: String,
    /// How often.
    pub count: u64,
}

impl Cluster {
    /// The events of an application's workloads and of what they made, newest first.
    #[must_use]
    pub fn events(&self, namespace: &str, application: &str, limit: usize) -> Vec<EventState> {
        let states = self.applications();
        let Some(state) = states
            .iter()
            .find(|state| state.application == application && state.namespace == namespace)
        else {
            return Vec::new();
        };
        let owners: Vec<&str> = state.workloads.iter().map(|(_, name, _)| name.as_str()).collect();
        let pods: Vec<&str> = state.pods.iter().map(|pod| pod.name.as_str()).collect();
        let events = self.cache.objects(&Watch::all("v1", "Event"));
        let mut all: Vec<EventState> = events
            .iter()
            .filter(|event| is_about(event, namespace, &owners, &pods))
            .map(|event| read(event))
            .collect();
        all.sort_by(|a, b| b.at.cmp(&a.at));
        all.truncate(limit);
        all
    }
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// ReplicaSets and pods are named after what made them; one that is gone is known by that alone.
fn is_about(event: &Value, namespace: &str, owners: &[&str], pods: &[&str]) -> bool {
    let name = text(event, "/involvedObject/name");
    let made = |owner: &&str| {
        let rest = name.strip_prefix(*owner).and_then(|rest| rest.strip_prefix('-'));
        let parts: Vec<&str> = rest.into_iter().flat_map(|rest| rest.split('-')).collect();
        (1..=2).contains(&parts.len()) && parts.iter().all(|part| is_suffix(part))
    };
    text(event, "/involvedObject/namespace") == namespace
        && (owners.contains(&name) || pods.contains(&name) || owners.iter().any(made))
}

/// Whether controllers make such endings: a hash, random letters or a number, and no word of another name.
fn is_suffix(part: &str) -> bool {
    let number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // Their alphabet has no vowels, so that no words come of it.
    let random = (5..=10).contains(&part.len())
        && part
            .bytes()
            .all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    number || random
}

fn read(event: &Value) -> EventState {
    let at = [
        "/lastTimestamp",
        "/eventTime",
        "/firstTimestamp",
        "/metadata/creationTimestamp",
    ]
    .iter()
    .find_map(|pointer| text(event, pointer).parse().ok());
    EventState {
        at,
        kind: text(event, "/type").to_owned(),
        reason: text(event, "/reason").to_owned(),
        message: text(event, "/message").to_owned(),
        object: format!(
            "{}/{}",
            text(event, "/involvedObject/kind"),
            text(event, "/involvedObject/name")
        ),
        count: event.get("count").and_then(Value::as_u64).unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_applications_events_are_its_own() {
        let about = |name: &str| {
            let event = json!({"involvedObject": {"namespace": "staging", "name": name}});
            is_about(&event, "staging", &["shop"], &["shop-db-0"])
        };
        for own in [
            "shop",
            "shop-5d4b8c7f9x",
            "shop-5d4b8c7f9x-zk2lp",
            "shop-0",
            "shop-db-0",
        ] {
            assert!(about(own), "{own}");
        }
        for other in ["shop-web", "shop-web-5d4b8c7f9x", "shops", "web", "shop-db-1"] {
            assert!(!about(other), "{other}");
        }
        let event = json!({"involvedObject": {"namespace": "production", "name": "shop"}});
        assert!(!is_about(&event, "staging", &["shop"], &[]));
    }
}
