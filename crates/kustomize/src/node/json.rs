//! To and from JSON values: what becomes of a node that go-yaml v3 writes and reads again.

use super::{Content, Key, Node, Style, Tag, fold};
use crate::error::{Error, Result};
use herder_object::yaml::{self, Resolved};
use serde_json::{Map, Value};

/// Whether go-yaml v3 reads an unquoted text as a string.
pub(crate) fn is_string(text: &str) -> bool {
    yaml::resolve_plain(text) == Resolved::String
}

/// Whether an unquoted text is something other than a string to a YAML 1.1 parser (kyaml's `IsValueNonString`).
pub(crate) fn is_yaml11_non_string(text: &str) -> bool {
    if text.is_empty() || text.contains('\n') {
        return false;
    }
    yaml::resolve_plain_v2(text) != Resolved::String
}

impl Node {
    /// The value of a node that is written as YAML and read again, as upstream does in the end.
    pub(crate) fn to_json(&self) -> Result<Value> {
        self.value(Some(self.style == Style::Flow))
    }

    /// The value of a node as it is.
    pub(crate) fn decode(&self) -> Result<Value> {
        self.value(None)
    }

    /// `written` says whether it is written inside of a flow collection, if it is written at all.
    fn value(&self, written: Option<bool>) -> Result<Value> {
        let below = written.map(|flow| flow || self.style == Style::Flow);
        match &self.content {
            Content::Scalar(text)
                if self.style == Style::Folded && written == Some(false) && text.contains('\n') =>
            {
                let refolded = Node {
                    content: Content::Scalar(fold::write_and_read(text)),
                    style: Style::Literal,
                    ..self.clone()
                };
                refolded.scalar_json(refolded.text())
            }
            Content::Nothing => Ok(Value::Null),
            Content::Scalar(text) => self.scalar_json(text),
            Content::Seq(items) => items.iter().map(|item| item.value(below)).collect(),
            Content::Map(pairs) => {
                let mut map = Map::new();
                for (key, value) in pairs {
                    if !key.is_string {
                        return Err(Error::new(format!("the key `{}` is not a string", key.text))
                            .on_line(value.line)
                            .hint("put it in quotes"));
                    }
                    if map.insert(key.text.to_string(), value.value(below)?).is_some() {
                        return Err(
                            Error::new(format!("the key `{}` appears twice", key.text)).on_line(value.line)
                        );
                    }
                }
                Ok(Value::Object(map))
            }
        }
    }

    fn scalar_json(&self, text: &str) -> Result<Value> {
        if !self.tagged {
            if self.tag == Tag::Str
                || (self.tag == Tag::None && (self.style.is_quoted() || text.contains('\n')))
            {
                return Ok(Value::String(text.to_owned()));
            }
            let resolved = yaml::resolve_plain(text);
            if self.tag == Tag::None || Tag::from(&resolved) == self.tag {
                if self.style.is_quoted() {
                    return Ok(Value::String(text.to_owned()));
                }
                return self.resolved(resolved, text);
            }
        }
        let tag = match &self.tag {
            Tag::Null => "!!null",
            Tag::Bool => "!!bool",
            Tag::Int => "!!int",
            Tag::Float => "!!float",
            Tag::Timestamp => "!!timestamp",
            Tag::Other(tag) => tag,
            Tag::None | Tag::Str | Tag::Map | Tag::Seq => "!!str",
        };
        let node = yaml::Node {
            tag: Some(tag.into()),
            line: self.line,
            ..yaml::Node::plain(text)
        };
        yaml::to_json(&node).map_err(|error| Error::new(error.message).on_line(self.line))
    }

    fn resolved(&self, resolved: Resolved, text: &str) -> Result<Value> {
        yaml::resolved_json(resolved, text).ok_or_else(|| {
            Error::new(format!("`{text}`: JSON has no infinite or undefined numbers")).on_line(self.line)
        })
    }
}

/// How numbers and strings of a value are written where a node is made of it.
struct Writing {
    number: fn(&serde_json::Number) -> String,
    style: fn(&str) -> Style,
}

/// A node as reading the JSON text of a value gives it.
pub(crate) fn from_json(value: Value) -> Node {
    let writing = Writing {
        number: yaml::json_number,
        style: |_| Style::Double,
    };
    writing.node(value)
}

/// A node as it is after a JSON patch: every number went through a float, every string through a YAML text.
pub(crate) fn from_patched(value: Value) -> Node {
    let writing = Writing {
        number: |number| {
            number
                .as_f64()
                .map_or_else(|| number.to_string(), yaml::float_text)
        },
        style: |text| match yaml::print(&Value::String(text.to_owned())).as_bytes().first() {
            Some(b'"') => Style::Double,
            Some(b'\'') => Style::Single,
            Some(b'|') => Style::Literal,
            _ => Style::Plain,
        },
    };
    writing.node(value)
}

impl Writing {
    fn node(&self, value: Value) -> Node {
        match value {
            Value::Null => Node {
                tag: Tag::Null,
                ..Node::scalar("null")
            },
            Value::Bool(value) => Node {
                tag: Tag::Bool,
                ..Node::scalar(if value { "true" } else { "false" })
            },
            Value::Number(number) => {
                let text = (self.number)(&number);
                Node {
                    tag: Tag::from(&yaml::resolve_plain(&text)),
                    ..Node::scalar(text)
                }
            }
            Value::String(text) => Node {
                style: (self.style)(&text),
                ..Node::string(text)
            },
            Value::Array(items) => Node {
                tag: Tag::Seq,
                content: Content::Seq(items.into_iter().map(|item| self.node(item)).collect()),
                ..Node::default()
            },
            Value::Object(map) => {
                let pairs = map
                    .into_iter()
                    .map(|(key, value)| (Key::quoted(&key), self.node(value)));
                Node {
                    tag: Tag::Map,
                    content: Content::Map(pairs.collect()),
                    ..Node::default()
                }
            }
        }
    }
}
