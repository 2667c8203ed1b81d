//! Tokens to syntax trees, one per document, with everything bounded: depth, and what aliases expand to.

use super::node::{Content, Document, Node, Style, YamlError};
use super::scan::{MAX_DEPTH, Mark, Scanner, Token};
use std::collections::HashMap;

/// How many nodes aliases may add beyond what the text itself holds.
const MAX_ALIASED: usize = 200_000;

/// Reads all documents of a text. After an error the documents before it are still returned.
#[must_use]
pub fn parse(text: &str) -> (Vec<Document>, Vec<YamlError>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser {
        scanner: Scanner::new(text),
        tags: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        depth: 0,
    };
    let mut documents = Vec::new();
    let result = check(text).and_then(|()| parser.documents(&mut documents));
    (documents, result.err().into_iter().collect())
}

/// Refuses characters that YAML has not, wherever they are.
fn check(text: &str) -> Result<(), YamlError> {
    let is_fine = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let dull = |c: u8| matches!(c, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    if text.bytes().all(dull) {
        return Ok(());
    }
    let Some((at, _)) = text.char_indices().find(|(_, c)| !is_fine(*c)) else {
        return Ok(());
    };
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Err(YamlError {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        message: "control characters are not allowed".to_owned(),
    })
}

struct Parser<'t> {
    scanner: Scanner<'t>,
    tags: Vec<(String, String)>,
    anchors: HashMap<&'t str, (Node, usize)>,
    aliased: usize,
    depth: usize,
}

type Result<T, E = YamlError> = std::result::Result<T, E>;

fn fail(mark: Mark, message: impl Into<String>) -> YamlError {
    YamlError {
        line: mark.line + 1,
        column: mark.column.unsigned_abs() + 1,
        message: message.into(),
    }
}

fn node(content: Content, style: Style, mark: Mark) -> Node {
    Node {
        content,
        tag: None,
        style,
        line: mark.line + 1,
        column: mark.column.unsigned_abs() + 1,
    }
}

fn empty(mark: Mark) -> Node {
    node(Content::Scalar(String::new()), Style::Plain, mark)
}

impl<'t> Parser<'t> {
    fn mark(&mut self) -> Result<Mark> {
        Ok(self.scanner.peek()?.1)
    }

    fn next_is(&mut self, token: &Token<'_>) -> Result<bool> {
        Ok(self.scanner.peek()?.0 == *token)
    }

    fn documents(&mut self, documents: &mut Vec<Document>) -> Result<()> {
        self.scanner.peek()?;
        self.scanner.take();
        let mut implicit = true;
        loop {
            while !implicit && self.next_is(&Token::DocumentEnd)? {
                self.scanner.take();
            }
            let (token, mark) = self.scanner.peek()?;
            let mark = *mark;
            let root = match token {
                Token::StreamEnd => return Ok(()),
                Token::Version(..) | Token::TagDirective(..) | Token::DocumentStart => {
                    self.directives()?;
                    if !self.next_is(&Token::DocumentStart)? {
                        return Err(fail(mark, "did not find expected <document start>"));
                    }
                    self.scanner.take();
                    self.document_content()?
                }
                _ if implicit => {
                    self.directives()?;
                    self.parse_node(true, false)?
                }
                _ => return Err(fail(mark, "did not find expected <document start>")),
            };
            if self.next_is(&Token::DocumentEnd)? {
                self.scanner.take();
            }
            let line = root.line;
            documents.push(Document { root, line });
            self.tags.clear();
            implicit = false;
        }
    }

    fn document_content(&mut self) -> Result<Node> {
        let (token, mark) = self.scanner.peek()?;
        match token {
            Token::Version(..)
            | Token::TagDirective(..)
            | Token::DocumentStart
            | Token::DocumentEnd
            | Token::StreamEnd => Ok(empty(*mark)),
            _ => self.parse_node(true, false),
        }
    }

    fn directives(&mut self) -> Result<()> {
        let mut version = false;
        loop {
            let mark = self.mark()?;
            match &self.scanner.peek()?.0 {
                Token::Version(..) if version => return Err(fail(mark, "found duplicate %YAML directive")),
                Token::Version(1, 1) => version = true,
                Token::Version(..) => return Err(fail(mark, "found incompatible YAML document")),
                Token::TagDirective(handle, prefix) => {
                    let pair = (handle.clone(), prefix.clone());
                    if self.tags.iter().any(|(known, _)| *known == pair.0) {
                        return Err(fail(mark, "found duplicate %TAG directive"));
                    }
                    self.tags.push(pair);
                }
                _ => break,
            }
            self.scanner.take();
        }
        for (handle, prefix) in [("!", "!"), ("!!", "tag:yaml.org,2002:")] {
            if !self.tags.iter().any(|(known, _)| known == handle) {
                self.tags.push((handle.to_owned(), prefix.to_owned()));
            }
        }
        Ok(())
    }

    /// The tag in its short form; nothing for `!`, which says nothing.
    fn resolve_tag(&self, handle: &str, suffix: String, mark: Mark) -> Result<Option<Box<str>>> {
        let whole = if handle.is_empty() {
            suffix
        } else {
            match self.tags.iter().find(|(known, _)| known == handle) {
                Some((_, prefix)) => format!("{prefix}{suffix}"),
                None => return Err(fail(mark, "found undefined tag handle")),
            }
        };
        Ok(match whole.strip_prefix("tag:yaml.org,2002:") {
            Some(short) => Some(format!("!!{short}").into()),
            None if whole == "!" || whole.is_empty() => None,
            None => Some(whole.into()),
        })
    }

    fn parse_node(&mut self, block: bool, indentless: bool) -> Result<Node> {
        self.depth += 1;
        let start = self.mark()?;
        if self.depth > MAX_DEPTH {
            return Err(fail(start, format!("nested more than {MAX_DEPTH} deep")));
        }
        if let Token::Alias(name) = self.scanner.peek()?.0 {
            self.scanner.take();
            self.depth -= 1;
            return self.alias(name, start);
        }
        let (mut anchor, mut tag, mut tagged) = (None, None, false);
        loop {
            match &self.scanner.peek()?.0 {
                Token::Anchor(name) if anchor.is_none() => anchor = Some(*name),
                Token::Tag(handle, suffix) if !tagged => {
                    let (handle, suffix) = (handle.clone(), suffix.clone());
                    let mark = self.mark()?;
                    tag = self.resolve_tag(&handle, suffix, mark)?;
                    tagged = true;
                }
                _ => break,
            }
            self.scanner.take();
        }
        if let Some(name) = anchor {
            // An anchor that is used inside of what it names means nothing yet.
            self.anchors.remove(name);
        }
        let (token, mark) = self.scanner.peek()?;
        let mark = *mark;
        let mut found = match token {
            Token::BlockEntry if indentless => self.indentless_sequence(start)?,
            Token::Scalar(..) => match self.scanner.take() {
                Some((Token::Scalar(text, style), _)) => {
                    node(Content::Scalar(text.into_owned()), style, start)
                }
                _ => empty(start),
            },
            Token::FlowSequenceStart => self.flow_sequence(start)?,
            Token::FlowMappingStart => self.flow_mapping(start)?,
            Token::BlockSequenceStart if block => self.block_sequence(start)?,
            Token::BlockMappingStart if block => self.block_mapping(start)?,
            _ if anchor.is_some() || tag.is_some() || tagged => empty(start),
            _ => return Err(fail(mark, "did not find expected node content")),
        };
        found.tag = tag;
        self.depth -= 1;
        if let Some(name) = anchor {
            let (size, depth) = measure(&found);
            if depth + self.depth > MAX_DEPTH {
                return Err(fail(start, format!("nested more than {MAX_DEPTH} deep")));
            }
            self.anchors.insert(name, (found.clone(), size));
        }
        Ok(found)
    }

    fn alias(&mut self, name: &str, mark: Mark) -> Result<Node> {
        let Some((copy, size)) = self.anchors.get(name) else {
            return Err(fail(mark, format!("unknown anchor '{name}' referenced")));
        };
        self.aliased = self.aliased.saturating_add(*size);
        if self.aliased > MAX_ALIASED {
            return Err(fail(mark, "the aliases of this text expand to too much"));
        }
        let mut copy = copy.clone();
        if self.depth + measure(&copy).1 > MAX_DEPTH {
            return Err(fail(mark, format!("nested more than {MAX_DEPTH} deep")));
        }
        let place = empty(mark);
        (copy.line, copy.column) = (place.line, place.column);
        Ok(copy)
    }

    fn block_sequence(&mut self, start: Mark) -> Result<Node> {
        self.scanner.take();
        let mut items = Vec::new();
        while self.next_is(&Token::BlockEntry)? {
            items.push(self.entry(|token| matches!(token, Token::BlockEntry | Token::BlockEnd))?);
        }
        if !self.next_is(&Token::BlockEnd)? {
            return Err(fail(self.mark()?, "did not find expected '-' indicator"));
        }
        self.scanner.take();
        Ok(node(Content::Sequence(items), Style::Plain, start))
    }

    fn indentless_sequence(&mut self, start: Mark) -> Result<Node> {
        let mut items = Vec::new();
        while self.next_is(&Token::BlockEntry)? {
            items.push(self.entry(|token| {
                matches!(
                    token,
                    Token::BlockEntry | Token::Key | Token::Value | Token::BlockEnd
                )
            })?);
        }
        Ok(node(Content::Sequence(items), Style::Plain, start))
    }

    /// What follows an indicator: a node, or nothing if one of these tokens comes.
    fn entry(&mut self, ends: impl Fn(&Token<'_>) -> bool) -> Result<Node> {
        let mark = self.mark()?;
        self.scanner.take();
        if ends(&self.scanner.peek()?.0) {
            return Ok(empty(mark));
        }
        self.parse_node(true, false)
    }

    fn block_mapping(&mut self, start: Mark) -> Result<Node> {
        self.scanner.take();
        let mut pairs = Vec::new();
        let ends = |token: &Token<'_>| matches!(token, Token::Key | Token::Value | Token::BlockEnd);
        loop {
            if self.next_is(&Token::BlockEnd)? {
                self.scanner.take();
                return Ok(node(Content::Mapping(pairs), Style::Plain, start));
            }
            if !self.next_is(&Token::Key)? {
                return Err(fail(self.mark()?, "did not find expected key"));
            }
            let mark = self.mark()?;
            self.scanner.take();
            let key = if ends(&self.scanner.peek()?.0) {
                empty(mark)
            } else {
                self.parse_node(true, true)?
            };
            let mark = self.mark()?;
            let value = if self.next_is(&Token::Value)? {
                self.scanner.take();
                if ends(&self.scanner.peek()?.0) {
                    empty(mark)
                } else {
                    self.parse_node(true, true)?
                }
            } else {
                empty(mark)
            };
            pairs.push((key, value));
        }
    }

    fn flow_sequence(&mut self, start: Mark) -> Result<Node> {
        self.scanner.take();
        let mut items = Vec::new();
        loop {
            if !items.is_empty() && !self.next_is(&Token::FlowSequenceEnd)? {
                if !self.next_is(&Token::FlowEntry)? {
                    return Err(fail(self.mark()?, "did not find expected ',' or ']'"));
                }
                self.scanner.take();
            }
            let mark = self.mark()?;
            match &self.scanner.peek()?.0 {
                Token::FlowSequenceEnd => {
                    self.scanner.take();
                    return Ok(node(Content::Sequence(items), Style::Flow, start));
                }
                Token::Key => {
                    self.scanner.take();
                    let ends = |token: &Token<'_>| matches!(token, Token::FlowEntry | Token::FlowSequenceEnd);
                    let pair = self.flow_pair(ends)?;
                    items.push(node(Content::Mapping(vec![pair]), Style::Flow, mark));
                }
                _ => items.push(self.parse_node(false, false)?),
            }
        }
    }

    fn flow_pair(&mut self, ends: impl Fn(&Token<'_>) -> bool) -> Result<(Node, Node)> {
        let mark = self.mark()?;
        let (is_value, is_end) = {
            let token = &self.scanner.peek()?.0;
            (*token == Token::Value, ends(token))
        };
        let key = if is_value || is_end {
            empty(mark)
        } else {
            self.parse_node(false, false)?
        };
        let mark = self.mark()?;
        if self.next_is(&Token::Value)? {
            self.scanner.take();
            if !ends(&self.scanner.peek()?.0) {
                return Ok((key, self.parse_node(false, false)?));
            }
        }
        Ok((key, empty(mark)))
    }

    fn flow_mapping(&mut self, start: Mark) -> Result<Node> {
        self.scanner.take();
        let mut pairs = Vec::new();
        loop {
            if !pairs.is_empty() && !self.next_is(&Token::FlowMappingEnd)? {
                if !self.next_is(&Token::FlowEntry)? {
                    return Err(fail(self.mark()?, "did not find expected ',' or '}'"));
                }
                self.scanner.take();
            }
            match &self.scanner.peek()?.0 {
                Token::FlowMappingEnd => {
                    self.scanner.take();
                    return Ok(node(Content::Mapping(pairs), Style::Flow, start));
                }
                Token::Key => {
                    self.scanner.take();
                    let ends = |token: &Token<'_>| matches!(token, Token::FlowEntry | Token::FlowMappingEnd);
                    pairs.push(self.flow_pair(ends)?);
                }
                _ => {
                    let key = self.parse_node(false, false)?;
                    let mark = self.mark()?;
                    pairs.push((key, empty(mark)));
                }
            }
        }
    }
}

/// How much there is (nodes, and what their text weighs as such), and how deep it goes.
fn measure(node: &Node) -> (usize, usize) {
    let mut size = 1;
    let mut depth = 0;
    let mut add = |child: &Node| {
        let (more, deep) = measure(child);
        size += more;
        depth = depth.max(deep);
    };
    match &node.content {
        // A node is about this large; a long text counts for as many.
        Content::Scalar(text) => size += text.len() / 64,
        Content::Sequence(elements) => elements.iter().for_each(&mut add),
        Content::Mapping(pairs) => pairs.iter().for_each(|(key, value)| {
            add(key);
            add(value);
        }),
    }
    (size, depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_is_refused_before_the_stack_ends() {
        let block = |depth: usize| {
            (0..depth)
                .map(|n| format!("{}a:\n", " ".repeat(n)))
                .collect::<String>()
        };
        let flow = |depth: usize| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
        let list = |depth: usize| format!("{}x\n", "- ".repeat(depth));
        for text in [&block as &dyn Fn(usize) -> String, &flow, &list] {
            let (documents, errors) = parse(&text(100));
            assert!(errors.is_empty() && documents.len() == 1, "{errors:?}");
            for depth in [130, 400, 3000] {
                let (_, errors) = parse(&text(depth));
                let said = errors.first().map(|error| error.message.clone());
                assert!(
                    said.is_some_and(|said| said.contains("nested more than 120 deep")),
                    "{depth}"
                );
            }
        }
    }

    #[test]
    fn aliases_of_long_texts_count_as_what_they_are() {
        let aliases = "- *a\n".repeat(30);
        let text = format!("- &a {}\n{aliases}", "x".repeat(1_000_000));
        let (_, errors) = parse(&text);
        assert!(
            errors
                .first()
                .is_some_and(|error| error.message.contains("expand to too much"))
        );
        let (documents, errors) = parse(&format!("- &a short\n{aliases}"));
        assert!(errors.is_empty() && documents.len() == 1);
    }
}
