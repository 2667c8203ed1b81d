//! Field validation: unknown fields and wrong types, found with the schema table or a custom resource's schema.

use super::request::Request;
use super::write::type_of;
use crate::registry::Status;
use herder_object::schema::{self, Shape, Type};
use serde_json::Value;

#[derive(Default)]
struct Findings {
    unknown: Vec<String>,
    wrong: Option<String>,
}

/// Drops unknown fields from an object of the request's kind. The answer is the warnings for the client.
///
/// # Errors
/// Wrong types; unknown fields too, if the client asked for strictness.
pub(crate) fn check(request: &Request, object: &mut Value) -> Result<Vec<String>, Status> {
    let resource = &request.resource;
    let mut found = Findings::default();
    if let Some(custom) = &resource.custom {
        if let Some(map) = object.as_object_mut() {
            let known = custom.schema.get("properties").and_then(Value::as_object);
            let open = custom
                .schema
                .get("x-kubernetes-preserve-unknown-fields")
                .and_then(Value::as_bool)
                == Some(true);
            map.retain(|key, value| {
                if matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    return true;
                }
                match known.and_then(|known| known.get(key)) {
                    Some(schema) => open_value(value, schema, key, &mut found),
                    None if open || known.is_none() => {}
                    None => {
                        found.unknown.push(key.clone());
                        return false;
                    }
                }
                true
            });
            if let (Some(meta), Some(of)) =
                (map.get_mut("metadata"), schema::named("apis.meta.v1.ObjectMeta"))
            {
                structure(meta, of, "metadata", &mut found);
            }
        }
    } else if let Some(of) = type_of(resource) {
        structure(object, of, "", &mut found);
    }
    let handled = format!(
        "{} in version \"{}\" cannot be handled as a {}",
        resource.kind, resource.version, resource.kind
    );
    if let Some(wrong) = found.wrong {
        return Err(Status::bad_request(format!("{handled}: {wrong}")));
    }
    if found.unknown.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = found
        .unknown
        .iter()
        .map(|path| format!("unknown field \"{path}\""))
        .collect();
    match request.query.get("fieldValidation").unwrap_or("Warn") {
        "Strict" => Err(Status::bad_request(format!(
            "{handled}: strict decoding error: {}",
            list.join(", ")
        ))),
        "Ignore" => Ok(Vec::new()),
        "Warn" => Ok(list),
        other => Err(Status::bad_request(format!(
            "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
        ))),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong(found: &mut Findings, value: &Value, path: &str, expected: &str) {
    if found.wrong.is_none() {
        found.wrong = Some(format!(
            "json: cannot unmarshal {} into Go struct field .{path} of type {expected}",
            kind_of(value)
        ));
    }
}

fn structure(value: &mut Value, of: &Type, path: &str, found: &mut Findings) {
    let Some(map) = value.as_object_mut() else {
        if !value.is_null() {
            wrong(found, value, path, of.name.rsplit('.').next().unwrap_or(of.name));
        }
        return;
    };
    map.retain(|key, value| {
        let place = join(path, key);
        match of.field(key) {
            Some(field) => {
                shape(value, &field.shape, &place, found);
                true
            }
            None => {
                found.unknown.push(place);
                false
            }
        }
    });
}

fn shape(value: &mut Value, shape_of: &Shape, path: &str, found: &mut Findings) {
    if value.is_null() {
        return;
    }
    let (fits, expected) = match shape_of {
        Shape::Any => (true, ""),
        Shape::Text | Shape::Time | Shape::MicroTime | Shape::Bytes => (value.is_string(), "string"),
        Shape::Int32 => (
            value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            "int32",
        ),
        Shape::Int64 => (value.is_i64() || value.is_u64(), "int64"),
        Shape::Float => (value.is_number(), "float64"),
        Shape::Bool => (value.is_boolean(), "bool"),
        Shape::Quantity => (value.is_string() || value.is_number(), "resource.Quantity"),
        Shape::IntOrString => (value.is_string() || value.is_i64(), "intstr.IntOrString"),
        Shape::Type(name) => {
            if let Some(of) = schema::named(name) {
                structure(value, of, path, found);
            }
            (true, "")
        }
        Shape::List(item) => match value {
            Value::Array(items) => {
                for (index, value) in items.iter_mut().enumerate() {
                    shape(value, item, &format!("{path}[{index}]"), found);
                }
                (true, "")
            }
            _ => (false, "[]"),
        },
        Shape::Map(item) => match value {
            Value::Object(map) => {
                for (key, value) in map {
                    shape(value, item, &join(path, key), found);
                }
                (true, "")
            }
            _ => (false, "map[string]string"),
        },
    };
    if !fits {
        wrong(found, value, path, expected);
    }
}

fn open_value(value: &mut Value, schema: &Value, path: &str, found: &mut Findings) {
    let is = |key: &str| schema.get(key).and_then(Value::as_bool) == Some(true);
    if is("x-kubernetes-embedded-resource") || (value.is_null() && is("nullable")) {
        return;
    }
    let expected = schema.get("type").and_then(Value::as_str);
    let fits = match expected {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !fits && !value.is_null() && !is("x-kubernetes-int-or-string") {
        wrong(found, value, path, expected.unwrap_or("object"));
        return;
    }
    match value {
        Value::Object(map) => {
            let known = schema.get("properties").and_then(Value::as_object);
            let more = schema.get("additionalProperties").filter(|more| more.is_object());
            let open = is("x-kubernetes-preserve-unknown-fields")
                || schema.get("additionalProperties") == Some(&Value::Bool(true))
                || (known.is_none() && more.is_none() && expected.is_none());
            map.retain(|key, value| {
                let place = join(path, key);
                match known.and_then(|known| known.get(key)).or(more) {
                    Some(schema) => open_value(value, schema, &place, found),
                    None if open => {}
                    None => {
                        found.unknown.push(place);
                        return false;
                    }
                }
                true
            });
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, value) in items.iter_mut().enumerate() {
                    open_value(value, schema, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}
