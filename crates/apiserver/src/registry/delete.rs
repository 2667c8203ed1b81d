//! Deleting: finalizers, grace, propagation, preconditions.

use super::index::Decision;
use super::meta::{finalizers, get_meta, is_terminating, set_meta, text};
use super::write::may_go;
use super::{Registry, Resource, Status, strategy};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What happens to the objects that this one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Seconds a pod gets to end; 0 at once. `None`: what the pod says.
    pub grace_period_seconds: Option<i64>,
    /// What happens to dependants; `None` is background.
    pub propagation: Option<Propagation>,
    /// Only if the object has this uid.
    pub uid: Option<String>,
    /// Only if the object has this resourceVersion.
    pub resource_version: Option<String>,
    /// Do everything but write.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Deletes at once, without grace.
    #[must_use]
    pub fn now() -> Self {
        Self {
            grace_period_seconds: Some(0),
            ..Self::default()
        }
    }
}

impl Registry {
    /// Deletes an object, or marks it as to be deleted if something holds it. The answer is its last state.
    ///
    /// # Errors
    /// A [`Status`]: not found, precondition failed.
    pub async fn delete(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        options: DeleteOptions,
    ) -> Result<Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        self.commit(&resource, (namespace, name), options.dry_run, |current, _| {
            let current = current.ok_or_else(|| Status::not_found(&resource, name))?;
            self.decide_delete(&resource, current, &options)
        })
        .await
    }

    fn decide_delete(
        &self,
        resource: &Resource,
        current: &Arc<Value>,
        options: &DeleteOptions,
    ) -> Result<Decision, Status> {
        let name = text(current, "/metadata/name");
        let checks = [
            (&options.uid, "UID", text(current, "/metadata/uid")),
            (
                &options.resource_version,
                "ResourceVersion",
                text(current, "/metadata/resourceVersion"),
            ),
        ];
        for (wanted, what, actual) in checks {
            if let Some(wanted) = wanted
                && wanted != actual
            {
                let why = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}"
                );
                return Err(Status::conflict(resource, name, &why));
            }
        }
        if resource.storage_name == "namespaces" && matches!(name, "default" | "kube-system" | "kube-public")
        {
            return Err(Status::forbidden(
                resource,
                name,
                "this namespace may not be deleted",
            ));
        }
        let mut object = (**current).clone();
        self.mark(resource, &mut object, options);
        if may_go(resource, &object) {
            return Ok(Decision::Remove(object));
        }
        if object == **current {
            return Ok(Decision::Keep(Arc::clone(current)));
        }
        Ok(Decision::Put(object))
    }

    /// Sets deletion time, grace and the finalizers of the propagation.
    fn mark(&self, resource: &Resource, object: &mut Value, options: &DeleteOptions) {
        let mut held: Vec<String> = finalizers(object).iter().map(|&name| name.to_owned()).collect();
        if let Some(propagation) = options.propagation {
            held.retain(|name| name != "orphan" && name != "foregroundDeletion");
            match propagation {
                Propagation::Orphan => held.push("orphan".to_owned()),
                Propagation::Foreground => held.push("foregroundDeletion".to_owned()),
                Propagation::Background => {}
            }
            set_meta(object, "finalizers", (!held.is_empty()).then(|| json!(held)));
        }
        let grace = if resource.storage_name == "pods" {
            pod_grace(object, options.grace_period_seconds)
        } else {
            0
        };
        let now = self.clock().now();
        let earlier = get_meta(object, "deletionGracePeriodSeconds").and_then(Value::as_i64);
        if is_terminating(object) && earlier.is_none_or(|earlier| earlier <= grace) {
            return;
        }
        let until = now
            .checked_add(Duration::from_secs(grace.unsigned_abs()))
            .unwrap_or(now);
        if resource.generation && !is_terminating(object) {
            let generation = get_meta(object, "generation")
                .and_then(Value::as_i64)
                .unwrap_or(0);
            set_meta(object, "generation", Some(json!(generation + 1)));
        }
        set_meta(object, "deletionTimestamp", Some(json!(strategy::stamp(until))));
        set_meta(object, "deletionGracePeriodSeconds", Some(json!(grace)));
        if resource.storage_name == "namespaces"
            && let Some(status) = super::meta::section(object, "status")
        {
            status.insert("phase".to_owned(), json!("Terminating"));
        }
    }
}

/// A pod that no node runs needs no grace.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    if text(pod, "/spec/nodeName").is_empty() || finished {
        return 0;
    }
    asked
        .or_else(|| {
            pod.pointer("/spec/terminationGracePeriodSeconds")
                .and_then(Value::as_i64)
        })
        .unwrap_or(30)
        .max(0)
}
