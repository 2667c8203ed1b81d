//! Field validation: which fields of an object its kind does not have, and which values are of the wrong type. Pure; the
//! one place that walks an object along a schema, be it Kubernetes' own ([`schema`]) or a custom resource's.

use crate::schema::{self, Shape, Type};
use serde_json::Value;

/// What does not fit the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Fields that the kind does not have, in the order they are in.
    pub unknown: Vec<Unknown>,
    /// The first value of the wrong type.
    pub wrong: Option<Wrong>,
}

/// A field that the kind does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// Where, as Kubernetes writes it: `spec.containers[0].imag`.
    pub path: String,
    /// What may stand there.
    pub known: Vec<String>,
}

/// A value of the wrong type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// Where, as Kubernetes writes it.
    pub path: String,
    /// What it is: `string`, `number` …
    pub found: &'static str,
    /// What it should be, in Go's words.
    pub expected: String,
}

/// The way from the root to a value.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Key(above, key) => {
                format!(
                    "{}/{}",
                    above.pointer(),
                    key.replace('~', "~0").replace('/', "~1")
                )
            }
            Self::Index(above, index) => format!("{}/{index}", above.pointer()),
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Key(Place::Root, key) => (*key).to_owned(),
            Self::Key(above, key) => format!("{}.{key}", above.path()),
            Self::Index(above, index) => format!("{}[{index}]", above.path()),
        }
    }
}

/// Holds an object of one of Kubernetes' own kinds to its type.
#[must_use]
pub fn typed(object: &Value, of: &Type) -> Faults {
    let mut faults = Faults::default();
    structure(object, of, &Place::Root, &mut faults);
    faults
}

/// Holds a custom resource to the `openAPIV3Schema` of its definition.
#[must_use]
pub fn custom(object: &Value, schema: &Value) -> Faults {
    let mut faults = Faults::default();
    let Some(map) = object.as_object() else {
        return faults;
    };
    let known = schema.get("properties").and_then(Value::as_object);
    let open = is(schema, "x-kubernetes-preserve-unknown-fields");
    for (key, value) in map {
        let place = Place::Key(&Place::Root, key);
        if key == "metadata" {
            if let Some(of) = schema::named("apis.meta.v1.ObjectMeta") {
                structure(value, of, &place, &mut faults);
            }
        } else if matches!(key.as_str(), "apiVersion" | "kind") {
            continue;
        } else if let Some(known) = known {
            match known.get(key) {
                Some(schema) => open_value(value, schema, &place, &mut faults),
                None if open => {}
                None => unknown(&place, known.keys().cloned(), &mut faults),
            }
        }
    }
    faults
}

/// Takes the unknown fields out of the object that they were found in.
pub fn drop_unknown(object: &mut Value, faults: &Faults) {
    for unknown in &faults.unknown {
        let Some((parent, key)) = unknown.pointer.rsplit_once('/') else {
            continue;
        };
        if let Some(map) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
            map.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
    }
}

fn is(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool) == Some(true)
}

fn unknown(place: &Place<'_>, known: impl Iterator<Item = String>, faults: &mut Faults) {
    faults.unknown.push(Unknown {
        pointer: place.pointer(),
        path: place.path(),
        known: known.collect(),
    });
}

fn wrong(value: &Value, place: &Place<'_>, expected: &str, faults: &mut Faults) {
    if faults.wrong.is_none() {
        faults.wrong = Some(Wrong {
            pointer: place.pointer(),
            path: place.path(),
            found: match value {
                Value::Null => "null",
                Value::Bool(_) => "bool",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            },
            expected: expected.to_owned(),
        });
    }
}

fn structure(value: &Value, of: &Type, place: &Place<'_>, faults: &mut Faults) {
    let Some(map) = value.as_object() else {
        if !value.is_null() {
            wrong(
                value,
                place,
                of.name.rsplit('.').next().unwrap_or(of.name),
                faults,
            );
        }
        return;
    };
    for (key, value) in map {
        let place = Place::Key(place, key);
        match of.field(key) {
            Some(field) => shape(value, &field.shape, &place, faults),
            None => unknown(
                &place,
                of.fields.iter().map(|field| field.name.to_owned()),
                faults,
            ),
        }
    }
}

fn shape(value: &Value, of: &Shape, place: &Place<'_>, faults: &mut Faults) {
    if value.is_null() {
        return;
    }
    let (fits, expected) = match of {
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
                structure(value, of, place, faults);
            }
            (true, "")
        }
        Shape::List(item) => match value {
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    shape(value, item, &Place::Index(place, index), faults);
                }
                (true, "")
            }
            _ => (false, "[]"),
        },
        Shape::Map(item) => match value {
            Value::Object(map) => {
                for (key, value) in map {
                    shape(value, item, &Place::Key(place, key), faults);
                }
                (true, "")
            }
            _ => (false, "map[string]string"),
        },
    };
    if !fits {
        wrong(value, place, expected, faults);
    }
}

fn open_value(value: &Value, schema: &Value, place: &Place<'_>, faults: &mut Faults) {
    if is(schema, "x-kubernetes-embedded-resource") || value.is_null() && is(schema, "nullable") {
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
    if !fits && !value.is_null() && !is(schema, "x-kubernetes-int-or-string") {
        wrong(value, place, expected.unwrap_or("object"), faults);
        return;
    }
    match value {
        Value::Object(map) => {
            let known = schema.get("properties").and_then(Value::as_object);
            let more = schema.get("additionalProperties").filter(|more| more.is_object());
            let open = is(schema, "x-kubernetes-preserve-unknown-fields")
                || schema.get("additionalProperties") == Some(&Value::Bool(true))
                || (known.is_none() && more.is_none() && expected.is_none());
            for (key, value) in map {
                let place = Place::Key(place, key);
                match known.and_then(|known| known.get(key)).or(more) {
                    Some(schema) => open_value(value, schema, &place, faults),
                    None if open => {}
                    None => unknown(
                        &place,
                        known.into_iter().flat_map(|known| known.keys().cloned()),
                        faults,
                    ),
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, value) in items.iter().enumerate() {
                    open_value(value, schema, &Place::Index(place, index), faults);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_have_a_place_and_their_neighbours() {
        let mut deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "lables": {}},
            "spec": {"replica": 1, "template": {"spec": {"containers": [{"name": "c", "imag": "x", "env": [{"name": "A", "value": "1"}]}]}}}});
        let of = schema::of("apps/v1", "Deployment").unwrap();
        let faults = typed(&deployment, of);
        let paths: Vec<&str> = faults
            .unknown
            .iter()
            .map(|unknown| unknown.path.as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "metadata.lables",
                "spec.replica",
                "spec.template.spec.containers[0].imag"
            ]
        );
        assert!(faults.unknown[1].known.contains(&"replicas".to_owned()));
        assert_eq!(faults.wrong, None);
        drop_unknown(&mut deployment, &faults);
        assert_eq!(typed(&deployment, of), Faults::default());

        deployment["spec"]["replicas"] = json!("3");
        let wrong = typed(&deployment, of).wrong.unwrap();
        assert_eq!(
            (wrong.path.as_str(), wrong.found, wrong.expected.as_str()),
            ("spec.replicas", "string", "int32")
        );
    }

    #[test]
    fn custom_resources_are_held_to_their_definition() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer"}, "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a/b": {"type": "string"}}}}}}}});
        let object = json!({"apiVersion": "e/v1", "kind": "T", "metadata": {"name": "x"},
            "spec": {"sise": 1, "any": {"x": 1}, "list": [{"a/b": "c", "a/c": 1}]}});
        let faults = custom(&object, &schema);
        let pointers: Vec<&str> = faults
            .unknown
            .iter()
            .map(|unknown| unknown.pointer.as_str())
            .collect();
        assert_eq!(pointers, ["/spec/list/0/a~1c", "/spec/sise"]);
        let mut object = object;
        drop_unknown(&mut object, &faults);
        assert_eq!(object["spec"], json!({"any": {"x": 1}, "list": [{"a/b": "c"}]}));
    }
}
