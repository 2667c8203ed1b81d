//! Where in git a field of an object stands: the line in its own file, or, of what a kustomization built, in the file that
//! most likely brought it. Looked for only when something is said about it.

use crate::{Desired, Inputs};
use herder_base::{Location, Tree};
use herder_object::yaml::{self, Content, Node};

/// The place of a field, by JSON pointer; that of the object where it cannot be found.
pub(crate) fn of(inputs: &Inputs, object: &Desired, pointer: &str) -> Location {
    let source = &object.source;
    let Some(tree) = tree_of(inputs, &source.repository) else {
        return source.clone();
    };
    if source.line > 0 {
        let place = tree
            .text(&source.path)
            .and_then(|text| in_file(text, source.line, pointer));
        return place.map_or_else(
            || source.clone(),
            |(line, column)| Location {
                line,
                column,
                ..source.clone()
            },
        );
    }
    let here = built(tree, source, object, pointer).map(|(path, line, column)| Location {
        repository: source.repository.clone(),
        ..Location::new(path, line, column)
    });
    let elsewhere = || {
        inputs.trees.iter().find_map(|(reference, tree)| {
            let tree = tree.as_ref().ok()?;
            let (path, line, column) = built(tree, source, object, pointer)?;
            Some(Location {
                repository: reference.url.to_string(),
                ..Location::new(path, line, column)
            })
        })
    };
    here.or_else(elsewhere).unwrap_or_else(|| source.clone())
}

fn tree_of<'a>(inputs: &'a Inputs, repository: &str) -> Option<&'a Tree> {
    if repository.is_empty() {
        return Some(&inputs.root);
    }
    inputs
        .trees
        .iter()
        .filter(|(reference, _)| reference.url.to_string() == repository)
        .find_map(|(_, tree)| tree.as_ref().ok())
}

/// The field of the object that begins on a line.
fn in_file(text: &str, line: u32, pointer: &str) -> Option<(u32, u32)> {
    let (documents, _) = yaml::parse(text);
    let document = documents.iter().rev().find(|document| document.line <= line)?;
    let items = document
        .root
        .get("items")
        .and_then(Node::elements)
        .unwrap_or_default();
    let root = items
        .iter()
        .find(|item| item.line == line)
        .unwrap_or(&document.root);
    follow(root, &tokens(pointer))
}

/// The field in the files of a tree that may have brought it, those nearest to the kustomization first.
fn built(tree: &Tree, source: &Location, object: &Desired, pointer: &str) -> Option<(String, u32, u32)> {
    let tokens = tokens(pointer);
    let last = tokens
        .iter()
        .rev()
        .find(|token| token.parse::<usize>().is_err())?
        .clone();
    let dir = source.path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let near =
        |path: &str| dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
    let candidates = |wanted: bool| {
        tree.files()
            .filter(move |(path, _)| super::documents::is_yaml(path) && near(path) == wanted)
            .filter_map(|(path, file)| Some((path, std::str::from_utf8(&file.bytes).ok()?)))
            .filter(|(_, text)| text.contains(&last) && text.contains(&object.key.gvk.kind))
    };
    candidates(true)
        .chain(candidates(false))
        .find_map(|(path, text)| {
            let (documents, _) = yaml::parse(text);
            let roots = documents.iter().flat_map(|document| {
                let items = document
                    .root
                    .get("items")
                    .and_then(Node::elements)
                    .unwrap_or_default();
                std::iter::once(&document.root).chain(items)
            });
            let place = roots
                .filter(|root| is_about(root, object))
                .find_map(|root| follow(root, &tokens));
            place.map(|(line, column)| (path.to_owned(), line, column))
        })
}

/// Whether a document may have become the object: its kind, and a name that prefixes, suffixes and hashes may surround.
fn is_about(root: &Node, object: &Desired) -> bool {
    let name = root
        .get("metadata")
        .and_then(|metadata| metadata.get("name")?.text());
    root.get("kind").and_then(Node::text) == Some(object.key.gvk.kind.as_str())
        && name.is_none_or(|name| object.key.name.contains(name))
}

fn tokens(pointer: &str) -> Vec<String> {
    let tokens = pointer.split('/').skip(1);
    tokens
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// The place of the last key; positions in lists may be others than in what was built.
fn follow(node: &Node, tokens: &[String]) -> Option<(u32, u32)> {
    let (token, rest) = tokens.split_first()?;
    match &node.content {
        Content::Mapping(pairs) => {
            let (key, value) = pairs.iter().find(|(key, _)| key.text() == Some(token))?;
            if rest.is_empty() {
                return Some((key.line, key.column));
            }
            follow(value, rest)
        }
        Content::Sequence(elements) => {
            let at = token.parse::<usize>().ok()?;
            if rest.is_empty() {
                return elements.get(at).map(|node| (node.line, node.column));
            }
            let own = elements.get(at).and_then(|node| follow(node, rest));
            own.or_else(|| elements.iter().find_map(|node| follow(node, rest)))
        }
        Content::Scalar(_) => None,
    }
}
