//! Server-side apply.

use super::managers::{Manager, Operation, read, strip, write};
use super::set::{FieldSet, difference, shown_key};
use super::shape::{Division, Schema, item_key};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// A field that another manager owns and that this apply would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The field.
    pub path: String,
    /// Who owns it: `"name"` or `"name" with subresource "status" using apps/v1`.
    pub owner: String,
}

/// Why an apply did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that it would change.
    #[error("Apply failed with {} conflict{}: {}", .0.len(), if .0.len() == 1 { "" } else { "s" }, describe(.0))]
    Conflicts(Vec<Conflict>),
    /// An applied configuration names no managers.
    #[error("metadata.managedFields must be nil")]
    HasManagers,
    /// A list that is merged by keys, or a set, does not tell its items apart.
    #[error("failed to create typed patch object: {path}: {problem}")]
    Items {
        /// The list.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

fn describe(conflicts: &[Conflict]) -> String {
    let mut owners: Vec<&str> = conflicts.iter().map(|conflict| conflict.owner.as_str()).collect();
    owners.dedup();
    if let [only] = conflicts {
        return format!("conflict with {}: {}", only.owner, only.path);
    }
    owners
        .iter()
        .map(|owner| {
            let paths: Vec<String> = conflicts
                .iter()
                .filter(|conflict| conflict.owner == *owner)
                .map(|conflict| format!("- {}", conflict.path))
                .collect();
            format!("conflicts with {owner}:\n{}", paths.join("\n"))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Who applies, and how.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// Take over what others own.
    pub force: bool,
    /// Now.
    pub time: &'a str,
}

/// Applies `config` to `live` (null if there is none): the new object with its managers.
///
/// # Errors
/// [`ApplyError`] if others own what it would change and `force` is not set.
pub fn apply(live: &Value, config: &Value, schema: Schema<'_>, by: Applied<'_>) -> Result<Value, ApplyError> {
    let has_managers = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(has_managers)
    {
        return Err(ApplyError::HasManagers);
    }
    check(config, schema, "")?;
    let mut managers = read(live);
    let mut fields = FieldSet::of(config, schema);
    strip(&mut fields);

    let mut merged = merge(live, config, schema);
    let (mut changed, _) = difference((!live.is_null()).then_some(live), Some(&merged), schema);
    strip(&mut changed);

    let mut conflicts = Vec::new();
    for other in &mut managers {
        if other.is(by.manager, Operation::Apply, by.subresource) {
            continue;
        }
        let disputed = other.fields.common(&changed).common(&fields);
        if disputed.is_empty() {
            continue;
        }
        if by.force {
            other.fields.remove(&disputed);
            continue;
        }
        let mut owner = format!("\"{}\"", other.name);
        if !other.subresource.is_empty() {
            owner = format!("{owner} with subresource \"{}\"", other.subresource);
        }
        if other.operation == Operation::Update && !other.api_version.is_empty() {
            owner = format!("{owner} using {}", other.api_version);
        }
        let paths = disputed.paths().into_iter();
        conflicts.extend(paths.map(|path| Conflict {
            path,
            owner: owner.clone(),
        }));
    }
    if !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(conflicts));
    }

    let own = managers
        .iter()
        .position(|other| other.is(by.manager, Operation::Apply, by.subresource));
    let before = own.map(|index| managers.remove(index));
    if let Some(before) = &before {
        let mut gone = before.fields.clone();
        gone.remove(&fields);
        for other in &managers {
            gone.remove(&other.fields);
        }
        // An item that someone still owns a part of stays.
        let mut kept = fields.clone();
        for other in &managers {
            kept.add(&other.fields);
        }
        prune(&mut merged, &gone, &kept, schema);
    }
    let same = before.as_ref().is_some_and(|before| before.fields == fields);
    managers.push(Manager {
        name: by.manager.to_owned(),
        operation: Operation::Apply,
        api_version: crate::api_version(config).to_owned(),
        subresource: by.subresource.to_owned(),
        time: before
            .filter(|_| same)
            .map_or_else(|| by.time.to_owned(), |before| before.time),
        fields,
    });
    managers.sort_by_key(|manager| manager.operation != Operation::Apply);
    write(&mut merged, &managers);
    Ok(merged)
}

/// `config` laid over `live`.
fn merge(live: &Value, config: &Value, schema: Schema<'_>) -> Value {
    match (schema.division(config), live, config) {
        (Division::Map, Value::Object(live), Value::Object(config)) => {
            let mut merged = live.clone();
            for (key, value) in config {
                let below = live.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), merge(below, value, schema.child(key)));
            }
            Value::Object(merged)
        }
        (Division::Keyed(keys), Value::Array(live), Value::Array(config)) => {
            paired(live, config, |item| item_key(item, &keys))
                .into_iter()
                .map(|pair| match pair {
                    (Some(live), Some(config)) => merge(live, config, schema.item()),
                    (Some(only), None) | (None, Some(only)) => only.clone(),
                    (None, None) => Value::Null,
                })
                .collect()
        }
        (Division::Set, Value::Array(live), Value::Array(config)) => {
            paired(live, config, |item| Some(item.to_string()))
                .into_iter()
                .filter_map(|(live, config)| live.or(config).cloned())
                .collect()
        }
        _ => config.clone(),
    }
}

/// All items with what the other list has of the same key: in the order of `config` if it has them all, else in that of
/// `live`, new ones last. Items of `live` without a key, or with that of another, are there as they are.
fn paired<'a>(
    live: &'a [Value],
    config: &'a [Value],
    key: impl Fn(&Value) -> Option<String>,
) -> Vec<(Option<&'a Value>, Option<&'a Value>)> {
    let named = |list: &'a [Value]| -> Vec<(Option<String>, &'a Value)> {
        list.iter().map(|item| (key(item), item)).collect()
    };
    let (live, config) = (named(live), named(config));
    let index = |list: &[(Option<String>, &'a Value)]| -> HashMap<String, &'a Value> {
        let keyed = list.iter().rev();
        keyed
            .filter_map(|(key, item)| Some((key.clone()?, *item)))
            .collect()
    };
    let (of_live, of_config) = (index(&live), index(&config));
    let find = |among: &HashMap<String, &'a Value>, key: &Option<String>| {
        key.as_ref().and_then(|key| among.get(key)).copied()
    };
    if live.iter().all(|(key, _)| find(&of_config, key).is_some()) {
        let all = config
            .iter()
            .map(|(key, item)| (find(&of_live, key), Some(*item)));
        return all.collect();
    }
    let old = live
        .iter()
        .map(|(key, item)| (Some(*item), find(&of_config, key)));
    let new = config.iter().filter(|(key, _)| find(&of_live, key).is_none());
    old.chain(new.map(|(_, item)| (None, Some(*item)))).collect()
}

/// Whether every item of a list that is merged can be told from the others. A configuration that leaves it open what
/// it wants is refused, as Kubernetes does; what is live may be so.
fn check(config: &Value, schema: Schema<'_>, path: &str) -> Result<(), ApplyError> {
    let wrong = |problem: String| ApplyError::Items {
        path: path.to_owned(),
        problem,
    };
    let mut seen = HashSet::new();
    match (schema.division(config), config) {
        (Division::Map, Value::Object(map)) => map
            .iter()
            .try_for_each(|(key, value)| check(value, schema.child(key), &format!("{path}.{key}"))),
        (Division::Keyed(keys), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(key) = keys.iter().find(|key| !has_key(item, key, schema)) {
                    return Err(wrong(format!(
                        "element {index}: associative list with keys has an element that omits key field {key:?} (and \
                         doesn't have default value)"
                    )));
                }
                let name = shown_key(&item_key(item, &keys).unwrap_or_default());
                check(item, schema.item(), &format!("{path}{name}"))?;
                if !seen.insert(name.clone()) {
                    return Err(wrong(format!("duplicate entries for key {name}")));
                }
            }
            Ok(())
        }
        (Division::Set, Value::Array(items)) => {
            match items.iter().find(|item| !seen.insert(item.to_string())) {
                Some(item) => Err(wrong(format!("duplicate entries for key [={item}]"))),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Whether an item has a key, or the key a default.
fn has_key(item: &Value, key: &str, schema: Schema<'_>) -> bool {
    let default = match schema.item().child(key) {
        Schema::Open(open) => open.get("default").is_some(),
        _ => key == "protocol",
    };
    item.is_object() && (default || item.get(key).is_some())
}

/// Removes the fields of `gone`.
fn prune(value: &mut Value, gone: &FieldSet, kept: &FieldSet, schema: Schema<'_>) {
    let none = FieldSet::default();
    let below = |key: &str| kept.children.get(key).unwrap_or(&none);
    match (schema.division(value), value) {
        (Division::Map, Value::Object(map)) => prune_map(map, gone, kept, schema),
        (Division::Keyed(keys), Value::Array(items)) => items.retain_mut(|item| {
            let Some(key) = item_key(item, &keys) else {
                return true;
            };
            let Some(gone) = gone.children.get(&key) else {
                return true;
            };
            if gone.member && below(&key).is_empty() {
                return false;
            }
            prune(item, gone, below(&key), schema.item());
            true
        }),
        (Division::Set, Value::Array(items)) => {
            items.retain(|item| !gone.children.contains_key(&format!("v:{item}")));
        }
        _ => {}
    }
}

fn prune_map(map: &mut Map<String, Value>, gone: &FieldSet, kept: &FieldSet, schema: Schema<'_>) {
    let none = FieldSet::default();
    for (key, gone) in &gone.children {
        let Some(name) = key.strip_prefix("f:") else {
            continue;
        };
        let kept = kept.children.get(key).unwrap_or(&none);
        let Some(value) = map.get_mut(name) else {
            continue;
        };
        if gone.member && kept.is_empty() {
            map.remove(name);
            continue;
        }
        prune(value, gone, kept, schema.child(name));
        let empty =
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if empty && kept.is_empty() {
            map.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record;
    use super::*;
    use crate::schema;
    use serde_json::json;

    fn by(manager: &str) -> Applied<'_> {
        Applied {
            manager,
            subresource: "",
            force: false,
            time: "2026-01-01T00:00:00Z",
        }
    }

    fn deployment(spec: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
    }

    #[test]
    fn appliers_own_conflict_share_and_give_up() {
        let schema = Schema::Type(schema::of("apps/v1", "Deployment").unwrap());
        let first = deployment(json!({"replicas": 2, "template": {"spec": {"containers": [
            {"name": "a", "image": "x", "ports": [{"containerPort": 80}]}, {"name": "b", "image": "y"}]}}}));
        let live = apply(&Value::Null, &first, schema, by("one")).unwrap();
        assert_eq!(apply(&live, &first, schema, by("one")).unwrap(), live);

        let other = deployment(json!({"replicas": 3}));
        let refused = apply(&live, &other, schema, by("two")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas"
        );
        let forced = apply(
            &live,
            &other,
            schema,
            Applied {
                force: true,
                ..by("two")
            },
        )
        .unwrap();
        assert_eq!(forced["spec"]["replicas"], 3);

        // The first drops replicas, which the second now owns, and container b, which nobody else owns.
        let less = deployment(json!({"template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}));
        let after = apply(&forced, &less, schema, by("one")).unwrap();
        assert_eq!(
            after["spec"],
            json!({"replicas": 3, "template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}})
        );

        // Items that cannot be told apart are refused when applied, and left alone when they are live.
        let ports = |items: Value| {
            deployment(json!({"template": {"spec": {"containers": [{"name": "a", "ports": items}]}}}))
        };
        for (items, wanted) in [
            (
                json!([{"name": "x"}]),
                "element 0: associative list with keys has an element that omits key field \"containerPort\"",
            ),
            (json!([1]), "element 0: "),
            (
                json!([{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]),
                ".spec.template.spec.containers[name=\"a\"].ports: duplicate entries for key [containerPort=1,protocol=\"TCP\"]",
            ),
        ] {
            let refused = apply(&Value::Null, &ports(items), schema, by("one")).unwrap_err();
            assert!(refused.to_string().contains(wanted), "{refused}");
        }
        let twice =
            json!([{"containerPort": 1, "name": "x"}, {"containerPort": 1, "name": "y"}, {"name": "z"}]);
        let mut wanted = twice.clone();
        wanted.as_array_mut().unwrap().push(json!({"containerPort": 2}));
        let more = ports(json!([{"containerPort": 2}]));
        let merged = apply(&ports(twice), &more, schema, by("one")).unwrap();
        assert_eq!(
            merged["spec"]["template"]["spec"]["containers"][0]["ports"],
            wanted
        );

        // A plain update takes ownership away.
        let mut updated = after.clone();
        updated["spec"]["template"]["spec"]["containers"][0]["image"] = json!("z");
        record(
            Some(&after),
            &mut updated,
            schema,
            "editor",
            "",
            "2026-01-02T00:00:00Z",
        );
        let refused = apply(&updated, &less, schema, by("one")).unwrap_err().to_string();
        assert!(
            refused.ends_with(
                "conflict with \"editor\" using apps/v1: .spec.template.spec.containers[name=\"a\"].image"
            ),
            "{refused}"
        );
    }
}
