//! JSON patches (RFC 6902) with the leniencies of the library that kustomize uses: negative indices, `-`, and paths
//! whose first part is not looked at.

use crate::budget;
use crate::error::{Error, Result};
use crate::kustomization::decode;
use serde_json::{Map, Value};

/// A list of operations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonPatch(Vec<Operation>);

#[derive(Debug, Clone, PartialEq, Default)]
struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Option<Value>,
    line: u32,
}

impl JsonPatch {
    /// Reads operations, in JSON or YAML.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::new("an empty JSON patch"));
        }
        if text.starts_with('[') {
            // What begins like JSON has to be JSON.
            serde_json::from_str::<Value>(text).map_err(|error| {
                let line = u32::try_from(error.line()).unwrap_or_default();
                let column = u32::try_from(error.column()).unwrap_or_default();
                Error::new(format!("a JSON patch that begins with `[` must be JSON: {error}"))
                    .on_line(line)
                    .on_column(column)
            })?;
        }
        let root = decode::read(text)?;
        decode::list(&root, |node| {
            let get = |name: &str| {
                node.get(name)
                    .filter(|value| !decode::is_null(value))
                    .and_then(|value| value.text())
            };
            if node.pairs().is_none() && !decode::is_null(node) {
                return Err(decode::wrong(node, "an operation"));
            }
            Ok(Operation {
                op: get("op").unwrap_or_default().to_owned(),
                path: get("path").map(str::to_owned),
                from: get("from").map(str::to_owned),
                value: node.get("value").map(decode::json).transpose()?,
                line: node.line,
            })
        })
        .map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies all operations.
    pub(crate) fn apply(&self, mut document: Value) -> Result<Value> {
        for operation in &self.0 {
            operation.apply(&mut document).map_err(|error| {
                let path = operation.path.as_deref().unwrap_or_default();
                let place = if operation.line > 0 {
                    format!(", line {}", operation.line)
                } else {
                    String::new()
                };
                error.hint(format!(
                    "in the operation `{} {path}` of the JSON patch{place}",
                    operation.op
                ))
            })?;
        }
        if !document.is_object() {
            return Err(Error::new("the JSON patch leaves no object"));
        }
        Ok(document)
    }
}

/// A pointer as the library reads it: what is before the first slash does not count.
fn split(pointer: &str) -> Result<(Vec<String>, String)> {
    let mut parts: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect();
    let last = parts
        .pop()
        .ok_or_else(|| Error::new(format!("the path `{pointer}` does not begin with `/`")))?;
    Ok((parts, last))
}

fn index(key: &str, length: usize) -> Result<usize> {
    let number: i64 = key
        .parse()
        .map_err(|_| Error::new(format!("`{key}` is not an index into a list")))?;
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let at = if number < 0 { number + length } else { number };
    usize::try_from(at)
        .ok()
        .filter(|_| at < length)
        .ok_or_else(|| Error::new(format!("the index {key} is beyond the end of a list of {length}")))
}

fn missing(key: &str) -> Error {
    Error::new(format!("there is no `{key}`"))
}

fn get<'a>(parent: &'a mut Value, key: &str) -> Result<&'a mut Value> {
    match parent {
        Value::Object(map) => map.get_mut(key).ok_or_else(|| missing(key)),
        Value::Array(items) => {
            let at = index(key, items.len())?;
            items.get_mut(at).ok_or_else(|| missing(key))
        }
        _ => Err(missing(key)),
    }
}

fn parent<'a>(document: &'a mut Value, parts: &[String]) -> Result<&'a mut Value> {
    parts.iter().try_fold(document, |here, part| get(here, part))
}

fn add(document: &mut Value, pointer: &str, value: Value) -> Result<()> {
    let (parts, key) = split(pointer)?;
    match parent(document, &parts)? {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(&key, items.len() + 1)?;
            items.insert(at, value);
        }
        _ => return Err(missing(&key)),
    }
    Ok(())
}

fn remove(document: &mut Value, pointer: &str) -> Result<Value> {
    let (parts, key) = split(pointer)?;
    match parent(document, &parts)? {
        Value::Object(map) => map.remove(&key).ok_or_else(|| missing(&key)),
        Value::Array(items) => {
            let at = index(&key, items.len())?;
            Ok(items.remove(at))
        }
        _ => Err(missing(&key)),
    }
}

impl Operation {
    fn value(&self) -> Value {
        self.value.clone().unwrap_or(Value::Null)
    }

    fn from(&self) -> Result<&str> {
        self.from
            .as_deref()
            .ok_or_else(|| Error::new("there is no `from`"))
    }

    fn apply(&self, document: &mut Value) -> Result<()> {
        let path = self
            .path
            .as_deref()
            .ok_or_else(|| Error::new("there is no `path`"))?;
        match self.op.as_str() {
            "add" => add(document, path, self.value()),
            "remove" => remove(document, path).map(drop),
            "replace" => self.replace(document, path),
            "move" => {
                let value = remove(document, self.from()?)?;
                add(document, path, value)
            }
            "copy" => {
                let (parts, key) = split(self.from()?)?;
                let value = match parent(document, &parts)? {
                    Value::Object(map) => map.get(&key).cloned().unwrap_or(Value::Null),
                    other => get(other, &key)?.clone(),
                };
                budget::spend_value(&value)?;
                add(document, path, value)
            }
            "test" => self.test(document, path),
            other => Err(Error::new(format!("unknown operation `{other}`"))
                .hint("it can be add, remove, replace, move, copy or test")),
        }
    }

    fn replace(&self, document: &mut Value, path: &str) -> Result<()> {
        if path.is_empty() {
            *document = self.value();
            return Ok(());
        }
        let (parts, key) = split(path)?;
        match parent(document, &parts)? {
            // The library does not mind if the key is not there.
            Value::Object(map) => {
                map.insert(key, self.value());
            }
            other => *get(other, &key)? = self.value(),
        }
        Ok(())
    }

    fn test(&self, document: &mut Value, path: &str) -> Result<()> {
        let found = if path.is_empty() {
            document.clone()
        } else {
            let (parts, key) = split(path)?;
            match parent(document, &parts)? {
                Value::Object(map) => map.get(&key).cloned().unwrap_or(Value::Null),
                other => get(other, &key)?.clone(),
            }
        };
        if same(&found, &self.value()) {
            return Ok(());
        }
        Err(Error::new(format!("the value is {found}, not {}", self.value())))
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => same_maps(a, b),
        _ => a == b,
    }
}

fn same_maps(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn applies() {
        let document = json!({"a": {"b/c": 1, "l": [1, 2, 3]}});
        for (patch, result) in [
            (
                "- {op: add, path: /a/l/-, value: 4}",
                Some(json!({"a": {"b/c": 1, "l": [1, 2, 3, 4]}})),
            ),
            (
                "- {op: add, path: /a/l/0, value: 0}",
                Some(json!({"a": {"b/c": 1, "l": [0, 1, 2, 3]}})),
            ),
            (
                "- {op: remove, path: /a/l/-1}",
                Some(json!({"a": {"b/c": 1, "l": [1, 2]}})),
            ),
            (
                "[{\"op\": \"replace\", \"path\": \"/a/b~1c\", \"value\": null}]",
                Some(json!({"a": {"b/c": null, "l": [1, 2, 3]}})),
            ),
            (
                "- {op: move, from: /a/l, path: /m}",
                Some(json!({"a": {"b/c": 1}, "m": [1, 2, 3]})),
            ),
            (
                "- {op: copy, from: /a/l/1, path: /m}",
                Some(json!({"a": {"b/c": 1, "l": [1, 2, 3]}, "m": 2})),
            ),
            ("- {op: test, path: /a/l/0, value: 1.0}", Some(document.clone())),
            ("- {op: test, path: /a/l/0, value: 2}", None),
            (
                "- {op: replace, path: /a/x, value: 2}",
                Some(json!({"a": {"b/c": 1, "l": [1, 2, 3], "x": 2}})),
            ),
            ("- {op: replace, path: /x/y, value: 2}", None),
            ("- {op: remove, path: /a/x}", None),
            ("- {op: add, path: /x/y, value: 2}", None),
            ("- {op: add, path: /a/l/5, value: 2}", None),
            ("- {op: jump, path: /a}", None),
        ] {
            let applied = JsonPatch::parse(patch).unwrap().apply(document.clone());
            assert_eq!(applied.as_ref().ok(), result.as_ref(), "{patch}: {applied:?}");
        }
        for text in ["kind: A", "[{op: add, path: /a, value: 1}]", "a"] {
            assert!(JsonPatch::parse(text).is_err(), "{text}");
        }
    }
}
