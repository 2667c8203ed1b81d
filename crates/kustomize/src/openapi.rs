//! Schemas that a kustomization brings (`openapi: {path: …}`): what of them strategic merges need.

use crate::error::Result;
use crate::kustomization::decode;
use crate::schema::{Field, Schema, TypeId};
use serde_json::Value;
use std::collections::HashMap;

/// Adds the definitions of an OpenAPI document to a schema. Where both have a definition, `override_builtin` says
/// whether the document's is taken.
pub(crate) fn extend(mut schema: Schema, text: &str, override_builtin: bool) -> Result<Schema> {
    let root = decode::json(&decode::read(text)?)?;
    let Some(definitions) = root.get("definitions").and_then(Value::as_object) else {
        return Ok(schema);
    };
    let mut names: HashMap<&str, TypeId> = HashMap::new();
    for name in definitions.keys() {
        let builtin = schema.named(name).filter(|_| !override_builtin);
        let id = builtin.unwrap_or_else(|| schema.add());
        names.insert(name, id);
    }
    for (name, definition) in definitions {
        let Some(id) = names.get(name.as_str()).copied() else {
            continue;
        };
        fill(&mut schema, id, definition, &names, definitions);
        let kinds = definition
            .get("x-kubernetes-group-version-kind")
            .and_then(Value::as_array);
        for (api_version, kind) in kinds.into_iter().flatten().filter_map(api_version_kind) {
            schema.set_kind(&api_version, &kind, id);
        }
    }
    for (path, item) in root.get("paths").and_then(Value::as_object).into_iter().flatten() {
        let kind = item
            .pointer("/get/x-kubernetes-group-version-kind")
            .and_then(api_version_kind);
        let Some((api_version, kind)) = kind else { continue };
        let namespaced = path.contains("namespaces/{namespace}");
        if namespaced || schema.namespaced(&api_version, &kind).is_none() {
            schema.set_namespaced(&api_version, &kind, namespaced);
        }
    }
    Ok(schema)
}

fn api_version_kind(value: &Value) -> Option<(String, String)> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let (version, kind) = (text("version")?, text("kind")?);
    let api_version = match text("group") {
        Some(group) if !group.is_empty() => format!("{group}/{version}"),
        _ => version.to_owned(),
    };
    Some((api_version, kind.to_owned()))
}

type Definitions = serde_json::Map<String, Value>;

fn fill(
    schema: &mut Schema,
    id: TypeId,
    definition: &Value,
    names: &HashMap<&str, TypeId>,
    all: &Definitions,
) {
    let properties = definition.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let field = field(schema, property, names, all, 0);
        if let Some(found) = schema.get_mut(id) {
            found.fields.insert(name.clone(), field);
        }
    }
    if let Some(others) = definition
        .get("additionalProperties")
        .filter(|others| others.is_object())
    {
        let field = field(schema, others, names, all, 0);
        if let Some(found) = schema.get_mut(id) {
            found.others = Some(Box::new(field));
        }
    }
}

fn reference(property: &Value) -> Option<&str> {
    property.get("$ref")?.as_str()?.strip_prefix("#/definitions/")
}

/// A field; what a reference refers to takes the place of everything beside it.
fn field(
    schema: &mut Schema,
    property: &Value,
    names: &HashMap<&str, TypeId>,
    all: &Definitions,
    depth: usize,
) -> Field {
    if depth > 20 {
        return Field::default();
    }
    if let Some(name) = reference(property) {
        let target = all.get(name);
        let mut found = match target {
            Some(target) if reference(target).is_some() => {
                return field(schema, target, names, all, depth + 1);
            }
            Some(target) => list_field(schema, target, names, all, depth).unwrap_or_default(),
            None => Field::default(),
        };
        if found.below.is_none() {
            found.below = names.get(name).copied().or_else(|| schema.named(name));
        }
        return found;
    }
    if let Some(found) = list_field(schema, property, names, all, depth) {
        return found;
    }
    let has_fields = property.get("properties").is_some() || property.get("additionalProperties").is_some();
    if !has_fields {
        return Field::default();
    }
    let id = schema.add();
    fill(schema, id, property, names, all);
    Field {
        keys: None,
        below: Some(id),
    }
}

fn list_field(
    schema: &mut Schema,
    property: &Value,
    names: &HashMap<&str, TypeId>,
    all: &Definitions,
    depth: usize,
) -> Option<Field> {
    let is_array = match property.get("type")? {
        Value::String(kind) => kind == "array",
        Value::Array(kinds) => kinds.len() == 1 && kinds.first().is_some_and(|kind| kind == "array"),
        _ => false,
    };
    if !is_array {
        return None;
    }
    let strategy = property
        .get("x-kubernetes-patch-strategy")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let keys = strategy.split(',').any(|word| word == "merge").then(|| {
        let several = property
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array);
        let one = property
            .get("x-kubernetes-patch-merge-key")
            .and_then(Value::as_str);
        match (several, one) {
            (Some(keys), _) => keys.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            (None, Some(key)) => vec![key.to_owned()],
            (None, None) => Vec::new(),
        }
    });
    let below = property
        .get("items")
        .and_then(|items| field(schema, items, names, all, depth + 1).below);
    Some(Field { keys, below })
}
