//! Checks a parsed file against the tables: every finding with its line, and what was probably meant.

use super::{Field, Kind, Type};
use herder_base::{Diagnostic, Location, duration_with_unit, suggest};
use herder_object::yaml::{Document, Node, to_json};
use serde_json::{Map, Value};

/// A document that fits its kind.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The name, from `metadata` or the field; empty if there is none.
    pub(crate) name: String,
    /// The fields, without the envelope.
    pub(crate) fields: Map<String, Value>,
    /// Where it begins.
    pub(crate) at: Location,
    root: Node,
    prefix: &'static str,
}

impl Checked {
    /// The place of a field, by JSON pointer below the fields.
    pub(crate) fn place(&self, pointer: &str) -> Location {
        let (line, column) = self.root.at(&format!("{}{pointer}", self.prefix));
        Location {
            line,
            column,
            ..self.at.clone()
        }
    }

    /// A field.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A text field.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
}

struct Check<'a> {
    path: &'a str,
    root: &'a Node,
    kind: &'a Kind,
    found: &'a mut Vec<Diagnostic>,
}

/// Checks a document; `None` if it does not fit, with the reasons added to `found`.
pub(crate) fn check(
    kind: &Kind,
    path: &str,
    document: Document,
    found: &mut Vec<Diagnostic>,
) -> Option<Checked> {
    let at = Location::new(path, document.line.max(1), 0);
    let value = match to_json(&document.root) {
        Ok(value) => value,
        Err(error) => {
            let at = Location::new(path, error.line, error.column);
            found.push(Diagnostic::error("yaml", error.message).at(at));
            return None;
        }
    };
    let before = found.len();
    let mut check = Check {
        path,
        root: &document.root,
        kind,
        found,
    };
    let Value::Object(mut fields) = value else {
        check.wrong("", "a mapping", &value);
        return None;
    };
    let enveloped = fields.contains_key("apiVersion");
    let mut name = None;
    let mut prefix = "";
    if enveloped {
        prefix = "/spec";
        (name, fields) = check.envelope(fields)?;
    }
    check.object(&fields, kind.fields, prefix);
    if found.len() > before {
        return None;
    }
    let name = name.or_else(|| fields.get("name").and_then(Value::as_str).map(str::to_owned));
    Some(Checked {
        name: name.unwrap_or_default(),
        fields,
        at,
        root: document.root,
        prefix,
    })
}

impl Check<'_> {
    /// Takes `apiVersion`, `kind` and `metadata` off; what is left is the name and the spec.
    fn envelope(&mut self, mut all: Map<String, Value>) -> Option<(Option<String>, Map<String, Value>)> {
        let before = self.found.len();
        let version = all.remove("apiVersion").unwrap_or_default();
        if version.as_str() != Some("herder.dev/v1") {
            let message = format!("apiVersion is {version}, but this Herder reads `herder.dev/v1`");
            self.say("/apiVersion", "api-version", message, None);
        }
        let kind = all.remove("kind").unwrap_or_default();
        if kind.as_str() != Some(self.kind.name) {
            let message = format!(
                "kind is {kind}, but {} hold `{}`",
                self.kind.files, self.kind.name
            );
            self.say("/kind", "kind", message, None);
        }
        let metadata = all.remove("metadata").unwrap_or_default();
        let name = metadata.get("name").and_then(Value::as_str).map(str::to_owned);
        if let Some(metadata) = metadata.as_object() {
            for key in metadata.keys() {
                if !["name", "labels", "annotations"].contains(&key.as_str()) {
                    self.unknown(
                        &format!("/metadata/{key}"),
                        key,
                        &["name", "labels", "annotations"],
                    );
                }
            }
        } else if !metadata.is_null() {
            self.wrong("/metadata", "a mapping", &metadata);
        }
        let spec = all.remove("spec").unwrap_or_default();
        for key in all.keys() {
            self.unknown(
                &format!("/{key}"),
                key,
                &["apiVersion", "kind", "metadata", "spec"],
            );
        }
        match spec {
            Value::Object(spec) if self.found.len() == before => Some((name, spec)),
            Value::Null if self.found.len() == before => Some((name, Map::new())),
            Value::Object(_) | Value::Null => None,
            other => {
                self.wrong("/spec", "a mapping", &other);
                None
            }
        }
    }

    fn object(&mut self, map: &Map<String, Value>, fields: &[Field], pointer: &str) {
        for (key, value) in map {
            let here = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            match fields.iter().find(|field| field.name == key) {
                Some(_) if value.is_null() => {}
                Some(field) => self.value(value, &field.is, &here),
                None => {
                    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                    self.unknown(&here, key, &names);
                }
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if map.get(field.name).is_none_or(Value::is_null) {
                let message = format!("the field `{}` is missing", field.name);
                self.say(pointer, "missing-field", message, Some(field.doc.to_owned()));
            }
        }
    }

    fn value(&mut self, value: &Value, is: &Type, pointer: &str) {
        match (is, value) {
            (Type::Text, Value::String(_)) | (Type::Bool, Value::Bool(_)) => {}
            (Type::Scalar, Value::String(_) | Value::Number(_) | Value::Bool(_)) => {}
            (Type::Name, Value::String(name)) => {
                if !is_name(name) {
                    let message = format!(
                        "`{name}` is no name: use lower-case letters, digits and `-`, at most 63, with a letter or digit at both ends"
                    );
                    self.say(pointer, "name", message, None);
                }
            }
            (Type::Integer(low, high), Value::Number(number)) => {
                if !number
                    .as_i64()
                    .is_some_and(|number| (*low..=*high).contains(&number))
                {
                    self.say(
                        pointer,
                        "bad-value",
                        format!("{number} is not a whole number from {low} to {high}"),
                        None,
                    );
                }
            }
            (Type::Duration, Value::String(_) | Value::Number(_)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if let Err(error) = duration_with_unit(&text) {
                    self.say(pointer, "bad-value", error.to_string(), None);
                }
            }
            (Type::Word(words), Value::String(word)) => {
                if !words.contains(&word.as_str()) {
                    let hint =
                        suggest(word, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                    let message = format!("`{word}` is none of {}", words.join(", "));
                    self.say(pointer, "bad-value", message, hint);
                }
            }
            (Type::List(element), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.value(value, element, &format!("{pointer}/{index}"));
                }
            }
            (Type::Map(element), Value::Object(map)) => {
                for (key, value) in map {
                    let here = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                    self.value(value, element, &here);
                }
            }
            (Type::Object(fields), Value::Object(map)) => self.object(map, fields, pointer),
            (Type::Either(types), value) => match types.iter().find(|is| same_shape(is, value)) {
                Some(is) => self.value(value, is, pointer),
                None => self.wrong(pointer, &shape(is), value),
            },
            (is, value) => self.wrong(pointer, &shape(is), value),
        }
    }

    fn unknown(&mut self, pointer: &str, key: &str, names: &[&str]) {
        let hint = match suggest(key, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the fields here are {}", names.join(", ")),
        };
        self.say(
            pointer,
            "unknown-field",
            format!("there is no field `{key}`"),
            Some(hint),
        );
    }

    fn wrong(&mut self, pointer: &str, expected: &str, value: &Value) {
        let found = match value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a mapping",
        };
        self.say(
            pointer,
            "wrong-type",
            format!("expected {expected}, found {found}"),
            None,
        );
    }

    fn say(&mut self, pointer: &str, code: &'static str, message: String, hint: Option<String>) {
        let (line, column) = self.root.at(pointer);
        let mut diagnostic = Diagnostic::error(code, message).at(Location::new(self.path, line, column));
        diagnostic.hint = hint;
        self.found.push(diagnostic);
    }
}

/// Whether a value is written as a type is: text, list or mapping.
fn same_shape(is: &Type, value: &Value) -> bool {
    match is {
        Type::List(_) => value.is_array(),
        Type::Map(_) | Type::Object(_) => value.is_object(),
        _ => !value.is_array() && !value.is_object(),
    }
}

fn shape(is: &Type) -> String {
    match is {
        Type::Text | Type::Name | Type::Word(_) => "text".to_owned(),
        Type::Scalar => "text or a number".to_owned(),
        Type::Bool => "true or false".to_owned(),
        Type::Integer(..) => "a number".to_owned(),
        Type::Duration => "a duration such as 30s, 5m or 2d".to_owned(),
        Type::List(_) => "a list".to_owned(),
        Type::Map(_) | Type::Object(_) => "a mapping".to_owned(),
        Type::Either(types) => types.iter().map(shape).collect::<Vec<_>>().join(" or "),
    }
}

/// Whether it is a DNS label.
pub(crate) fn is_name(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 63
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
