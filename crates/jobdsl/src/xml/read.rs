//! Text to tree: elements, attributes, texts, CDATA, the five entities and character references. No document types:
//! what would define entities or fetch something is refused.

use super::{Child, Element, Node, is_held};
use thiserror::Error;

/// Text that is no XML.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub(crate) struct XmlError {
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// How deep elements may nest.
pub(super) const DEEPEST: usize = 200;

/// Reads one element. Blanks between elements are dropped.
pub(crate) fn read(text: &str) -> Result<Node, XmlError> {
    let mut reader = Reader { text, pos: 0 };
    reader.prolog()?;
    let root = reader.element(0)?;
    reader.prolog()?;
    if reader.rest().is_empty() {
        Ok(root)
    } else {
        reader.fail("there is something after the end of the document")
    }
}

struct Reader<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, XmlError> {
        let before = self.text.get(..self.pos).unwrap_or(self.text);
        Err(XmlError {
            line: before.matches('\n').count() + 1,
            message: message.into(),
        })
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, what: &str) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.pos += what.len();
        }
        found
    }

    fn until(&mut self, end: &str) -> Result<&'a str, XmlError> {
        let rest = self.rest();
        let Some((inner, _)) = rest.split_once(end) else {
            return self.fail(format!("`{end}` is missing"));
        };
        self.pos += inner.len() + end.len();
        Ok(inner)
    }

    fn prolog(&mut self) -> Result<(), XmlError> {
        self.eat("\u{feff}");
        loop {
            self.blanks();
            if self.eat("<?") {
                self.until("?>")?;
            } else if self.eat("<!--") {
                self.until("-->")?;
            } else if self.rest().starts_with("<!DOCTYPE") {
                return self.fail("document types are not read");
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<&'a str, XmlError> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '>' | '/' | '=' | '<'))
            .unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        if name.is_empty() {
            return self.fail("a name is missing");
        }
        self.pos += end;
        Ok(name)
    }

    fn element(&mut self, depth: usize) -> Result<Node, XmlError> {
        if depth > DEEPEST {
            return self.fail("the elements nest too deep");
        }
        if !self.eat("<") {
            return self.fail("an element is missing");
        }
        let name = self.name()?;
        let node = Element::new(name);
        loop {
            self.blanks();
            if self.eat("/>") {
                return Ok(node);
            }
            if self.eat(">") {
                break;
            }
            let key = self.name()?;
            self.blanks();
            if !self.eat("=") {
                return self.fail(format!("the attribute `{key}` has no value"));
            }
            self.blanks();
            let quote = if self.eat("\"") {
                "\""
            } else if self.eat("'") {
                "'"
            } else {
                return self.fail(format!("the value of `{key}` is not quoted"));
            };
            let raw = self.until(quote)?;
            let value = self.unescape(raw)?;
            node.set_attribute(key, value);
        }
        let mut children: Vec<Child> = Vec::new();
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find('<') else {
                return self.fail(format!("`{name}` is not closed"));
            };
            let raw = rest.get(..end).unwrap_or_default();
            text.push_str(&self.unescape(raw)?);
            self.pos += end;
            if self.eat("<![CDATA[") {
                text.extend(self.until("]]>")?.chars().filter(|c| is_held(*c)));
            } else if self.eat("<!--") {
                self.until("-->")?;
            } else if self.eat("<?") {
                self.until("?>")?;
            } else if self.eat("</") {
                let closing = self.name()?;
                self.blanks();
                if closing != name || !self.eat(">") {
                    return self.fail(format!("`{name}` is closed by `{closing}`"));
                }
                break;
            } else {
                let blank = text.trim().is_empty();
                if !blank {
                    children.push(Child::Text(std::mem::take(&mut text)));
                }
                text.clear();
                children.push(Child::Node(self.element(depth + 1)?));
            }
        }
        if !text.is_empty() && (children.is_empty() || !text.trim().is_empty()) {
            children.push(Child::Text(text));
        }
        node.set_children(children);
        Ok(node)
    }

    fn unescape(&self, raw: &str) -> Result<String, XmlError> {
        let raw = raw.replace("\r\n", "\n");
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw.as_str();
        while let Some((before, after)) = rest.split_once('&') {
            out.push_str(before);
            let Some((entity, tail)) = after.split_once(';') else {
                return self.fail("`&` begins no entity");
            };
            let c = match entity {
                "lt" => Some('<'),
                "gt" => Some('>'),
                "amp" => Some('&'),
                "apos" => Some('\''),
                "quot" => Some('"'),
                _ => entity
                    .strip_prefix("#x")
                    .map(|hex| u32::from_str_radix(hex, 16))
                    .or_else(|| entity.strip_prefix('#').map(str::parse))
                    .and_then(Result::ok)
                    .and_then(char::from_u32),
            };
            let Some(c) = c else {
                return self.fail(format!("the entity `&{entity};` is unknown"));
            };
            out.push(c);
            rest = tail;
        }
        out.push_str(rest);
        // What would not be printed is not kept either: a text of nothing else is none.
        out.retain(is_held);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::print;
    use super::*;

    #[test]
    fn reads_and_prints() {
        let text = "<?xml version='1.1'?><a x=\"1 &lt; 2\">\n <b/> <!-- c --> <c>t &amp; u<![CDATA[<raw>]]></c>\n</a>";
        let node = read(text).unwrap();
        assert_eq!(
            print(&node),
            "<a x='1 &lt; 2'>\n    <b></b>\n    <c>t &amp; u&lt;raw&gt;</c>\n</a>\n"
        );
        assert_eq!(print(&read(&print(&node)).unwrap()), print(&node));
        let empty = read("<a>&#1;<b x='&#1;'/><![CDATA[\u{1}]]></a>").unwrap();
        assert_eq!(print(&empty), "<a>\n    <b x=''></b>\n</a>\n");
        for (text, expected) in [
            ("<a>\n<b></a>", "line 2: `b` is closed by `a`"),
            ("<a>&nope;</a>", "line 1: the entity `&nope;` is unknown"),
            ("<!DOCTYPE a><a/>", "line 1: document types are not read"),
            ("<a", "line 1: a name is missing"),
            ("", "line 1: an element is missing"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn merges_as_the_division_does() {
        let root = read("<p><s class='x'><u/></s></p>").unwrap();
        let other = read("<s class='y'>t</s>").unwrap();
        root.merge(&other);
        assert_eq!(root.elements().len(), 2);
        root.merge(&read("<s>z</s>").unwrap());
        assert_eq!(root.text(), "zt");
    }
}
