//! From the syntax tree of a text: tags as go-yaml v3 resolves them, merge keys applied.

use super::{Content, Key, Node, Style, Tag};
use crate::error::{Error, Result};
use herder_object::yaml::{self, Resolved};

impl Tag {
    fn from_short(tag: &str) -> Self {
        match tag {
            "!!null" => Self::Null,
            "!!bool" => Self::Bool,
            "!!int" => Self::Int,
            "!!float" => Self::Float,
            "!!timestamp" => Self::Timestamp,
            "!!str" => Self::Str,
            "!!map" => Self::Map,
            "!!seq" => Self::Seq,
            other => Self::Other(other.into()),
        }
    }
}

impl From<&Resolved> for Tag {
    fn from(resolved: &Resolved) -> Self {
        match resolved {
            Resolved::Null => Self::Null,
            Resolved::Bool(_) => Self::Bool,
            Resolved::Int(_) => Self::Int,
            Resolved::Float(_) => Self::Float,
            Resolved::Timestamp(_) => Self::Timestamp,
            Resolved::String => Self::Str,
        }
    }
}

impl From<yaml::Style> for Style {
    fn from(style: yaml::Style) -> Self {
        match style {
            yaml::Style::Plain => Self::Plain,
            yaml::Style::SingleQuoted => Self::Single,
            yaml::Style::DoubleQuoted => Self::Double,
            yaml::Style::Literal => Self::Literal,
            yaml::Style::Folded => Self::Folded,
            yaml::Style::Flow => Self::Flow,
        }
    }
}

fn is_merge(key: &yaml::Node) -> bool {
    key.text() == Some("<<")
        && match key.tag.as_deref() {
            None | Some("!") => key.style == yaml::Style::Plain,
            Some(tag) => tag == "!!merge",
        }
}

impl Node {
    /// Converts a syntax tree; `above` lines precede the text it was read from.
    pub(crate) fn from_yaml(node: yaml::Node, above: u32) -> Result<Self> {
        let explicit = node.tag.as_deref().filter(|tag| !matches!(*tag, "" | "!"));
        let style = Style::from(node.style);
        let tagged = explicit.is_some();
        let tag = match (explicit, &node.content) {
            (Some(tag), _) => Tag::from_short(tag),
            (None, yaml::Content::Mapping(_)) => Tag::Map,
            (None, yaml::Content::Sequence(_)) => Tag::Seq,
            (None, yaml::Content::Scalar(_)) if style.is_quoted() => Tag::Str,
            (None, yaml::Content::Scalar(text)) if text == "<<" => Tag::Other("!!merge".into()),
            (None, yaml::Content::Scalar(text)) => Tag::from(&yaml::resolve_plain(text)),
        };
        let line = node.line.saturating_add(above);
        let content = match node.content {
            yaml::Content::Scalar(text) => Content::Scalar(text),
            yaml::Content::Sequence(items) => Content::Seq(
                items
                    .into_iter()
                    .map(|item| Self::from_yaml(item, above))
                    .collect::<Result<_>>()?,
            ),
            yaml::Content::Mapping(pairs) => Content::Map(mapping(pairs, above)?),
        };
        Ok(Self {
            content,
            tag,
            style,
            tagged,
            line,
            ..Self::default()
        })
    }
}

fn mapping(pairs: Vec<(yaml::Node, yaml::Node)>, above: u32) -> Result<Vec<(Key, Node)>> {
    let mut result = Vec::with_capacity(pairs.len());
    let mut merge = None;
    for (key, value) in pairs {
        if is_merge(&key) {
            if merge.replace(value).is_some() {
                return Err(
                    Error::new("the merge key `<<` appears twice").on_line(key.line.saturating_add(above))
                );
            }
            continue;
        }
        let is_string = key.tag.as_deref().is_some_and(|tag| tag == "!!str")
            || (key.tag.is_none()
                && match key.text() {
                    Some(text) => key.style != yaml::Style::Plain || super::json::is_string(text),
                    None => false,
                });
        let yaml::Content::Scalar(text) = key.content else {
            return Err(
                Error::new("a mapping or list cannot be a key").on_line(key.line.saturating_add(above))
            );
        };
        let key = Key {
            text: text.into(),
            is_string,
        };
        result.push((key, Node::from_yaml(value, above)?));
    }
    if let Some(value) = merge {
        let line = value.line.saturating_add(above);
        let sources = match value.content {
            yaml::Content::Mapping(_) => vec![value],
            yaml::Content::Sequence(items) => items,
            yaml::Content::Scalar(_) => {
                return Err(Error::new("only mappings can be merged with `<<`").on_line(line));
            }
        };
        for source in sources {
            let yaml::Content::Mapping(pairs) = source.content else {
                return Err(Error::new("only mappings can be merged with `<<`").on_line(line));
            };
            for (key, value) in mapping(pairs, above)? {
                if !result.iter().any(|(name, _)| name.text == key.text) {
                    result.push((key, value));
                }
            }
        }
    }
    Ok(result)
}
