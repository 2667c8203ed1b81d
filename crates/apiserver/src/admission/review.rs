//! What the author of a write is told besides the answer: warnings, as Kubernetes sends them.

use crate::registry::{Registry, Resource};
use herder_object::pod_security;
use serde_json::Value;
use std::sync::Arc;

/// Longer warnings are cut, so that no object makes headers without end.
const LONGEST: usize = 2048;

/// An object before it is written.
#[derive(Debug)]
pub(crate) struct Review {
    before: Option<Arc<Value>>,
}

impl Review {
    /// Remembers what is there now.
    pub(crate) fn before(registry: &Registry, resource: &Resource, namespace: &str, name: &str) -> Self {
        let wanted = resource.storage_name == "namespaces" || resource.storage_name == "pods";
        Self {
            before: registry
                .get(&resource.storage_name, namespace, name)
                .filter(|_| wanted),
        }
    }

    /// What is to be said about what was written.
    pub(crate) fn warnings(&self, registry: &Registry, resource: &Resource, written: &Value) -> Vec<String> {
        let mut found = self.all(registry, resource, written);
        for warning in &mut found {
            if warning.len() > LONGEST {
                let cut = (0..=LONGEST).rev().find(|at| warning.is_char_boundary(*at));
                warning.truncate(cut.unwrap_or_default());
                warning.push('…');
            }
        }
        found
    }

    fn all(&self, registry: &Registry, resource: &Resource, written: &Value) -> Vec<String> {
        let before = self.before.as_deref();
        if resource.storage_name == "namespaces" {
            let (pods, _) = registry.list("pods", Some(herder_object::name(written)));
            let pods = pods.iter().map(|pod| &**pod);
            return pod_security::of_namespace(written, before, pods);
        }
        let Some(pod) = template(resource, written) else {
            return Vec::new();
        };
        let Some(namespace) = registry.get("namespaces", "", herder_object::namespace(written)) else {
            return Vec::new();
        };
        let said = before.and_then(|before| pod_security::warning(&namespace, before));
        pod_security::warning(&namespace, pod)
            .filter(|warning| said.as_ref() != Some(warning))
            .into_iter()
            .collect()
    }
}

/// The pod, or the template that pods are made from.
fn template<'a>(resource: &Resource, object: &'a Value) -> Option<&'a Value> {
    match resource.storage_name.as_str() {
        "pods" => Some(object),
        "podtemplates" => object.get("template"),
        "deployments.apps"
        | "replicasets.apps"
        | "statefulsets.apps"
        | "daemonsets.apps"
        | "replicationcontrollers"
        | "jobs.batch" => object.pointer("/spec/template"),
        "cronjobs.batch" => object.pointer("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}
