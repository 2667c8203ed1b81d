//! Label selectors, in the two shapes Kubernetes has. Pure.

use serde_json::{Map, Value};

/// Whether a `LabelSelector` picks these labels. A missing selector picks nothing, an empty one everything.
pub(crate) fn matches(selector: Option<&Value>, labels: Option<&Map<String, Value>>) -> bool {
    let Some(selector) = selector.and_then(Value::as_object) else {
        return false;
    };
    let all = selector.get("matchLabels").and_then(Value::as_object);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    all.is_none_or(|want| subset(want, labels))
        && expressions.into_iter().flatten().all(|e| expression(e, labels))
}

/// Whether every wanted label is there with that value.
pub(crate) fn subset(want: &Map<String, Value>, labels: Option<&Map<String, Value>>) -> bool {
    want.iter()
        .all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
}

/// One requirement of `matchExpressions`, of a label selector or a node selector term.
pub(crate) fn expression(requirement: &Value, labels: Option<&Map<String, Value>>) -> bool {
    let key = requirement.get("key").and_then(Value::as_str).unwrap_or_default();
    let values = requirement.get("values").and_then(Value::as_array);
    let value = labels.and_then(|l| l.get(key));
    let listed = value.is_some_and(|v| values.is_some_and(|list| list.contains(v)));
    let number = |v: Option<&Value>| v.and_then(Value::as_str).and_then(|s| s.parse::<i64>().ok());
    let bound = || number(values.and_then(|list| list.first()));
    match requirement.get("operator").and_then(Value::as_str) {
        Some("In") => listed,
        Some("NotIn") => !listed,
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        Some("Gt") => number(value).zip(bound()).is_some_and(|(a, b)| a > b),
        Some("Lt") => number(value).zip(bound()).is_some_and(|(a, b)| a < b),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors() {
        let labels = json!({"app": "shop", "tier": "web", "n": "5"});
        for (selector, expected) in [
            (json!(null), false),
            (json!({}), true),
            (json!({"matchLabels": {"app": "shop"}}), true),
            (json!({"matchLabels": {"app": "x"}}), false),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["shop", "b"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}),
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["4"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "n", "operator": "Lt", "values": ["x"]}]}),
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "n", "operator": "Odd"}]}),
                false,
            ),
        ] {
            assert_eq!(
                matches(Some(&selector), labels.as_object()),
                expected,
                "{selector}"
            );
        }
        assert!(!matches(None, labels.as_object()));
    }
}
