//! The index of parsed objects and the one door through which all changes go: [`Registry::commit`].
//!
//! Objects are parsed once and shared as `Arc<Value>`. A commit holds the index's lock while it decides and applies,
//! never while it waits for the disk, so concurrent writers share a sync.

use super::event::{Event, EventKind, Subscription};
use super::meta::{self, set_meta, text};
use super::uses::Uses;
use super::{Catalog, Gone, Resource, Status};
use crate::admission::bounds::size;
use crate::admission::space;
use herder_base::Clock;
use herder_store::{Bus, Op, Pending, Store, TxnError};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

/// Recent events kept for watchers.
const RING: usize = 4096;

/// What their nodes may see depends on them.
const PODS: &str = "pods";

type Objects = BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Value>>>;

/// All objects, by resource, namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Index {
    resources: BTreeMap<Arc<str>, Objects>,
    pub(crate) revision: u64,
    pub(crate) uses: Uses,
    /// Bytes of each namespace's objects.
    space: HashMap<Arc<str>, usize>,
}

impl Index {
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.resources.get(resource)?.get(namespace)?.get(name)
    }

    /// All of a resource, or those of one namespace, in order of namespace and name.
    pub(crate) fn all<'a>(
        &'a self,
        resource: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Value>> + use<'a> {
        self.resources
            .get(resource)
            .into_iter()
            .flatten()
            .filter(move |(own, _)| namespace.is_none_or(|namespace| &***own == namespace))
            .flat_map(|(_, objects)| objects.values())
    }

    /// All of a resource in one namespace, in order of name.
    pub(crate) fn in_namespace<'a>(
        &'a self,
        resource: &str,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<Value>> + use<'a> {
        self.resources
            .get(resource)
            .and_then(|objects| objects.get(namespace))
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// Bytes of a namespace's objects.
    pub(crate) fn space(&self, namespace: &str) -> usize {
        self.space.get(namespace).copied().unwrap_or_default()
    }

    fn measure(&mut self, namespace: &Arc<str>, before: Option<&Value>, after: Option<&Value>) {
        if namespace.is_empty() {
            return;
        }
        let bytes = |object: Option<&Value>| object.map_or(0, size);
        let used = self.space(namespace);
        match used.saturating_sub(bytes(before)).saturating_add(bytes(after)) {
            0 => self.space.remove(namespace),
            used => self.space.insert(Arc::clone(namespace), used),
        };
    }

    fn put(&mut self, resource: &Arc<str>, object: Arc<Value>) {
        let namespace: Arc<str> = Arc::from(text(&object, "/metadata/namespace"));
        let name: Arc<str> = Arc::from(text(&object, "/metadata/name"));
        let objects = self.resources.entry(Arc::clone(resource)).or_default();
        let before = objects
            .entry(Arc::clone(&namespace))
            .or_default()
            .insert(name, Arc::clone(&object));
        self.measure(&namespace, before.as_deref(), Some(&object));
        if **resource == *PODS {
            self.uses.note(before.as_deref(), Some(&object));
        }
    }

    fn remove(&mut self, resource: &str, namespace: &str, name: &str) {
        if let Some(objects) = self.resources.get_mut(resource)
            && let Some(named) = objects.get_mut(namespace)
        {
            let before = named.remove(name);
            if named.is_empty() {
                objects.remove(namespace);
            }
            self.measure(&Arc::from(namespace), before.as_deref(), None);
            if resource == PODS {
                self.uses.note(before.as_deref(), None);
            }
        }
    }
}

/// What a writer decided, seeing the present state.
pub(crate) enum Decision {
    /// Nothing is to be written; the answer is this object.
    Keep(Arc<Value>),
    /// This is the object's new state.
    Put(Value),
    /// The object goes; this is its last state.
    Remove(Value),
}

/// The registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A stored object is not JSON.
    #[error("the stored object {key} cannot be read")]
    Object {
        /// Its key.
        key: String,
        /// The reason.
        source: serde_json::Error,
    },
}

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    index: RwLock<Index>,
    catalog: RwLock<Arc<Catalog>>,
    bus: Bus<Event>,
}

/// A handle to the registry; clones share it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Reads everything in `store`, which the registry has to itself.
    ///
    /// # Errors
    /// [`OpenError`] if a stored object cannot be read.
    pub fn open(store: Store, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut index = Index::default();
        let (entries, revision) = store.range("/");
        index.revision = revision;
        for (key, entry) in entries {
            let mut object: Value =
                serde_json::from_slice(&entry.value).map_err(|source| OpenError::Object {
                    key: key.to_string(),
                    source,
                })?;
            set_meta(
                &mut object,
                "resourceVersion",
                Some(json!(entry.revision.to_string())),
            );
            let resource = key.split('/').nth(1).unwrap_or_default();
            index.put(&Arc::from(resource), Arc::new(object));
        }
        let catalog = Catalog::new(
            index
                .all("customresourcedefinitions.apiextensions.k8s.io", None)
                .map(|object| &**object),
        );
        Ok(Self(Arc::new(Inner {
            bus: Bus::new(RING, revision),
            store,
            clock,
            index: RwLock::new(index),
            catalog: RwLock::new(Arc::new(catalog)),
        })))
    }

    /// The served kinds as of now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The clock that stamps objects.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Reads the index under its lock.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&self.0.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One object. The namespace of cluster-scoped objects is empty.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.read(|index| index.get(resource, namespace, name).cloned())
    }

    /// All objects of a resource, or those of one namespace, with the revision of this reading.
    #[must_use]
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        self.read(|index| {
            let found = match namespace {
                Some(namespace) => index.in_namespace(resource, namespace).cloned().collect(),
                None => index.all(resource, None).cloned().collect(),
            };
            (found, index.revision)
        })
    }

    /// The revision of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.read(|index| index.revision)
    }

    /// Follows all changes from now on. Subscribe first, then list; events up to the list's revision may be skipped.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        loop {
            if let Ok(subscription) = self.subscribe_from(self.revision()) {
                return subscription;
            }
        }
    }

    /// Follows all changes after a revision.
    ///
    /// # Errors
    /// [`Gone`] if they are no longer kept.
    pub fn subscribe_from(&self, since: u64) -> Result<Subscription, Gone> {
        self.0.bus.read(since).map(Subscription)
    }

    /// The resource objects are kept under this name, or a 404.
    pub(crate) fn resource(&self, name: &str) -> Result<Arc<Resource>, Status> {
        self.catalog()
            .stored(name)
            .cloned()
            .ok_or_else(|| Status::new(404, "NotFound", format!("the server has no resource {name:?}")))
    }

    /// Decides on and applies one object's change under the lock, then waits until it is on disk.
    pub(crate) async fn commit(
        &self,
        resource: &Resource,
        (namespace, name): (&str, &str),
        dry_run: bool,
        decide: impl FnOnce(Option<&Arc<Value>>, &Index) -> Result<Decision, Status>,
    ) -> Result<Arc<Value>, Status> {
        let (object, pending) = self.apply(resource, namespace, name, dry_run, decide)?;
        if let Some(pending) = pending {
            pending.durable().await.map_err(Status::internal)?;
        }
        Ok(object)
    }

    fn apply(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        dry_run: bool,
        decide: impl FnOnce(Option<&Arc<Value>>, &Index) -> Result<Decision, Status>,
    ) -> Result<(Arc<Value>, Option<Pending>), Status> {
        let mut index = self.0.index.write().unwrap_or_else(PoisonError::into_inner);
        let previous = index.get(&resource.storage_name, namespace, name).cloned();
        let (mut object, removed) = match decide(previous.as_ref(), &index)? {
            Decision::Keep(object) => return Ok((object, None)),
            Decision::Put(object) => (object, false),
            Decision::Remove(object) => (object, true),
        };
        set_meta(&mut object, "resourceVersion", None);
        let bytes = if removed {
            Vec::new()
        } else {
            serde_json::to_vec(&object).map_err(Status::internal)?
        };
        crate::admission::bounds::check_stored(resource, text(&object, "/metadata/name"), bytes.len())?;
        if !removed {
            let old = previous.as_deref().map_or(0, size);
            space::check(&index, resource, (namespace, name), old, size(&object))?;
        }
        if dry_run {
            let version = previous.and_then(|previous| meta::get_meta(&previous, "resourceVersion").cloned());
            set_meta(&mut object, "resourceVersion", version);
            return Ok((Arc::new(object), None));
        }
        // A namespace or name taken from the object, where it was generated.
        let (namespace, name) = (
            text(&object, "/metadata/namespace").to_owned(),
            text(&object, "/metadata/name").to_owned(),
        );
        let key = format!("/{}/{namespace}/{name}", resource.storage_name);
        let op = if removed {
            Op::delete(key)
        } else {
            Op::put(key, bytes)
        };
        let pending = self.0.store.submit(vec![op]).map_err(|error| match error {
            TxnError::Conflict(conflict) => Status::internal(conflict),
            other => Status::internal(other),
        })?;
        let revision = pending.revision;
        set_meta(&mut object, "resourceVersion", Some(json!(revision.to_string())));
        let object = Arc::new(object);
        let stored: Arc<str> = Arc::from(resource.storage_name.as_str());
        if removed {
            index.remove(&stored, &namespace, &name);
        } else {
            index.put(&stored, Arc::clone(&object));
        }
        index.revision = revision;
        if resource.storage_name == "customresourcedefinitions.apiextensions.k8s.io" {
            let catalog = Catalog::new(index.all(&resource.storage_name, None).map(|object| &**object));
            *self.0.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
        }
        let kind = match (&previous, removed) {
            (_, true) => EventKind::Deleted,
            (None, _) => EventKind::Added,
            (Some(_), _) => EventKind::Modified,
        };
        self.0.bus.publish(
            revision,
            [Event {
                resource: stored,
                kind,
                object: Arc::clone(&object),
                previous,
                revision,
            }],
        );
        Ok((object, Some(pending)))
    }

    /// Refuses what may not be created in a namespace that is missing or ending.
    pub(crate) fn check_namespace(
        index: &Index,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<(), Status> {
        if !resource.namespaced {
            return Ok(());
        }
        match index.get("namespaces", "", namespace) {
            None => {
                let mut status =
                    Status::new(404, "NotFound", format!("namespaces \"{namespace}\" not found"));
                namespace.clone_into(&mut status.name);
                "namespaces".clone_into(&mut status.kind);
                Err(status)
            }
            Some(found) if meta::is_terminating(found) => {
                let why = format!(
                    "unable to create new content in namespace {namespace} because it is being terminated"
                );
                let mut status = Status::forbidden(resource, name, &why);
                status.causes.push(super::Cause {
                    reason: "NamespaceTerminating".to_owned(),
                    message: format!("namespace {namespace} is being terminated"),
                    field: "metadata.namespace".to_owned(),
                });
                Err(status)
            }
            Some(_) => Ok(()),
        }
    }
}
