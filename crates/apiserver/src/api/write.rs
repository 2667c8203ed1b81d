//! create, update, delete, scale, binding and eviction.

use super::answer::{self, Answer};
use super::convert::{to_served, to_stored};
use super::guard::Guard;
use super::read::{Filter, find, scale_of, show};
use super::request::Request;
use super::server::Context;
use super::{body, proto, strict};
use crate::admission::{Author, Review};
use crate::registry::{DeleteOptions, Part, Propagation, Resource, Status, WriteOptions};
use serde_json::{Value, json};

pub(crate) fn options(context: &Context, request: &Request) -> Result<WriteOptions, Status> {
    let namespace = &request.attributes().namespace;
    let author = Author::of(&context.rbac, &request.user, &request.resource, namespace);
    Ok(WriteOptions {
        dry_run: request.dry_run()?,
        manager: Some(request.manager()),
        author: author.map(std::sync::Arc::new),
    })
}

/// Adds the warnings of a lenient check to an answer.
pub(crate) fn warn(mut answer: Answer, warnings: &[String]) -> Answer {
    for warning in warnings {
        let text = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
        if let Ok(value) = http::HeaderValue::from_str(&text) {
            answer.headers_mut().append(http::header::WARNING, value);
        }
    }
    answer
}

pub(crate) async fn create(context: &Context, request: &Request) -> Result<Answer, Status> {
    let mut object = request.object_here()?;
    let mut warnings = strict::check(request, &mut object)?;
    let object = to_stored(&request.resource, object);
    Guard::of(context, request).admit(None, &object)?;
    let review = Review::before(&context.registry, &request.resource, "", "");
    let created = context
        .registry
        .create_with(
            &request.resource.storage_name,
            object,
            &options(context, request)?,
        )
        .await?;
    warnings.extend(review.warnings(&context.registry, &request.resource, &created));
    Ok(warn(show(context, request, 201, &created), &warnings))
}

pub(crate) async fn update(context: &Context, request: &Request) -> Result<Answer, Status> {
    let mut object = request.object_here()?;
    let mut warnings = strict::check(request, &mut object)?;
    let object = to_stored(&request.resource, object);
    let part = if request.path.subresource == "status" {
        Part::Status
    } else {
        Part::Main
    };
    let is_namespace = request.resource.storage_name == "namespaces" && request.path.subresource.is_empty();
    let guard = Guard::of(context, request);
    let place = (request.path.namespace.as_str(), request.path.name.as_str());
    let stored = request.resource_stored(context)?;
    let review = Review::before(&context.registry, &request.resource, place.0, place.1);
    let options = options(context, request)?;
    let written = context
        .registry
        .edit(&stored, place, part, &options, |current| {
            let mut object = object;
            if is_namespace && let Some(map) = object.as_object_mut() {
                // Its spec is changed by finalize only.
                map.insert(
                    "spec".to_owned(),
                    current.get("spec").cloned().unwrap_or_default(),
                );
            }
            guard.admit(Some(current), &object)?;
            Ok(object)
        })
        .await?;
    if request.path.subresource.is_empty() {
        warnings.extend(review.warnings(&context.registry, &request.resource, &written));
    }
    Ok(warn(show(context, request, 200, &written), &warnings))
}

fn delete_options(request: &Request) -> Result<DeleteOptions, Status> {
    let body = if request.body.is_empty() {
        json!({})
    } else if proto::is_proto(&request.body) {
        proto::decode(&request.body)?
    } else {
        body::yaml(&request.body)?
    };
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let policy =
        text("/propagationPolicy").or_else(|| request.query.get("propagationPolicy").map(str::to_owned));
    let orphan = body.get("orphanDependents").and_then(Value::as_bool);
    let propagation = match (policy.as_deref(), orphan) {
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (None, None) => None,
        (Some(other), _) => {
            return Err(Status::bad_request(format!(
                "propagationPolicy: Unsupported value: \"{other}\": supported values: \"Background\", \"Foreground\", \"Orphan\""
            )));
        }
    };
    let grace = body.get("gracePeriodSeconds").and_then(Value::as_i64);
    let dry_run = body
        .get("dryRun")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    Ok(DeleteOptions {
        grace_period_seconds: grace.or(request.query.number("gracePeriodSeconds")?),
        propagation,
        uid: text("/preconditions/uid"),
        resource_version: text("/preconditions/resourceVersion"),
        dry_run: dry_run || request.dry_run()?,
    })
}

pub(crate) async fn delete(context: &Context, request: &Request) -> Result<Answer, Status> {
    let mut options = delete_options(request)?;
    if request.user.node().is_some() && options.uid.is_none() {
        // The pod that the agent was found to have, and no other that has its name by now.
        options.uid = Some(herder_object::uid(&*find(context, request)?).to_owned());
    }
    let dry_run = options.dry_run;
    let path = &request.path;
    let resource = &request.resource;
    let object = context
        .registry
        .delete(&resource.storage_name, &path.namespace, &path.name, options)
        .await?;
    let uid = herder_object::uid(&object);
    let stays = context
        .registry
        .get(&resource.storage_name, &path.namespace, &path.name)
        .is_some_and(|left| herder_object::uid(&left) == uid);
    if stays && !dry_run {
        return Ok(answer::json(200, &to_served(resource, &object)));
    }
    Ok(answer::json(
        200,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": path.name, "group": resource.group, "kind": resource.plural, "uid": uid},
        }),
    ))
}

pub(crate) async fn delete_collection(context: &Context, request: &Request) -> Result<Answer, Status> {
    let options = delete_options(request)?;
    let filter = Filter::of(context, request)?;
    let resource = &request.resource;
    let namespace = (!filter.namespace.is_empty()).then_some(filter.namespace.as_str());
    let (objects, revision) = context.registry.list(&resource.storage_name, namespace);
    let chosen: Vec<_> = objects
        .into_iter()
        .filter(|object| filter.matches(object))
        .collect();
    let deletions = chosen.iter().map(|object| {
        let (namespace, name) = (herder_object::namespace(object), herder_object::name(object));
        context
            .registry
            .delete(&resource.storage_name, namespace, name, options.clone())
    });
    for deleted in futures::future::join_all(deletions).await {
        if let Err(error) = deleted
            && !error.is_not_found()
        {
            return Err(error);
        }
    }
    let items: Vec<_> = chosen.iter().map(|object| to_served(resource, object)).collect();
    Ok(answer::json(
        200,
        &json!({
            "kind": resource.list_kind, "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": revision.to_string()}, "items": items,
        }),
    ))
}

/// Sets the replicas of an object as a Scale says.
pub(crate) async fn set_scale(context: &Context, request: &Request, scale: &Value) -> Result<Answer, Status> {
    let resource = &request.resource;
    let replicas = scale
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    if replicas < 0 {
        return Err(Status::invalid(
            resource,
            &request.path.name,
            vec![crate::registry::Cause {
                reason: "FieldValueInvalid".to_owned(),
                message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
                field: "spec.replicas".to_owned(),
            }],
        ));
    }
    let pointer = resource
        .scale
        .as_ref()
        .map(|paths| paths.spec.clone())
        .unwrap_or_default();
    let version = scale.pointer("/metadata/resourceVersion").cloned();
    let place = (request.path.namespace.as_str(), request.path.name.as_str());
    let written = context
        .registry
        .edit(
            resource,
            place,
            Part::Main,
            &options(context, request)?,
            |current| {
                let mut object = current.clone();
                set_pointer(&mut object, &pointer, json!(replicas));
                if let (Some(version), Some(meta)) = (
                    &version,
                    object.get_mut("metadata").and_then(Value::as_object_mut),
                ) {
                    meta.insert("resourceVersion".to_owned(), version.clone());
                }
                Ok(object)
            },
        )
        .await?;
    Ok(answer::json(200, &scale_of(resource, &written)))
}

fn set_pointer(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        if !place.is_object() {
            *place = json!({});
        }
        let Some(map) = place.as_object_mut() else { return };
        place = map.entry(part).or_insert(Value::Null);
    }
    *place = value;
}

pub(crate) async fn scale(context: &Context, request: &Request) -> Result<Answer, Status> {
    let scale = request.object()?;
    set_scale(context, request, &scale).await
}

/// Binds a pod to a node: `pods/NAME/binding`, or the older `bindings`.
pub(crate) async fn bind(context: &Context, request: &Request) -> Result<Answer, Status> {
    let binding = request.object()?;
    let node = binding
        .pointer("/target/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if node.is_empty() {
        return Err(Status::bad_request("a binding needs target.name"));
    }
    let name = if request.path.name.is_empty() {
        herder_object::name(&binding)
    } else {
        &request.path.name
    };
    let pods = context.registry.resource("pods")?;
    let place = (request.path.namespace.as_str(), name);
    context
        .registry
        .edit(&pods, place, Part::Main, &WriteOptions::default(), |current| {
            let bound = current
                .pointer("/spec/nodeName")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !bound.is_empty() {
                return Err(Status::conflict(
                    &pods,
                    name,
                    &format!("pod {name} is already assigned to node \"{bound}\""),
                ));
            }
            let mut pod = current.clone();
            set_pointer(&mut pod, "/spec/nodeName", json!(node));
            Ok(pod)
        })
        .await?;
    Ok(answer::json(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

/// Evicts a pod, unless a disruption budget forbids it.
pub(crate) async fn evict(context: &Context, request: &Request) -> Result<Answer, Status> {
    let eviction = if request.body.is_empty() {
        json!({})
    } else {
        request.object()?
    };
    let pod = find(context, request)?;
    let (budgets, _) = context
        .registry
        .list("poddisruptionbudgets.policy", Some(&request.path.namespace));
    for budget in budgets {
        let selected = budget
            .pointer("/spec/selector")
            .is_some_and(|selector| super::select::matches_structured(selector, &pod));
        let allowed = budget
            .pointer("/status/disruptionsAllowed")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        if selected && allowed <= 0 {
            let mut refusal = Status::new(
                429,
                "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
            );
            refusal.retry_after = Some(10);
            refusal.causes.push(crate::registry::Cause {
                reason: "DisruptionBudget".to_owned(),
                message: format!(
                    "The disruption budget {} allows no more disruptions now",
                    herder_object::name(&budget)
                ),
                field: String::new(),
            });
            return Err(refusal);
        }
    }
    let options = DeleteOptions {
        grace_period_seconds: eviction
            .pointer("/deleteOptions/gracePeriodSeconds")
            .and_then(Value::as_i64),
        dry_run: request.dry_run()?,
        ..DeleteOptions::default()
    };
    context
        .registry
        .delete("pods", &request.path.namespace, &request.path.name, options)
        .await?;
    Ok(answer::json(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

/// The kind and version a resource's objects are written in over the wire.
pub(crate) fn type_of(resource: &Resource) -> Option<&'static herder_object::schema::Type> {
    if resource.custom.is_some() {
        return None;
    }
    herder_object::schema::of(&resource.api_version(), &resource.kind)
}
