//! Text to syntax trees, one per document, with everything bounded: depth, and what aliases expand to.

use super::node::{Content, Document, Node, Style, YamlError};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::collections::HashMap;

/// Deeper than anything real, shallow enough for every recursive walk on a small stack.
const MAX_DEPTH: usize = 500;
/// How many nodes aliases may add beyond what the text itself holds.
const MAX_ALIASED: usize = 200_000;

/// Reads all documents of a text. After an error the documents before it are still returned.
#[must_use]
pub fn parse(text: &str) -> (Vec<Document>, Vec<YamlError>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    loop {
        let (event, span) = match parser.next_event() {
            None => break,
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                let mark = error.marker();
                builder.errors.push(YamlError {
                    line: number(mark.line()),
                    column: number(mark.col() + 1),
                    message: error.info().to_owned(),
                });
                break;
            }
        };
        let end = matches!(event, Event::StreamEnd);
        if let Err(error) = builder.event(event, span) {
            builder.errors.push(error);
            break;
        }
        if end {
            break;
        }
    }
    (builder.documents, builder.errors)
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A collection that is still open.
struct Open {
    node: Node,
    key: Option<Node>,
    anchor: usize,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Document>,
    errors: Vec<YamlError>,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    aliased: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.stack.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                };
                let node = node(Content::Scalar(text.into_owned()), tag.as_deref(), style, span);
                self.finish(node, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(
                    node(Content::Sequence(Vec::new()), tag.as_deref(), Style::Plain, span),
                    anchor,
                )?;
            }
            Event::MappingStart(anchor, tag) => {
                self.open(
                    node(Content::Mapping(Vec::new()), tag.as_deref(), Style::Plain, span),
                    anchor,
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.stack.pop() {
                    self.finish(open.node, open.anchor)?;
                }
            }
            Event::Alias(id) => {
                let place = node(Content::Scalar(String::new()), None, Style::Plain, span);
                let Some((copy, size)) = self.anchors.get(&id) else {
                    return Err(YamlError::at(
                        &place,
                        "this alias stands for something that contains it",
                    ));
                };
                self.aliased = self.aliased.saturating_add(*size);
                if self.aliased > MAX_ALIASED {
                    return Err(YamlError::at(
                        &place,
                        "the aliases of this text expand to too much",
                    ));
                }
                let mut copy = copy.clone();
                (copy.line, copy.column) = (place.line, place.column);
                self.finish(copy, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(YamlError::at(&node, format!("nested more than {MAX_DEPTH} deep")));
        }
        self.stack.push(Open {
            node,
            key: None,
            anchor,
        });
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        if anchor > 0 {
            let (size, depth) = measure(&node);
            if depth + self.stack.len() > MAX_DEPTH {
                return Err(YamlError::at(&node, format!("nested more than {MAX_DEPTH} deep")));
            }
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.stack.last_mut() else {
            let line = node.line;
            self.documents.push(Document { root: node, line });
            return Ok(());
        };
        match (&mut parent.node.content, parent.key.take()) {
            (Content::Sequence(elements), _) => elements.push(node),
            (Content::Mapping(pairs), Some(key)) => pairs.push((key, node)),
            (Content::Mapping(_), None) => parent.key = Some(node),
            (Content::Scalar(_), _) => {}
        }
        Ok(())
    }
}

/// How many nodes there are, and how deep they go.
fn measure(node: &Node) -> (usize, usize) {
    let mut size = 1;
    let mut depth = 0;
    let mut add = |child: &Node| {
        let (more, deep) = measure(child);
        size += more;
        depth = depth.max(deep);
    };
    match &node.content {
        Content::Scalar(_) => {}
        Content::Sequence(elements) => elements.iter().for_each(&mut add),
        Content::Mapping(pairs) => pairs.iter().for_each(|(key, value)| {
            add(key);
            add(value);
        }),
    }
    (size, depth + 1)
}

fn node(content: Content, tag: Option<&Tag>, style: Style, span: Span) -> Node {
    Node {
        content,
        tag: tag.map(|tag| {
            if tag.is_yaml_core_schema() {
                format!("!!{}", tag.suffix).into()
            } else {
                format!("{}{}", tag.handle, tag.suffix).into()
            }
        }),
        style,
        line: number(span.start.line()),
        column: number(span.start.col() + 1),
    }
}
