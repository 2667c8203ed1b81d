//! Labels, source and hash of every object of the fleet.

use crate::read::outline::Outline;
use crate::{
    APPLICATION_LABEL, Desired, FLEET_LABEL, HASH_ANNOTATION, Inputs, RUN_ANNOTATION, SOURCE_ANNOTATION,
    STATE_LABEL, Settings, StateRule, Turn, UNIT_LABEL, VERSION_LABEL,
};
use herder_base::Location;
use herder_object::Key;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What all objects of a unit are dressed with.
#[derive(Debug)]
pub(crate) struct Dress<'a> {
    inputs: &'a Inputs,
    pub(crate) settings: &'a Settings,
    fleet: String,
    unit: String,
    rules: Vec<StateRule>,
}

impl<'a> Dress<'a> {
    pub(crate) fn new(inputs: &'a Inputs, outline: &'a Outline, unit: &str, rules: &[StateRule]) -> Self {
        Self {
            inputs,
            settings: &outline.settings,
            fleet: label_value(&outline.name),
            unit: label_value(unit),
            rules: rules.to_vec(),
        }
    }

    /// Dresses one object; `None` if it does not say what it is.
    pub(crate) fn object(
        &self,
        mut value: Value,
        source: Location,
        application: Option<&str>,
        version: Option<&str>,
    ) -> Option<Desired> {
        let key = Key::of(&value)?;
        // What a server adds is nothing that git can want.
        if let Some(object) = value.as_object_mut() {
            object.remove("status");
        }
        // A claim that names no volume leaves the choice to the cluster, which then does not change it any more.
        if key.gvk.kind == "PersistentVolumeClaim"
            && let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut)
            && spec.get("volumeName").and_then(Value::as_str) == Some("")
        {
            spec.remove("volumeName");
        }
        let version = version.filter(|_| is_workload(&key)).map(str::to_owned);
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in [
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "managedFields",
                "selfLink",
            ] {
                metadata.remove(field);
            }
        }
        set(&mut value, "labels", FLEET_LABEL, &self.fleet);
        set(&mut value, "labels", UNIT_LABEL, &self.unit);
        if let Some(application) = application {
            set(&mut value, "labels", APPLICATION_LABEL, &label_value(application));
        }
        if let Some(version) = &version {
            set(&mut value, "labels", VERSION_LABEL, &label_value(version));
        }
        if self.rules.iter().any(|rule| rule.covers(&key)) {
            mark_state(&mut value);
        }
        self.claim_templates(&key, &mut value);
        let hash = hash(&value);
        set(&mut value, "annotations", HASH_ANNOTATION, &hash);
        set(
            &mut value,
            "annotations",
            SOURCE_ANNOTATION,
            &self.origin(&source),
        );
        Some(Desired {
            key,
            value: Arc::new(value),
            source,
            application: application.map(str::to_owned),
            version,
            hash,
            turn: Turn::default(),
            hook: None,
        })
    }

    /// Marks the claims that a StatefulSet will make, if they are state.
    fn claim_templates(&self, key: &Key, value: &mut Value) {
        if key.gvk.kind != "StatefulSet" || self.rules.is_empty() {
            return;
        }
        let templates = value
            .pointer_mut("/spec/volumeClaimTemplates")
            .and_then(Value::as_array_mut);
        for template in templates.into_iter().flatten() {
            let claim = Key {
                gvk: herder_object::Gvk::new("v1", "PersistentVolumeClaim"),
                namespace: key.namespace.clone(),
                name: format!("{}-{}-0", herder_object::name(template), key.name),
            };
            if self.rules.iter().any(|rule| rule.covers(&claim)) {
                mark_state(template);
            }
        }
    }

    /// `repository//path:line@commit`.
    fn origin(&self, source: &Location) -> String {
        let repository = if source.repository.is_empty() {
            self.inputs.fleet_url.to_string()
        } else {
            source.repository.clone()
        };
        let commit = if source.repository.is_empty() {
            Some(self.inputs.root.commit())
        } else {
            self.inputs
                .trees
                .iter()
                .filter(|(reference, _)| reference.url.to_string() == source.repository)
                .find_map(|(_, tree)| tree.as_ref().ok())
                .map(herder_base::Tree::commit)
        };
        let mut text = format!("{}//{}", repository, source.path);
        if source.line > 0 {
            text = format!("{text}:{}", source.line);
        }
        match commit.map(herder_base::Commit::short) {
            Some(commit) if !commit.is_empty() => format!("{text}@{commit}"),
            _ => text,
        }
    }
}

/// Sets an annotation on an object that is dressed already.
pub(crate) fn annotate(object: &mut Desired, name: &str, text: &str) {
    set(Arc::make_mut(&mut object.value), "annotations", name, text);
}

/// Takes an object out of the namespace that it was put into.
pub(crate) fn out_of_namespace(object: &mut Desired) {
    let value = Arc::make_mut(&mut object.value);
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("namespace");
    }
    object.key.namespace.clear();
}

/// Says which run a hook is of; another run is another object, as its hash tells.
pub(crate) fn stamp(object: &mut Desired, run: &str) {
    let value = Arc::make_mut(&mut object.value);
    set(value, "annotations", RUN_ANNOTATION, run);
    object.hash = hash(&json!([object.hash, run]));
    set(value, "annotations", HASH_ANNOTATION, &object.hash);
}

/// Whether an object runs pods.
pub(crate) fn is_workload(key: &Key) -> bool {
    matches!(
        (key.gvk.group.as_str(), key.gvk.kind.as_str()),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job" | "CronJob")
            | ("", "Pod")
    )
}

/// Text as a label value: other characters become `-`, and what is too long ends in a hash.
pub(crate) fn label_value(text: &str) -> String {
    let safe: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '-'
            }
        })
        .collect();
    let safe = safe.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if safe.len() <= 63 && safe == text {
        return safe.to_owned();
    }
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    let digest = digest.get(..8).unwrap_or_default();
    if safe.len() <= 63 && !safe.is_empty() {
        // Only characters were replaced; people read this, machines compare it with what was made the same way.
        return safe.to_owned();
    }
    let head = safe.get(..54).unwrap_or(safe);
    format!("{head}-{digest}").trim_matches('-').to_owned()
}

/// Hash of a value, whatever the order of its fields.
pub(crate) fn hash(value: &Value) -> String {
    let mut digest = Sha256::new();
    feed(&mut digest, value);
    let mut text = hex::encode(digest.finalize());
    text.truncate(16);
    text
}

fn feed(digest: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            digest.update(b"{");
            for key in keys {
                digest.update(key.as_bytes());
                digest.update([0]);
                if let Some(value) = map.get(key) {
                    feed(digest, value);
                }
            }
            digest.update(b"}");
        }
        Value::Array(values) => {
            digest.update(b"[");
            values.iter().for_each(|value| feed(digest, value));
            digest.update(b"]");
        }
        Value::String(text) => {
            digest.update(b"\"");
            digest.update(text.as_bytes());
            digest.update([0]);
        }
        other => {
            digest.update(other.to_string().as_bytes());
            digest.update([0]);
        }
    }
}

fn mark_state(value: &mut Value) {
    set(value, "labels", STATE_LABEL, "true");
    set(value, "annotations", STATE_LABEL, "true");
}

/// Sets a label or annotation; what stands in the way and is no mapping is replaced.
fn set(value: &mut Value, part: &str, name: &str, text: &str) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    if let Some(part) = member(object, "metadata").and_then(|metadata| member(metadata, part)) {
        part.insert(name.to_owned(), json!(text));
    }
}

/// A member that is a mapping, made one if it is not.
fn member<'v>(parent: &'v mut Map<String, Value>, name: &str) -> Option<&'v mut Map<String, Value>> {
    let slot = parent.entry(name).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_valid() {
        for (text, expected) in [("shop", "shop"), ("v1.2+x", "v1.2-x"), ("/a/", "a"), ("", "")] {
            assert_eq!(label_value(text), expected);
        }
        let long = label_value(&"x".repeat(80));
        assert_eq!(long.len(), 63);
        assert_ne!(long, label_value(&"x".repeat(81)));
    }

    #[test]
    fn hashes_see_content_and_not_order() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":["x"]}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":["x"],"a":1}"#).unwrap();
        assert_eq!(hash(&one), hash(&two));
        assert_ne!(hash(&json!(["ab", "c"])), hash(&json!(["a", "bc"])));
        assert_ne!(hash(&json!("1")), hash(&json!(1)));
    }
}
