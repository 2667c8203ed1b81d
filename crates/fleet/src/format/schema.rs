//! JSON Schemas from the tables, for editors.

use super::{Field, Kind, Type};
use serde_json::{Map, Value, json};

/// The JSON Schema (2020-12) of a kind: the plain form, and the enveloped one with apiVersion, kind, metadata, spec.
#[must_use]
pub fn json_schema(kind: &Kind) -> Value {
    let plain = object(kind.fields);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("https://herder.dev/schemas/{}.json", kind.name.to_ascii_lowercase()),
        "title": kind.name,
        "description": format!("{} ({})", kind.doc, kind.files),
        "type": "object",
        "if": { "required": ["apiVersion"] },
        "then": {
            "properties": {
                "apiVersion": { "const": "herder.dev/v1" },
                "kind": { "const": kind.name },
                "metadata": {
                    "type": "object",
                    "properties": {
                        "name": { "type": "string" },
                        "labels": { "type": "object" },
                        "annotations": { "type": "object" },
                    },
                    "additionalProperties": false,
                },
                "spec": plain,
            },
            "required": ["apiVersion", "kind"],
            "additionalProperties": false,
        },
        "else": plain,
    })
}

fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let mut schema = value(&field.is);
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), json!(field.doc));
        }
        properties.insert(field.name.to_owned(), schema);
        if field.required {
            required.push(json!(field.name));
        }
    }
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Some(schema), false) = (schema.as_object_mut(), required.is_empty()) {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    schema
}

fn value(is: &Type) -> Value {
    match is {
        Type::Text => json!({ "type": "string" }),
        Type::Name => {
            json!({ "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 63 })
        }
        Type::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Type::Bool => json!({ "type": "boolean" }),
        Type::Integer(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Type::Duration => {
            json!({ "type": ["string", "integer"], "pattern": "^([0-9.]+(ns|us|µs|ms|s|m|h|d))+$|^[0-9]+$" })
        }
        Type::Word(words) => json!({ "enum": words }),
        Type::List(element) => json!({ "type": "array", "items": value(element) }),
        Type::Map(element) => json!({ "type": "object", "additionalProperties": value(element) }),
        Type::Object(fields) => object(fields),
        Type::Either(types) => json!({ "anyOf": types.iter().map(value).collect::<Vec<_>>() }),
    }
}
