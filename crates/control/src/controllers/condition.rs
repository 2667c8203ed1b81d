//! Status conditions: reading them, and setting them so that an unchanged one keeps its times. Pure.

use herder_object::field::{items, stamp, text};
use jiff::Timestamp;
use serde_json::{Value, json};

/// One condition to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition<'a> {
    pub(crate) kind: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// Finds a condition by type in `/status/conditions`.
pub(crate) fn get<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == kind)
}

/// Whether a condition is `True`.
pub(crate) fn is_true(object: &Value, kind: &str) -> bool {
    get(object, kind).is_some_and(|c| text(c, "/status") == "True")
}

/// Sets a condition in a `status` map. Its transition time moves only with its status.
pub(crate) fn set(status: &mut Value, new: &Condition<'_>, now: Timestamp) {
    write(status, new, now, false);
}

/// As [`set`], with the `lastUpdateTime` that Deployments have: it moves when the status or the reason changes.
pub(crate) fn set_updated(status: &mut Value, new: &Condition<'_>, now: Timestamp) {
    write(status, new, now, true);
}

fn write(status: &mut Value, new: &Condition<'_>, now: Timestamp, updates: bool) {
    let now = stamp(now);
    let old = items(status, "/conditions")
        .iter()
        .find(|c| text(c, "/type") == new.kind);
    let same_status = old.is_some_and(|c| text(c, "/status") == new.status);
    let same = same_status && old.is_some_and(|c| text(c, "/reason") == new.reason);
    let kept = |field: &str, keep: bool| match old {
        Some(old) if keep && !text(old, field).is_empty() => text(old, field).to_owned(),
        _ => now.clone(),
    };
    // Fields that others keep there (lastHeartbeatTime, lastProbeTime) stay.
    let mut condition = old.cloned().unwrap_or_else(|| json!({}));
    if let Some(map) = condition.as_object_mut() {
        for cleared in ["reason", "message"] {
            map.remove(cleared);
        }
        map.insert("type".to_owned(), new.kind.into());
        map.insert("status".to_owned(), new.status.into());
        let moved = kept("/lastTransitionTime", same_status);
        map.insert("lastTransitionTime".to_owned(), moved.into());
        if updates {
            map.insert("lastUpdateTime".to_owned(), kept("/lastUpdateTime", same).into());
        }
        for (field, value) in [("reason", new.reason), ("message", new.message)] {
            if !value.is_empty() {
                map.insert(field.to_owned(), value.into());
            }
        }
    }
    let mut list = items(status, "/conditions").to_vec();
    match list.iter_mut().find(|c| text(c, "/type") == new.kind) {
        Some(place) => *place = condition,
        None => list.push(condition),
    }
    herder_object::field::put(status, &["conditions"], list);
}

/// Removes a condition.
pub(crate) fn drop(status: &mut Value, kind: &str) {
    if let Some(list) = status.get_mut("conditions").and_then(Value::as_array_mut) {
        list.retain(|c| text(c, "/type") != kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_only_with_changes() {
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        let mut status = json!({});
        let ok = Condition {
            kind: "Available",
            status: "True",
            reason: "R",
            message: "m",
        };
        set_updated(&mut status, &ok, at("2026-01-01T00:00:00Z"));
        let first = status.clone();
        set_updated(&mut status, &ok, at("2026-01-01T00:01:00Z"));
        assert_eq!(status, first);
        set_updated(
            &mut status,
            &Condition {
                reason: "Other",
                ..ok.clone()
            },
            at("2026-01-01T00:02:00Z"),
        );
        assert_eq!(
            text(&status, "/conditions/0/lastTransitionTime"),
            "2026-01-01T00:00:00Z"
        );
        assert_eq!(
            text(&status, "/conditions/0/lastUpdateTime"),
            "2026-01-01T00:02:00Z"
        );
        set_updated(
            &mut status,
            &Condition {
                status: "False",
                ..ok
            },
            at("2026-01-01T00:03:00Z"),
        );
        assert_eq!(
            text(&status, "/conditions/0/lastTransitionTime"),
            "2026-01-01T00:03:00Z"
        );
        drop(&mut status, "Available");
        assert_eq!(status, json!({"conditions": []}));
    }
}
