//! A secret's metadata: settings of its own, custom metadata, removing it whole.

use super::entry::{self, Entry, data_key};
use crate::core::context::Cx;
use crate::core::fields::{Fields, go_duration};
use crate::core::request::{Request, Response};
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const MOST_KEYS: usize = 64;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 512;

pub(crate) fn read(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let entry = entry::load(cx, name)?.ok_or(Error::NotFound)?;
    let versions: Map<String, Value> = entry
        .versions
        .iter()
        .map(|(number, version)| {
            let shown = json!({
                "created_time": version.created.to_string(),
                "deletion_time": version.deleted.map(|at| at.to_string()).unwrap_or_default(),
                "destroyed": version.destroyed,
            });
            (number.to_string(), shown)
        })
        .collect();
    Ok(Response::data(json!({
        "cas_required": entry.cas_required,
        "created_time": entry.created.to_string(),
        "current_version": entry.current,
        "custom_metadata": entry.custom,
        "delete_version_after": go_duration(entry.delete_version_after),
        "max_versions": entry.max_versions,
        "oldest_version": entry.oldest,
        "updated_time": entry.updated.to_string(),
        "versions": versions,
    })))
}

fn settings(entry: &mut Entry, data: &Map<String, Value>) -> Result<()> {
    if let Some(most) = data.int("max_versions")? {
        entry.max_versions = most.max(0);
    }
    if let Some(flag) = data.flag("cas_required")? {
        entry.cas_required = flag;
    }
    if let Some(seconds) = data.seconds("delete_version_after")? {
        entry.delete_version_after = seconds;
    }
    Ok(())
}

fn check(custom: &BTreeMap<String, String>) -> Result<()> {
    if custom.len() > MOST_KEYS {
        return Err(Error::invalid(format!(
            "custom_metadata: at most {MOST_KEYS} keys"
        )));
    }
    for (key, value) in custom {
        if key.is_empty() || key.len() > LONGEST_KEY || value.is_empty() || value.len() > LONGEST_VALUE {
            return Err(Error::invalid(format!(
                "custom_metadata: keys have 1 to {LONGEST_KEY} bytes and values 1 to {LONGEST_VALUE}"
            )));
        }
    }
    Ok(())
}

pub(crate) fn write(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let mut entry = entry::load(cx, name)?.unwrap_or_else(|| Entry::new(cx.now));
    settings(&mut entry, &request.data)?;
    match request.data.get("custom_metadata") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            let custom = map
                .iter()
                .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect::<Option<BTreeMap<_, _>>>()
                .ok_or_else(|| Error::invalid("custom_metadata: values must be texts"))?;
            check(&custom)?;
            entry.custom = Some(custom);
        }
        Some(_) => return Err(Error::invalid("custom_metadata: write an object of texts")),
    }
    entry.updated = cx.now;
    entry::save(cx, name, &entry)?;
    Ok(Response::empty())
}

pub(crate) fn patch(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let mut entry = entry::load(cx, name)?.ok_or(Error::NotFound)?;
    // In a merge patch null means "back to the default".
    for (key, value) in &request.data {
        if value.is_null() {
            match key.as_str() {
                "max_versions" => entry.max_versions = 0,
                "cas_required" => entry.cas_required = false,
                "delete_version_after" => entry.delete_version_after = 0,
                "custom_metadata" => entry.custom = None,
                _ => {}
            }
        }
    }
    settings(&mut entry, &request.data)?;
    if let Some(changes) = request.data.object("custom_metadata") {
        let custom = entry.custom.get_or_insert_default();
        for (key, value) in changes {
            match value {
                Value::Null => {
                    custom.remove(key);
                }
                Value::String(text) => {
                    custom.insert(key.clone(), text.clone());
                }
                _ => return Err(Error::invalid("custom_metadata: values must be texts")),
            }
        }
        check(custom)?;
    }
    entry.updated = cx.now;
    entry::save(cx, name, &entry)?;
    Ok(Response::empty())
}

pub(crate) fn delete(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    if let Some(entry) = entry::load(cx, name)? {
        for (number, _) in entry.versions.iter() {
            cx.delete(&data_key(*number, name));
        }
        cx.delete(&entry::meta_key(name));
    }
    Ok(Response::empty())
}
