//! What differs between two configurations of an item, element by element, for people.

use crate::xml::{Element, Node, read};
use std::collections::BTreeMap;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The element, from below the root: `builders/hudson.tasks.Shell[2]/command`.
    pub path: String,
    /// What it was; none if it is new. An element with others below it is shown by its name only.
    pub before: Option<String>,
    /// What it becomes; none if it goes.
    pub after: Option<String>,
}

/// The differences, in the order of the elements; none if both mean the same.
#[must_use]
pub fn diff(before: &str, after: &str) -> Vec<Difference> {
    if before == after {
        return Vec::new();
    }
    let mut out = Vec::new();
    match (read(before), read(after)) {
        (Ok(before), Ok(after)) => elements("", &before, &after, &mut out),
        // What is no XML can only be replaced as a whole.
        _ => out.push(Difference {
            path: String::new(),
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
        }),
    }
    out
}

fn elements(path: &str, before: &Element, after: &Element, out: &mut Vec<Difference>) {
    let mut keys: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    for (side, element) in [before, after].into_iter().enumerate() {
        for (key, value) in element.attributes() {
            if let Some(slot) = keys.entry(key).or_default().get_mut(side) {
                *slot = Some(value);
            }
        }
    }
    for (key, [old, new]) in keys {
        if old != new {
            out.push(Difference {
                path: format!("{path}@{key}"),
                before: old,
                after: new,
            });
        }
    }
    let (old, new) = (before.elements(), after.elements());
    if old.is_empty() && new.is_empty() {
        let (old, new) = (before.text(), after.text());
        if old.trim() != new.trim() {
            out.push(Difference {
                path: path.to_owned(),
                before: Some(old),
                after: Some(new),
            });
        }
        return;
    }
    // Elements of one name are compared in their order, as Jenkins reads lists.
    let old = numbered(&old);
    let new = numbered(&new);
    for (name, node) in &new {
        let path = join(path, name);
        match old.iter().find(|(known, _)| known == name) {
            Some((_, known)) => elements(&path, known, node, out),
            None => out.push(Difference {
                path,
                before: None,
                after: Some(show(node)),
            }),
        }
    }
    for (name, node) in &old {
        if !new.iter().any(|(known, _)| known == name) {
            out.push(Difference {
                path: join(path, name),
                before: Some(show(node)),
                after: None,
            });
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}

/// Elements with their names, made unique by a number from the second on.
fn numbered(nodes: &[Node]) -> Vec<(String, Node)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    nodes
        .iter()
        .map(|node| {
            let name = node.name();
            let count = counts.entry(name.clone()).or_default();
            *count += 1;
            let name = if *count > 1 {
                format!("{name}[{count}]")
            } else {
                name
            };
            (name, node.clone())
        })
        .collect()
}

fn show(node: &Element) -> String {
    if node.elements().is_empty() {
        node.text()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_elements_differ() {
        let before = "<p><a>1</a><b/><s class=\"x\"><c>1</c><c>2</c></s></p>";
        let after = "<p>\n  <a>2</a>\n  <s class=\"y\"><c>1</c><c>3</c><c>4</c></s></p>";
        let found: Vec<(String, Option<String>, Option<String>)> = diff(before, after)
            .into_iter()
            .map(|d| (d.path, d.before, d.after))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("a".to_owned(), some("1"), some("2")),
                ("s@class".to_owned(), some("x"), some("y")),
                ("s/c[2]".to_owned(), some("2"), some("3")),
                ("s/c[3]".to_owned(), None, some("4")),
                ("b".to_owned(), some(""), None),
            ]
        );
        assert!(diff("<a><b>1</b></a>", "<a>\n <b>1</b>\n</a>").is_empty());
    }
}
