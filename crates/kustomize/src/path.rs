//! Field paths: how they are split, and looking up and creating what they lead to (kyaml's PathGetter).

use crate::error::{Error, Result};
use crate::node::{Key, Node};

/// Splits at a delimiter that a backslash escapes (kyaml's `PathSplitter`).
pub(crate) fn split(path: &str, delimiter: char) -> Vec<String> {
    let mut parts = path.split(delimiter);
    let mut result: Vec<String> = Vec::new();
    if path.starts_with(delimiter) {
        parts.next();
    }
    for part in parts {
        match result.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(part);
            }
            _ => result.push(part.to_owned()),
        }
    }
    result
}

/// Splits as [`split`], but keeps `[name=a.b]` whole (kyaml's `SmarterPathSplitter`).
pub(crate) fn split_smart(path: &str, delimiter: char) -> Vec<String> {
    let mut result = Vec::new();
    let mut parts = split(path, delimiter).into_iter();
    while let Some(part) = parts.next() {
        if !part.starts_with('[') || part.ends_with(']') {
            result.push(part);
            continue;
        }
        let mut bracketed = part;
        for more in parts.by_ref() {
            let last = more.ends_with(']');
            bracketed.push(delimiter);
            bracketed.push_str(&more);
            if last {
                break;
            }
        }
        if bracketed.contains('=') {
            result.push(bracketed);
        } else {
            result.push(bracketed.trim_matches(['[', ']']).to_owned());
        }
    }
    result
}

pub(crate) fn is_list_index(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

pub(crate) fn list_index(part: &str) -> Result<(&str, &str)> {
    let inner = part.strip_suffix(']').unwrap_or(part);
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    inner
        .split_once('=')
        .ok_or_else(|| Error::new(format!("`{part}` in a field path must be [field=value]")))
}

/// What one part of a path means.
pub(crate) enum Part<'a> {
    Index(usize),
    Last,
    Element(&'a str, &'a str),
    Field(&'a str),
}

pub(crate) fn part(text: &str) -> Result<Part<'_>> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) && digits.len() < 19 {
        return text
            .trim_start_matches('+')
            .parse()
            .map(Part::Index)
            .map_err(|_| Error::new(format!("a list index in a field path cannot be negative: {text}")));
    }
    Ok(match text {
        "-" => Part::Last,
        "*" => return Err(Error::new("`*` is not possible in this field path")),
        _ if is_list_index(text) => {
            let (name, value) = list_index(text)?;
            Part::Element(name, value)
        }
        _ => Part::Field(text),
    })
}

fn wrong_kind(node: &Node, expected: &str) -> Error {
    Error::new(format!("expected {expected} but found {}", node.kind_name())).on_line(node.line)
}

/// Which element of a list has a field with a value, or is a value if the field's name is empty.
fn element(items: &[Node], name: &str, value: &str) -> Option<usize> {
    items.iter().position(|item| match name {
        "" => item.text() == value,
        _ => item.get(name).is_some_and(|field| field.text() == value),
    })
}

/// What a path leads to; `None` if it leads nowhere.
pub(crate) fn lookup<'a>(root: &'a Node, path: &[impl AsRef<str>]) -> Result<Option<&'a Node>> {
    let mut here = root;
    for text in path {
        let text = text.as_ref().trim();
        if text.is_empty() {
            continue;
        }
        let next = match part(text)? {
            Part::Field(name) => {
                if here.is_null() {
                    return Ok(None);
                }
                if !here.is_map() {
                    return Err(wrong_kind(here, "a mapping"));
                }
                here.get(name)
            }
            _ if !here.is_seq() && !here.is_null() => return Err(wrong_kind(here, "a list")),
            Part::Index(index) => here.items().get(index),
            Part::Last => here.items().last(),
            Part::Element(name, value) => {
                let items = here.items();
                element(items, name, value).and_then(|at| items.get(at))
            }
        };
        match next {
            Some(node) => here = node,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

/// What kind of node a path's part is made as, when the next part says so.
pub(crate) fn empty_for(next: Option<&str>, last: &Node) -> Node {
    match next.map(str::trim) {
        None | Some("") => last.clone(),
        Some(text) if is_list_index(text) || text.bytes().all(|c| c.is_ascii_digit()) => Node::seq(),
        Some(_) => Node::map(),
    }
}

/// As [`lookup`], making what is missing; `last` is what the end of the path is made as.
pub(crate) fn lookup_create<'a>(
    root: &'a mut Node,
    path: &[impl AsRef<str>],
    last: &Node,
) -> Result<Option<&'a mut Node>> {
    let mut here = root;
    for (at, text) in path.iter().enumerate() {
        let text = text.as_ref().trim();
        if text.is_empty() {
            continue;
        }
        let next = path.get(at + 1).map(AsRef::as_ref);
        let found = match part(text)? {
            Part::Field(name) => {
                if here.is_null() {
                    return Ok(None);
                }
                if !here.is_map() {
                    return Err(wrong_kind(here, "a mapping"));
                }
                here.get_or_insert(name, || empty_for(next, last))
            }
            _ if !here.is_seq() => return Err(wrong_kind(here, "a list")),
            Part::Index(index) => items_mut(here).and_then(|items| items.get_mut(index)),
            Part::Last => items_mut(here).and_then(|items| items.last_mut()),
            Part::Element(name, value) => {
                let at = match element(here.items(), name, value) {
                    Some(at) => at,
                    None => {
                        let made = make_element(name, value);
                        let count = here.items().len();
                        if let Some(items) = items_mut(here) {
                            items.push(made);
                        }
                        count
                    }
                };
                items_mut(here).and_then(|items| items.get_mut(at))
            }
        };
        match found {
            Some(node) => here = node,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

pub(crate) fn make_element(name: &str, value: &str) -> Node {
    if name.is_empty() {
        return Node::scalar(value);
    }
    let mut map = Node::map();
    if let crate::node::Content::Map(pairs) = &mut map.content {
        pairs.push((Key::new(name), Node::scalar(value)));
    }
    map
}

pub(crate) fn items_mut(node: &mut Node) -> Option<&mut Vec<Node>> {
    match &mut node.content {
        crate::node::Content::Seq(items) => Some(items),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        assert_eq!(split("/a/b\\/c/d", '/'), ["a", "b/c", "d"]);
        assert_eq!(split("a", '/'), ["a"]);
        assert_eq!(
            split_smart("spec.containers.[name=a.b].env[x]", '.'),
            ["spec", "containers", "[name=a.b]", "env[x]"]
        );
        assert_eq!(
            split_smart("metadata.annotations.[a.b/c].x", '.'),
            ["metadata", "annotations", "a.b/c", "x"]
        );
    }
}
