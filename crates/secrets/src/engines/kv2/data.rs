//! Versions of a secret: reading, writing, patching, deleting.

use super::config;
use super::entry::{self, Entry, data_key};
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What happens to versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Hidden, can come back.
    Delete,
    /// Comes back.
    Undelete,
    /// Gone for good.
    Destroy,
}

struct Found {
    entry: Arc<Entry>,
    number: u64,
    data: Option<Map<String, Value>>,
}

/// A version: `None` if it never was; without data if it is deleted.
fn find(cx: &mut Cx<'_>, name: &str, version: Option<i64>) -> Result<Option<Found>> {
    let Some(entry) = entry::peek(cx, name)? else {
        return Ok(None);
    };
    let number = match version.unwrap_or(0) {
        0 => entry.current,
        asked => u64::try_from(asked).map_err(|_| Error::invalid("version cannot be negative"))?,
    };
    let Some(version) = entry.versions.get(number) else {
        return Ok(None);
    };
    let data = if version.is_gone(cx.now) {
        None
    } else {
        cx.get(&data_key(number, name))?
    };
    Ok(Some(Found { entry, number, data }))
}

impl Found {
    fn answer(self, key: &str, data: Option<Value>) -> Response {
        let custom = self.entry.custom.as_ref();
        let shown = self
            .entry
            .versions
            .get(self.number)
            .map(|version| version.show(self.number, custom));
        let gone = data.is_none();
        let mut response = Response {
            // Moved, not copied: nobody would wipe the copy.
            data: Some(Map::from_iter([
                (key.to_owned(), data.unwrap_or_default()),
                ("metadata".to_owned(), shown.unwrap_or_default()),
            ])),
            ..Response::default()
        };
        // Clients tell "deleted" from "never was" by the body of this 404.
        response.status = gone.then_some(404);
        response
    }
}

pub(crate) fn read(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let mut found = find(cx, name, request.data.int("version")?)?.ok_or(Error::NotFound)?;
    let data = found.data.take().map(Value::Object);
    Ok(found.answer("data", data))
}

pub(crate) fn subkeys(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let depth = request.data.int("depth")?.unwrap_or(0);
    let mut found = find(cx, name, request.data.int("version")?)?.ok_or(Error::NotFound)?;
    let keys = found
        .data
        .take()
        .map(|data| keys_only(&Value::Object(data), depth, 1));
    Ok(found.answer("subkeys", keys))
}

fn keys_only(value: &Value, depth: i64, level: i64) -> Value {
    match value {
        Value::Object(map) if !map.is_empty() && (depth == 0 || level <= depth) => map
            .iter()
            .map(|(key, value)| (key.clone(), keys_only(value, depth, level + 1)))
            .collect(),
        _ => Value::Null,
    }
}

fn check_and_set(request: &Request, entry: Option<&Entry>, required: bool) -> Result<()> {
    let options = request.data.object("options");
    let given = match options {
        Some(options) => options.int("cas")?,
        None => None,
    };
    match given {
        None if required || entry.is_some_and(|entry| entry.cas_required) => {
            Err(Error::invalid("check-and-set parameter required for this call"))
        }
        Some(given) if u64::try_from(given).ok() != Some(entry.map_or(0, |entry| entry.current)) => Err(
            Error::invalid("check-and-set parameter did not match the current version"),
        ),
        _ => Ok(()),
    }
}

fn data_of(request: &Request) -> Result<Map<String, Value>> {
    match request.data.get("data") {
        Some(Value::Object(data)) => Ok(data.clone()),
        Some(Value::Null) => Ok(Map::new()),
        Some(_) => Err(Error::invalid("data: write an object of keys and values")),
        None => Err(Error::invalid("no data provided")),
    }
}

pub(crate) fn write(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let data = data_of(request)?;
    let config = config(cx)?;
    let entry = entry::load(cx, name)?;
    check_and_set(request, entry.as_ref(), config.cas_required)?;
    let mut entry = entry.unwrap_or_else(|| Entry::new(cx.now));
    Ok(Response::data(entry.push(cx, name, &data, &config)?))
}

pub(crate) fn patch(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let changes = data_of(request)?;
    let config = config(cx)?;
    let mut found = find(cx, name, None)?.ok_or(Error::NotFound)?;
    let Some(data) = found.data.take() else {
        return Ok(found.answer("data", None));
    };
    check_and_set(request, Some(&found.entry), config.cas_required)?;
    let mut merged = Value::Object(data);
    merge(&mut merged, &Value::Object(changes));
    let Value::Object(merged) = merged else {
        return Err(Error::invalid("data: write an object of keys and values"));
    };
    Ok(Response::data(
        Arc::make_mut(&mut found.entry).push(cx, name, &merged, &config)?,
    ))
}

/// JSON merge patch, RFC 7396.
pub(crate) fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    if let Value::Object(into) = into {
        for (key, value) in patch {
            if value.is_null() {
                into.remove(key);
            } else {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

pub(crate) fn delete_latest(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let now = cx.now;
    if let Some(mut entry) = entry::load(cx, name)?
        && let Some(version) = entry.versions.get_mut(entry.current)
        && !version.is_gone(now)
    {
        version.deleted = Some(now);
        entry.updated = now;
        entry::save(cx, name, &entry)?;
    }
    Ok(Response::empty())
}

pub(crate) fn mark(cx: &mut Cx<'_>, request: &Request, name: &str, mark: Mark) -> Result<Response> {
    let now = cx.now;
    let numbers: Vec<u64> = request
        .data
        .list("versions")
        .unwrap_or_default()
        .iter()
        .map(|number| number.parse())
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| Error::invalid("versions: write a list of version numbers"))?;
    if numbers.is_empty() {
        return Err(Error::invalid("no version number provided"));
    }
    let Some(mut entry) = entry::load(cx, name)? else {
        return Err(Error::NotFound);
    };
    for number in numbers {
        let Some(version) = entry.versions.get_mut(number) else {
            continue;
        };
        match mark {
            Mark::Delete if !version.is_gone(now) => version.deleted = Some(now),
            Mark::Undelete if !version.destroyed => version.deleted = None,
            Mark::Destroy => {
                version.destroyed = true;
                cx.delete(&data_key(number, name));
            }
            Mark::Delete | Mark::Undelete => {}
        }
    }
    entry.updated = now;
    entry::save(cx, name, &entry)?;
    Ok(Response::empty())
}
