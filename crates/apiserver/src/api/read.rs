//! get, list and scale: objects as themselves, as tables, or as metadata only.

use super::answer::{self, Answer};
use super::convert::to_served;
use super::request::Request;
use super::select::{Fields, Labels};
use super::server::Context;
use super::table;
use crate::auth::View;
use crate::registry::{Resource, Status};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};
use std::sync::Arc;

/// The form in which the client wants objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Table,
    Metadata,
}

impl Request {
    pub(crate) fn form(&self) -> Form {
        for media in self.accept().split(',') {
            if !media.contains("g=meta.k8s.io") {
                if media.trim().starts_with("application/json") {
                    return Form::Plain;
                }
                continue;
            }
            if media.contains("as=Table") {
                return Form::Table;
            }
            if media.contains("as=PartialObjectMetadata") {
                return Form::Metadata;
            }
        }
        Form::Plain
    }
}

/// Which objects a request is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// What the asking node agent may see, if it is one.
    view: Option<View>,
}

impl Filter {
    pub(crate) fn of(context: &Context, request: &Request) -> Result<Self, Status> {
        Ok(Self {
            view: View::of(&request.user, &request.resource, &context.registry),
            labels: Labels::parse(request.query.get("labelSelector").unwrap_or_default())?,
            fields: Fields::parse(request.query.get("fieldSelector").unwrap_or_default())?,
            namespace: request.path.namespace.clone(),
            name: request.path.name.clone(),
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        (self.namespace.is_empty() || herder_object::namespace(object) == self.namespace)
            && (self.name.is_empty() || herder_object::name(object) == self.name)
            && self.labels.matches(object)
            && self.fields.matches(object)
            && self.view.as_ref().is_none_or(|view| view.shows(object))
    }
}

pub(crate) fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

/// One object, in the form asked for.
pub(crate) fn show(context: &Context, request: &Request, code: u16, object: &Value) -> Answer {
    let object = to_served(&request.resource, object);
    match request.form() {
        Form::Plain => answer::json(code, &object),
        Form::Metadata => answer::json(code, &metadata_only(&object)),
        Form::Table => {
            let now = context.registry.clock().now();
            answer::json(
                code,
                &table::table(&request.resource, &[&object], now, include(request), &Value::Null),
            )
        }
    }
}

pub(crate) fn include(request: &Request) -> table::Include {
    match request.query.get("includeObject") {
        Some("None") => table::Include::None,
        Some("Object") => table::Include::Object,
        _ => table::Include::Metadata,
    }
}

/// The object of a request, or a 404.
pub(crate) fn find(context: &Context, request: &Request) -> Result<Arc<Value>, Status> {
    let path = &request.path;
    context
        .registry
        .get(&request.resource.storage_name, &path.namespace, &path.name)
        .ok_or_else(|| Status::not_found(&request.resource, &path.name))
}

pub(crate) fn get(context: &Context, request: &Request) -> Result<Answer, Status> {
    let object = find(context, request)?;
    Ok(show(context, request, 200, &object))
}

pub(crate) fn list(context: &Context, request: &Request) -> Result<Answer, Status> {
    let filter = Filter::of(context, request)?;
    let limit = request.query.number("limit")?.unwrap_or(0).max(0);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let after = request.query.get("continue").map(continue_from).transpose()?;
    let namespace = (!filter.namespace.is_empty()).then_some(filter.namespace.as_str());
    let (objects, revision) = match (namespace, filter.fields.exact("/metadata/name")) {
        (Some(namespace), Some(name)) => {
            let revision = context.registry.revision();
            let found = context
                .registry
                .get(&request.resource.storage_name, namespace, name);
            (found.into_iter().collect(), revision)
        }
        _ => context.registry.list(&request.resource.storage_name, namespace),
    };
    let place = |object: &Value| {
        (
            herder_object::namespace(object).to_owned(),
            herder_object::name(object).to_owned(),
        )
    };
    let mut chosen: Vec<Arc<Value>> = objects
        .into_iter()
        .filter(|object| after.as_ref().is_none_or(|after| place(object) > *after))
        .filter(|object| filter.matches(object))
        .collect();
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if limit > 0 && chosen.len() > limit {
        let remaining = chosen.len() - limit;
        chosen.truncate(limit);
        if let (Some(last), Some(map)) = (chosen.last(), metadata.as_object_mut()) {
            let token = B64.encode(json!(place(last)).to_string());
            map.insert("continue".to_owned(), json!(token));
            map.insert("remainingItemCount".to_owned(), json!(remaining));
        }
    }
    let served: Vec<_> = chosen
        .iter()
        .map(|object| to_served(&request.resource, object))
        .collect();
    let items: Vec<&Value> = served.iter().map(|object| &**object).collect();
    Ok(match request.form() {
        Form::Table => {
            let now = context.registry.clock().now();
            answer::json(
                200,
                &table::table(&request.resource, &items, now, include(request), &metadata),
            )
        }
        Form::Metadata => answer::json(
            200,
            &json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": items.iter().map(|object| metadata_only(object)).collect::<Vec<_>>(),
            }),
        ),
        Form::Plain => answer::json(
            200,
            &json!({
                "kind": request.resource.list_kind, "apiVersion": request.resource.api_version(),
                "metadata": metadata, "items": items,
            }),
        ),
    })
}

fn continue_from(token: &str) -> Result<(String, String), Status> {
    let decoded = B64.decode(token).ok();
    decoded
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| Status::bad_request("continue key is not valid"))
}

/// An object's scale.
pub(crate) fn scale_of(resource: &Resource, object: &Value) -> Value {
    let (spec, status) = match &resource.scale {
        Some(paths) => (paths.spec.as_str(), paths.status.as_str()),
        None => ("", ""),
    };
    let number = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_else(|| json!(0));
    let selector = match resource
        .scale
        .as_ref()
        .and_then(|paths| paths.selector.as_deref())
    {
        Some(pointer) => object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        None => selector_text(object.pointer("/spec/selector").unwrap_or(&Value::Null)),
    };
    let meta = |field: &str| {
        object
            .pointer(&format!("/metadata/{field}"))
            .cloned()
            .unwrap_or_default()
    };
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"),
            "resourceVersion": meta("resourceVersion"), "creationTimestamp": meta("creationTimestamp"),
        },
        "spec": {"replicas": number(spec)},
        "status": {"replicas": number(status), "selector": selector},
    })
}

pub(crate) fn scale(context: &Context, request: &Request) -> Result<Answer, Status> {
    let object = find(context, request)?;
    Ok(answer::json(200, &scale_of(&request.resource, &object)))
}

/// A structured selector as text.
pub(crate) fn selector_text(selector: &Value) -> String {
    let labels = selector
        .get("matchLabels")
        .or(Some(selector))
        .and_then(Value::as_object);
    let mut parts: Vec<String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    for expression in expressions.into_iter().flatten() {
        let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
        let values: Vec<&str> = expression
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        parts.push(match expression.get("operator").and_then(Value::as_str) {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}
