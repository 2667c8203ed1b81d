//! The tree that is transformed: what kyaml's RNode is, with text, tag and style kept until the end, because what a
//! value becomes depends on all three.
//!
//! Owns reading and writing of single nodes. Paths, selectors and merging build on it elsewhere.

mod convert;
mod fold;
mod json;

pub(crate) use json::{from_json, from_patched, is_string};

/// What go-yaml v3 says a node is. `None` where kustomize made a node without saying.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Tag {
    #[default]
    None,
    Null,
    Bool,
    Int,
    Float,
    Timestamp,
    Str,
    Map,
    Seq,
    /// Anything else, as written: `!!binary`, `!thing`.
    Other(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Style {
    #[default]
    Plain,
    Single,
    Double,
    Literal,
    Folded,
    Flow,
}

impl Style {
    /// Whether a scalar of this style is a string whatever it looks like.
    pub(crate) fn is_quoted(self) -> bool {
        matches!(self, Self::Single | Self::Double | Self::Literal | Self::Folded)
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Content {
    /// A node that was never given anything; prints as null.
    #[default]
    Nothing,
    Scalar(String),
    Map(Vec<(Key, Node)>),
    Seq(Vec<Node>),
}

/// A key. Keys that are not strings make the whole resource unprintable, as upstream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: Box<str>,
    pub(crate) is_string: bool,
}

impl Key {
    /// A key as kustomize makes them: without quotes, so that `123` becomes a number.
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            is_string: json::is_string(text),
        }
    }

    pub(crate) fn quoted(text: &str) -> Self {
        Self {
            text: text.into(),
            is_string: true,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) tag: Tag,
    pub(crate) style: Style,
    /// The tag was written out, and stays so.
    pub(crate) tagged: bool,
    /// A null that is kept when it is merged.
    pub(crate) keep_null: bool,
    /// Nodes of one resource with the same number are one node in several places: upstream puts the same pointer
    /// there, and what is written to one of them later appears in all.
    pub(crate) shared: u32,
    /// One-based line, zero if kustomize made it.
    pub(crate) line: u32,
}

impl Node {
    pub(crate) fn scalar(text: impl Into<String>) -> Self {
        Self {
            content: Content::Scalar(text.into()),
            ..Self::default()
        }
    }

    pub(crate) fn tagged_scalar(text: impl Into<String>, tag: Tag) -> Self {
        Self {
            tag,
            ..Self::scalar(text)
        }
    }

    pub(crate) fn string(text: impl Into<String>) -> Self {
        Self::tagged_scalar(text, Tag::Str)
    }

    pub(crate) fn map() -> Self {
        Self {
            content: Content::Map(Vec::new()),
            ..Self::default()
        }
    }

    pub(crate) fn seq() -> Self {
        Self {
            content: Content::Seq(Vec::new()),
            ..Self::default()
        }
    }

    /// The text of a scalar, and the empty text of everything else.
    pub(crate) fn text(&self) -> &str {
        match &self.content {
            Content::Scalar(text) => text,
            _ => "",
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.tag == Tag::Null || matches!(self.content, Content::Nothing)
    }

    pub(crate) fn is_scalar(&self) -> bool {
        matches!(self.content, Content::Scalar(_))
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.content, Content::Map(_))
    }

    pub(crate) fn is_seq(&self) -> bool {
        matches!(self.content, Content::Seq(_))
    }

    /// Null, `{}`, `[]`, or nothing at all; an empty string is something.
    pub(crate) fn is_nil_or_empty(&self) -> bool {
        self.tag == Tag::Null
            || match &self.content {
                Content::Nothing => true,
                Content::Map(pairs) => pairs.is_empty(),
                Content::Seq(items) => items.is_empty(),
                Content::Scalar(_) => false,
            }
    }

    /// Whether kustomize takes a scalar for a string.
    pub(crate) fn is_string(&self) -> bool {
        self.is_scalar() && matches!(self.tag, Tag::Str | Tag::None)
    }

    pub(crate) fn kind_name(&self) -> &'static str {
        match self.content {
            Content::Nothing => "nothing",
            Content::Scalar(_) => "a scalar",
            Content::Map(_) => "a mapping",
            Content::Seq(_) => "a list",
        }
    }

    pub(crate) fn pairs(&self) -> &[(Key, Node)] {
        match &self.content {
            Content::Map(pairs) => pairs,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.content {
            Content::Seq(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.pairs()
            .iter()
            .find(|(name, _)| *name.text == *key)
            .map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.content {
            Content::Map(pairs) => pairs
                .iter_mut()
                .find(|(name, _)| *name.text == *key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Follows keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Node> {
        let Content::Map(pairs) = &mut self.content else {
            return None;
        };
        let at = pairs.iter().position(|(name, _)| *name.text == *key)?;
        Some(pairs.remove(at).1)
    }

    /// The value of a key, made if it is missing. The node must be a mapping.
    pub(crate) fn get_or_insert(&mut self, key: &str, make: impl FnOnce() -> Node) -> Option<&mut Node> {
        let Content::Map(pairs) = &mut self.content else {
            return None;
        };
        let at = match pairs.iter().position(|(name, _)| *name.text == *key) {
            Some(at) => at,
            None => {
                pairs.push((Key::new(key), make()));
                pairs.len() - 1
            }
        };
        pairs.get_mut(at).map(|(_, value)| value)
    }

    /// Overwrites the node where it stands: the style stays, and so does what it is shared with. Returns the share
    /// number if others must follow.
    pub(crate) fn overwrite(&mut self, value: Node) -> u32 {
        let (style, shared) = (self.style, self.shared);
        *self = value;
        self.style = style;
        self.shared = shared;
        shared
    }

    /// Sets a key as kyaml's FieldSetter does: an existing value is overwritten in place and keeps its style.
    pub(crate) fn set(&mut self, key: &str, value: Node) -> u32 {
        self.set_with(key, value, || Key::new(key))
    }

    pub(crate) fn set_with(&mut self, key: &str, mut value: Node, make_key: impl FnOnce() -> Key) -> u32 {
        value.quote_if_ambiguous();
        if let Some(existing) = self.get_mut(key) {
            return existing.overwrite(value);
        }
        if let Content::Map(pairs) = &mut self.content {
            pairs.push((make_key(), value));
        }
        0
    }

    /// Quotes a string that YAML 1.1 takes for something else.
    pub(crate) fn quote_if_ambiguous(&mut self) {
        if self.is_string() && self.style == Style::Plain && json::is_yaml11_non_string(self.text()) {
            self.style = Style::Double;
        }
    }

    /// Writes a scalar over this node as kyaml's FieldSetter without a name does.
    pub(crate) fn set_scalar(&mut self, value: Node) -> u32 {
        self.overwrite(value)
    }

    /// Gives every node with a share number the content of `value`.
    pub(crate) fn spread(&mut self, shared: u32, value: &Node) {
        if self.shared == shared {
            *self = value.clone();
            return;
        }
        match &mut self.content {
            Content::Map(pairs) => pairs
                .iter_mut()
                .for_each(|(_, child)| child.spread(shared, value)),
            Content::Seq(items) => items.iter_mut().for_each(|child| child.spread(shared, value)),
            _ => {}
        }
    }

    /// Ends all sharing below, as a deep copy does.
    pub(crate) fn unshare(&mut self) {
        self.shared = 0;
        match &mut self.content {
            Content::Map(pairs) => pairs.iter_mut().for_each(|(_, child)| child.unshare()),
            Content::Seq(items) => items.iter_mut().for_each(Node::unshare),
            _ => {}
        }
    }
}
