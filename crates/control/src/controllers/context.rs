//! What every controller is given: reading and writing objects, the time, events, and the queue. The only place in
//! the controllers that calls the registry's writing functions.

use super::queue::Queue;
use super::recorder::Recorder;
use super::{Task, garbage, pod};
use herder_apiserver::registry::{DeleteOptions, Registry, Status};
use herder_base::Clock;
use herder_object::field::{deleting, items, text};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use thiserror::Error;

/// What reconciling answers: done, or look again after a while.
pub(crate) type Outcome = Result<Option<Duration>, Failure>;

/// Why an object could not be brought forward; it is tried again.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The registry refused.
    #[error(transparent)]
    Refused(#[from] Status),
    /// A volume's directory could not be made or removed.
    #[error("could not {what} the volume directory {}", path.display())]
    Volume {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The network did not take the services or the policies.
    #[error("could not publish services or network policies to the cluster network")]
    Publish(#[source] herder_node::fabric::FabricError),
}

impl Failure {
    pub(crate) fn already_exists(&self) -> bool {
        matches!(self, Self::Refused(status) if status.is_already_exists())
    }

    /// Refused because the namespace is going away: nothing to tell anybody.
    pub(crate) fn namespace_ending(&self) -> bool {
        matches!(self, Self::Refused(status)
            if status.message.contains("is being terminated")
                || status.causes.iter().any(|c| c.reason == "NamespaceTerminating"))
    }

    /// A race that trying again settles, not worth a line in the log.
    pub(crate) fn is_race(&self) -> bool {
        matches!(self, Self::Refused(status) if status.is_conflict() || status.is_not_found())
            || self.namespace_ending()
    }
}

/// Shared by all controllers.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) registry: Registry,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) recorder: Recorder,
    pub(super) queue: Arc<Queue<Task>>,
    pub(super) graph: Mutex<garbage::Graph>,
    pub(super) fabric: Option<herder_node::fabric::Fabric>,
    pub(super) volumes: PathBuf,
    pub(super) root_ca: String,
    pub(super) ingress: Vec<IpAddr>,
    /// What the network was last told.
    pub(super) published: Mutex<Option<herder_node::fabric::ServiceSnapshot>>,
    /// Which network policies the network was last told, and when.
    pub(super) policies: Mutex<Option<(herder_node::fabric::PolicySnapshot, tokio::time::Instant)>>,
    /// Nodes whose agent ended, and whether that is marked on their object.
    pub(super) dead: Mutex<std::collections::BTreeMap<String, bool>>,
}

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.registry.get(resource, namespace, name)
    }

    pub(crate) fn list(&self, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        self.registry.list(resource, Some(namespace)).0
    }

    pub(crate) fn list_all(&self, resource: &str) -> Vec<Arc<Value>> {
        self.registry.list(resource, None).0
    }

    /// Notes a Kubernetes event about an object; never waits, never fails.
    pub(crate) fn event(&self, about: &Value, kind: &'static str, reason: &str, message: &str) {
        self.recorder.record(about, kind, reason, message);
    }

    pub(crate) async fn create(&self, resource: &str, object: Value) -> Result<Arc<Value>, Failure> {
        Ok(self.registry.create(resource, object).await?)
    }

    /// Changes an object; gone is fine.
    pub(crate) async fn modify(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnMut(&mut Value) -> bool + Send,
    ) -> Result<(), Failure> {
        absent_is_fine(self.registry.modify(resource, namespace, name, change).await)
    }

    /// Changes an object's status; gone is fine.
    pub(crate) async fn modify_status(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnMut(&mut Value) -> bool + Send,
    ) -> Result<(), Failure> {
        absent_is_fine(
            self.registry
                .modify_status(resource, namespace, name, change)
                .await,
        )
    }

    /// Deletes exactly this object (its dependents follow in the background); gone is fine.
    pub(crate) async fn delete(&self, resource: &str, object: &Value) -> Result<(), Failure> {
        let options = DeleteOptions {
            uid: Some(text(object, "/metadata/uid").to_owned()),
            ..DeleteOptions::default()
        };
        self.delete_with(resource, object, options).await
    }

    /// Deletes a pod at once: its process is known to be gone.
    pub(crate) async fn delete_now(&self, pod: &Value) -> Result<(), Failure> {
        let options = DeleteOptions {
            uid: Some(text(pod, "/metadata/uid").to_owned()),
            grace_period_seconds: Some(0),
            ..DeleteOptions::default()
        };
        self.delete_with("pods", pod, options).await
    }

    pub(super) async fn delete_with(
        &self,
        resource: &str,
        object: &Value,
        options: DeleteOptions,
    ) -> Result<(), Failure> {
        let (namespace, name) = (
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        );
        match self.registry.delete(resource, namespace, name, options).await {
            Err(status) if !status.is_not_found() && !status.is_conflict() => Err(status.into()),
            _ => Ok(()),
        }
    }

    /// Makes `owner` the controller of an object that has none.
    pub(super) async fn adopt(
        &self,
        resource: &str,
        object: &Value,
        owner: Value,
    ) -> Result<Option<Arc<Value>>, Failure> {
        let (namespace, name) = (
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        );
        let uid = text(object, "/metadata/uid");
        self.modify(resource, namespace, name, |o| {
            if text(o, "/metadata/uid") != uid || deleting(o) || pod::controller(o).is_some() {
                return false;
            }
            let mut owners = items(o, "/metadata/ownerReferences").to_vec();
            owners.push(owner.clone());
            herder_object::field::put(o, &["metadata", "ownerReferences"], owners);
            true
        })
        .await?;
        let found = self.get(resource, namespace, name);
        Ok(found.filter(|o| pod::controller_uid(o) == text(&owner, "/uid")))
    }

    /// Takes an owner off an object.
    pub(super) async fn disown(
        &self,
        resource: &str,
        object: &Value,
        owner_uid: &str,
    ) -> Result<(), Failure> {
        let (namespace, name) = (
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        );
        self.modify(resource, namespace, name, |o| {
            let before = items(o, "/metadata/ownerReferences");
            let owners: Vec<Value> = before
                .iter()
                .filter(|r| text(r, "/uid") != owner_uid)
                .cloned()
                .collect();
            if owners.len() == before.len() {
                return false;
            }
            if owners.is_empty() {
                herder_object::field::remove(o, &["metadata", "ownerReferences"]);
            } else {
                herder_object::field::put(o, &["metadata", "ownerReferences"], owners);
            }
            true
        })
        .await
    }

    /// Removes one finalizer; the registry deletes the object when it was the last.
    pub(super) async fn unfinalize(
        &self,
        resource: &str,
        object: &Value,
        finalizer: &str,
    ) -> Result<(), Failure> {
        let (namespace, name) = (
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        );
        self.modify(resource, namespace, name, |o| {
            let before = items(o, "/metadata/finalizers");
            let left: Vec<Value> = before
                .iter()
                .filter(|f| f.as_str() != Some(finalizer))
                .cloned()
                .collect();
            if left.len() == before.len() {
                return false;
            }
            if left.is_empty() {
                herder_object::field::remove(o, &["metadata", "finalizers"]);
            } else {
                herder_object::field::put(o, &["metadata", "finalizers"], left);
            }
            true
        })
        .await
    }

    /// Adds one finalizer to an object that is not going away.
    pub(super) async fn finalize(
        &self,
        resource: &str,
        object: &Value,
        finalizer: &str,
    ) -> Result<(), Failure> {
        let (namespace, name) = (
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        );
        self.modify(resource, namespace, name, |o| {
            let mut list = items(o, "/metadata/finalizers").to_vec();
            if deleting(o) || list.iter().any(|f| f.as_str() == Some(finalizer)) {
                return false;
            }
            list.push(json!(finalizer));
            herder_object::field::put(o, &["metadata", "finalizers"], list);
            true
        })
        .await
    }
}

fn absent_is_fine<T>(result: Result<T, Status>) -> Result<(), Failure> {
    match result {
        Err(status) if !status.is_not_found() => Err(status.into()),
        _ => Ok(()),
    }
}
