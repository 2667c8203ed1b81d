//! Versions other than the stored one: events.k8s.io, autoscaling/v1 and custom resources.

use crate::registry::Resource;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

fn rename(map: &mut Map<String, Value>, pairs: &[(&str, &str)]) {
    for (from, to) in pairs {
        if let Some(value) = map.remove(*from) {
            map.insert((*to).to_owned(), value);
        }
    }
}

const EVENT: &[(&str, &str)] = &[
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// A stored object in the version of `resource`.
pub(crate) fn to_served<'a>(resource: &Resource, stored: &'a Value) -> Cow<'a, Value> {
    if !resource.alias {
        return Cow::Borrowed(stored);
    }
    let mut object = stored.clone();
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(resource.api_version()));
        match resource.kind.as_str() {
            "Event" => rename(map, EVENT),
            "HorizontalPodAutoscaler" => {
                let target = map
                    .get("spec")
                    .and_then(|spec| spec.get("metrics"))
                    .and_then(Value::as_array)
                    .and_then(|metrics| {
                        metrics
                            .iter()
                            .find_map(|metric| metric.pointer("/resource/target/averageUtilization").cloned())
                    });
                if let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut) {
                    spec.remove("metrics");
                    spec.remove("behavior");
                    if let Some(target) = target {
                        spec.insert("targetCPUUtilizationPercentage".to_owned(), target);
                    }
                }
            }
            _ => {}
        }
    }
    Cow::Owned(object)
}

/// An object in the version of `resource` as it is stored. The registry sets the version.
pub(crate) fn to_stored(resource: &Resource, mut object: Value) -> Value {
    if !resource.alias {
        return object;
    }
    if let Some(map) = object.as_object_mut() {
        match resource.kind.as_str() {
            "Event" => {
                let back: Vec<(&str, &str)> =
                    EVENT.iter().map(|(stored, served)| (*served, *stored)).collect();
                rename(map, &back);
            }
            "HorizontalPodAutoscaler" => {
                if let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut)
                    && let Some(target) = spec.remove("targetCPUUtilizationPercentage")
                {
                    let target = json!({"type": "Utilization", "averageUtilization": target});
                    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
                    spec.insert("metrics".to_owned(), json!([metric]));
                }
            }
            _ => {}
        }
    }
    object
}
