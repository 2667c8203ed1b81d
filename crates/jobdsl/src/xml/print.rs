//! Tree to text, as Jenkins stores it.

use super::{Child, Element, is_held};

/// The text of an element: elements with elements in lines of their own, texts as they are.
pub(crate) fn print(element: &Element) -> String {
    let mut out = String::new();
    write(element, 0, &mut out);
    out.push('\n');
    out
}

fn write(element: &Element, depth: usize, out: &mut String) {
    let indent = |out: &mut String, depth: usize| {
        for _ in 0..depth {
            out.push_str("    ");
        }
    };
    indent(out, depth);
    let name = element.name.borrow();
    out.push('<');
    out.push_str(&name);
    for (key, value) in element.attributes.borrow().iter() {
        out.push(' ');
        out.push_str(key);
        out.push_str("='");
        escape(value, true, out);
        out.push('\'');
    }
    out.push('>');
    let children = element.children.borrow();
    let only_elements = children.iter().all(|child| matches!(child, Child::Node(_)));
    for child in children.iter() {
        match child {
            Child::Text(text) => escape(text, false, out),
            Child::Node(node) => {
                if only_elements {
                    out.push('\n');
                    write(node, depth + 1, out);
                } else {
                    write(node, 0, out);
                }
            }
        }
    }
    if only_elements && !children.is_empty() {
        out.push('\n');
        indent(out, depth);
    }
    out.push_str("</");
    out.push_str(&name);
    out.push('>');
}

fn escape(text: &str, attribute: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' if attribute => out.push_str("&apos;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c if is_held(c) => out.push(c),
            _ => {}
        }
    }
}
