//! The syntax tree: what was written, where, and how. Values are resolved elsewhere.

use thiserror::Error;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct YamlError {
    /// One-based line.
    pub line: u32,
    /// One-based column.
    pub column: u32,
    /// What is wrong, without the place.
    pub message: String,
}

impl YamlError {
    pub(crate) fn at(node: &Node, message: impl Into<String>) -> Self {
        Self {
            line: node.line,
            column: node.column,
            message: message.into(),
        }
    }
}

/// How a node was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// A bare scalar, or a block collection.
    #[default]
    Plain,
    /// `'…'`
    SingleQuoted,
    /// `"…"`
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
    /// `{…}` or `[…]`
    Flow,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text; its type follows from tag, style and text.
    Scalar(String),
    /// Pairs in the order written.
    Mapping(Vec<(Node, Node)>),
    /// Elements.
    Sequence(Vec<Node>),
}

/// One node with its place. Aliases are already replaced by what they stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it holds.
    pub content: Content,
    /// The explicit tag in its short form (`!!str`, `!thing`), if one was written.
    pub tag: Option<Box<str>>,
    /// How it was written.
    pub style: Style,
    /// One-based line, zero if it was not read from a text.
    pub line: u32,
    /// One-based column, zero if it was not read from a text.
    pub column: u32,
}

/// One document of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The root; a null scalar if the document is empty.
    pub root: Node,
    /// The line the document's content begins on.
    pub line: u32,
}

impl Node {
    fn new(content: Content) -> Self {
        Self {
            content,
            tag: None,
            style: Style::Plain,
            line: 0,
            column: 0,
        }
    }

    /// A plain scalar, whose type follows from the text: `1` is a number.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Content::Scalar(text.into()))
    }

    /// A string, whatever it looks like.
    pub fn string(text: impl Into<String>) -> Self {
        Self {
            tag: Some("!!str".into()),
            ..Self::plain(text)
        }
    }

    /// An empty mapping.
    #[must_use]
    pub fn mapping() -> Self {
        Self::new(Content::Mapping(Vec::new()))
    }

    /// An empty sequence.
    #[must_use]
    pub fn sequence() -> Self {
        Self::new(Content::Sequence(Vec::new()))
    }

    /// The text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The pairs of a mapping.
    #[must_use]
    pub fn pairs(&self) -> Option<&[(Node, Node)]> {
        match &self.content {
            Content::Mapping(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The elements of a sequence.
    #[must_use]
    pub fn elements(&self) -> Option<&[Node]> {
        match &self.content {
            Content::Sequence(elements) => Some(elements),
            _ => None,
        }
    }

    /// The value of a key of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pair(key).map(|(_, value)| value)
    }

    fn pair(&self, key: &str) -> Option<(&Node, &Node)> {
        self.pairs()?
            .iter()
            .find(|(name, _)| name.text() == Some(key))
            .map(|(name, value)| (name, value))
    }

    /// Whether it is a null: empty, `~`, `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar(text) => match self.tag.as_deref() {
                Some(tag) => tag == "!!null",
                None => {
                    self.style == Style::Plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
                }
            },
            _ => false,
        }
    }

    /// The line and column of what a JSON pointer (`/spec/containers/0/image`) leads to: for a member of a mapping
    /// that of its key. Where the pointer leads nowhere, the place of the last node on the way.
    #[must_use]
    pub fn at(&self, pointer: &str) -> (u32, u32) {
        let mut here = self;
        let mut place = (self.line, self.column);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = match &here.content {
                Content::Mapping(_) => here
                    .pair(&token)
                    .map(|(key, value)| ((key.line, key.column), value)),
                Content::Sequence(elements) => token
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| elements.get(index))
                    .map(|node| ((node.line, node.column), node)),
                Content::Scalar(_) => None,
            };
            let Some((found, node)) = next else { break };
            place = found;
            here = node;
        }
        place
    }
}
