//! Syntax trees to JSON values, and the everyday entry that reads objects from a text.

use super::node::{Content, Node, YamlError};
use super::parse::parse;
use super::resolve::{Resolved, resolve};
use base64::Engine as _;
use serde_json::{Map, Number, Value};

/// The value of a tree, with types as go-yaml v3 finds them: merge keys are applied, times are strings.
///
/// # Errors
/// If a key is not a string or appears twice, a tag does not fit, or a number is infinite.
pub fn to_json(node: &Node) -> Result<Value, YamlError> {
    match &node.content {
        Content::Scalar(text) => scalar(node, text),
        Content::Sequence(elements) => elements.iter().map(to_json).collect(),
        Content::Mapping(pairs) => mapping(pairs).map(Value::Object),
    }
}

fn scalar(node: &Node, text: &str) -> Result<Value, YamlError> {
    if node.tag.as_deref() == Some("!!binary") {
        let packed: String = text.split_ascii_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(packed)
            .map_err(|_| YamlError::at(node, "!!binary value is not base64"))?;
        return Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    }
    resolved_json(resolve(node)?, text)
        .ok_or_else(|| YamlError::at(node, "JSON has no infinite or undefined numbers"))
}

/// The JSON value of a scalar whose type is known; `None` for infinite and undefined numbers, which JSON lacks.
#[must_use]
pub fn resolved_json(resolved: Resolved, text: &str) -> Option<Value> {
    Some(match resolved {
        Resolved::Null => Value::Null,
        Resolved::Bool(value) => Value::Bool(value),
        Resolved::Int(value) => i64::try_from(value)
            .map(Number::from)
            .or_else(|_| u64::try_from(value).map(Number::from))
            .map_or(Value::Null, Value::Number),
        // Through JSON a float without a fraction becomes a whole number.
        Resolved::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Value::from(value as i64),
        Resolved::Float(value) => Value::Number(Number::from_f64(value)?),
        Resolved::Timestamp(time) => Value::String(time),
        Resolved::String => Value::String(text.to_owned()),
    })
}

/// The text of a key that may stand in JSON.
fn key_text(key: &Node) -> Result<&str, YamlError> {
    let Some(text) = key.text() else {
        return Err(YamlError::at(key, "a mapping or sequence cannot be a key"));
    };
    if resolve(key)? == Resolved::String {
        return Ok(text);
    }
    Err(YamlError::at(
        key,
        format!("the key `{text}` is not a string; quote it"),
    ))
}

fn is_merge(key: &Node) -> bool {
    key.text() == Some("<<")
        && matches!(key.tag.as_deref(), None | Some("!!merge" | "!"))
        && key.style == super::Style::Plain
}

fn mapping(pairs: &[(Node, Node)]) -> Result<Map<String, Value>, YamlError> {
    let mut map = Map::new();
    let mut merge: Option<&Node> = None;
    for (key, value) in pairs {
        if is_merge(key) {
            if merge.replace(value).is_some() {
                return Err(YamlError::at(key, "the key `<<` appears twice"));
            }
            continue;
        }
        let text = key_text(key)?;
        if map.insert(text.to_owned(), to_json(value)?).is_some() {
            let first = pairs.iter().find(|(other, _)| other.text() == Some(text));
            let line = first.map_or(0, |(other, _)| other.line);
            return Err(YamlError::at(
                key,
                format!("the key `{text}` appears twice, first on line {line}"),
            ));
        }
    }
    match merge.map(|node| (node, &node.content)) {
        None => {}
        Some((_, Content::Mapping(pairs))) => add_missing(&mut map, pairs)?,
        Some((_, Content::Sequence(elements))) => {
            for element in elements {
                let Content::Mapping(pairs) = &element.content else {
                    return Err(YamlError::at(element, "only mappings can be merged"));
                };
                add_missing(&mut map, pairs)?;
            }
        }
        Some((node, Content::Scalar(_))) => return Err(YamlError::at(node, "only mappings can be merged")),
    }
    Ok(map)
}

fn add_missing(map: &mut Map<String, Value>, pairs: &[(Node, Node)]) -> Result<(), YamlError> {
    for (key, value) in mapping(pairs)? {
        map.entry(key).or_insert(value);
    }
    Ok(())
}

/// All objects of a text with the line each begins on. Empty documents are skipped, lists (`kind: List`, or any
/// `…List` with `items`) are taken apart, and one bad document does not hide the others.
#[must_use]
pub fn parse_objects(text: &str) -> (Vec<(Value, u32)>, Vec<YamlError>) {
    let (documents, mut errors) = parse(text);
    let mut objects = Vec::new();
    for document in documents {
        let root = &document.root;
        match to_json(root) {
            Ok(Value::Null) => {}
            Ok(value) if is_list(&value) => expand(value, root, &mut objects, &mut errors),
            Ok(value @ Value::Object(_)) => objects.push((value, document.line)),
            Ok(_) => errors.push(YamlError::at(root, "expected a mapping, as in `kind: …`")),
            Err(error) => errors.push(error),
        }
    }
    errors.sort_by_key(|error| (error.line, error.column));
    (objects, errors)
}

fn is_list(value: &Value) -> bool {
    value
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"))
        && value
            .get("items")
            .is_some_and(|items| items.is_array() || items.is_null())
}

fn expand(mut list: Value, node: &Node, objects: &mut Vec<(Value, u32)>, errors: &mut Vec<YamlError>) {
    let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) else {
        return;
    };
    for (index, item) in items.into_iter().enumerate() {
        let (line, column) = node.at(&format!("/items/{index}"));
        if item.is_object() {
            objects.push((item, line));
        } else {
            errors.push(YamlError {
                line,
                column,
                message: "expected an object in `items`".to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Result<Value, YamlError> {
        let (documents, errors) = parse(text);
        assert!(errors.is_empty(), "{text:?}: {errors:?}");
        to_json(&documents[0].root)
    }

    #[test]
    fn converts() {
        for (text, value) in [
            (
                "a: 0755\nb: '1'\nc: !!str 2\nd: 2001-01-01\ne: yes\nf: ~\n",
                json!({"a": 493, "b": "1", "c": "2", "d": "2001-01-01T00:00:00Z", "e": "yes", "f": null}),
            ),
            (
                "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n",
                json!({"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}),
            ),
            ("- 1.0\n- 1e3\n- -0\n- 1.5\n", json!([1, 1000, 0, 1.5])),
            ("a: !!binary aGk=\n", json!({"a": "hi"})),
            ("{\"a\": [1, 2,]}\n", json!({"a": [1, 2]})),
        ] {
            assert_eq!(one(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn refuses_with_a_place() {
        for (text, place) in [
            ("a: 1\nb: 2\na: 3\n", (3, 1)),
            ("a:\n  1: x\n", (2, 3)),
            ("a: .inf\n", (1, 4)),
        ] {
            let error = one(text).unwrap_err();
            assert_eq!((error.line, error.column), place, "{text}: {error}");
        }
        let (_, errors) = parse("a: [1\nb: 2\n");
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn aliases_are_bounded() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let items = vec![format!("*a{}", i - 1); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{items}]\n"));
        }
        let (_, errors) = parse(&text);
        assert!(errors[0].message.contains("expand"), "{errors:?}");
        let (_, errors) = parse(&"[".repeat(100_000));
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn reads_objects() {
        let text =
            "kind: List\nitems:\n- kind: A\n- kind: B\n---\n---\nkind: C\n---\nx: 1\nx: 2\n---\nkind: D\n";
        let (objects, errors) = parse_objects(text);
        let found: Vec<(&str, u32)> = objects
            .iter()
            .map(|(o, l)| (o["kind"].as_str().unwrap(), *l))
            .collect();
        assert_eq!(found, [("A", 3), ("B", 4), ("C", 7), ("D", 12)]);
        assert_eq!((errors.len(), errors[0].line), (1, 10));
    }

    #[test]
    fn points_at_fields() {
        let (documents, _) = parse("a:\n  b:\n  - c: 1\n    d/e: 2\n");
        let root = &documents[0].root;
        assert_eq!(root.at("/a/b/0/d~1e"), (4, 5));
        assert_eq!(root.at("/a/b/0"), (3, 5));
        assert_eq!(root.at("/a/zz"), (1, 1));
    }
}
