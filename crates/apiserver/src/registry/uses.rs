//! Which objects the pods of each node use, kept current with every change of a pod, so that asking costs a few look-ups
//! however many pods there are. Must not know who asks.

use super::meta::text;
use herder_object::references::{Needed, needs};
use serde_json::Value;
use std::collections::HashMap;

/// By the name of the object, how many mentions of it there are.
type Names = HashMap<String, u32>;

/// By node, resource, namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Uses(HashMap<String, HashMap<&'static str, HashMap<String, Names>>>);

impl Uses {
    /// Whether a pod that is bound to `node` uses the object.
    pub(crate) fn has(&self, node: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let found = || self.0.get(node)?.get(resource)?.get(namespace)?.get(name);
        found().is_some()
    }

    /// Notes that a pod came, changed or went.
    pub(super) fn note(&mut self, before: Option<&Value>, after: Option<&Value>) {
        // Nothing else that is mentioned can change in a pod that is there.
        let same =
            |pointer: &str| before.map(|pod| pod.pointer(pointer)) == after.map(|pod| pod.pointer(pointer));
        if before.is_some()
            && after.is_some()
            && same("/spec/nodeName")
            && same("/spec/ephemeralContainers")
            && same("/metadata/uid")
        {
            return;
        }
        if let Some(pod) = before {
            self.count(pod, false);
        }
        if let Some(pod) = after {
            self.count(pod, true);
        }
    }

    fn count(&mut self, pod: &Value, more: bool) {
        let (node, namespace) = (text(pod, "/spec/nodeName"), text(pod, "/metadata/namespace"));
        if node.is_empty() {
            return;
        }
        for (resource, name) in mentioned(pod) {
            if more {
                let kinds = self.0.entry(node.to_owned()).or_default();
                let names = kinds.entry(resource).or_default();
                let names = names.entry(namespace.to_owned()).or_default();
                *names.entry(name.to_owned()).or_default() += 1;
            } else {
                self.less(node, resource, namespace, name);
            }
        }
    }

    fn less(&mut self, node: &str, resource: &'static str, namespace: &str, name: &str) -> Option<()> {
        let kinds = self.0.get_mut(node)?;
        let namespaces = kinds.get_mut(resource)?;
        let names = namespaces.get_mut(namespace)?;
        let count = names.get_mut(name)?;
        *count = count.saturating_sub(1);
        if *count == 0 {
            names.remove(name);
        }
        if names.is_empty() {
            namespaces.remove(namespace);
        }
        if namespaces.is_empty() {
            kinds.remove(resource);
        }
        if kinds.is_empty() {
            self.0.remove(node);
        }
        Some(())
    }
}

/// What a pod mentions, as resource and name.
fn mentioned(pod: &Value) -> Vec<(&'static str, &str)> {
    let mut found = vec![
        // Every pod has the authority's certificate.
        ("configmaps", "kube-root-ca.crt"),
        ("namespaces", text(pod, "/metadata/namespace")),
    ];
    if text(pod, "/spec/serviceAccountName").is_empty() {
        found.push(("serviceaccounts", "default"));
    }
    let needs = pod.get("spec").map(needs).unwrap_or_default();
    found.extend(needs.into_iter().map(|(kind, name)| {
        let resource = match kind {
            Needed::ConfigMap => "configmaps",
            Needed::Secret => "secrets",
            Needed::Claim => "persistentvolumeclaims",
            Needed::ServiceAccount => "serviceaccounts",
        };
        (resource, name)
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, node: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": {
            "nodeName": node, "serviceAccountName": "seller", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "plain"}},
                {"name": "b", "persistentVolumeClaim": {"claimName": "disk"}},
                {"name": "c", "projected": {"sources": [{"secret": {"name": "part"}}, {"configMap": {"name": "map"}}]}},
            ],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "env"}}]}],
            "containers": [{"name": "c", "env": [
                {"name": "X", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]}],
        }})
    }

    /// What asking and noting cost with as many pods as a machine takes; printed, not judged: machines differ.
    #[test]
    fn asking_is_cheap() {
        let mut uses = Uses::default();
        let pods: Vec<Value> = (0..1000)
            .map(|n| pod(&format!("p{n}"), &format!("n{}", n % 3)))
            .collect();
        let started = std::time::Instant::now();
        for pod in &pods {
            uses.note(None, Some(pod));
        }
        let noted = started.elapsed() / 1000;
        let started = std::time::Instant::now();
        let found = (0..10_000).filter(|n| uses.has(&format!("n{}", n % 4), "secrets", "shop", "plain"));
        assert_eq!(found.count(), 7500);
        println!("noting a pod {noted:?}, asking {:?}", started.elapsed() / 10_000);
    }

    #[test]
    fn a_node_has_what_its_pods_mention_while_they_are_there() {
        let mut uses = Uses::default();
        let (waiting, bound) = (pod("p", ""), pod("p", "n1"));
        uses.note(None, Some(&waiting));
        assert!(!uses.has("n1", "secrets", "shop", "plain"), "not bound yet");
        uses.note(Some(&waiting), Some(&bound));
        for secret in ["plain", "part", "env", "key", "pull"] {
            assert!(uses.has("n1", "secrets", "shop", secret), "{secret}");
            assert!(!uses.has("n2", "secrets", "shop", secret), "{secret}");
            assert!(!uses.has("n1", "secrets", "other", secret), "{secret}");
        }
        assert!(uses.has("n1", "configmaps", "shop", "map"));
        assert!(uses.has("n1", "persistentvolumeclaims", "shop", "disk"));
        assert!(uses.has("n1", "serviceaccounts", "shop", "seller"));
        assert!(!uses.has("n1", "secrets", "shop", "map"));

        let second = pod("q", "n1");
        uses.note(None, Some(&second));
        uses.note(Some(&bound), None);
        assert!(uses.has("n1", "secrets", "shop", "plain"), "the other pod's");
        uses.note(Some(&second), Some(&second));
        uses.note(Some(&second), None);
        assert!(uses.0.is_empty(), "{uses:?}");
    }
}
