//! Reads typed values out of a request's data as leniently as Vault does: numbers as strings, lists as comma separated
//! text, durations as `5m` or seconds. Owns no defaults.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// Typed access to request data.
pub(crate) trait Fields {
    fn text(&self, key: &str) -> Option<String>;
    fn need(&self, key: &str) -> Result<String>;
    fn list(&self, key: &str) -> Option<Vec<String>>;
    fn seconds(&self, key: &str) -> Result<Option<i64>>;
    fn flag(&self, key: &str) -> Result<Option<bool>>;
    fn int(&self, key: &str) -> Result<Option<i64>>;
    fn object(&self, key: &str) -> Option<&Map<String, Value>>;
    fn strings(&self, key: &str) -> Option<std::collections::BTreeMap<String, String>>;
}

impl Fields for Map<String, Value> {
    fn text(&self, key: &str) -> Option<String> {
        scalar(self.get(key)?)
    }

    fn need(&self, key: &str) -> Result<String> {
        self.text(key)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Error::invalid(format!("missing {key}")))
    }

    fn list(&self, key: &str) -> Option<Vec<String>> {
        match self.get(key)? {
            Value::Null => None,
            Value::Array(items) => Some(items.iter().filter_map(scalar).collect()),
            other => Some(
                scalar(other)?
                    .split(',')
                    .map(|part| part.trim().to_owned())
                    .filter(|part| !part.is_empty())
                    .collect(),
            ),
        }
    }

    fn seconds(&self, key: &str) -> Result<Option<i64>> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => duration(value).map(Some).ok_or_else(|| {
                Error::invalid(format!(
                    "{key}: write a duration as 30s, 5m, 1h or a number of seconds"
                ))
            }),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        let wrong = || Error::invalid(format!("{key}: write true or false"));
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "t" => Ok(Some(true)),
                "false" | "0" | "f" | "" => Ok(Some(false)),
                _ => Err(wrong()),
            },
            Some(Value::Number(number)) => Ok(Some(number.as_f64() != Some(0.0))),
            Some(_) => Err(wrong()),
        }
    }

    fn int(&self, key: &str) -> Result<Option<i64>> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(value) => scalar(value)
                .and_then(|text| text.parse().ok())
                .map(Some)
                .ok_or_else(|| Error::invalid(format!("{key}: write a whole number"))),
        }
    }

    fn object(&self, key: &str) -> Option<&Map<String, Value>> {
        self.get(key)?.as_object()
    }

    fn strings(&self, key: &str) -> Option<std::collections::BTreeMap<String, String>> {
        match self.get(key)? {
            Value::Object(map) => Some(
                map.iter()
                    .filter_map(|(key, value)| Some((key.clone(), scalar(value)?)))
                    .collect(),
            ),
            Value::String(text) => serde_json::from_str(text).ok().or_else(|| {
                text.split(',')
                    .map(|pair| {
                        pair.split_once('=')
                            .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
                    })
                    .collect()
            }),
            Value::Array(items) => items
                .iter()
                .map(|item| {
                    item.as_str()?
                        .split_once('=')
                        .map(|(k, v)| (k.to_owned(), v.to_owned()))
                })
                .collect(),
            _ => None,
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Seconds out of a number or a duration text; negative and overlong ones are refused.
pub(crate) fn duration(value: &Value) -> Option<i64> {
    // 100 years: longer ones would overflow time arithmetic later.
    const MOST: i64 = 100 * 365 * 86400;
    let seconds = match value {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) if text.is_empty() => 0,
        Value::String(text) => i64::try_from(herder_base::parse_duration(text).ok()?.as_secs()).ok()?,
        _ => return None,
    };
    (0..=MOST).contains(&seconds).then_some(seconds)
}

/// A duration as Go prints it: `0s`, `1m30s`, `1h0m0s`.
pub(crate) fn go_duration(seconds: i64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    if hours != 0 {
        format!("{hours}h{minutes}m{rest}s")
    } else if minutes != 0 {
        format!("{minutes}m{rest}s")
    } else {
        format!("{rest}s")
    }
}
