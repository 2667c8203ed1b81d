//! Jobs that have done their work and went by their own rule: they are not made again. Owns what counts as such, and the
//! form in which it is remembered beyond a restart.

use crate::Observed;
use crate::observed::identity;
use herder_fleet::{Fleet, HASH_ANNOTATION};
use herder_object::{Gvk, Key};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// By object (and the namespace that it was in, so that a namespace made anew runs its Jobs), the hash of what ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended(BTreeMap<String, String>);

impl Ended {
    /// From the text that [`Ended::to_text`] made.
    ///
    /// # Errors
    /// If it is another text.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// As text, to remember.
    #[must_use]
    pub fn to_text(&self) -> String {
        Value::from_iter(self.0.clone()).to_string()
    }

    /// With what the cluster shows now, and without what cannot count any more.
    #[must_use]
    pub fn seen(&self, fleet: &Fleet, observed: &Observed) -> Self {
        let mut all = self.0.clone();
        let finished = observed
            .objects()
            .map(|live| (&live.key, &live.value))
            .chain(
                observed
                    .finished()
                    .filter(|(key, value)| was_here(observed, key, value)),
            )
            .filter(|(key, value)| is_job(key) && finished(value).is_some());
        let mut hooks: Option<BTreeSet<Key>> = None;
        for (key, live) in finished {
            let Some(hash) = hash(live) else { continue };
            let hooks = hooks.get_or_insert_with(|| {
                let hooks = fleet.objects().filter(|(_, object)| {
                    object
                        .hook
                        .is_some_and(|hook| hook.gone_after_success || hook.gone_after_failure)
                });
                hooks.map(|(_, object)| identity(&object.key)).collect()
            });
            let expires = live
                .pointer("/spec/ttlSecondsAfterFinished")
                .is_some_and(Value::is_number);
            if expires || hooks.contains(&identity(key)) {
                all.insert(place(observed, key), hash.to_owned());
            }
        }
        if all.is_empty() || fleet.held.units.is_some() || fleet.units.iter().any(|unit| unit.held.is_some())
        {
            return Self(all);
        }
        let wanted: BTreeSet<String> = fleet
            .objects()
            .filter(|(_, object)| is_job(&object.key))
            .map(|(_, object)| place(observed, &object.key))
            .collect();
        all.retain(|place, _| wanted.contains(place));
        Self(all)
    }

    /// Whether exactly this has ended here.
    pub(crate) fn has(&self, observed: &Observed, key: &Key, desired: &Value) -> bool {
        is_job(key)
            && !self.0.is_empty()
            && self.0.get(&place(observed, key)).map(String::as_str) == hash(desired)
    }
}

fn is_job(key: &Key) -> bool {
    matches!(
        (key.gvk.group.as_str(), key.gvk.kind.as_str()),
        ("batch", "Job") | ("", "Pod")
    )
}

fn hash(value: &Value) -> Option<&str> {
    herder_object::annotations(value)
        .find(|(name, _)| *name == HASH_ANNOTATION)
        .map(|(_, hash)| hash)
}

/// Whether a Job or pod has ended, and well.
pub(crate) fn finished(value: &Value) -> Option<bool> {
    if herder_object::kind(value) == "Pod" {
        return match value.pointer("/status/phase").and_then(Value::as_str) {
            Some("Succeeded") => Some(true),
            Some("Failed") => Some(false),
            _ => None,
        };
    }
    let conditions = value.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find_map(|condition| {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        match (text("type"), text("status")) {
            (Some("Complete"), Some("True")) => Some(true),
            (Some("Failed"), Some("True")) => Some(false),
            _ => None,
        }
    })
}

/// Whether a Job that is gone was in the namespace that is there now.
fn was_here(observed: &Observed, key: &Key, job: &Value) -> bool {
    let made = |value: &Value| {
        let made = value.pointer("/metadata/creationTimestamp");
        made.and_then(Value::as_str).map(str::to_owned)
    };
    let namespace = observed.get(&namespace_of(key));
    namespace.is_none_or(|namespace| made(&namespace.value) <= made(job))
}

fn namespace_of(key: &Key) -> Key {
    Key {
        gvk: Gvk::new("v1", "Namespace"),
        namespace: String::new(),
        name: key.namespace.clone(),
    }
}

fn place(observed: &Observed, key: &Key) -> String {
    let uid = observed
        .get(&namespace_of(key))
        .map(|live| herder_object::uid(&live.value))
        .unwrap_or_default();
    format!("{uid} {} {}/{}", key.gvk.kind, key.namespace, key.name)
}
