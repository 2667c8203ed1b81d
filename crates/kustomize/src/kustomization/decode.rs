//! Reading configuration as kustomize does: YAML 1.1 types, JSON's field matching, and errors that say the line.

use crate::error::{Error, Result};
use crate::fieldspec::FieldSpec;
use crate::id::Gvk;
use herder_base::suggest;
use herder_object::yaml::{self, Content, Node, Resolved, Style};
use std::collections::BTreeMap;

/// The first document of a text, or a null.
pub(crate) fn read(text: &str) -> Result<Node> {
    let (documents, errors) = yaml::parse(text);
    match (documents.into_iter().next(), errors.into_iter().next()) {
        (Some(document), _) => apply_merges(document.root),
        (None, None) => Ok(Node::plain("")),
        (None, Some(error)) => Err(Error::new(error.message)
            .on_line(error.line)
            .on_column(error.column)),
    }
}

/// Replaces `<<` by what it merges.
fn apply_merges(mut node: Node) -> Result<Node> {
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::Sequence(items) => {
            for item in items.iter_mut() {
                *item = apply_merges(std::mem::replace(item, Node::plain("")))?;
            }
        }
        Content::Mapping(pairs) => {
            let mut merged = Vec::new();
            for (key, value) in std::mem::take(pairs) {
                let value = apply_merges(value)?;
                if key.text() != Some("<<") || key.style != Style::Plain {
                    pairs.push((key, value));
                    continue;
                }
                match value.content {
                    Content::Mapping(more) => merged.extend(more),
                    Content::Sequence(items) => {
                        merged.extend(items.into_iter().flat_map(|item| match item.content {
                            Content::Mapping(more) => more,
                            _ => Vec::new(),
                        }));
                    }
                    Content::Scalar(_) => {
                        return Err(Error::new("only mappings can be merged with `<<`").on_line(key.line));
                    }
                }
            }
            for (key, value) in merged {
                if !pairs.iter().any(|(name, _)| name.text() == key.text()) {
                    pairs.push((key, value));
                }
            }
        }
    }
    Ok(node)
}

pub(crate) fn wrong(node: &Node, expected: &str) -> Error {
    let found = match &node.content {
        Content::Mapping(_) => "a mapping".to_owned(),
        Content::Sequence(_) => "a list".to_owned(),
        Content::Scalar(text) => format!("`{text}`"),
    };
    Error::new(format!("expected {expected} but found {found}"))
        .on_line(node.line)
        .on_column(node.column)
}

fn resolved(node: &Node) -> Option<Resolved> {
    let text = node.text()?;
    Some(match node.tag.as_deref() {
        Some("!!str" | "!!binary") => Resolved::String,
        Some("!!null") => Resolved::Null,
        Some(_) => yaml::resolve_plain_v2(text),
        None if node.style == Style::Plain => yaml::resolve_plain_v2(text),
        None => Resolved::String,
    })
}

pub(crate) fn is_null(node: &Node) -> bool {
    resolved(node) == Some(Resolved::Null)
}

/// A string; null is the empty string.
pub(crate) fn string(node: &Node) -> Result<String> {
    match resolved(node) {
        Some(Resolved::String) => Ok(node.text().unwrap_or_default().to_owned()),
        Some(Resolved::Null) => Ok(String::new()),
        Some(_) => Err(wrong(node, "a string").hint("put it in quotes")),
        None => Err(wrong(node, "a string")),
    }
}

pub(crate) fn boolean(node: &Node) -> Result<bool> {
    match resolved(node) {
        Some(Resolved::Bool(value)) => Ok(value),
        Some(Resolved::Null) => Ok(false),
        _ => Err(wrong(node, "true or false")),
    }
}

pub(crate) fn integer(node: &Node) -> Result<i64> {
    let value = match resolved(node) {
        Some(Resolved::Int(value)) => i64::try_from(value).ok(),
        Some(Resolved::Float(value)) if value.fract() == 0.0 && value.abs() < 9e15 => Some(value as i64),
        Some(Resolved::Null) => Some(0),
        _ => None,
    };
    value.ok_or_else(|| wrong(node, "a whole number"))
}

pub(crate) fn list<T>(node: &Node, mut item: impl FnMut(&Node) -> Result<T>) -> Result<Vec<T>> {
    match &node.content {
        Content::Sequence(items) => items.iter().map(&mut item).collect(),
        _ if is_null(node) => Ok(Vec::new()),
        _ => Err(wrong(node, "a list")),
    }
}

/// The text a key has in JSON.
fn key_text(key: &Node) -> Result<String> {
    match resolved(key) {
        Some(Resolved::Bool(value)) => Ok(value.to_string()),
        Some(Resolved::Int(value)) => Ok(value.to_string()),
        Some(Resolved::Null) | None => Err(wrong(key, "a key")),
        Some(_) => Ok(key.text().unwrap_or_default().to_owned()),
    }
}

pub(crate) fn map<T>(node: &Node, mut value: impl FnMut(&Node) -> Result<T>) -> Result<BTreeMap<String, T>> {
    match &node.content {
        Content::Mapping(pairs) => pairs
            .iter()
            .map(|(name, item)| Ok((key_text(name)?, value(item)?)))
            .collect(),
        _ if is_null(node) => Ok(BTreeMap::new()),
        _ => Err(wrong(node, "a mapping")),
    }
}

/// Takes the fields of one mapping, and says which were not known.
pub(crate) struct Decoder<'a> {
    pairs: Vec<(&'a Node, String, &'a Node)>,
    known: Vec<&'static str>,
    strict: bool,
}

impl<'a> Decoder<'a> {
    fn new(node: &'a Node, strict: bool) -> Result<Self> {
        let pairs = match &node.content {
            Content::Mapping(pairs) => pairs
                .iter()
                .map(|(key, value)| Ok((key, key_text(key)?, value)))
                .collect::<Result<_>>()?,
            _ if is_null(node) => Vec::new(),
            _ => return Err(wrong(node, "a mapping")),
        };
        Ok(Self {
            pairs,
            known: Vec::new(),
            strict,
        })
    }

    /// Refuses unknown fields.
    pub(crate) fn strict(node: &'a Node) -> Result<Self> {
        Self::new(node, true)
    }

    /// Ignores unknown fields.
    pub(crate) fn lenient(node: &'a Node) -> Result<Self> {
        Self::new(node, false)
    }

    /// The value of a field: the last that is named so, exactly or but for upper and lower case.
    pub(crate) fn field(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        self.pairs
            .iter()
            .rev()
            .find(|(_, text, _)| text.eq_ignore_ascii_case(name))
            .map(|(_, _, value)| *value)
    }

    pub(crate) fn string(&mut self, name: &'static str) -> Result<String> {
        self.field(name).map_or(Ok(String::new()), string)
    }

    pub(crate) fn boolean(&mut self, name: &'static str) -> Result<bool> {
        self.field(name).map_or(Ok(false), boolean)
    }

    pub(crate) fn integer(&mut self, name: &'static str) -> Result<i64> {
        self.field(name).map_or(Ok(0), integer)
    }

    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        item: impl FnMut(&Node) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.field(name).map_or(Ok(Vec::new()), |node| list(node, item))
    }

    pub(crate) fn strings(&mut self, name: &'static str) -> Result<Vec<String>> {
        self.list(name, string)
    }

    pub(crate) fn map<T>(
        &mut self,
        name: &'static str,
        value: impl FnMut(&Node) -> Result<T>,
    ) -> Result<BTreeMap<String, T>> {
        self.field(name)
            .map_or(Ok(BTreeMap::new()), |node| map(node, value))
    }

    /// A field that may be absent or null.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        value: impl FnOnce(&Node) -> Result<T>,
    ) -> Result<Option<T>> {
        self.field(name)
            .filter(|node| !is_null(node))
            .map(value)
            .transpose()
    }

    pub(crate) fn gvk(&mut self) -> Result<Gvk> {
        Ok(Gvk {
            group: self.string("group")?,
            version: self.string("version")?,
            kind: self.string("kind")?,
        })
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Fails on fields that nobody asked for.
    pub(crate) fn finish(self) -> Result<()> {
        if !self.strict {
            return Ok(());
        }
        let unknown = self
            .pairs
            .iter()
            .find(|(_, text, _)| !self.known.iter().any(|name| name.eq_ignore_ascii_case(text)));
        let Some((key, text, _)) = unknown else {
            return Ok(());
        };
        let error = Error::new(format!("unknown field `{text}`"))
            .on_line(key.line)
            .on_column(key.column);
        Err(match suggest(text, self.known.iter().copied()) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error,
        })
    }
}

/// A field specification.
pub(crate) fn field_spec(node: &Node) -> Result<FieldSpec> {
    field_spec_of(Decoder::strict(node)?)
}

/// A field specification with anything else beside it.
pub(crate) fn field_spec_lenient(node: &Node) -> Result<FieldSpec> {
    field_spec_of(Decoder::lenient(node)?)
}

fn field_spec_of(mut decoder: Decoder<'_>) -> Result<FieldSpec> {
    let gvk = decoder.gvk()?;
    let path = decoder.string("path")?;
    let create = decoder.boolean("create")?;
    decoder.finish()?;
    Ok(FieldSpec::new(gvk, &path, create))
}

/// A value of any kind, with YAML 1.1 types.
pub(crate) fn json(node: &Node) -> Result<serde_json::Value> {
    match &node.content {
        Content::Sequence(items) => items.iter().map(json).collect(),
        Content::Mapping(_) => Ok(serde_json::Value::Object(map(node, json)?.into_iter().collect())),
        Content::Scalar(text) => {
            let resolved = resolved(node).unwrap_or(Resolved::Null);
            yaml::resolved_json(resolved, text).ok_or_else(|| wrong(node, "a finite number"))
        }
    }
}
