//! patch: JSON patch, merge patch, strategic merge patch and server-side apply.

use super::answer::Answer;
use super::convert::{to_served, to_stored};
use super::dispatch::authorize;
use super::guard::Guard;
use super::read::{scale_of, show};
use super::request::Request;
use super::server::Context;
use super::write::{options, set_scale, type_of, warn};
use super::{body, read, strict};
use crate::admission::{self, Review};
use crate::auth::Attributes;
use crate::registry::{Cause, Part, Status, WriteOptions, schema_of, stamp};
use herder_object::ownership::{self, Applied, ApplyError};
use herder_object::strategic;
use serde_json::{Value, json};

enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Value),
    Apply(Value),
}

fn read_patch(request: &Request) -> Result<Patch, Status> {
    let media = request
        .content_type()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    Ok(match media.as_str() {
        "application/json-patch+json" => Patch::Json(
            serde_json::from_slice(&request.body)
                .map_err(|error| Status::bad_request(format!("the body is not a JSON patch: {error}")))?,
        ),
        "application/merge-patch+json" => Patch::Merge(body::json_of(&request.body)?),
        "application/strategic-merge-patch+json" => {
            if request.resource.custom.is_some() {
                return Err(unsupported(&media));
            }
            Patch::Strategic(body::json_of(&request.body)?)
        }
        "application/apply-patch+yaml" => Patch::Apply(body::yaml(&request.body)?),
        other => return Err(unsupported(other)),
    })
}

fn unsupported(media: &str) -> Status {
    Status::new(
        415,
        "UnsupportedMediaType",
        format!(
            "the body of the request was in an unknown format ({media}) - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
        ),
    )
}

fn change(patch: &Patch, request: &Request, object: &Value) -> Result<Value, Status> {
    let mut object = object.clone();
    match patch {
        Patch::Json(patch) => admission::json_patch::apply(&mut object, patch)?,
        Patch::Merge(patch) => json_patch::merge(&mut object, patch),
        Patch::Strategic(patch) => strategic::merge(&mut object, patch, type_of(&request.resource))
            .map_err(|error| Status::bad_request(error.to_string()))?,
        Patch::Apply(_) => {}
    }
    if object.is_object() {
        Ok(object)
    } else {
        Err(Status::bad_request("the patched object is not an object"))
    }
}

pub(crate) async fn answer(context: &Context, request: &Request) -> Result<Answer, Status> {
    let patch = read_patch(request)?;
    let part = if request.path.subresource == "status" {
        Part::Status
    } else {
        Part::Main
    };
    if let Patch::Apply(config) = patch {
        return apply(context, request, config, part).await;
    }
    let place = (request.path.namespace.as_str(), request.path.name.as_str());
    let mut warnings = Vec::new();
    let guard = Guard::of(context, request);
    let stored = request.resource_stored(context)?;
    let review = Review::before(&context.registry, &stored, place.0, place.1);
    let options = options(context, request)?;
    let written = context
        .registry
        .edit(&stored, place, part, &options, |current| {
            let served = to_served(&request.resource, current);
            let mut object = change(&patch, request, &served)?;
            check_identity(request, &object)?;
            warnings = strict::check(request, &mut object)?;
            let object = to_stored(&request.resource, object);
            let object = narrowed(&request.path.subresource, current, object);
            guard.admit(Some(current), &object)?;
            Ok(object)
        })
        .await?;
    if part == Part::Main {
        warnings.extend(review.warnings(&context.registry, &stored, &written));
    }
    Ok(warn(show(context, request, 200, &written), &warnings))
}

/// Of an object that was changed through one of a pod's subresources, only what that one is about.
fn narrowed(subresource: &str, current: &Value, object: Value) -> Value {
    if !matches!(subresource, "ephemeralcontainers" | "resize") {
        return object;
    }
    let mut kept = current.clone();
    let spec = kept.get_mut("spec").and_then(Value::as_object_mut);
    match (subresource, spec) {
        ("ephemeralcontainers", Some(spec)) => {
            if let Some(list) = object.pointer("/spec/ephemeralContainers") {
                spec.insert("ephemeralContainers".to_owned(), list.clone());
            }
            kept
        }
        ("resize", Some(spec)) => {
            for list in ["containers", "initContainers"] {
                let changed = object.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
                let own = spec.get_mut(list).and_then(Value::as_array_mut);
                for container in own.into_iter().flatten().filter_map(Value::as_object_mut) {
                    let resources = changed
                        .into_iter()
                        .flatten()
                        .find(|changed| changed.get("name") == container.get("name"))
                        .and_then(|changed| changed.get("resources"));
                    if let Some(resources) = resources {
                        container.insert("resources".to_owned(), resources.clone());
                    }
                }
            }
            kept
        }
        _ => object,
    }
}

fn check_identity(request: &Request, object: &Value) -> Result<(), Status> {
    let (name, namespace) = (herder_object::name(object), herder_object::namespace(object));
    if name != request.path.name || namespace != request.path.namespace {
        return Err(Status::bad_request(format!(
            "the name or namespace of the patched object ({namespace}/{name}) does not match the URL"
        )));
    }
    Ok(())
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

async fn apply(
    context: &Context,
    request: &Request,
    mut config: Value,
    part: Part,
) -> Result<Answer, Status> {
    let Some(manager) = request.query.get("fieldManager").map(str::to_owned) else {
        return Err(Status::bad_request(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    };
    let path = &request.path;
    let expected = (request.resource.api_version(), request.resource.kind.as_str());
    if herder_object::api_version(&config) != expected.0 || herder_object::kind(&config) != expected.1 {
        return Err(Status::bad_request(format!(
            "an applied object says apiVersion: {} and kind: {}",
            expected.0, expected.1
        )));
    }
    admission::bounds::check_depth(&config)?;
    without_nulls(&mut config);
    if let Some(meta) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        if request.resource.namespaced {
            meta.entry("namespace").or_insert_with(|| json!(path.namespace));
        }
        meta.entry("name").or_insert_with(|| json!(path.name));
        meta.remove("resourceVersion");
    }
    check_identity(request, &config)?;
    let mut warnings = strict::check(request, &mut config)?;
    if request.resource.status
        && part == Part::Main
        && let Some(map) = config.as_object_mut()
    {
        map.remove("status");
    }
    let time = stamp(context.registry.clock().now());
    let by = Applied {
        manager: &manager,
        subresource: if part == Part::Status { "status" } else { "" },
        force: request.query.is_true("force"),
        time: &time,
    };
    let stored = request.resource_stored(context)?;
    let mut created = false;
    let no_manager = WriteOptions {
        manager: None,
        ..options(context, request)?
    };
    let place = (path.namespace.as_str(), path.name.as_str());
    let guard = Guard::of(context, request);
    // Applying creates what is not there, which takes more than the right to patch.
    let may_create = authorize(
        context,
        &request.user,
        &Attributes {
            verb: "create".to_owned(),
            ..request.attributes()
        },
    );
    let review = Review::before(&context.registry, &stored, place.0, place.1);
    let written = context
        .registry
        .commit(&stored, place, no_manager.dry_run, |current, index| {
            let schema = schema_of(&request.resource);
            let live = match current {
                Some(current) => to_served(&request.resource, current).into_owned(),
                None if part == Part::Status => return Err(Status::not_found(&request.resource, &path.name)),
                None => Value::Null,
            };
            let object = ownership::apply(&live, &config, schema, by).map_err(refusal)?;
            let object = to_stored(&request.resource, object);
            if current.is_none() {
                may_create?;
            }
            let object = match current {
                Some(current) => narrowed(&path.subresource, current, object),
                None => object,
            };
            guard.admit(current.map(|current| &**current), &object)?;
            match current {
                Some(current) => {
                    context
                        .registry
                        .decide_update(&stored, index, current, object, part, &no_manager)
                }
                None => {
                    created = true;
                    context
                        .registry
                        .decide_create(&stored, index, object, &no_manager)
                }
            }
        })
        .await?;
    if part == Part::Main {
        warnings.extend(review.warnings(&context.registry, &stored, &written));
    }
    let code = if created { 201 } else { 200 };
    Ok(warn(show(context, request, code, &written), &warnings))
}

fn refusal(error: ApplyError) -> Status {
    match &error {
        ApplyError::Conflicts(conflicts) => {
            let mut status = Status::new(409, "Conflict", error.to_string());
            status.causes = conflicts
                .iter()
                .map(|conflict| Cause {
                    reason: "FieldManagerConflict".to_owned(),
                    message: format!("conflict with {}", conflict.owner),
                    field: conflict.path.clone(),
                })
                .collect();
            status
        }
        ApplyError::HasManagers | ApplyError::Items { .. } => Status::bad_request(error.to_string()),
    }
}

impl Request {
    /// The resource in the version its objects are stored in.
    pub(crate) fn resource_stored(
        &self,
        context: &Context,
    ) -> Result<std::sync::Arc<crate::registry::Resource>, Status> {
        context.registry.resource(&self.resource.storage_name)
    }
}

pub(crate) async fn scale(context: &Context, request: &Request) -> Result<Answer, Status> {
    let patch = read_patch(request)?;
    let object = read::find(context, request)?;
    let current = scale_of(&request.resource, &object);
    let patched = match &patch {
        Patch::Apply(config) => config.clone(),
        Patch::Strategic(patch) => change(&Patch::Merge(patch.clone()), request, &current)?,
        other => change(other, request, &current)?,
    };
    set_scale(context, request, &patched).await
}
