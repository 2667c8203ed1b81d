//! Creating and updating objects.

use super::index::{Decision, Index};
use super::meta::{self, finalizers, get_meta, is_terminating, same_but_stamps, same_spec, set_meta, text};
use super::{Registry, Resource, Status, strategy};
use crate::admission;
use serde_json::{Value, json};
use std::sync::Arc;

/// Who writes, and whether for real.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Do everything but write.
    pub dry_run: bool,
    /// Keep managedFields under this manager's name; `None` leaves them as the object has them.
    pub manager: Option<String>,
    /// Who writes, where it matters what they may do; `None` for Herder itself.
    pub(crate) author: Option<std::sync::Arc<admission::Author>>,
}

/// Which part of an object an update may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the status.
    Main,
    /// Only the status (and what belongs to it).
    Status,
}

impl Registry {
    /// Creates an object. The answer is what is stored.
    ///
    /// # Errors
    /// A [`Status`]: exists already, invalid, no such namespace, namespace ending.
    pub async fn create(&self, resource: &str, object: Value) -> Result<Arc<Value>, Status> {
        self.create_with(resource, object, &WriteOptions::default()).await
    }

    /// Creates an object as [`WriteOptions`] say.
    ///
    /// # Errors
    /// As [`Registry::create`].
    pub async fn create_with(
        &self,
        resource: &str,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        self.name_it(&resource, &mut object)?;
        let name = text(&object, "/metadata/name").to_owned();
        let namespace = text(&object, "/metadata/namespace").to_owned();
        self.commit(
            &resource,
            (&namespace, &name),
            options.dry_run,
            |current, index| {
                if current.is_some() {
                    return Err(Status::already_exists(&resource, &name));
                }
                self.decide_create(&resource, index, object, options)
            },
        )
        .await
    }

    /// Gives a new object its final name and namespace.
    fn name_it(&self, resource: &Resource, object: &mut Value) -> Result<(), Status> {
        if !object.is_object() {
            return Err(Status::bad_request("the object is not a JSON object"));
        }
        set_meta(object, "resourceVersion", None);
        if !resource.namespaced {
            set_meta(object, "namespace", None);
        } else if text(object, "/metadata/namespace").is_empty() {
            return Err(Status::bad_request(format!(
                "an object of {} needs metadata.namespace",
                resource.name
            )));
        }
        let prefix = text(object, "/metadata/generateName").to_owned();
        if text(object, "/metadata/name").is_empty() && !prefix.is_empty() {
            let kept: String = prefix.chars().take(58).collect();
            set_meta(
                object,
                "name",
                Some(json!(format!("{kept}{}", strategy::suffix(5)))),
            );
        }
        Ok(())
    }

    pub(crate) fn decide_create(
        &self,
        resource: &Resource,
        index: &Index,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Decision, Status> {
        let name = text(&object, "/metadata/name").to_owned();
        admission::bounds::check_depth(&object)?;
        Self::check_namespace(index, resource, text(&object, "/metadata/namespace"), &name)?;
        for stamped in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "generation",
        ] {
            set_meta(&mut object, stamped, None);
        }
        if let Some(map) = object.as_object_mut() {
            map.insert("apiVersion".to_owned(), json!(resource.api_version()));
            map.insert("kind".to_owned(), json!(resource.kind));
            if resource.status {
                map.remove("status");
            }
        }
        set_meta(&mut object, "uid", Some(json!(uuid::Uuid::new_v4().to_string())));
        set_meta(
            &mut object,
            "creationTimestamp",
            Some(json!(strategy::stamp(self.clock().now()))),
        );
        if resource.generation {
            set_meta(&mut object, "generation", Some(json!(1)));
        }
        admission::prepare(index, resource, None, &mut object);
        strategy::prepare_create(resource, index, &mut object)?;
        strategy::validate(resource, &object, None)?;
        admission::check(index, resource, None, &object, options.author.as_deref())?;
        if let Some(manager) = &options.manager {
            strategy::record_update(
                resource,
                self.clock().now(),
                manager,
                None,
                &mut object,
                Part::Main,
            );
        }
        Ok(Decision::Put(object))
    }

    /// Replaces an object but for its status. If it carries a resourceVersion, that must be the present one.
    ///
    /// # Errors
    /// A [`Status`]: not found, conflict, invalid.
    pub async fn update(&self, resource: &str, object: Value) -> Result<Arc<Value>, Status> {
        self.replace(resource, object, Part::Main, &WriteOptions::default())
            .await
    }

    /// Replaces an object's status. If it carries a resourceVersion, that must be the present one.
    ///
    /// # Errors
    /// As [`Registry::update`].
    pub async fn update_status(&self, resource: &str, object: Value) -> Result<Arc<Value>, Status> {
        self.replace(resource, object, Part::Status, &WriteOptions::default())
            .await
    }

    pub(crate) async fn replace(
        &self,
        resource: &str,
        object: Value,
        part: Part,
        options: &WriteOptions,
    ) -> Result<Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        let name = text(&object, "/metadata/name").to_owned();
        let namespace = text(&object, "/metadata/namespace").to_owned();
        self.commit(
            &resource,
            (&namespace, &name),
            options.dry_run,
            |current, index| {
                let current = current.ok_or_else(|| Status::not_found(&resource, &name))?;
                self.decide_update(&resource, index, current, object, part, options)
            },
        )
        .await
    }

    pub(crate) fn decide_update(
        &self,
        resource: &Resource,
        index: &Index,
        current: &Arc<Value>,
        mut object: Value,
        part: Part,
        options: &WriteOptions,
    ) -> Result<Decision, Status> {
        let name = text(current, "/metadata/name").to_owned();
        let version = text(&object, "/metadata/resourceVersion");
        if !version.is_empty() && version != text(current, "/metadata/resourceVersion") {
            return Err(Status::conflict(
                resource,
                &name,
                "the object has been modified; please apply your changes to the latest version and try again",
            ));
        }
        let uid = text(&object, "/metadata/uid");
        if !uid.is_empty() && uid != text(current, "/metadata/uid") {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                text(current, "/metadata/uid")
            );
            return Err(Status::conflict(resource, &name, &why));
        }
        if !object.is_object() {
            return Err(Status::bad_request("the object is not a JSON object"));
        }
        admission::bounds::check_depth(&object)?;
        keep(&mut object, current, resource, part);
        if part == Part::Main {
            admission::prepare(index, resource, Some(current), &mut object);
            strategy::prepare_update(resource, index, current, &mut object)?;
            if resource.generation && !same_spec(&object, current) {
                let generation = get_meta(current, "generation")
                    .and_then(Value::as_i64)
                    .unwrap_or(0);
                set_meta(&mut object, "generation", Some(json!(generation + 1)));
            }
        }
        strategy::validate(resource, &object, Some(current))?;
        if part == Part::Main {
            let author = options.author.as_deref();
            admission::check(index, resource, Some(current), &object, author)?;
        }
        if let Some(manager) = &options.manager {
            strategy::record_update(
                resource,
                self.clock().now(),
                manager,
                Some(current),
                &mut object,
                part,
            );
        }
        if is_terminating(&object) && may_go(resource, &object) {
            return Ok(Decision::Remove(object));
        }
        if same_but_stamps(&object, current) {
            return Ok(Decision::Keep(Arc::clone(current)));
        }
        Ok(Decision::Put(object))
    }

    /// Reads, lets `change` edit, and writes all but the status; again if someone else wrote meanwhile (which cannot
    /// happen here, as all is done under one lock). `false` from `change` means that nothing is to be written.
    ///
    /// # Errors
    /// A [`Status`]: not found, invalid.
    pub async fn modify(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnMut(&mut Value) -> bool,
    ) -> Result<Arc<Value>, Status> {
        self.modify_part(resource, namespace, name, Part::Main, change)
            .await
    }

    /// As [`Registry::modify`], for the status.
    ///
    /// # Errors
    /// As [`Registry::modify`].
    pub async fn modify_status(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnMut(&mut Value) -> bool,
    ) -> Result<Arc<Value>, Status> {
        self.modify_part(resource, namespace, name, Part::Status, change)
            .await
    }

    async fn modify_part(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        part: Part,
        mut change: impl FnMut(&mut Value) -> bool,
    ) -> Result<Arc<Value>, Status> {
        let resource = self.resource(resource)?;
        self.commit(&resource, (namespace, name), false, |current, index| {
            let current = current.ok_or_else(|| Status::not_found(&resource, name))?;
            let mut object = (**current).clone();
            if !change(&mut object) {
                return Ok(Decision::Keep(Arc::clone(current)));
            }
            self.decide_update(&resource, index, current, object, part, &WriteOptions::default())
        })
        .await
    }

    /// As [`Registry::modify`], with a change that may refuse and with options.
    pub(crate) async fn edit(
        &self,
        resource: &Resource,
        (namespace, name): (&str, &str),
        part: Part,
        options: &WriteOptions,
        change: impl FnOnce(&Value) -> Result<Value, Status>,
    ) -> Result<Arc<Value>, Status> {
        self.commit(resource, (namespace, name), options.dry_run, |current, index| {
            let current = current.ok_or_else(|| Status::not_found(resource, name))?;
            let object = change(current)?;
            self.decide_update(resource, index, current, object, part, options)
        })
        .await
    }
}

/// Carries over what an update may not change.
fn keep(object: &mut Value, current: &Value, resource: &Resource, part: Part) {
    if part == Part::Status {
        let status = object.get_mut("status").map(Value::take);
        let managed = get_meta(object, "managedFields").cloned();
        // A pod's conditions and a node's addresses are status, but labels and annotations are not.
        *object = current.clone();
        if let Some(map) = object.as_object_mut() {
            match status {
                Some(status) => map.insert("status".to_owned(), status),
                None => map.remove("status"),
            };
        }
        if managed.is_some() {
            set_meta(object, "managedFields", managed);
        }
        return;
    }
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(resource.api_version()));
        map.insert("kind".to_owned(), json!(resource.kind));
        if resource.status {
            match current.get("status") {
                Some(status) => map.insert("status".to_owned(), status.clone()),
                None => map.remove("status"),
            };
        }
    }
    for stamped in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "generation",
        "resourceVersion",
    ] {
        set_meta(object, stamped, get_meta(current, stamped).cloned());
    }
    if get_meta(object, "managedFields").is_none() {
        set_meta(
            object,
            "managedFields",
            get_meta(current, "managedFields").cloned(),
        );
    }
    for list in [
        "finalizers",
        "ownerReferences",
        "labels",
        "annotations",
        "managedFields",
    ] {
        let empty = get_meta(object, list).is_some_and(|value| {
            value.is_null()
                || value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty)
        });
        if empty {
            set_meta(object, list, None);
        }
    }
}

/// Whether nothing holds a terminating object any more.
pub(crate) fn may_go(resource: &Resource, object: &Value) -> bool {
    let namespace_held = resource.storage_name == "namespaces"
        && object
            .pointer("/spec/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty());
    let grace = get_meta(object, "deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    finalizers(object).is_empty() && !namespace_held && grace == 0 && meta::is_terminating(object)
}
