//! Admission: what may be written, beyond whether the writer has the right and the object is well formed.
//!
//! [`prepare`] and [`check`] are called by the registry where it decides on a write, so that nobody passes them by:
//! requests of any kind, subresources, and the controllers' own writes. Everything here is decided under the registry's
//! lock from the present state, synchronously. Must not write, wait, or know HTTP.

pub(crate) mod bounds;
mod escalation;
pub(crate) mod json_patch;
mod limit_range;
pub mod quota;
mod resources;
mod review;
pub(crate) mod space;

pub(crate) use escalation::Author;
pub(crate) use review::Review;

use crate::registry::{Cause, Index, Resource, Status};
use herder_object::pod_security;
use serde_json::Value;
use std::sync::Arc;

fn of_namespace(index: &Index, resource: &str, object: &Value) -> Vec<Arc<Value>> {
    index
        .in_namespace(resource, herder_object::namespace(object))
        .cloned()
        .collect()
}

/// Gives an object what it leaves out: a new pod what its namespace gives, a LimitRange what follows from the rest of it.
/// Before defaults are filled in.
pub(crate) fn prepare(index: &Index, resource: &Resource, before: Option<&Value>, object: &mut Value) {
    match resource.storage_name.as_str() {
        "pods" if before.is_none() => limit_range::fill(&of_namespace(index, "limitranges", object), object),
        "limitranges" => limit_range::complete(object),
        _ => {}
    }
}

/// Refuses what may not be written. `before` is the object as it was, which may go on being what it is.
///
/// # Errors
/// A [`Status`] in Kubernetes' words.
pub(crate) fn check(
    index: &Index,
    resource: &Resource,
    before: Option<&Value>,
    object: &Value,
    author: Option<&Author>,
) -> Result<(), Status> {
    let name = herder_object::name(object);
    let refuse = |why: String| Err(Status::forbidden(resource, name, &why));
    let new = |causes: fn(&Resource, &Value) -> Vec<Cause>| -> Vec<Cause> {
        let mut found = causes(resource, object);
        if !found.is_empty()
            && let Some(before) = before
        {
            let old = causes(resource, before);
            found.retain(|cause| !old.contains(cause));
        }
        found
    };
    let mut causes = new(bounds::check);
    causes.extend(new(resources::check));
    if resource.storage_name == "namespaces" {
        causes.extend(new(|_, namespace| pod_security::check_labels(namespace)));
    }
    if !causes.is_empty() {
        return Err(Status::invalid(resource, name, causes));
    }
    if let Some(author) = author {
        if let Some(why) = escalation::check(author, index, resource, before, object) {
            return refuse(why);
        }
        if resource.storage_name == "namespaces"
            && let Some(why) = opens(author, before, object)
        {
            return refuse(why);
        }
    }
    let administers = || author.is_none_or(|author| author.may_open(name));
    if resource.storage_name == "namespaces"
        && let Some(why) = space::annotation(before, object, administers())
    {
        return refuse(why);
    }
    if resource.storage_name == "pods"
        && before.is_none()
        && let Some(why) = space::pod(index, object)
    {
        return refuse(why);
    }
    if resource.storage_name == "pods"
        && let Some(namespace) = index.get("namespaces", "", herder_object::namespace(object))
        && let Some(why) = pod_security::refusal(namespace, object, before)
    {
        return refuse(why);
    }
    if !resource.namespaced {
        return Ok(());
    }
    if matches!(resource.storage_name.as_str(), "pods" | "persistentvolumeclaims") {
        let ranges = of_namespace(index, "limitranges", object);
        let limited = |object: &Value| limit_range::check(&ranges, &resource.storage_name, object);
        if let Some(why) = limited(object)
            && before.and_then(limited).as_ref() != Some(&why)
        {
            return refuse(why);
        }
    }
    let quotas = of_namespace(index, "resourcequotas", object);
    let others = || -> Box<dyn Iterator<Item = &Arc<Value>>> {
        Box::new(index.in_namespace(&resource.storage_name, herder_object::namespace(object)))
    };
    match quota::check(&quotas, resource, before, object, others) {
        Some(why) => refuse(why),
        None => Ok(()),
    }
}

/// Why somebody may not change what a namespace enforces: rights within a namespace do not open it.
fn opens(author: &Author, before: Option<&Value>, namespace: &Value) -> Option<String> {
    let new = pod_security::Policy::of(namespace);
    let old = pod_security::Policy::of(before.unwrap_or(&Value::Null));
    let name = herder_object::name(namespace);
    if !old.is_stricter_than(&new) || author.may_open(name) {
        return None;
    }
    Some(format!(
        "user \"{}\" may not lower what its pods must keep from \"{}\" to \"{}\"; that takes the right to update namespaces in \
         the whole cluster, or `podSecurity` of its environment in the fleet repository",
        author.name(),
        old.enforce,
        new.enforce
    ))
}
