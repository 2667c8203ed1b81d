//! Whose turn it is: an object waits for everything of its application with an earlier turn to be there and healthy.

use crate::Observed;
use crate::compare::difference;
use crate::decide::State;
use crate::ended::finished;
use herder_fleet::{Desired, Turn, Unit};
use serde_json::Value;
use std::collections::BTreeMap;

/// For each application of a unit, what is not ready yet, the earliest turn in front.
pub(crate) struct Turns<'a>(BTreeMap<Option<&'a str>, Vec<(Turn, String)>>);

impl<'a> Turns<'a> {
    pub(crate) fn of(unit: &'a Unit, observed: &Observed, state: &State) -> Self {
        let mut waits: BTreeMap<Option<&str>, Vec<(Turn, String)>> = BTreeMap::new();
        // Hardly any unit asks for an order.
        if unit.objects.iter().all(|object| object.turn == Turn::default()) {
            return Self(waits);
        }
        for object in &unit.objects {
            let served = observed.served(&object.key.gvk).is_some();
            if served && let Some(why) = unready(object, observed, state) {
                waits
                    .entry(object.application.as_deref())
                    .or_default()
                    .push((object.turn, why));
            }
        }
        waits.values_mut().for_each(|waits| waits.sort());
        Self(waits)
    }

    /// What an object waits for.
    pub(crate) fn before<'b>(&'b self, object: &'b Desired) -> Option<&'b str> {
        // What others are in, or are instances of, waits for nobody.
        if matches!(
            object.key.gvk.kind.as_str(),
            "Namespace" | "CustomResourceDefinition"
        ) {
            return None;
        }
        let (turn, why) = self.0.get(&object.application.as_deref())?.first()?;
        (*turn < object.turn).then_some(why)
    }
}

/// Why an object is not as it should be yet.
fn unready(object: &Desired, observed: &Observed, state: &State) -> Option<String> {
    let key = &object.key;
    let Some(live) = observed.get(key) else {
        let ended = state
            .ended()
            .is_some_and(|ended| ended.has(observed, key, &object.value));
        return (!ended).then(|| format!("{key} is not there yet"));
    };
    if crate::others::untouched(&object.value).is_some() {
        return None;
    }
    if live
        .value
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(Value::is_string)
    {
        return Some(format!("{key} is still being deleted"));
    }
    if difference(
        &object.value,
        &live.value,
        observed.lessons().kept(key, &object.value),
    )
    .is_some()
    {
        return Some(format!("{key} is not as git says yet"));
    }
    let value = &live.value;
    let int = |pointer: &str| value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let wanted = value
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let seen = int("/status/observedGeneration") >= int("/metadata/generation");
    let (group, kind) = (key.gvk.group.as_str(), key.gvk.kind.as_str());
    let ready = match (group, kind) {
        ("batch", "Job") => match finished(value) {
            Some(true) => true,
            Some(false) => return Some(format!("{key} has failed")),
            None => return Some(format!("{key} has not finished yet")),
        },
        ("apps", "Deployment") => {
            seen && int("/status/updatedReplicas") == wanted && int("/status/availableReplicas") == wanted
        }
        ("apps", "StatefulSet") => {
            seen && int("/status/updatedReplicas") == wanted && int("/status/readyReplicas") == wanted
        }
        ("apps", "DaemonSet") => {
            seen && int("/status/updatedNumberScheduled") >= int("/status/desiredNumberScheduled")
                && int("/status/numberAvailable") >= int("/status/desiredNumberScheduled")
        }
        ("", "Pod") if object.hook.is_some() => match finished(value) {
            Some(true) => true,
            Some(false) => return Some(format!("{key} has failed")),
            None => return Some(format!("{key} has not finished yet")),
        },
        ("", "Pod") => finished(value) == Some(true) || holds(value, "Ready"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => holds(value, "Established"),
        _ => true,
    };
    (!ready).then(|| format!("{key} is not healthy yet"))
}

fn holds(value: &Value, condition: &str) -> bool {
    let conditions = value.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|found| {
        found.get("type").and_then(Value::as_str) == Some(condition)
            && found.get("status").and_then(Value::as_str) == Some("True")
    })
}
