//! Reading and writing `metadata.managedFields`, and recording plain writes.

use super::set::{FieldSet, difference};
use super::shape::Schema;
use serde_json::{Value, json};

/// How a manager came to own its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Anything else.
    Update,
}

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// How.
    pub operation: Operation,
    /// The version its fields are named in.
    pub api_version: String,
    /// The subresource it wrote, or empty.
    pub subresource: String,
    /// When it last changed something.
    pub time: String,
    /// What it owns.
    pub fields: FieldSet,
}

impl Manager {
    pub(crate) fn is(&self, name: &str, operation: Operation, subresource: &str) -> bool {
        self.name == name && self.operation == operation && self.subresource == subresource
    }
}

/// The entries of an object.
#[must_use]
pub fn read(object: &Value) -> Vec<Manager> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let text = |entry: &Value, key: &str| {
        entry
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    entries
        .into_iter()
        .flatten()
        .map(|entry| Manager {
            name: text(entry, "manager"),
            operation: if text(entry, "operation") == "Apply" {
                Operation::Apply
            } else {
                Operation::Update
            },
            api_version: text(entry, "apiVersion"),
            subresource: text(entry, "subresource"),
            time: text(entry, "time"),
            fields: entry
                .get("fieldsV1")
                .map(FieldSet::from_value)
                .unwrap_or_default(),
        })
        .collect()
}

/// Puts entries into an object, leaving out those that own nothing.
pub fn write(object: &mut Value, managers: &[Manager]) {
    let entries: Vec<Value> = managers
        .iter()
        .filter(|manager| !manager.fields.is_empty())
        .map(|manager| {
            let mut entry = json!({
                "manager": manager.name,
                "operation": if manager.operation == Operation::Apply { "Apply" } else { "Update" },
                "apiVersion": manager.api_version,
                "time": manager.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": manager.fields.to_value(),
            });
            if !manager.subresource.is_empty()
                && let Some(entry) = entry.as_object_mut()
            {
                entry.insert("subresource".to_owned(), json!(manager.subresource));
            }
            entry
        })
        .collect();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }
}

/// Takes out of a set what nobody manages: identity and what the server stamps.
pub(crate) fn strip(fields: &mut FieldSet) {
    for key in ["f:apiVersion", "f:kind"] {
        fields.children.remove(key);
    }
    if let Some(metadata) = fields.children.get_mut("f:metadata") {
        metadata.member = false;
        for key in [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            metadata.children.remove(&format!("f:{key}"));
        }
        if metadata.is_empty() {
            fields.children.remove("f:metadata");
        }
    }
}

/// Records that `manager` wrote `object` over `old` by other means than apply: it comes to own what it added or
/// modified, and everybody loses what it modified or removed.
pub fn record(
    old: Option<&Value>,
    object: &mut Value,
    schema: Schema<'_>,
    manager: &str,
    subresource: &str,
    time: &str,
) {
    let mut managers = read(object);
    let (mut changed, mut removed) = difference(old, Some(object), schema);
    strip(&mut changed);
    strip(&mut removed);
    if changed.is_empty() && removed.is_empty() {
        return;
    }
    for other in &mut managers {
        other.fields.remove(&removed);
        if !other.is(manager, Operation::Update, subresource) {
            other.fields.remove(&changed);
        }
    }
    if !changed.is_empty() {
        let api_version = crate::api_version(object).to_owned();
        if let Some(own) = managers.iter_mut().find(|other| {
            other.is(manager, Operation::Update, subresource) && other.api_version == api_version
        }) {
            own.fields.add(&changed);
            time.clone_into(&mut own.time);
        } else {
            managers.push(Manager {
                name: manager.to_owned(),
                operation: Operation::Update,
                api_version,
                subresource: subresource.to_owned(),
                time: time.to_owned(),
                fields: changed,
            });
        }
    }
    write(object, &managers);
}
