//! YAML in scripts: the part that configuration files use (block and flow collections, plain and quoted scalars,
//! literal and folded blocks, anchors left out).

use super::interp::Interp;
use super::throw::Throw;
use super::value::{Key, Value};

/// Reads one document.
pub(super) fn load(interp: &Interp, text: &str) -> Result<Value, Throw> {
    let lines: Vec<Line<'_>> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with("---") && !line.starts_with("%"))
        .map(|(number, line)| Line {
            number: number + 1,
            indent: line.len() - line.trim_start_matches(' ').len(),
            text: line,
        })
        .collect();
    let mut reader = Reader {
        interp,
        lines,
        place: 0,
    };
    match reader.next() {
        Some(line) => {
            let indent = line.indent;
            reader.block(indent, 0)
        }
        None => Ok(Value::Null),
    }
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

struct Reader<'a, 'i> {
    interp: &'i Interp,
    lines: Vec<Line<'a>>,
    place: usize,
}

impl<'a> Reader<'a, '_> {
    /// The next line that says something.
    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let line = *self.lines.get(self.place)?;
            let body = line.text.trim();
            if body.is_empty() || body.starts_with('#') {
                self.place += 1;
            } else {
                return Some(line);
            }
        }
    }

    fn fail<T>(&self, line: usize, why: &str) -> Result<T, Throw> {
        Err(Throw::exception("YAMLException", format!("line {line}: {why}")))
    }

    fn block(&mut self, indent: usize, depth: usize) -> Result<Value, Throw> {
        if depth > 100 {
            return self.fail(0, "it nests too deep");
        }
        let Some(line) = self.next() else {
            return Ok(Value::Null);
        };
        let body = line.text.trim_start();
        if body == "-" || body.starts_with("- ") {
            return self.sequence(indent, depth);
        }
        if split_key(body).is_some() {
            return self.mapping(indent, depth);
        }
        self.place += 1;
        let mut scalar = strip_comment(body).trim().to_owned();
        // Flow collections and plain scalars may go on over lines.
        while open(&scalar) || !scalar.starts_with(['[', '{', '"', '\'']) {
            match self.next() {
                Some(more) if open(&scalar) || more.indent >= indent && depth > 0 => {
                    scalar.push(' ');
                    scalar.push_str(strip_comment(more.text).trim());
                    self.place += 1;
                }
                _ => break,
            }
        }
        self.scalar(&scalar, line.number)
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Result<Value, Throw> {
        let mut items = Vec::new();
        while let Some(line) = self.next() {
            let body = line.text.trim_start();
            if line.indent != indent || !(body == "-" || body.starts_with("- ")) {
                break;
            }
            self.interp.spend(32)?;
            let rest = body.get(1..).unwrap_or_default();
            let inner = rest.trim_start();
            if inner.is_empty() || inner.starts_with('#') {
                self.place += 1;
                let item = match self.next() {
                    Some(next) if next.indent > indent => self.block(next.indent, depth + 1)?,
                    _ => Value::Null,
                };
                items.push(item);
                continue;
            }
            let at = indent + 1 + (rest.len() - inner.len());
            if inner.starts_with("- ")
                || split_key(inner).is_some() && !inner.starts_with(['[', '{', '"', '\''])
            {
                // The item's first line stands beside the dash: read it as a line of its own.
                if let Some(slot) = self.lines.get_mut(self.place) {
                    slot.indent = at;
                    slot.text = inner;
                }
                items.push(self.block(at, depth + 1)?);
            } else {
                self.place += 1;
                items.push(self.value(inner, indent, line.number, depth)?);
            }
        }
        Ok(Value::list(items))
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Result<Value, Throw> {
        let map = Value::map([]);
        let Value::Map(entries) = &map else { return Ok(map) };
        while let Some(line) = self.next() {
            if line.indent != indent {
                if line.indent > indent {
                    return self.fail(line.number, "the indentation does not fit");
                }
                break;
            }
            let Some((key, rest)) = split_key(line.text.trim_start()) else {
                return self.fail(line.number, "a key is missing");
            };
            self.interp.spend(48)?;
            self.place += 1;
            let key = match self.scalar(key, line.number)? {
                Value::Text(text) => Key::Text(text),
                other => other.key(),
            };
            let rest = rest.trim_start();
            let value = if strip_comment(rest).trim().is_empty() {
                match self.next() {
                    Some(next) if next.indent > indent => self.block(next.indent, depth + 1)?,
                    Some(next) if next.indent == indent && next.text.trim_start().starts_with("- ") => {
                        self.sequence(indent, depth + 1)?
                    }
                    _ => Value::Null,
                }
            } else {
                self.value(rest, indent, line.number, depth)?
            };
            entries.put(key, value);
        }
        Ok(map)
    }

    /// A value that begins on the line of its key or dash.
    fn value(&mut self, text: &str, indent: usize, number: usize, _depth: usize) -> Result<Value, Throw> {
        if text.starts_with(['|', '>']) {
            return Ok(self.literal(text, indent));
        }
        let mut scalar = strip_comment(text).trim().to_owned();
        while open(&scalar) || (!scalar.starts_with(['[', '{', '"', '\'']) && self.continues(indent)) {
            let Some(more) = self.next() else {
                return self.fail(number, "a text or collection is not closed");
            };
            scalar.push(' ');
            scalar.push_str(strip_comment(more.text).trim());
            self.interp.spend(scalar.len())?;
            self.place += 1;
        }
        self.scalar(&scalar, number)
    }

    fn continues(&mut self, indent: usize) -> bool {
        self.next().is_some_and(|line| line.indent > indent)
    }

    fn literal(&mut self, header: &str, indent: usize) -> Value {
        let folded = header.starts_with('>');
        let mut lines: Vec<&str> = Vec::new();
        let mut own: Option<usize> = None;
        while let Some(line) = self.lines.get(self.place) {
            let blank = line.text.trim().is_empty();
            if !blank && line.indent <= indent {
                break;
            }
            if !blank && own.is_none() {
                own = Some(line.indent);
            }
            lines.push(if blank {
                ""
            } else {
                line.text.get(own.unwrap_or(0)..).unwrap_or_default()
            });
            self.place += 1;
        }
        let trailing = lines.iter().rev().take_while(|line| line.is_empty()).count();
        let body = lines.get(..lines.len() - trailing).unwrap_or_default();
        let mut text = if folded {
            body.join("\n")
                .replace("\n\n", "\u{0}")
                .replace('\n', " ")
                .replace('\u{0}', "\n")
        } else {
            body.join("\n")
        };
        if !header.contains('-') && !text.is_empty() {
            text.push('\n');
        }
        Value::text(text)
    }

    fn scalar(&self, text: &str, number: usize) -> Result<Value, Throw> {
        let text = text.trim();
        if text.starts_with(['[', '{']) {
            let mut flow = Flow {
                reader: self,
                rest: text,
                number,
            };
            return flow.value(0);
        }
        if let Some(inner) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
            return Ok(Value::text(inner.replace("''", "'")));
        }
        if text.len() > 1 && text.starts_with('"') && text.ends_with('"') {
            return match serde_json::from_str::<String>(text) {
                Ok(text) => Ok(Value::text(text)),
                Err(_) => Ok(Value::text(text.trim_matches('"'))),
            };
        }
        Ok(match text {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" | "yes" | "Yes" | "on" | "On" => Value::Bool(true),
            "false" | "False" | "FALSE" | "no" | "No" | "off" | "Off" => Value::Bool(false),
            _ => {
                let numeric = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
                match (numeric, text.parse::<i64>(), text.parse::<f64>()) {
                    (true, Ok(value), _) => Value::Int(value),
                    (true, _, Ok(value)) if text.contains('.') => Value::Decimal(value),
                    _ => Value::text(text),
                }
            }
        })
    }
}

/// `[a, {b: c}]` on one line.
struct Flow<'a, 'r, 't, 'i> {
    reader: &'r Reader<'t, 'i>,
    rest: &'a str,
    number: usize,
}

impl Flow<'_, '_, '_, '_> {
    fn value(&mut self, depth: usize) -> Result<Value, Throw> {
        self.rest = self.rest.trim_start();
        if depth > 100 {
            return self.reader.fail(self.number, "it nests too deep");
        }
        self.reader.interp.spend(32)?;
        if let Some(rest) = self.rest.strip_prefix('[') {
            self.rest = rest;
            let mut items = Vec::new();
            while !self.close(']')? {
                items.push(self.value(depth + 1)?);
            }
            return Ok(Value::list(items));
        }
        if let Some(rest) = self.rest.strip_prefix('{') {
            self.rest = rest;
            let map = Value::map([]);
            while !self.close('}')? {
                let key = self.word(&[':', '}', ',']).to_owned();
                let key = self.reader.scalar(&key, self.number)?.key();
                let mut value = Value::Null;
                if let Some(rest) = self.rest.strip_prefix(':') {
                    self.rest = rest;
                    value = self.value(depth + 1)?;
                }
                if let Value::Map(entries) = &map {
                    entries.put(key, value);
                }
            }
            return Ok(map);
        }
        let word = self.word(&[',', ']', '}']).to_owned();
        self.reader.scalar(&word, self.number)
    }

    /// Steps over a comma; says whether the collection ends.
    fn close(&mut self, end: char) -> Result<bool, Throw> {
        self.rest = self.rest.trim_start().trim_start_matches(',').trim_start();
        if self.rest.is_empty() {
            return self.reader.fail(self.number, "a collection is not closed");
        }
        match self.rest.strip_prefix(end) {
            Some(rest) => {
                self.rest = rest;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn word(&mut self, ends: &[char]) -> &str {
        let text = self.rest.trim_start();
        let end = match text.chars().next() {
            Some(quote @ ('"' | '\'')) => text
                .get(1..)
                .and_then(|t| t.find(quote))
                .map_or(text.len(), |i| i + 2),
            _ => text.find(ends).unwrap_or(text.len()),
        };
        let (word, rest) = text.split_at(end);
        self.rest = rest.trim_start();
        word.trim()
    }
}

/// Key and the rest of the line after its colon.
fn split_key(text: &str) -> Option<(&str, &str)> {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let end = text.get(1..)?.find(quote)? + 2;
        let (key, rest) = text.split_at(end);
        return rest.trim_start().strip_prefix(':').map(|rest| (key, rest));
    }
    if text.starts_with(['[', '{', '#', '&', '*', '|', '>']) {
        return None;
    }
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find(':') {
        let at = from + found;
        let after = text.get(at + 1..)?;
        if after.is_empty() || after.starts_with([' ', '\t']) {
            return Some((text.get(..at)?, after));
        }
        from = at + 1;
    }
    None
}

/// The text before a comment.
fn strip_comment(text: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return text.get(..at).unwrap_or(text),
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    text
}

/// Whether brackets or quotes are still open.
fn open(text: &str) -> bool {
    let mut quote = None;
    let mut depth = 0i32;
    let flow = text.starts_with(['[', '{']);
    if !flow && !text.starts_with(['"', '\'']) {
        return false;
    }
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            _ => {}
        }
    }
    quote.is_some() || depth > 0
}
