//! A kustomization file as lines, edited at the places where its nodes are.

use super::written;
use crate::error::{Error, Result};
use herder_object::yaml::{self, Content, Node, Style};

/// A value to write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Whole(u64),
}

impl Scalar<'_> {
    /// As it is written; a text in the quotes that were there.
    fn written(self, style: Style) -> String {
        match self {
            Self::Text(text) => written(text, style),
            Self::Whole(number) => number.to_string(),
        }
    }
}

pub(super) struct Lines {
    lines: Vec<String>,
    ending: &'static str,
    root: Node,
}

fn refused(node: &Node) -> Error {
    Error::new("this is written in a way that cannot be edited")
        .on_line(node.line)
        .hint("write it in block style, a field a line")
}

/// Where the value of a one-line scalar begins and ends in its line.
fn span(line: &str, node: &Node) -> Option<(usize, usize)> {
    let column = usize::try_from(node.column).ok()?.checked_sub(1)?;
    let start = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    let rest = line.get(start..)?;
    let length = match node.style {
        Style::Plain => rest
            .starts_with(node.text()?)
            .then(|| node.text().map_or(0, str::len))?,
        Style::SingleQuoted => {
            let inner = rest.strip_prefix('\'')?;
            let mut skip = false;
            let end = inner.char_indices().position(|(at, c)| {
                if skip {
                    skip = false;
                    return false;
                }
                skip = c == '\'' && inner.get(at + 1..).is_some_and(|after| after.starts_with('\''));
                c == '\'' && !skip
            })?;
            inner.char_indices().nth(end).map(|(at, _)| at + 2)?
        }
        Style::DoubleQuoted => {
            let inner = rest.strip_prefix('"')?;
            let mut escaped = false;
            let (end, _) = inner.char_indices().find(|(_, c)| {
                let closes = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                closes
            })?;
            end + 2
        }
        _ => return None,
    };
    Some((start, start + length))
}

/// The last line that a node is on.
fn last_line(node: &Node) -> u32 {
    let below = match &node.content {
        Content::Scalar(text) if matches!(node.style, Style::Literal | Style::Folded) => {
            node.line + u32::try_from(text.lines().count()).unwrap_or_default()
        }
        Content::Scalar(_) => 0,
        Content::Sequence(items) => items.iter().map(last_line).max().unwrap_or_default(),
        Content::Mapping(pairs) => pairs
            .iter()
            .map(|(key, value)| last_line(key).max(last_line(value)))
            .max()
            .unwrap_or_default(),
    };
    node.line.max(below)
}

impl Lines {
    pub(super) fn read(text: &str) -> Result<Self> {
        let (documents, errors) = yaml::parse(text);
        let root = match (documents.into_iter().next(), errors.into_iter().next()) {
            (Some(document), _) => document.root,
            (None, None) => Node::mapping(),
            (None, Some(error)) => {
                return Err(Error::new(error.message)
                    .on_line(error.line)
                    .on_column(error.column));
            }
        };
        let root = if root.is_null() { Node::mapping() } else { root };
        if root.pairs().is_none() || root.style == Style::Flow {
            return Err(refused(&root));
        }
        Ok(Self {
            lines: text.split_inclusive('\n').map(str::to_owned).collect(),
            ending: if text.contains("\r\n") { "\r\n" } else { "\n" },
            root,
        })
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    pub(super) fn finish(self) -> String {
        self.lines.concat()
    }

    fn line_mut(&mut self, line: u32) -> Result<&mut String> {
        usize::try_from(line)
            .ok()
            .and_then(|line| line.checked_sub(1))
            .and_then(|at| self.lines.get_mut(at))
            .ok_or_else(|| Error::new("the place to edit was not found"))
    }

    /// Puts lines after a line; after the last one a missing line end is added.
    fn insert_after(&mut self, line: u32, texts: &[String]) {
        let at = usize::try_from(line).unwrap_or(usize::MAX).min(self.lines.len());
        if let Some(before) = at.checked_sub(1).and_then(|at| self.lines.get_mut(at))
            && !before.ends_with('\n')
        {
            before.push_str(self.ending);
        }
        for (offset, text) in texts.iter().enumerate() {
            self.lines.insert(at + offset, format!("{text}{}", self.ending));
        }
        self.reread();
    }

    /// Reads the places of nodes anew after lines moved. What can no longer be read is found out in the end.
    fn reread(&mut self) {
        let (documents, _) = yaml::parse(&self.lines.concat());
        if let Some(document) = documents.into_iter().next() {
            self.root = document.root;
        }
    }

    /// Writes another value in the place of a scalar.
    pub(super) fn replace_scalar(&mut self, node: &Node, value: Scalar<'_>, quote: bool) -> Result<()> {
        let style = if quote && node.style == Style::Plain {
            Style::DoubleQuoted
        } else {
            node.style
        };
        let line = self.line_mut(node.line)?;
        let (start, end) = span(line, node).ok_or_else(|| refused(node))?;
        let space = if node.text() == Some("") && node.style == Style::Plain {
            " "
        } else {
            ""
        };
        line.replace_range(start..end, &format!("{space}{}", value.written(style)));
        self.reread();
        Ok(())
    }

    /// The last line, behind which fields can be added; not where another document has begun or this one has ended.
    fn end(&self) -> Result<u32> {
        let last = usize::try_from(last_line(&self.root)).unwrap_or(usize::MAX);
        let ends = |line: &String| line.starts_with("---") || line.starts_with("...");
        let fields = self.root.pairs().is_some_and(|pairs| !pairs.is_empty());
        match self
            .lines
            .iter()
            .enumerate()
            .skip(last)
            .find(|(_, line)| ends(line))
        {
            Some((at, _)) if fields => Err(Error::new("the file goes on behind its first document")
                .on_line(u32::try_from(at + 1).unwrap_or(u32::MAX))
                .hint("a kustomization is one document; remove what follows it")),
            _ => Ok(u32::try_from(self.lines.len()).unwrap_or(u32::MAX)),
        }
    }

    /// Sets a field of the file itself.
    pub(super) fn set_field(&mut self, key: &str, value: &str) -> Result<()> {
        if let Some((name, node)) = self.pair(key) {
            return self.set_value(&name, &node, Scalar::Text(value));
        }
        let pairs = self.root.pairs().unwrap_or_default();
        let heads = pairs
            .iter()
            .filter(|(name, _)| matches!(name.text(), Some("apiVersion" | "kind")));
        let after = heads.map(|(_, value)| last_line(value)).max();
        let after = after.map_or_else(|| self.end(), Ok)?;
        self.insert_after(after, &[format!("{key}: {}", written(value, Style::Plain))]);
        Ok(())
    }

    fn pair(&self, key: &str) -> Option<(Node, Node)> {
        let pairs = self.root.pairs()?;
        pairs.iter().find(|(name, _)| name.text() == Some(key)).cloned()
    }

    /// Writes a value after its key, where a null may have no place of its own.
    fn set_value(&mut self, key: &Node, node: &Node, value: Scalar<'_>) -> Result<()> {
        if node.text() == Some("") && node.style == Style::Plain {
            let line = self.line_mut(key.line)?;
            let (_, end) = span(line, key).ok_or_else(|| refused(key))?;
            if !line.get(end..).is_some_and(|rest| rest.starts_with(':')) {
                return Err(refused(key));
            }
            line.insert_str(end + 1, &format!(" {}", value.written(Style::Plain)));
            self.reread();
            return Ok(());
        }
        self.replace_scalar(node, value, false)
    }

    /// Adds an entry to a list of mappings, and the list if there is none.
    pub(super) fn add_entry(&mut self, list: &str, fields: &[(&str, Scalar<'_>)]) -> Result<()> {
        let texts = fields
            .iter()
            .map(|(key, value)| format!("{key}: {}", value.written(Style::Plain)));
        self.add_lines(list, &texts.collect::<Vec<_>>())
    }

    /// Adds a text to a list of texts, and the list if there is none.
    pub(super) fn add_text(&mut self, list: &str, text: &str) -> Result<()> {
        self.add_lines(list, &[written(text, Style::Plain)])
    }

    fn add_lines(&mut self, list: &str, lines: &[String]) -> Result<()> {
        let entry = |indent: usize| -> Vec<String> {
            let pad = " ".repeat(indent);
            let lead = |at: usize| if at == 0 { "- " } else { "  " };
            lines
                .iter()
                .enumerate()
                .map(|(at, line)| format!("{pad}{}{line}", lead(at)))
                .collect()
        };
        match self.pair(list) {
            None => {
                let mut texts = vec![format!("{list}:")];
                texts.extend(entry(0));
                self.insert_after(self.end()?, &texts);
            }
            Some((key, node)) => match &node.content {
                Content::Sequence(items) if !items.is_empty() && node.style != Style::Flow => {
                    let indent = usize::try_from(node.column.saturating_sub(1)).unwrap_or_default();
                    self.insert_after(last_line(&node), &entry(indent));
                }
                Content::Sequence(items) if !items.is_empty() && lines.len() == 1 => {
                    self.add_flow(&node, items, lines.first().map_or("", String::as_str))?;
                }
                Content::Sequence(items) if items.is_empty() => {
                    let line = self.line_mut(node.line)?;
                    let at = line.find("[]").ok_or_else(|| refused(&node))?;
                    line.replace_range(at..at + 2, "");
                    let kept = line.trim_end().len();
                    line.truncate(kept);
                    self.insert_after(key.line, &entry(0));
                }
                _ if node.is_null() => self.insert_after(key.line, &entry(0)),
                _ => return Err(refused(&node)),
            },
        }
        Ok(())
    }

    /// Adds a text to a `[…]` of one line.
    fn add_flow(&mut self, list: &Node, items: &[Node], text: &str) -> Result<()> {
        let last = items.last().filter(|last| last.line == list.line);
        let last = last.ok_or_else(|| refused(list))?;
        let line = self.line_mut(last.line)?;
        let (_, end) = span(line, last).ok_or_else(|| refused(list))?;
        line.insert_str(end, &format!(", {text}"));
        self.reread();
        Ok(())
    }

    /// Removes an entry of a list that is a line of its own.
    pub(super) fn remove_line(&mut self, list: &Node, entry: &Node) -> Result<()> {
        let alone = list.elements().is_some_and(|items| items.len() == 1);
        if list.style == Style::Flow || alone || last_line(entry) != entry.line {
            return Err(refused(entry));
        }
        let at = usize::try_from(entry.line).unwrap_or_default().saturating_sub(1);
        if at < self.lines.len() {
            self.lines.remove(at);
        }
        self.reread();
        Ok(())
    }

    /// Sets or removes a field of an entry of a list.
    pub(super) fn set_entry_field(
        &mut self,
        list: &str,
        index: usize,
        key: &str,
        value: Option<Scalar<'_>>,
    ) -> Result<()> {
        let entry = self
            .root
            .get(list)
            .and_then(Node::elements)
            .and_then(|items| items.get(index))
            .cloned();
        let Some(entry) = entry else {
            return Err(Error::new(format!("`{list}` has no such entry")));
        };
        let pairs = entry.pairs().unwrap_or_default();
        let found = pairs.iter().position(|(name, _)| name.text() == Some(key));
        if entry.style == Style::Flow {
            return self.rewrite_flow(&entry, key, value);
        }
        match (found.and_then(|at| Some((at, pairs.get(at)?))), value) {
            (None, None) => Ok(()),
            (Some((_, (name, node))), Some(value)) => self.set_value(name, node, value),
            (None, Some(value)) => {
                let last = pairs
                    .iter()
                    .map(|(_, node)| last_line(node))
                    .max()
                    .unwrap_or(entry.line);
                let indent = usize::try_from(entry.column.saturating_sub(1)).unwrap_or_default();
                let text = format!("{}{key}: {}", " ".repeat(indent), value.written(Style::Plain));
                self.insert_after(last, &[text]);
                Ok(())
            }
            (Some((at, (name, node))), None) => {
                if last_line(node) != name.line {
                    return Err(refused(node));
                }
                let next = pairs.get(at + 1).map(|(next, _)| next.line);
                self.remove_field(name, at == 0, next)
            }
        }
    }

    fn remove_field(&mut self, name: &Node, first: bool, next: Option<u32>) -> Result<()> {
        let at = usize::try_from(name.line).unwrap_or_default().saturating_sub(1);
        if first {
            // The field stands behind the dash: what follows takes its place.
            if next != Some(name.line + 1) || at + 1 >= self.lines.len() {
                return Err(refused(name));
            }
            let following = self.lines.remove(at + 1);
            let line = self.line_mut(name.line)?;
            let column = usize::try_from(name.column.saturating_sub(1)).unwrap_or_default();
            let head: String = line.chars().take(column).collect();
            *line = format!("{head}{}", following.trim_start());
        } else if at < self.lines.len() {
            self.lines.remove(at);
        }
        self.reread();
        Ok(())
    }

    /// Writes a `{…}` anew.
    fn rewrite_flow(&mut self, entry: &Node, key: &str, value: Option<Scalar<'_>>) -> Result<()> {
        if last_line(entry) != entry.line {
            return Err(refused(entry));
        }
        let mut fields = Vec::new();
        let mut done = false;
        for (name, node) in entry.pairs().unwrap_or_default() {
            let (Some(name), Some(text)) = (name.text(), node.text()) else {
                return Err(refused(entry));
            };
            if name != key {
                fields.push(format!("{name}: {}", written(text, node.style)));
                continue;
            }
            done = true;
            if let Some(value) = value {
                fields.push(format!("{name}: {}", value.written(node.style)));
            }
        }
        if let Some(value) = value.filter(|_| !done) {
            fields.push(format!("{key}: {}", value.written(Style::Plain)));
        }
        let line = self.line_mut(entry.line)?;
        let column = usize::try_from(entry.column.saturating_sub(1)).unwrap_or_default();
        let start = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
        // Values with braces in quotes are refused by the check at the end.
        let end = line
            .get(start..)
            .and_then(|rest| rest.find('}'))
            .map(|at| start + at + 1);
        let end = end.ok_or_else(|| refused(entry))?;
        line.replace_range(start..end, &format!("{{{}}}", fields.join(", ")));
        self.reread();
        Ok(())
    }
}
