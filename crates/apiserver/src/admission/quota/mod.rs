//! ResourceQuotas: no write may take a namespace beyond what it may use.
//!
//! What is used is counted from the objects that are there, under the lock of the write that is decided: no two writes
//! can both take what is left, and no counter can go stale. The controller writes the same count into the status.

mod scope;
mod usage;

pub(crate) use scope::covers;
pub(crate) use usage::usage;

use crate::registry::Resource;
use herder_object::field::{map, text};
use herder_object::quantity::{Amounts, add, milli, print};
use serde_json::Value;
use std::sync::Arc;

/// Why a write would exceed a quota of its namespace; `before` is the object as it was.
pub(super) fn check<'a>(
    quotas: &[Arc<Value>],
    resource: &Resource,
    before: Option<&Value>,
    object: &Value,
    others: impl Fn() -> Box<dyn Iterator<Item = &'a Arc<Value>> + 'a>,
) -> Option<String> {
    let kind = resource.storage_name.as_str();
    let now = usage(resource, object);
    quotas
        .iter()
        .filter(|quota| covers(quota, kind, object))
        .find_map(|quota| {
            let hard = map(quota, "/spec/hard")?;
            let counted = before.filter(|before| covers(quota, kind, before));
            let old = counted.map(|before| usage(resource, before)).unwrap_or_default();
            let requested: Amounts = now
                .iter()
                .filter(|(what, _)| hard.contains_key(*what))
                .map(|(what, amount)| {
                    let old = old.get(what).copied().unwrap_or_default();
                    (what.clone(), amount.saturating_sub(old))
                })
                .filter(|(_, more)| *more > 0)
                .collect();
            let name = text(quota, "/metadata/name");
            let new = before.is_none() || !requested.is_empty();
            if kind == "pods"
                && new
                && let Some(unsaid) = usage::unsaid(hard.keys(), object)
            {
                return Some(format!("failed quota: {name}: {unsaid}"));
            }
            if requested.is_empty() {
                return None;
            }
            let mut used = Amounts::new();
            for other in others().filter(|other| covers(quota, kind, other)) {
                add(&mut used, &usage(resource, other));
            }
            exceeded(name, hard, &requested, &used)
        })
}

fn exceeded(
    name: &str,
    hard: &serde_json::Map<String, Value>,
    requested: &Amounts,
    used: &Amounts,
) -> Option<String> {
    let (mut more, mut has, mut most) = (Vec::new(), Vec::new(), Vec::new());
    for (what, amount) in requested {
        let used = used.get(what).copied().unwrap_or_default();
        // A limit that is none allows nothing.
        let limit = hard.get(what).and_then(milli).unwrap_or_default();
        if used.saturating_add(*amount) > limit {
            more.push(format!("{what}={}", print(*amount, what)));
            has.push(format!("{what}={}", print(used, what)));
            most.push(format!("{what}={}", print(limit, what)));
        }
    }
    (!more.is_empty()).then(|| {
        format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            more.join(","),
            has.join(","),
            most.join(",")
        )
    })
}

/// What is used of what a quota limits, as its status shows it. `all` are the objects of its namespace by resource.
pub fn used<'a>(
    quota: &Value,
    resources: impl Iterator<Item = &'a Resource>,
    all: impl Fn(&str) -> Vec<Arc<Value>>,
) -> Amounts {
    let Some(hard) = map(quota, "/spec/hard") else {
        return Amounts::new();
    };
    let mut sum = Amounts::new();
    for resource in resources.filter(|resource| concerns(resource, hard)) {
        let kind = resource.storage_name.as_str();
        for object in all(kind).iter().filter(|object| covers(quota, kind, object)) {
            add(&mut sum, &usage(resource, object));
        }
    }
    hard.keys()
        .map(|what| (what.clone(), sum.get(what).copied().unwrap_or_default()))
        .collect()
}

/// Whether objects of a resource can count for a quota at all.
fn concerns(resource: &Resource, hard: &serde_json::Map<String, Value>) -> bool {
    match resource.storage_name.as_str() {
        "pods" | "services" | "persistentvolumeclaims" => true,
        other => hard.contains_key(other) || hard.contains_key(&format!("count/{}", resource.name)),
    }
}

#[cfg(test)]
mod tests;
