//! Table answers: the columns kubectl shows, per kind.

mod cells;
mod columns;
mod rows;

use crate::registry::Resource;
use jiff::Timestamp;
use serde_json::{Value, json};

/// How much of each object goes into its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

/// A column: name, type, and whether it is shown only by `-o wide`.
pub(crate) type Column = (String, &'static str, bool);

/// The table of some objects of one kind.
pub(crate) fn table(
    resource: &Resource,
    objects: &[&Value],
    now: Timestamp,
    include: Include,
    list_meta: &Value,
) -> Value {
    let columns = columns::of(resource);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, kind, wide)| {
            let format = if name == "Name" { "name" } else { "" };
            json!({"name": name, "type": kind, "format": format, "description": "", "priority": i32::from(*wide)})
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": cells::of(resource, object, now)});
            if let Some(map) = row.as_object_mut() {
                match include {
                    Include::None => {}
                    Include::Metadata => {
                        map.insert("object".to_owned(), super::read::metadata_only(object));
                    }
                    Include::Object => {
                        map.insert("object".to_owned(), (*object).clone());
                    }
                }
            }
            row
        })
        .collect();
    let metadata = if list_meta.is_object() {
        list_meta.clone()
    } else {
        let version = objects
            .first()
            .and_then(|object| object.pointer("/metadata/resourceVersion"));
        json!({"resourceVersion": version})
    };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}
