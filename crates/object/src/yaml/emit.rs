//! Prints JSON values as `sigs.k8s.io/yaml` does: go-yaml v2's block style, keys in natural order, width 80.

use super::go;
use super::order::sort_keys;
use super::scalar;
use serde_json::{Number, Value};

const INDENT: i32 = 2;
const WIDTH: usize = 80;

/// One value as a YAML document, byte for byte what `sigs.k8s.io/yaml` marshals.
#[must_use]
pub fn print(value: &Value) -> String {
    let mut printer = Printer::new(String::new());
    printer.document(value);
    printer.out
}

/// Several values as a stream of documents with `---` between them.
#[must_use]
pub fn print_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        let mut printer = Printer::new(out);
        printer.document(value);
        out = printer.out;
    }
    out
}

/// libyaml's emitter, as far as plain values need it. The names are libyaml's.
pub(super) struct Printer {
    out: String,
    column: usize,
    indent: i32,
    pub(super) whitespace: bool,
    pub(super) indention: bool,
}

/// Where a node stands in its parent.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Item,
    Value,
}

impl Printer {
    fn new(out: String) -> Self {
        Self {
            out,
            column: 0,
            indent: -1,
            whitespace: true,
            indention: true,
        }
    }

    fn document(&mut self, value: &Value) {
        self.node(value, Place::Root);
        self.write_indent();
    }

    fn deeper(&self, flow: bool, indentless: bool) -> i32 {
        if self.indent < 0 {
            if flow { INDENT } else { 0 }
        } else if indentless {
            self.indent
        } else {
            self.indent + INDENT
        }
    }

    fn node(&mut self, value: &Value, place: Place) {
        let outer = self.indent;
        match value {
            Value::Array(items) if !items.is_empty() => {
                self.indent = self.deeper(false, place == Place::Value && !self.indention);
                for item in items {
                    self.write_indent();
                    self.indicator("-", true, false, true);
                    self.node(item, Place::Item);
                }
            }
            Value::Object(map) if !map.is_empty() => {
                self.indent = self.deeper(false, false);
                let pairs = map.iter().map(|(key, value)| (key.as_str(), value));
                for (key, value) in sort_keys(pairs.collect()) {
                    self.pair(key, value);
                }
            }
            Value::Array(_) => {
                self.indicator("[", true, true, false);
                self.indicator("]", false, false, false);
            }
            Value::Object(_) => {
                self.indicator("{", true, true, false);
                self.indicator("}", false, false, false);
            }
            _ => {
                self.indent = self.deeper(true, false);
                match value {
                    Value::String(text) => scalar::write_string(self, text, false),
                    Value::Bool(true) => scalar::write_bare(self, "true"),
                    Value::Bool(false) => scalar::write_bare(self, "false"),
                    Value::Number(number) => scalar::write_bare(self, &json_number(number)),
                    _ => scalar::write_bare(self, "null"),
                }
            }
        }
        self.indent = outer;
    }

    fn pair(&mut self, key: &str, value: &Value) {
        self.write_indent();
        let outer = self.indent;
        let simple = scalar::is_simple_key(key);
        if !simple {
            self.indicator("?", true, false, true);
        }
        self.indent = self.deeper(true, false);
        scalar::write_string(self, key, simple);
        self.indent = outer;
        if simple {
            self.indicator(":", false, false, false);
        } else {
            self.write_indent();
            self.indicator(":", true, false, true);
        }
        self.node(value, Place::Value);
    }

    pub(super) fn is_wide(&self) -> bool {
        self.column > WIDTH
    }

    pub(super) fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    /// Appends text that holds no break.
    pub(super) fn put_text(&mut self, text: &str, width: usize) {
        self.out.push_str(text);
        self.column += width;
    }

    pub(super) fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    pub(super) fn write_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    pub(super) fn space_before(&mut self) {
        if !self.whitespace {
            self.put(' ');
        }
    }

    pub(super) fn indicator(
        &mut self,
        text: &str,
        space_before: bool,
        is_whitespace: bool,
        is_indention: bool,
    ) {
        if space_before {
            self.space_before();
        }
        self.put_text(text, text.len());
        self.whitespace = is_whitespace;
        self.indention = self.indention && is_indention;
    }

    pub(super) fn write_indent(&mut self) {
        let indent = usize::try_from(self.indent).unwrap_or_default();
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }
}

/// A number as Go's `encoding/json` writes it and go-yaml prints it again.
#[must_use]
pub fn json_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            // In JSON a whole float has no point, and then it is an integer if it fits one.
            let whole = if float.fract() == 0.0 && float.abs() < 1e21 {
                format!("{float}")
            } else {
                String::new()
            };
            match whole.as_str() {
                "-0" => "0".to_owned(),
                text if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() => whole,
                _ => go::format_float(float),
            }
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_as_sigs_yaml_does() {
        let long = "word ".repeat(30);
        for (value, text) in [
            (json!({}), "{}\n".to_owned()),
            (json!([]), "[]\n".to_owned()),
            (json!("x"), "x\n".to_owned()),
            (json!(""), "\"\"\n".to_owned()),
            (
                json!({"b": [1, {"a": null, "c": [[2]]}], "a": {}}),
                "a: {}\nb:\n- 1\n- a: null\n  c:\n  - - 2\n".to_owned(),
            ),
            (
                json!({"n": "n", "k": "a: b", "t": "1:30"}),
                "k: 'a: b'\n\"n\": \"n\"\nt: \"1:30\"\n".to_owned(),
            ),
            (
                json!({"a": "x\ny\n", "b": "x\ny", "c": "x\n\n", "d": " x\n"}),
                "a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |+\n  x\n\nd: |2\n   x\n".to_owned(),
            ),
            (
                json!({"a": "tab\there", "b": "x \ny", "c": "\u{1F600}"}),
                "a: \"tab\\there\"\nb: \"x \\ny\"\nc: \"\\U0001F600\"\n".to_owned(),
            ),
            (
                json!({"a": long.trim_end()}),
                format!(
                    "a: {}\n  {}\n",
                    "word ".repeat(16).trim_end(),
                    "word ".repeat(14).trim_end()
                ),
            ),
            (json!(1.0), "1\n".to_owned()),
            (json!(1e21), "1e+21\n".to_owned()),
            (
                json!(-9_223_372_036_854_775_808.0),
                "-9.223372036854776e+18\n".to_owned(),
            ),
            (json!(1e19), "10000000000000000000\n".to_owned()),
            (json!(u64::MAX), "18446744073709551615\n".to_owned()),
        ] {
            assert_eq!(print(&value), text, "{value}");
        }
        assert_eq!(print_all([&json!(1), &json!(2)]), "1\n---\n2\n");
    }
}
