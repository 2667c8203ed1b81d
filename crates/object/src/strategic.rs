//! Strategic merge patch: a merge patch that knows which lists merge, and by which key.
//!
//! Items are found by maps of their keys, never by searching: patch and object may both be long.

use crate::schema::{self, Field, Shape, Type};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// A patch that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// An item of a merged list lacks its key.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoKey {
        /// The key.
        key: String,
        /// The item.
        item: String,
    },
    /// An unknown directive.
    #[error("unknown $patch directive {0:?}; use merge, replace or delete")]
    Directive(String),
    /// Not an object.
    #[error("the patch is not a JSON object")]
    NotAnObject,
}

/// Merges `patch` into `object`, a built-in kind of type `of`; without a type all lists are replaced.
///
/// # Errors
/// [`StrategicError`] if the patch makes no sense; `object` is then in an undefined state.
pub fn merge(object: &mut Value, patch: &Value, of: Option<&Type>) -> Result<(), StrategicError> {
    let patch = patch.as_object().ok_or(StrategicError::NotAnObject)?;
    let mut target = object.as_object().cloned().unwrap_or_default();
    merge_map(&mut target, patch, of.map(Scope::Type))?;
    *object = Value::Object(target);
    Ok(())
}

#[derive(Clone, Copy)]
enum Scope<'a> {
    Type(&'a Type),
    /// The values of a map.
    Values(&'a Shape),
}

impl<'a> Scope<'a> {
    fn of(shape: &'a Shape) -> Option<Self> {
        match shape {
            Shape::Type(name) => schema::named(name).map(Scope::Type),
            Shape::Map(values) => Some(Scope::Values(values)),
            _ => None,
        }
    }

    fn child(self, name: &str) -> (Option<Self>, Option<&'a Field>) {
        match self {
            Scope::Type(of) => {
                let field = of.field(name);
                (field.and_then(|field| Scope::of(&field.shape)), field)
            }
            Scope::Values(shape) => (Scope::of(shape), None),
        }
    }
}

fn directive(patch: &Map<String, Value>) -> Result<&str, StrategicError> {
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => Ok("merge"),
        Some(known @ ("replace" | "delete")) => Ok(known),
        Some(other) => Err(StrategicError::Directive(other.to_owned())),
    }
}

fn merge_map(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    scope: Option<Scope<'_>>,
) -> Result<(), StrategicError> {
    match directive(patch)? {
        "replace" => {
            *target = patch.clone();
            target.remove("$patch");
            return Ok(());
        }
        "delete" => {
            target.clear();
            return Ok(());
        }
        _ => {}
    }
    if let Some(keys) = patch.get("$retainKeys").and_then(Value::as_array) {
        let kept: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
        target.retain(|key, _| kept.contains(key.as_str()));
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(items) = target.get_mut(list).and_then(Value::as_array_mut) {
                let gone: HashSet<String> = gone.iter().map(Value::to_string).collect();
                items.retain(|item| !gone.contains(&item.to_string()));
            }
            continue;
        }
        if key.starts_with('$') {
            continue;
        }
        let (child, field) = scope.map_or((None, None), |scope| scope.child(key));
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(patch) => {
                let mut inner = match target.remove(key) {
                    Some(Value::Object(inner)) => inner,
                    _ => Map::new(),
                };
                merge_map(&mut inner, patch, child)?;
                if directive(patch)? != "delete" {
                    target.insert(key.clone(), Value::Object(inner));
                }
            }
            Value::Array(items) => {
                let existing = match target.remove(key) {
                    Some(Value::Array(existing)) => existing,
                    _ => Vec::new(),
                };
                let order = patch
                    .get(&format!("$setElementOrder/{key}"))
                    .and_then(Value::as_array);
                let merged = merge_list(existing, items, field, order)?;
                target.insert(key.clone(), Value::Array(merged));
            }
            plain => {
                target.insert(key.clone(), plain.clone());
            }
        }
    }
    // An order without a list of changes still reorders.
    for (key, order) in patch {
        if let Some(list) = key.strip_prefix("$setElementOrder/")
            && !patch.contains_key(list)
            && let Some(Value::Array(items)) = target.get_mut(list)
            && let Some(order) = order.as_array()
        {
            let key = scope
                .and_then(|scope| scope.child(list).1)
                .and_then(|field| field.patch_key);
            sort(items, order, key.unwrap_or_default());
        }
    }
    Ok(())
}

fn merge_list(
    existing: Vec<Value>,
    patch: &[Value],
    field: Option<&Field>,
    order: Option<&Vec<Value>>,
) -> Result<Vec<Value>, StrategicError> {
    let replaces = patch
        .iter()
        .any(|item| item.get("$patch").and_then(Value::as_str) == Some("replace"));
    let Some(key) = field.and_then(|field| field.patch_key).filter(|_| !replaces) else {
        let plain = |item: &&Value| {
            item.get("$patch").is_none() || item.as_object().is_some_and(|item| item.len() > 1)
        };
        let mut items: Vec<Value> = patch.iter().filter(plain).cloned().collect();
        for item in &mut items {
            if let Some(item) = item.as_object_mut() {
                item.remove("$patch");
            }
        }
        return Ok(items);
    };
    let scope = field.and_then(|field| match &field.shape {
        Shape::List(item) => Scope::of(item),
        _ => None,
    });
    let mut list = Merged::new(existing, key);
    for item in patch {
        let map = match item.as_object() {
            Some(map) if !key.is_empty() => map,
            _ => {
                list.add_plain(item);
                continue;
            }
        };
        let identity = map
            .get(key)
            .ok_or_else(|| StrategicError::NoKey {
                key: key.to_owned(),
                item: item.to_string(),
            })?
            .to_string();
        if directive(map)? == "delete" {
            list.delete(&identity);
        } else if let Some(found) = list.find(&identity) {
            merge_map(found, map, scope)?;
        } else {
            let mut fresh = Map::new();
            merge_map(&mut fresh, map, scope)?;
            list.push(identity, Value::Object(fresh));
        }
    }
    let mut merged: Vec<Value> = list.items.into_iter().flatten().collect();
    if let Some(order) = order {
        sort(&mut merged, order, key);
    }
    Ok(merged)
}

/// A list that is merged, with the places of its items. What was deleted leaves a gap until the end.
struct Merged {
    items: Vec<Option<Value>>,
    /// By the text of their keys.
    keyed: HashMap<String, Vec<usize>>,
    /// The texts of all items, once one was asked for.
    plain: Option<HashSet<String>>,
}

impl Merged {
    fn new(existing: Vec<Value>, key: &str) -> Self {
        let mut keyed: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, item) in existing.iter().enumerate() {
            if let Some(identity) = item.get(key) {
                keyed.entry(identity.to_string()).or_default().push(index);
            }
        }
        Self {
            items: existing.into_iter().map(Some).collect(),
            keyed,
            plain: None,
        }
    }

    fn add_plain(&mut self, item: &Value) {
        let items = &self.items;
        let known = self
            .plain
            .get_or_insert_with(|| items.iter().flatten().map(Value::to_string).collect());
        if known.insert(item.to_string()) {
            self.items.push(Some(item.clone()));
        }
    }

    fn delete(&mut self, identity: &str) {
        for place in self.keyed.remove(identity).unwrap_or_default() {
            if let Some(item) = self.items.get_mut(place) {
                *item = None;
            }
        }
    }

    fn find(&mut self, identity: &str) -> Option<&mut Map<String, Value>> {
        let place = self.keyed.get(identity)?.first()?;
        self.items.get_mut(*place)?.as_mut()?.as_object_mut()
    }

    fn push(&mut self, identity: String, item: Value) {
        self.keyed.entry(identity).or_default().push(self.items.len());
        self.items.push(Some(item));
    }
}

/// Items named in `order` take that order; the others keep their places relative to their predecessors.
fn sort(items: &mut [Value], order: &[Value], key: &str) {
    let (mut keyed, mut plain) = (HashMap::new(), HashMap::new());
    for (place, wanted) in order.iter().enumerate() {
        if key.is_empty() || !wanted.is_object() {
            plain.entry(wanted.to_string()).or_insert(place);
        } else if let Some(identity) = wanted.get(key) {
            keyed.entry(identity.to_string()).or_insert(place);
        }
    }
    let mut last = 0;
    let mut ranks: Vec<(usize, usize, Value)> = Vec::with_capacity(items.len());
    for (index, item) in items.iter_mut().enumerate() {
        let by_key = item
            .get(key)
            .and_then(|identity| keyed.get(&identity.to_string()));
        let by_text = if plain.is_empty() {
            None
        } else {
            plain.get(&item.to_string())
        };
        if let Some(place) = by_key.into_iter().chain(by_text).min() {
            last = place + 1;
        }
        ranks.push((last, index, item.take()));
    }
    ranks.sort_by_key(|(rank, index, _)| (*rank, *index));
    for (slot, (_, _, item)) in items.iter_mut().zip(ranks) {
        *slot = item;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_by_key_deletes_and_reorders() {
        let of = schema::of("apps/v1", "Deployment");
        let pod = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let live = pod(
            json!([{"name": "a", "image": "x", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "y"}]),
        );
        let cases = [
            (
                pod(json!([{"name": "a", "image": "z"}])),
                pod(
                    json!([{"name": "a", "image": "z", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "y"}]),
                ),
            ),
            (
                pod(json!([{"name": "a", "$patch": "delete"}])),
                pod(json!([{"name": "b", "image": "y"}])),
            ),
            (
                pod(json!([{"$patch": "replace"}, {"name": "c"}])),
                pod(json!([{"name": "c"}])),
            ),
            (
                json!({"spec": {"template": {"spec": {
                    "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                    "containers": [{"name": "a", "env": null}]}}}}),
                pod(json!([{"name": "b", "image": "y"}, {"name": "a", "image": "x"}])),
            ),
        ];
        for (patch, expected) in cases {
            let mut object = live.clone();
            merge(&mut object, &patch, of).unwrap();
            assert_eq!(object, expected, "{patch}");
        }
        let mut object = live;
        assert!(merge(&mut object, &pod(json!([{"image": "z"}])), of).is_err());
    }

    #[test]
    fn long_lists_merge_at_once() {
        let of = schema::of("v1", "Pod");
        let names = |prefix: &str| -> Vec<Value> {
            (0..100_000)
                .map(|index| json!({"name": format!("{prefix}{index}")}))
                .collect()
        };
        let mut object = json!({"spec": {"containers": names("a")}});
        let patch = json!({"spec": {"containers": names("b"), "$setElementOrder/containers": names("b")}});
        let begun = std::time::Instant::now();
        merge(&mut object, &patch, of).unwrap();
        assert_eq!(object["spec"]["containers"].as_array().unwrap().len(), 200_000);
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    #[test]
    fn retains_only_the_named_keys() {
        let of = schema::of("apps/v1", "Deployment");
        let mut object =
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
        let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
        merge(&mut object, &patch, of).unwrap();
        assert_eq!(object, json!({"spec": {"strategy": {"type": "Recreate"}}}));
    }
}
