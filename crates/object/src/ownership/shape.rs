//! What ownership needs to know about the place of a value: is it one value, a map, a keyed list or a set?

use crate::schema::{self, Field, ListType, Shape, Type};
use serde_json::Value;

/// The schema of a place in an object.
#[derive(Debug, Clone, Copy)]
pub enum Schema<'a> {
    /// A built-in type.
    Type(&'a Type),
    /// A value of this shape.
    Shape(&'a Shape),
    /// A field.
    Field(&'a Field),
    /// An OpenAPI v3 schema of a custom resource.
    Open(&'a Value),
    /// Nothing is known: maps are granular, lists are one value.
    Unknown,
}

/// How a value is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Division {
    /// Not.
    Whole,
    /// By fields.
    Map,
    /// By these keys of its items.
    Keyed(Vec<String>),
    /// By its items.
    Set,
}

impl<'a> Schema<'a> {
    fn shape(self) -> Option<&'a Shape> {
        match self {
            Schema::Shape(shape) => Some(shape),
            Schema::Field(field) => Some(&field.shape),
            _ => None,
        }
    }

    fn named(self) -> Option<&'a Type> {
        match (self, self.shape()) {
            (Schema::Type(of), _) => Some(of),
            (_, Some(Shape::Type(name))) => schema::named(name),
            _ => None,
        }
    }

    pub(crate) fn division(self, value: &Value) -> Division {
        match value {
            Value::Object(_) => {
                let atomic = match self {
                    Schema::Open(open) => {
                        open.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic")
                    }
                    Schema::Field(field) if field.atomic => true,
                    _ => self.named().is_some_and(|of| of.atomic) || matches!(self.shape(), Some(Shape::Any)),
                };
                if atomic { Division::Whole } else { Division::Map }
            }
            Value::Array(_) => match self {
                Schema::Field(field) => match &field.list {
                    ListType::Atomic => Division::Whole,
                    ListType::Set => Division::Set,
                    ListType::Map(keys) => Division::Keyed(keys.iter().map(|&key| key.to_owned()).collect()),
                },
                Schema::Open(open) => match open.get("x-kubernetes-list-type").and_then(Value::as_str) {
                    Some("set") => Division::Set,
                    Some("map") => {
                        let keys = open.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                        let keys = keys
                            .into_iter()
                            .flatten()
                            .filter_map(|key| key.as_str().map(str::to_owned));
                        Division::Keyed(keys.collect())
                    }
                    _ => Division::Whole,
                },
                _ => Division::Whole,
            },
            _ => Division::Whole,
        }
    }

    pub(crate) fn child(self, name: &str) -> Self {
        if let Schema::Open(open) = self {
            let found = open.pointer("/properties").and_then(|known| known.get(name));
            if name == "metadata" && found.is_none_or(|found| found.get("properties").is_none()) {
                return schema::named("apis.meta.v1.ObjectMeta").map_or(Schema::Unknown, Schema::Type);
            }
            return found
                .or_else(|| open.get("additionalProperties").filter(|more| more.is_object()))
                .map_or(Schema::Unknown, Schema::Open);
        }
        if let Some(of) = self.named() {
            return of.field(name).map_or(Schema::Unknown, Schema::Field);
        }
        match self.shape() {
            Some(Shape::Map(values)) => Schema::Shape(values),
            _ => Schema::Unknown,
        }
    }

    pub(crate) fn item(self) -> Self {
        match self {
            Schema::Open(open) => open.get("items").map_or(Schema::Unknown, Schema::Open),
            _ => match self.shape() {
                Some(Shape::List(item)) => Schema::Shape(item),
                _ => Schema::Unknown,
            },
        }
    }

    /// Whether `name` is a field of a type here, and not just a key of a map.
    pub(crate) fn has_field(self, name: &str) -> bool {
        match self {
            Schema::Open(open) => open
                .pointer("/properties")
                .is_some_and(|known| known.get(name).is_some()),
            _ => self.named().is_some_and(|of| of.field(name).is_some()),
        }
    }
}

/// How an item of a keyed list is named in a field set. Missing keys take the protocol's default, as Kubernetes does.
pub(crate) fn item_key(item: &Value, keys: &[String]) -> Option<String> {
    let mut parts = serde_json::Map::new();
    for key in keys {
        let value = match item.get(key) {
            Some(value) => value.clone(),
            None if key == "protocol" => Value::from("TCP"),
            None => continue,
        };
        parts.insert(key.clone(), value);
    }
    (!parts.is_empty()).then(|| format!("k:{}", Value::Object(parts)))
}
