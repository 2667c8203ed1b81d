//! HCL as configuration files write it, and JSON, as one tree that knows its lines. No evaluation.

use super::settings::ConfigError;
use serde_json::Value as Json;

/// How deep blocks may nest.
const DEPTH: usize = 20;

/// `key = value` or `key { … }`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) line: usize,
}

/// What an item holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(String),
    Bool(bool),
    List(Vec<Value>),
    Block(Vec<Item>),
}

/// Reads a text; JSON if it begins with a brace. Errors are placed by `name`.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Item>, ConfigError> {
    if text.trim_start().starts_with('{') {
        let json: Json = serde_json::from_str(text).map_err(|error| ConfigError {
            place: format!("{name}:{}", error.line()),
            // The parser's own words may repeat a value.
            message: "this is no JSON".to_owned(),
        })?;
        return match from_json(&json, text, 0) {
            Value::Block(items) => Ok(items),
            _ => Ok(Vec::new()),
        };
    }
    let mut parser = Parser {
        name,
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    parser.items(None, 0)
}

fn from_json(json: &Json, text: &str, from: usize) -> Value {
    match json {
        Json::Null => Value::Text(String::new()),
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => Value::Number(n.to_string()),
        Json::String(s) => Value::Text(s.clone()),
        Json::Array(items) => Value::List(items.iter().map(|item| from_json(item, text, from)).collect()),
        Json::Object(fields) => Value::Block(
            fields
                .iter()
                .map(|(key, value)| {
                    // The reader forgets where keys stand; they are found again behind the block's own key.
                    let quoted = Json::String(key.clone()).to_string();
                    let at = text
                        .get(from..)
                        .and_then(|rest| rest.find(&quoted))
                        .map_or(from, |at| from + at);
                    let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
                    Item {
                        key: key.clone(),
                        value: from_json(value, text, at),
                        line,
                    }
                })
                .collect(),
        ),
    }
}

struct Parser<'a> {
    name: &'a str,
    rest: &'a str,
    line: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, ConfigError> {
        Err(ConfigError {
            place: format!("{}:{}", self.name, self.line),
            message: message.into(),
        })
    }

    fn skip(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }

    /// White space and comments.
    fn blank(&mut self) -> Result<(), ConfigError> {
        loop {
            let space = self.rest.len() - self.rest.trim_start().len();
            self.skip(space);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                match self.rest.find("*/") {
                    Some(end) => self.skip(end + 2),
                    None => return self.fail("a comment does not end"),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest.starts_with(text);
        if found {
            self.skip(text.len());
        }
        found
    }

    fn items(&mut self, close: Option<&str>, depth: usize) -> Result<Vec<Item>, ConfigError> {
        if depth > DEPTH {
            return self.fail("blocks are nested too deep");
        }
        let mut items = Vec::new();
        loop {
            self.blank()?;
            if let Some(close) = close
                && self.take(close)
            {
                return Ok(items);
            }
            if self.rest.is_empty() {
                return match close {
                    Some(_) => self.fail("a block does not end"),
                    None => Ok(items),
                };
            }
            if self.take(",") {
                continue;
            }
            let line = self.line;
            let key = self.key()?;
            self.blank()?;
            let value = if self.take("=") || self.take(":") {
                self.blank()?;
                self.value(depth)?
            } else {
                // Labels of a block mean nothing in any setting.
                while self.rest.starts_with('"') {
                    self.string()?;
                    self.blank()?;
                }
                if !self.take("{") {
                    return self.fail(format!("`{key}` is followed by neither `=` nor a block"));
                }
                Value::Block(self.items(Some("}"), depth + 1)?)
            };
            items.push(Item { key, value, line });
        }
    }

    fn key(&mut self) -> Result<String, ConfigError> {
        if self.rest.starts_with('"') {
            return self.string();
        }
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.'))
            .unwrap_or(self.rest.len());
        if end == 0 {
            let shown: String = self.rest.chars().take(1).collect();
            return self.fail(format!("`{shown}` is no name of a setting"));
        }
        let key = self.rest.get(..end).unwrap_or_default().to_owned();
        self.skip(end);
        Ok(key)
    }

    fn value(&mut self, depth: usize) -> Result<Value, ConfigError> {
        if self.rest.starts_with('"') {
            return self.string().map(Value::Text);
        }
        if self.rest.starts_with("<<") {
            return self.heredoc().map(Value::Text);
        }
        if self.take("{") {
            return Ok(Value::Block(self.items(Some("}"), depth + 1)?));
        }
        if self.take("[") {
            if depth > DEPTH {
                return self.fail("lists are nested too deep");
            }
            let mut items = Vec::new();
            loop {
                self.blank()?;
                if self.take("]") {
                    return Ok(Value::List(items));
                }
                if self.rest.is_empty() {
                    return self.fail("a list does not end");
                }
                items.push(self.value(depth + 1)?);
                self.blank()?;
                let _ = self.take(",");
            }
        }
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '+' | '.'))
            .unwrap_or(self.rest.len());
        let word = self.rest.get(..end).unwrap_or_default();
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            word if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => {
                Value::Number(word.to_owned())
            }
            _ => {
                return self
                    .fail("a value is neither text in quotes, a number, true, false, a list nor a block");
            }
        };
        self.skip(end);
        Ok(value)
    }

    fn string(&mut self) -> Result<String, ConfigError> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.skip(at + 1);
                    return Ok(out);
                }
                '\n' => return self.fail("text in quotes does not end on its line"),
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('r') => out.push('\r'),
                    Some(c @ ('"' | '\\')) => out.push(c),
                    Some('u') => {
                        let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                        match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                            Some(c) => out.push(c),
                            None => return self.fail("an escape in text is no character"),
                        }
                    }
                    _ => return self.fail("an escape in text is not known"),
                },
                c => out.push(c),
            }
        }
        self.fail("text in quotes does not end")
    }

    /// `<<MARK` to a line of `MARK`; `<<-MARK` takes away what all lines are indented by.
    fn heredoc(&mut self) -> Result<String, ConfigError> {
        let indented = self.take("<<-") || {
            let _ = self.take("<<");
            false
        };
        let Some(end) = self.rest.find('\n') else {
            return self.fail("a text block does not end");
        };
        let mark = self.rest.get(..end).unwrap_or_default().trim().to_owned();
        if mark.is_empty() {
            return self.fail("a text block has no end mark");
        }
        self.skip(end + 1);
        let mut lines: Vec<String> = Vec::new();
        loop {
            if self.rest.is_empty() {
                return self.fail("a text block does not end");
            }
            let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
            let line = self.rest.get(..end).unwrap_or_default().to_owned();
            // The line end behind the mark ends the item.
            let marks = line.trim() == mark;
            self.skip(if marks {
                line.trim_end_matches(['\n', '\r']).len()
            } else {
                end
            });
            if marks {
                break;
            }
            lines.push(line);
        }
        if indented {
            let indent = |line: &String| line.len() - line.trim_start_matches([' ', '\t']).len();
            let least = lines
                .iter()
                .filter(|line| !line.trim().is_empty())
                .map(indent)
                .min()
                .unwrap_or(0);
            for line in &mut lines {
                *line = line.get(least..).unwrap_or("\n").to_owned();
            }
        }
        Ok(lines.concat())
    }
}
