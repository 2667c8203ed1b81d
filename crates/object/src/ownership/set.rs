//! A set of fields, in the form of `fieldsV1`.

use super::shape::{Division, Schema, item_key};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A set of fields as a tree of path elements (`f:name`, `k:{"name":"a"}`, `v:"x"`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Whether the path that leads here is itself in the set.
    pub(crate) member: bool,
    pub(crate) children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub(crate) fn leaf() -> Self {
        Self {
            member: true,
            children: BTreeMap::new(),
        }
    }

    /// Nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    /// From `fieldsV1`.
    #[must_use]
    pub fn from_value(fields: &Value) -> Self {
        let mut set = Self::node(fields);
        set.member = false;
        set
    }

    fn node(fields: &Value) -> Self {
        let Some(map) = fields.as_object() else {
            return Self::leaf();
        };
        Self {
            member: map.is_empty() || map.contains_key("."),
            children: map
                .iter()
                .filter(|(key, _)| *key != ".")
                .map(|(key, value)| (key.clone(), Self::node(value)))
                .collect(),
        }
    }

    /// As `fieldsV1`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, child) in &self.children {
            if !child.is_empty() {
                map.insert(key.clone(), child.to_value());
            }
        }
        if self.member && !map.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        Value::Object(map)
    }

    /// All fields that `value` has.
    #[must_use]
    pub fn of(value: &Value, schema: Schema<'_>) -> Self {
        let mut set = Self::default();
        match (schema.division(value), value) {
            (Division::Map, Value::Object(map)) if !map.is_empty() => {
                for (key, value) in map {
                    let mut child = Self::of(value, schema.child(key));
                    let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                    child.member |= empty || !schema.has_field(key);
                    set.children.insert(format!("f:{key}"), child);
                }
            }
            (Division::Keyed(keys), Value::Array(items)) => {
                for item in items {
                    if let Some(key) = item_key(item, &keys) {
                        let mut child = Self::of(item, schema.item());
                        child.member = true;
                        set.children.insert(key, child);
                    }
                }
            }
            (Division::Set, Value::Array(items)) => {
                for item in items {
                    set.children.insert(format!("v:{item}"), Self::leaf());
                }
            }
            _ => set.member = true,
        }
        set
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        self.member |= other.member;
        for (key, child) in &other.children {
            self.children.entry(key.clone()).or_default().add(child);
        }
    }

    /// Removes all of `other`.
    pub fn remove(&mut self, other: &Self) {
        self.member &= !other.member;
        for (key, child) in &other.children {
            if let Some(own) = self.children.get_mut(key) {
                own.remove(child);
            }
        }
        self.children.retain(|_, child| !child.is_empty());
    }

    /// What is in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let children = self
            .children
            .iter()
            .filter_map(|(key, child)| Some((key.clone(), child.common(other.children.get(key)?))))
            .filter(|(_, child)| !child.is_empty())
            .collect();
        Self {
            member: self.member && other.member,
            children,
        }
    }

    /// The paths, for people: `.spec.replicas`, `.spec.template.spec.containers[name="a"].image`.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<String>) {
        if self.member && !prefix.is_empty() {
            paths.push(prefix.to_owned());
        }
        for (key, child) in &self.children {
            let path = match key.split_once(':') {
                Some(("f", name)) => format!("{prefix}.{name}"),
                Some(("k", _)) => format!("{prefix}{}", shown_key(key)),
                Some((_, value)) => format!("{prefix}[={value}]"),
                None => prefix.to_owned(),
            };
            child.collect(&path, paths);
        }
    }
}

/// The name of an item of a keyed list, for people: `[name="a"]`.
pub(crate) fn shown_key(key: &str) -> String {
    let keys = key.strip_prefix("k:").unwrap_or_default();
    let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("[{}]", keys.join(","))
}

/// Which fields differ: added or modified, and removed.
pub(crate) fn difference(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: Schema<'_>,
) -> (FieldSet, FieldSet) {
    let (mut changed, mut removed) = (FieldSet::default(), FieldSet::default());
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => changed = FieldSet::of(new, schema),
        (Some(old), None) => removed = FieldSet::of(old, schema),
        (Some(old), Some(new)) if old == new => {}
        (Some(old), Some(new)) => match (schema.division(old), schema.division(new), old, new) {
            (Division::Map, Division::Map, Value::Object(a), Value::Object(b)) => {
                for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                    let (mut more, mut less) = difference(a.get(key), b.get(key), schema.child(key));
                    let open = !schema.has_field(key);
                    more.member |= open && !a.contains_key(key);
                    less.member |= open && !b.contains_key(key);
                    insert(&mut changed, format!("f:{key}"), more);
                    insert(&mut removed, format!("f:{key}"), less);
                }
            }
            (Division::Keyed(keys), Division::Keyed(_), Value::Array(a), Value::Array(b)) => {
                let index = |items: &'_ [Value]| -> BTreeMap<String, Value> {
                    let named = items
                        .iter()
                        .filter_map(|item| Some((item_key(item, &keys)?, item.clone())));
                    named.collect()
                };
                let (a, b) = (index(a), index(b));
                for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                    let (mut more, mut less) = difference(a.get(key), b.get(key), schema.item());
                    more.member |= !a.contains_key(key);
                    less.member |= !b.contains_key(key);
                    insert(&mut changed, key.clone(), more);
                    insert(&mut removed, key.clone(), less);
                }
            }
            (Division::Set, Division::Set, Value::Array(a), Value::Array(b)) => {
                for item in b.iter().filter(|item| !a.contains(item)) {
                    changed.children.insert(format!("v:{item}"), FieldSet::leaf());
                }
                for item in a.iter().filter(|item| !b.contains(item)) {
                    removed.children.insert(format!("v:{item}"), FieldSet::leaf());
                }
            }
            _ => changed = FieldSet::of(new, schema),
        },
    }
    (changed, removed)
}

fn insert(set: &mut FieldSet, key: String, child: FieldSet) {
    if !child.is_empty() {
        set.children.insert(key, child);
    }
}
