//! Whether a live object already is as git says: every field that git names is equal, whatever the server added.

use crate::Difference;
use base64::Engine as _;
use herder_fleet::{HASH_ANNOTATION, SOURCE_ANNOTATION};
use serde_json::Value;

/// What is different first, for people; `None` if nothing is but what the cluster is known to keep otherwise.
pub(crate) fn difference(desired: &Value, live: &Value, kept: &[Difference]) -> Option<String> {
    let annotation = |value: &Value| {
        herder_object::annotations(value)
            .find(|(name, _)| *name == HASH_ANNOTATION)
            .map(|(_, hash)| hash.to_owned())
    };
    let found = differences(desired, live);
    if let Some(Difference { path, wanted, found }) = found.iter().find(|found| !kept.contains(found)) {
        // Never what a Secret holds: plans are shown and stored.
        let hidden = is_secret(desired) && (path.starts_with("data") || path.starts_with("stringData"));
        let short = |value: &Value| {
            if hidden {
                "(not shown)".to_owned()
            } else {
                short(value)
            }
        };
        return Some(match found {
            Some(found) => format!("{path} is {} instead of {}", short(found), short(wanted)),
            None => format!("{path} is missing, it should be {}", short(wanted)),
        });
    }
    // Equal as far as git says now, but git said more before: only applying again removes it.
    (annotation(desired) != annotation(live))
        .then(|| "git has changed or no longer has some of its fields".to_owned())
}

fn is_secret(object: &Value) -> bool {
    herder_object::kind(object) == "Secret" && herder_object::api_version(object) == "v1"
}

/// Every field that git names and that is otherwise.
pub(crate) fn differences(desired: &Value, live: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    if desired.get("apiVersion") == live.get("apiVersion") {
        fields(desired, live, &mut Vec::new(), &mut found);
    }
    found
}

fn fields<'a>(desired: &'a Value, live: &Value, path: &mut Vec<&'a str>, different: &mut Vec<Difference>) {
    let (Value::Object(wanted), Value::Object(found)) = (desired, live) else {
        return value(desired, live, path, different);
    };
    for (name, wanted) in wanted {
        if path.is_empty() && (name == "status" || name == "apiVersion") {
            continue;
        }
        if path.as_slice() == ["metadata", "annotations"]
            && (name == SOURCE_ANNOTATION || name == HASH_ANNOTATION)
        {
            continue;
        }
        if path.is_empty() && name == "stringData" {
            string_data(wanted, found.get("data"), different);
            continue;
        }
        path.push(name);
        match found.get(name) {
            None | Some(Value::Null) if is_zero(wanted) => {}
            None => different.push(Difference {
                path: path.join("."),
                wanted: wanted.clone(),
                found: None,
            }),
            Some(found) => fields(wanted, found, path, different),
        }
        path.pop();
    }
}

fn value<'a>(desired: &'a Value, live: &Value, path: &mut Vec<&'a str>, different: &mut Vec<Difference>) {
    let same = match (desired, live) {
        (Value::Array(wanted), Value::Array(found)) => list(wanted, found, path),
        _ => desired == live || (is_zero(desired) && is_zero(live)) || same_amount(desired, live),
    };
    if !same {
        different.push(Difference {
            path: path.join("."),
            wanted: desired.clone(),
            found: Some(live.clone()),
        });
    }
}

/// Lists of mappings may be in another order and hold more; lists of plain values may not, except finalizers.
fn list<'a>(wanted: &'a [Value], found: &[Value], path: &mut Vec<&'a str>) -> bool {
    let equal = |wanted: &'a Value, found: &Value, path: &mut Vec<&'a str>| {
        let mut different = Vec::new();
        fields(wanted, found, path, &mut different);
        different.is_empty()
    };
    if wanted.len() == found.len()
        && wanted
            .iter()
            .zip(found)
            .all(|(wanted, found)| equal(wanted, found, path))
    {
        return true;
    }
    let loose = wanted.iter().all(Value::is_object) || path.last() == Some(&"finalizers");
    if !loose || wanted.len() > found.len() {
        return false;
    }
    let mut free: Vec<&Value> = found.iter().collect();
    wanted.iter().all(|wanted| {
        let position = free.iter().position(|found| equal(wanted, found, path));
        position.map(|position| free.swap_remove(position)).is_some()
    })
}

fn string_data(wanted: &Value, data: Option<&Value>, different: &mut Vec<Difference>) {
    for (name, text) in wanted.as_object().into_iter().flatten() {
        let packed = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default());
        let found = data.and_then(|data| data.get(name)).and_then(Value::as_str);
        if found != Some(packed.as_str()) {
            // Never the value: plans are shown and stored.
            different.push(Difference {
                path: format!("stringData.{name}"),
                wanted: Value::from("(not shown)"),
                found: None,
            });
        }
    }
}

/// Whether a value is what a server leaves out.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.values().all(is_zero),
    }
}

/// Whether two scalars are the same quantity: `1` and `"1"`, `"100m"` and `0.1`, `"1Gi"` and `"1024Mi"`.
fn same_amount(a: &Value, b: &Value) -> bool {
    match (amount(a), amount(b)) {
        (Some(a), Some(b)) => (a - b).abs() <= f64::EPSILON * a.abs().max(b.abs()),
        _ => false,
    }
}

fn amount(value: &Value) -> Option<f64> {
    let text = match value {
        Value::Number(number) => return number.as_f64(),
        Value::String(text) => text.as_str(),
        _ => return None,
    };
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')) {
        return None;
    }
    const UNITS: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    if let Ok(number) = text.parse::<f64>() {
        return Some(number);
    }
    let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor)
}

/// A value short enough for a sentence.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("`{text}`"),
        Value::Object(_) => "a mapping".to_owned(),
        Value::Array(values) => format!("a list of {}", values.len()),
        other => other.to_string(),
    };
    if text.chars().count() > 60 {
        let head: String = text.chars().take(57).collect();
        return format!("{head}…");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_may_add_and_normalise() {
        let equal = [
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (
                json!({"spec": {"a": null, "b": {}, "c": [], "d": false}}),
                json!({"spec": {}}),
            ),
            (json!({"cpu": "1000m"}), json!({"cpu": "1"})),
            (json!({"cpu": 0.1}), json!({"cpu": "100m"})),
            (json!({"memory": "1Gi"}), json!({"memory": "1024Mi"})),
            (
                json!({"ports": [{"port": 80}]}),
                json!({"ports": [{"port": 80, "protocol": "TCP"}]}),
            ),
            (
                json!({"c": [{"name": "b"}]}),
                json!({"c": [{"name": "a"}, {"name": "b", "x": 1}]}),
            ),
            (json!({"stringData": {"a": "x"}}), json!({"data": {"a": "eA=="}})),
            (
                json!({"metadata": {"annotations": {"herder.dev/source": "x@1"}}}),
                json!({"metadata": {"annotations": {"herder.dev/source": "x@2"}}}),
            ),
            (json!({"status": {"a": 1}}), json!({})),
        ];
        for (desired, live) in equal {
            assert_eq!(difference(&desired, &live, &[]), None, "{desired} {live}");
        }
        let different = [
            (json!({"a": 1}), json!({"a": 2}), "a is 2 instead of 1"),
            (
                json!({"a": {"b": "x"}}),
                json!({"a": {}}),
                "a.b is missing, it should be `x`",
            ),
            (
                json!({"args": ["a"]}),
                json!({"args": ["a", "b"]}),
                "args is a list of 2 instead of a list of 1",
            ),
            (
                json!({"c": [{"name": "b", "i": 1}]}),
                json!({"c": [{"name": "b", "i": 2}]}),
                "c is a list of 1 instead of a list of 1",
            ),
            (
                json!({"stringData": {"a": "x"}}),
                json!({"data": {"a": "eQ=="}}),
                "stringData.a is missing, it should be `(not shown)`",
            ),
            (
                json!({"metadata": {"annotations": {"herder.dev/hash": "1"}}}),
                json!({}),
                "metadata is missing, it should be a mapping",
            ),
        ];
        for (desired, live, reason) in different {
            assert_eq!(
                difference(&desired, &live, &[]).as_deref(),
                Some(reason),
                "{desired} {live}"
            );
        }
        let old = json!({"metadata": {"annotations": {"herder.dev/hash": "1", "x": "y"}}});
        let new = json!({"metadata": {"annotations": {"herder.dev/hash": "2"}}});
        assert!(difference(&new, &old, &[]).is_some());
    }
}
