//! The part of HCL that Vault's policies and server files use, and JSON, as one tree. Pure; no evaluation.

use serde_json::{Map, Value};
use std::fmt;

/// The text is neither HCL nor JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// One-based line.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// One `key = value` or `key "label" { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// Labels of a block.
    pub labels: Vec<String>,
    /// The value; a block's body is [`Body::Items`].
    pub body: Body,
    /// One-based line.
    pub line: usize,
}

/// What an item holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A plain value.
    Value(Value),
    /// A block.
    Items(Vec<Item>),
}

impl Item {
    /// The value as JSON; a block becomes an object.
    #[must_use]
    pub fn json(&self) -> Value {
        match &self.body {
            Body::Value(value) => value.clone(),
            Body::Items(items) => Value::Object(object(items)),
        }
    }
}

/// Items as a JSON object; labels nest.
#[must_use]
pub fn object(items: &[Item]) -> Map<String, Value> {
    let mut map = Map::new();
    for item in items {
        let mut value = item.json();
        for label in item.labels.iter().rev() {
            value = Value::Object(Map::from_iter([(label.clone(), value)]));
        }
        map.insert(item.key.clone(), value);
    }
    map
}

/// Reads HCL, or JSON if the text starts with `{`.
///
/// # Errors
/// [`ParseError`] with the line.
pub fn parse(text: &str) -> Result<Vec<Item>, ParseError> {
    if text.trim_start().starts_with('{') {
        let value: Value = serde_json::from_str(text).map_err(|error| ParseError {
            line: error.line(),
            message: error.to_string(),
        })?;
        return Ok(from_json(value));
    }
    let mut parser = Parser {
        chars: text.chars().peekable(),
        line: 1,
        depth: 0,
    };
    parser.items(false)
}

/// JSON objects whose keys are known to be labelled blocks become such. Within a block nothing is: a storage's `path` is a
/// text.
fn from_json(value: Value) -> Vec<Item> {
    const LABELLED: [&str; 8] = [
        "path",
        "listener",
        "storage",
        "backend",
        "ha_storage",
        "seal",
        "audit",
        "service_registration",
    ];
    let mut items = Vec::new();
    let Value::Object(map) = value else { return items };
    for (key, value) in map {
        if !LABELLED.contains(&key.as_str()) {
            items.push(item(key, Vec::new(), Body::Value(value)));
            continue;
        }
        for group in each(value) {
            // Without labels the reader of the items refuses it.
            let Value::Object(group) = group else {
                items.push(item(key.clone(), Vec::new(), Body::Value(group)));
                continue;
            };
            for (label, body) in group {
                for body in each(body) {
                    let body = match body {
                        Value::Object(map) => Body::Items(
                            map.into_iter()
                                .map(|(key, value)| item(key, Vec::new(), Body::Value(value)))
                                .collect(),
                        ),
                        other => Body::Value(other),
                    };
                    items.push(item(key.clone(), vec![label.clone()], body));
                }
            }
        }
    }
    items
}

/// The elements of a list, or the value itself.
fn each(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        other => vec![other],
    }
}

fn item(key: String, labels: Vec<String>, body: Body) -> Item {
    Item {
        key,
        labels,
        body,
        line: 0,
    }
}

struct Parser<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    depth: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError {
            line: self.line,
            message: message.into(),
        })
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    /// Skips white space, comments and, where allowed, commas.
    fn skip(&mut self, commas: bool) -> Result<(), ParseError> {
        while let Some(&c) = self.chars.peek() {
            match c {
                ',' if commas => {
                    self.next();
                }
                c if c.is_whitespace() => {
                    self.next();
                }
                '#' => self.rest_of_line(),
                '/' => {
                    self.next();
                    match self.chars.peek() {
                        Some('/') => self.rest_of_line(),
                        Some('*') => {
                            self.next();
                            let mut last = ' ';
                            loop {
                                match self.next() {
                                    Some('/') if last == '*' => break,
                                    Some(c) => last = c,
                                    None => return self.fail("a comment is not closed"),
                                }
                            }
                        }
                        _ => return self.fail("unexpected `/`"),
                    }
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn rest_of_line(&mut self) {
        while self.chars.peek().is_some_and(|c| *c != '\n') {
            self.next();
        }
    }

    fn items(&mut self, inside: bool) -> Result<Vec<Item>, ParseError> {
        self.depth += 1;
        if self.depth > 32 {
            return self.fail("nested too deeply");
        }
        let mut items = Vec::new();
        loop {
            self.skip(true)?;
            match self.chars.peek() {
                None if inside => return self.fail("a block is not closed: `}` is missing"),
                None => break,
                Some('}') if inside => {
                    self.next();
                    break;
                }
                Some(_) => items.push(self.item()?),
            }
        }
        self.depth -= 1;
        Ok(items)
    }

    fn item(&mut self) -> Result<Item, ParseError> {
        let line = self.line;
        let key = self.word()?;
        let mut labels = Vec::new();
        loop {
            self.skip(false)?;
            let body = match self.chars.peek() {
                Some('=' | ':') => {
                    self.next();
                    Body::Value(self.value()?)
                }
                Some('{') => {
                    self.next();
                    Body::Items(self.items(true)?)
                }
                Some(_) if labels.len() < 4 => {
                    labels.push(self.word()?);
                    continue;
                }
                _ => return self.fail(format!("`{key}` needs `= value` or `{{ … }}`")),
            };
            return Ok(Item {
                key,
                labels,
                body,
                line,
            });
        }
    }

    fn word(&mut self) -> Result<String, ParseError> {
        if self.chars.peek() == Some(&'"') {
            return self.string();
        }
        let mut word = String::new();
        while let Some(&c) = self.chars.peek() {
            if !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
                break;
            }
            word.push(c);
            self.next();
        }
        match (word.is_empty(), self.chars.peek().copied()) {
            (true, Some(c)) => self.fail(format!("unexpected `{c}`")),
            (true, None) => self.fail("unexpected end"),
            (false, _) => Ok(word),
        }
    }

    fn string(&mut self) -> Result<String, ParseError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return self.fail("a string is not closed"),
                Some('"') => return Ok(text),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c @ ('"' | '\\' | '/')) => text.push(c),
                    Some(c) => return self.fail(format!("unknown escape `\\{c}`")),
                    None => return self.fail("a string is not closed"),
                },
                Some(c) => text.push(c),
            }
        }
    }

    fn value(&mut self) -> Result<Value, ParseError> {
        self.skip(false)?;
        match self.chars.peek() {
            Some('"') => Ok(Value::String(self.string()?)),
            Some('[') => {
                self.next();
                self.depth += 1;
                if self.depth > 32 {
                    return self.fail("nested too deeply");
                }
                let mut list = Vec::new();
                loop {
                    self.skip(true)?;
                    match self.chars.peek() {
                        Some(']') => {
                            self.next();
                            self.depth -= 1;
                            return Ok(Value::Array(list));
                        }
                        None => return self.fail("a list is not closed: `]` is missing"),
                        Some(_) => list.push(self.value()?),
                    }
                }
            }
            Some('{') => {
                self.next();
                Ok(Value::Object(object(&self.items(true)?)))
            }
            Some('<') => self.heredoc(),
            _ => {
                let word = self.word()?;
                Ok(match word.as_str() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    "null" => Value::Null,
                    other => match other.parse::<i64>() {
                        Ok(number) => Value::from(number),
                        Err(_) => match other.parse::<f64>() {
                            // `inf` and `nan` are numbers to Rust only, and none to JSON.
                            Ok(number) if number.is_finite() => Value::from(number),
                            _ => return self.fail(format!("`{other}` is no value: put it in quotes")),
                        },
                    },
                })
            }
        }
    }

    fn heredoc(&mut self) -> Result<Value, ParseError> {
        for _ in 0..2 {
            if self.next() != Some('<') {
                return self.fail("unexpected `<`");
            }
        }
        if self.chars.peek() == Some(&'-') {
            self.next();
        }
        let marker = self.word()?;
        self.rest_of_line();
        self.next();
        let mut text = String::new();
        loop {
            let mut line = String::new();
            while self.chars.peek().is_some_and(|c| *c != '\n') {
                line.extend(self.next());
            }
            if line.trim() == marker {
                return Ok(Value::String(text));
            }
            if self.next().is_none() {
                return self.fail(format!("the text up to `{marker}` is not closed"));
            }
            text.push_str(&line);
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hcl_and_json_agree() {
        let hcl = parse("# c\npath \"a/*\" {\n capabilities = [\"read\", \"list\",]\n min_wrapping_ttl = 5 /* x */\n}\nname = \"n\"\n").unwrap();
        let json =
            parse(r#"{"path":{"a/*":{"capabilities":["read","list"],"min_wrapping_ttl":5}},"name":"n"}"#)
                .unwrap();
        assert_eq!(object(&hcl), object(&json));
        assert_eq!(hcl[0].line, 2);
        assert_eq!(
            Value::Object(object(&parse("a = <<EOT\nx\ny\nEOT\nb { c = true }").unwrap())),
            json!({"a": "x\ny\n", "b": {"c": true}})
        );
    }

    #[test]
    fn a_server_file_in_json_says_what_it_says_in_hcl() {
        let hcl = parse("listener \"tcp\" {\n address = \"a:1\"\n}\nlistener \"tcp\" {\n address = \"a:2\"\n}\nstorage \"file\" {\n path = \"/data\"\n}\n").unwrap();
        for json in [
            r#"{"listener":[{"tcp":{"address":"a:1"}},{"tcp":{"address":"a:2"}}],"storage":{"file":{"path":"/data"}}}"#,
            r#"{"listener":{"tcp":[{"address":"a:1"},{"address":"a:2"}]},"storage":[{"file":[{"path":"/data"}]}]}"#,
        ] {
            let plain = |items: Vec<Item>| -> Vec<(String, Vec<String>, Value)> {
                items
                    .into_iter()
                    .map(|item| (item.key.clone(), item.labels.clone(), item.json()))
                    .collect()
            };
            assert_eq!(plain(parse(json).unwrap()), plain(hcl.clone()), "{json}");
        }
        let odd = parse(r#"{"storage":"file"}"#).unwrap();
        assert!(odd[0].labels.is_empty(), "refused by who reads it, not dropped");
    }

    #[test]
    fn says_where_it_is_wrong() {
        for (text, line) in [
            ("a = ", 1),
            ("\npath \"x\" {", 2),
            ("a = b", 1),
            ("a = \"x\n\"", 2),
            ("{\n]", 2),
            ("a = 1\nb = inf", 2),
            ("a = 1e999", 1),
            ("a", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
        }
        assert!(parse(&"a {".repeat(10_000)).is_err());
        assert!(parse(&format!("a = {}", "[".repeat(10_000))).is_err());
    }
}
