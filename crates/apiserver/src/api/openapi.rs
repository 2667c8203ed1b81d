//! OpenAPI v3, generated from the schema table: enough for kubectl to apply, validate and explain.

use crate::registry::{Catalog, Resource};
use herder_object::schema::{self, Field, ListType, Shape, Type};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The index of documents, one for each group and version.
pub(crate) fn index(catalog: &Catalog) -> Value {
    let mut paths = Map::new();
    for resource in catalog.resources() {
        let path = path_of(resource);
        // The hash lets clients cache; the text of the kinds is all that can change.
        let hash = hash(catalog, &path);
        paths.insert(
            path.clone(),
            json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
        );
    }
    json!({"paths": paths})
}

fn hash(catalog: &Catalog, path: &str) -> String {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    for resource in catalog
        .resources()
        .iter()
        .filter(|resource| path_of(resource) == path)
    {
        hasher.update(&resource.kind);
        if let Some(custom) = &resource.custom {
            hasher.update(custom.schema.to_string());
        }
    }
    hex::encode(hasher.finalize()).to_uppercase()
}

fn path_of(resource: &Resource) -> String {
    if resource.group.is_empty() {
        format!("api/{}", resource.version)
    } else {
        format!("apis/{}/{}", resource.group, resource.version)
    }
}

/// `/openapi/v2` carries no definitions: kubectl reads v3 where it is served.
pub(crate) fn v2() -> Value {
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.33.0"}, "paths": {}, "definitions": {}})
}

/// The same as protobuf: kubectl asks for it when it meets a kind that v3 does not have, such as `List`. Field 1 is
/// the swagger version; a document without definitions says nothing against any object.
pub(crate) const V2_PROTOBUF: &[u8] = b"\x0a\x032.0";
/// Its media type as servers spell it: clients ask with an `@` that no parser of media types takes.
pub(crate) const V2_MEDIA: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

fn full(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("apis.meta.") {
        return format!("io.k8s.apimachinery.pkg.apis.meta.{rest}");
    }
    if name.starts_with("runtime.") || name.starts_with("api.resource.Q") {
        return format!("io.k8s.apimachinery.pkg.{name}");
    }
    format!("io.k8s.{name}")
}

fn shape_schema(shape: &Shape, needed: &mut BTreeSet<&'static str>) -> Value {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Int32 => json!({"type": "integer", "format": "int32"}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Float => json!({"type": "number", "format": "double"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Shape::Time | Shape::MicroTime => json!({"type": "string", "format": "date-time"}),
        Shape::IntOrString => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::Any => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        Shape::Type(name) => {
            needed.insert(name);
            json!({"allOf": [{"$ref": format!("#/components/schemas/{}", full(name))}]})
        }
        Shape::List(item) => json!({"type": "array", "items": shape_schema(item, needed)}),
        Shape::Map(item) => json!({"type": "object", "additionalProperties": shape_schema(item, needed)}),
    }
}

fn field_schema(field: &Field, needed: &mut BTreeSet<&'static str>) -> Value {
    let mut value = shape_schema(&field.shape, needed);
    let Some(map) = value.as_object_mut() else {
        return value;
    };
    if matches!(field.shape, Shape::List(_)) {
        let (kind, keys) = match &field.list {
            ListType::Atomic => ("atomic", None),
            ListType::Set => ("set", None),
            ListType::Map(keys) => ("map", Some(keys)),
        };
        map.insert("x-kubernetes-list-type".to_owned(), json!(kind));
        if let Some(keys) = keys {
            map.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
        }
    }
    if let Some(key) = field.patch_key {
        let strategy = if field.retain_keys {
            "merge,retainKeys"
        } else {
            "merge"
        };
        map.insert("x-kubernetes-patch-strategy".to_owned(), json!(strategy));
        if !key.is_empty() {
            map.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
        }
    } else if field.retain_keys {
        map.insert("x-kubernetes-patch-strategy".to_owned(), json!("retainKeys"));
    }
    value
}

fn type_schema(of: &Type, needed: &mut BTreeSet<&'static str>) -> Value {
    let properties: Map<String, Value> = of
        .fields
        .iter()
        .map(|field| (field.name.to_owned(), field_schema(field, needed)))
        .collect();
    let required: Vec<&str> = of
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name)
        .collect();
    let mut value = json!({"type": "object", "properties": properties});
    if let Some(map) = value.as_object_mut() {
        if !required.is_empty() {
            map.insert("required".to_owned(), json!(required));
        }
        if of.atomic {
            map.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
    }
    value
}

fn gvk(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

fn schema_name(resource: &Resource) -> String {
    if resource.custom.is_none()
        && let Some(of) = schema::of(&resource.api_version(), &resource.kind)
    {
        return full(of.name);
    }
    let mut parts: Vec<&str> = resource.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), resource.version, resource.kind)
}

/// The operations of a path: what kubectl looks for is PATCH with `fieldValidation` and the kind.
fn operations(resource: &Resource, named: bool) -> Value {
    let reference = json!({"$ref": format!("#/components/schemas/{}", schema_name(resource))});
    let content = json!({"application/json": {"schema": reference}});
    let answers = json!({"200": {"description": "OK", "content": content}});
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let writing = json!([
        parameter("dryRun"),
        parameter("fieldManager"),
        parameter("fieldValidation")
    ]);
    let operation = |action: &str, parameters: &Value| {
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(resource),
            "parameters": parameters, "responses": answers,
        })
    };
    let none = json!([]);
    if !named {
        let mut post = operation("post", &writing);
        if let Some(map) = post.as_object_mut() {
            map.insert(
                "requestBody".to_owned(),
                json!({"content": {"*/*": {"schema": reference}}}),
            );
        }
        return json!({"get": operation("list", &none), "post": post});
    }
    let mut patch = operation("patch", &writing);
    if let Some(map) = patch.as_object_mut() {
        let body = json!({"schema": {"type": "object"}});
        let mut content = json!({
            "application/apply-patch+yaml": body, "application/json-patch+json": body,
            "application/merge-patch+json": body,
        });
        // kubectl takes its choice of patch from here.
        if let (None, Some(content)) = (&resource.custom, content.as_object_mut()) {
            content.insert("application/strategic-merge-patch+json".to_owned(), body);
        }
        map.insert("requestBody".to_owned(), json!({"content": content}));
    }
    json!({
        "get": operation("get", &none), "put": operation("put", &writing), "patch": patch,
        "delete": operation("delete", &none),
    })
}

/// The document of a group and version (`api/v1`, `apis/apps/v1`).
pub(crate) fn document(catalog: &Catalog, path: &str) -> Option<Value> {
    let resources: Vec<_> = catalog
        .resources()
        .iter()
        .filter(|resource| path_of(resource) == path)
        .collect();
    if resources.is_empty() {
        return None;
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    let mut needed: BTreeSet<&'static str> = BTreeSet::new();
    for resource in resources {
        let place = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let base = format!("/{path}{place}/{}", resource.plural);
        paths.insert(base.clone(), operations(resource, false));
        if !resource.answered {
            paths.insert(format!("{base}/{{name}}"), operations(resource, true));
        }
        let of = schema::of(&resource.api_version(), &resource.kind).filter(|_| resource.custom.is_none());
        let mut value = match (&resource.custom, of) {
            (Some(custom), _) if custom.schema.is_object() => custom_schema(&custom.schema, &mut needed),
            (_, Some(of)) => type_schema(of, &mut needed),
            _ => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        };
        if let Some(map) = value.as_object_mut() {
            map.insert(
                "x-kubernetes-group-version-kind".to_owned(),
                json!([gvk(resource)]),
            );
        }
        schemas.insert(schema_name(resource), value);
    }
    let mut done = BTreeSet::new();
    while let Some(name) = needed.pop_first() {
        if !done.insert(name) {
            continue;
        }
        if let Some(of) = schema::named(name) {
            let mut more = BTreeSet::new();
            let value = type_schema(of, &mut more);
            schemas.entry(full(name)).or_insert(value);
            needed.extend(more.into_iter().filter(|name| !done.contains(name)));
        }
    }
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

fn custom_schema(schema: &Value, needed: &mut BTreeSet<&'static str>) -> Value {
    let mut value = schema.clone();
    if let Some(properties) = value.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
        let meta = shape_schema(&Shape::Type("apis.meta.v1.ObjectMeta"), needed);
        properties.insert("metadata".to_owned(), meta);
    }
    value
}
