//! Objects that have been told to go and do not: what they wait for, in words.

use crate::observed::ObservedObject;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How long an object may take to go before that is worth a finding.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// Why an object is still there.
pub(crate) struct Going {
    /// What it waits for, and since when.
    pub(crate) why: String,
    /// Whether somebody should look.
    pub(crate) stuck: bool,
}

/// How an object goes; `None` if it does not.
pub(crate) fn going(live: &ObservedObject, now: Timestamp) -> Option<Going> {
    let value = &live.value;
    let since = value
        .pointer("/metadata/deletionTimestamp")
        .and_then(Value::as_str)?;
    let texts = |pointer: &str| -> Vec<&str> {
        let list = value.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let mut finalizers = texts("/metadata/finalizers");
    finalizers.extend(texts("/spec/finalizers"));
    let late = since
        .parse::<Timestamp>()
        .is_ok_and(|since| now.duration_since(since) > PATIENCE);
    // A namespace says itself what is left in it.
    let conditions = value.pointer("/status/conditions").and_then(Value::as_array);
    let left = conditions.into_iter().flatten().find_map(|condition| {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        let remaining = matches!(
            text("type"),
            Some("NamespaceFinalizersRemaining" | "NamespaceContentRemaining")
        );
        (remaining && text("status") == Some("True")).then(|| text("message"))?
    });
    let waits = match (left, finalizers.as_slice()) {
        (Some(left), _) => format!(" ({left})"),
        (None, []) => String::new(),
        (None, [only]) => format!(", and waits for its finalizer {only}"),
        (None, more) => format!(", and waits for its finalizers {}", more.join(", ")),
    };
    Some(Going {
        why: format!("it has been going since {since}{waits}"),
        stuck: late && (left.is_some() || !finalizers.is_empty()),
    })
}
