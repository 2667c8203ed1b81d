//! Label and field selectors.

use crate::registry::Status;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// A label selector in text form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels(Vec<(String, Test)>);

impl Labels {
    /// From `a=b,c!=d,e in (f,g),h,!i`.
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        let refuse = || Status::bad_request(format!("unable to parse label selector {text:?}"));
        let mut tests = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let test = if let Some(key) = part.strip_prefix('!') {
                (key.trim(), Test::Absent)
            } else if let Some((key, value)) = part.split_once("!=") {
                (key.trim(), Test::NotIn(vec![value.trim().to_owned()]))
            } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (key.trim(), Test::In(vec![value.trim().to_owned()]))
            } else if let Some((key, value)) = part.split_once('>') {
                (
                    key.trim(),
                    Test::Greater(value.trim().parse().map_err(|_| refuse())?),
                )
            } else if let Some((key, value)) = part.split_once('<') {
                (
                    key.trim(),
                    Test::Less(value.trim().parse().map_err(|_| refuse())?),
                )
            } else if let Some((head, list)) = part.split_once('(') {
                let list = list.strip_suffix(')').ok_or_else(refuse)?;
                let values = list.split(',').map(|value| value.trim().to_owned()).collect();
                let mut words = head.split_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some(key), Some("in"), None) => (key, Test::In(values)),
                    (Some(key), Some("notin"), None) => (key, Test::NotIn(values)),
                    _ => return Err(refuse()),
                }
            } else {
                (part, Test::Exists)
            };
            if test.0.is_empty() || test.0.contains(char::is_whitespace) {
                return Err(refuse());
            }
            tests.push((test.0.to_owned(), test.1));
        }
        Ok(Self(tests))
    }

    /// Whether an object has such labels.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.0.iter().all(|(key, test)| {
            let value = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
            match test {
                Test::In(values) => value.is_some_and(|value| values.iter().any(|wanted| wanted == value)),
                Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|wanted| wanted != value)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::Greater(than) => value
                    .and_then(|value| value.parse::<i64>().ok())
                    .is_some_and(|value| value > *than),
                Test::Less(than) => value
                    .and_then(|value| value.parse::<i64>().ok())
                    .is_some_and(|value| value < *than),
            }
        })
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (index, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.extend(text.get(start..index));
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// Whether an object's labels match a structured `LabelSelector`. An empty one matches everything.
pub(crate) fn matches_structured(selector: &Value, object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels");
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let exact = selector.get("matchLabels").and_then(Value::as_object);
    let exact = exact
        .into_iter()
        .flatten()
        .all(|(key, value)| value.as_str() == label(key));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    exact
        && expressions.into_iter().flatten().all(|expression| {
            let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
            let values = expression.get("values").and_then(Value::as_array);
            let among = |wanted: &str| {
                values
                    .into_iter()
                    .flatten()
                    .any(|value| value.as_str() == Some(wanted))
            };
            match expression
                .get("operator")
                .and_then(Value::as_str)
                .unwrap_or_default()
            {
                "In" => label(key).is_some_and(among),
                "NotIn" => label(key).is_none_or(|value| !among(value)),
                "Exists" => label(key).is_some(),
                "DoesNotExist" => label(key).is_none(),
                _ => false,
            }
        })
}

/// A field selector: `a.b=c,d!=e`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String, bool)>);

impl Fields {
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        let mut tests = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value, equal) = if let Some((key, value)) = part.split_once("!=") {
                (key, value, false)
            } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (key, value, true)
            } else {
                return Err(Status::bad_request(format!(
                    "invalid field selector {part:?}: use field=value"
                )));
            };
            tests.push((
                format!("/{}", key.trim().replace('.', "/")),
                value.trim().to_owned(),
                equal,
            ));
        }
        Ok(Self(tests))
    }

    /// Whether an object has such fields; a missing field is empty.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(pointer, wanted, equal)| {
            let actual = match object.pointer(pointer) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            // An absent boolean or number is its zero value.
            let same = actual == *wanted || (actual.is_empty() && matches!(wanted.as_str(), "false" | "0"));
            same == *equal
        })
    }

    /// The exact value wanted of a field.
    pub(crate) fn exact(&self, pointer: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _, equal)| own == pointer && *equal)
            .map(|(_, value, _)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_match_as_kubernetes_does() {
        let object = json!({"metadata": {"name": "x", "labels": {"app": "shop", "n": "5"}}, "status": {"phase": "Running"}});
        let labels = [
            ("", true),
            ("app=shop", true),
            ("app==shop,n!=4", true),
            ("app in (a, shop),!tier", true),
            ("app notin (shop)", false),
            ("tier notin (a)", true),
            ("n>4,n<6", true),
            ("tier", false),
        ];
        for (text, expected) in labels {
            assert_eq!(Labels::parse(text).unwrap().matches(&object), expected, "{text}");
        }
        for bad in ["a in b", "=x", "a b", "n>x", "a in (b"] {
            assert!(Labels::parse(bad).is_err(), "{bad}");
        }
        for (text, expected) in [
            ("metadata.name=x", true),
            ("status.phase!=Running", false),
            ("spec.nodeName=", true),
            ("spec.unschedulable=false", true),
        ] {
            assert_eq!(Fields::parse(text).unwrap().matches(&object), expected, "{text}");
        }
    }
}
