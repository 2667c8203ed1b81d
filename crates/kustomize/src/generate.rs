//! ConfigMaps and Secrets from literals, files and env files.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::kustomization::Generator;
use crate::load::Loader;
use crate::node::{Content, Key, Node, Style, Tag};
use crate::resource::{Behavior, Resource, string_node};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

/// Makes the resource that a generator describes.
pub(crate) fn generate(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    kind: Kind,
    generator: &Generator,
    file: &Arc<str>,
) -> Result<Resource> {
    let name = match kind {
        Kind::ConfigMap => "ConfigMap",
        Kind::Secret => "Secret",
    };
    let fail = |error: Error| {
        error
            .on_line(generator.line)
            .in_file(file)
            .about(format!("{name} {}", generator.name))
    };
    if generator.name.is_empty() {
        return Err(fail(Error::new(format!("a generated {name} must have a name"))));
    }
    let data = data(context, loader, generator).map_err(fail)?;
    let mut resource = Resource {
        node: base(name, generator),
        file: Arc::clone(file),
        line: generator.line,
        ..Resource::default()
    };
    let node = &mut resource.node;
    match kind {
        Kind::ConfigMap => {
            for (key, value) in data {
                let (field, text) = match String::from_utf8(value) {
                    Ok(text) => ("data", text),
                    Err(error) => ("binaryData", encode(error.as_bytes())),
                };
                if let Some(map) = node.get_or_insert(field, Node::map) {
                    map.set(&key, string_node(text));
                }
            }
        }
        Kind::Secret => {
            let wanted = if generator.kind.is_empty() {
                "Opaque"
            } else {
                &generator.kind
            };
            node.set("type", string_node(wanted.to_owned()));
            let map = node.get_or_insert("data", Node::map);
            if let Some(map) = map {
                for (key, value) in data {
                    map.set(&key, string_node(encode(&value)));
                }
            }
        }
    }
    let options = generator.options.clone().unwrap_or_default();
    for (field, map) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if map.is_empty() {
            continue;
        }
        let target = resource
            .node
            .get_or_insert("metadata", Node::map)
            .and_then(|metadata| metadata.get_or_insert(field, Node::map));
        if let Some(target) = target {
            for (key, value) in map {
                target.set(
                    key,
                    Node {
                        style: Style::Single,
                        ..Node::string(value.as_str())
                    },
                );
            }
        }
    }
    if options.immutable {
        resource
            .node
            .set("immutable", Node::tagged_scalar("true", Tag::Bool));
    }
    resource.history.needs_hash = !options.disable_name_suffix_hash;
    resource.history.generated = true;
    resource.history.behavior = Behavior::parse(&generator.behavior);
    Ok(resource)
}

fn base(kind: &str, generator: &Generator) -> Node {
    let mut node = Node::map();
    node.set("apiVersion", Node::string("v1"));
    node.set("kind", Node::string(kind));
    let mut metadata = Node::map();
    metadata.set("name", string_node(generator.name.clone()));
    if !generator.namespace.is_empty() {
        metadata.set("namespace", string_node(generator.namespace.clone()));
    }
    node.set("metadata", metadata);
    node
}

/// Base64, in lines of 70 characters if it needs more than one.
fn encode(bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if text.len() < 70 {
        return text;
    }
    let mut lines = String::with_capacity(text.len() + text.len() / 70 + 1);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(70).unwrap_or((rest, ""));
        lines.push_str(line);
        lines.push('\n');
        rest = more;
    }
    lines
}

/// Replaces `data` or `binaryData`, leaving it out when there is nothing.
pub(crate) fn set_data(node: &mut Node, field: &str, data: BTreeMap<String, String>) {
    node.remove(field);
    if data.is_empty() {
        return;
    }
    let pairs = data
        .into_iter()
        .map(|(key, value)| (Key::new(&key), string_node(value)))
        .collect();
    let map = Node {
        content: Content::Map(pairs),
        ..Node::default()
    };
    node.set(field, map);
}

fn data(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    generator: &Generator,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    for path in &generator.envs {
        let content = loader.load(context, path)?;
        env_pairs(&content, &mut pairs).map_err(|error| error.in_file(&loader.name(path)))?;
    }
    for literal in &generator.literals {
        pairs.push(literal_pair(literal)?);
    }
    for source in &generator.files {
        let (key, path) = file_source(source)?;
        pairs.push((key.to_owned(), loader.load(context, path)?.to_vec()));
    }
    let mut data = BTreeMap::new();
    for (key, value) in pairs {
        if data.contains_key(&key) {
            return Err(Error::new(format!("the key `{key}` appears twice")));
        }
        data.insert(key, value);
    }
    Ok(data)
}

/// One `KEY=value` per line; blank lines and comments are skipped, quotes are kept.
fn env_pairs(content: &[u8], pairs: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() >= 64 * 1024 {
            // Upstream's scanner stops here without a word.
            return Ok(());
        }
        let Ok(mut text) = std::str::from_utf8(line) else {
            let line = u32::try_from(number + 1).unwrap_or(u32::MAX);
            return Err(Error::new("not UTF-8 text").on_line(line));
        };
        if number == 0 {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if !key.is_empty() {
            pairs.push((key.to_owned(), value.as_bytes().to_vec()));
        }
    }
    Ok(())
}

fn literal_pair(literal: &str) -> Result<(String, Vec<u8>)> {
    match literal.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let bare = ['"', '\''].iter().find_map(|quote| {
                let inner = value.strip_prefix(*quote)?.strip_suffix(*quote)?;
                Some(inner)
            });
            Ok((key.to_owned(), bare.unwrap_or(value).as_bytes().to_vec()))
        }
        _ => Err(Error::new(format!("the literal `{literal}` is not key=value"))),
    }
}

/// `path`, or `key=path`.
fn file_source(source: &str) -> Result<(&str, &str)> {
    match source.split('=').collect::<Vec<_>>().as_slice() {
        [path] => {
            let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
            Ok((if name.is_empty() { "." } else { name }, path))
        }
        ["", path] => Err(Error::new(format!("there is no key before `={path}`"))),
        [key, ""] => Err(Error::new(format!("there is no file after `{key}=`"))),
        [key, path] => Ok((key, path)),
        _ => Err(Error::new(format!("`{source}` has more than one `=`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sources() {
        let mut pairs = Vec::new();
        env_pairs(
            "\u{feff}A=1\r\n\n# no\n  B = x=y \nC\n=z\n".as_bytes(),
            &mut pairs,
        )
        .unwrap();
        let texts: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), std::str::from_utf8(value).unwrap()))
            .collect();
        assert_eq!(texts, [("A", "1"), ("B ", " x=y "), ("C", "")]);
        for (literal, value) in [
            ("a='x'", "x"),
            ("a=\"x'", "\"x'"),
            ("a=b=c", "b=c"),
            ("a=", ""),
            ("a='", "'"),
        ] {
            assert_eq!(literal_pair(literal).unwrap().1, value.as_bytes(), "{literal}");
        }
        assert!(literal_pair("=x").is_err() && literal_pair("x").is_err());
        assert_eq!(file_source("a/b.txt").unwrap(), ("b.txt", "a/b.txt"));
        assert_eq!(file_source("k=a/b.txt").unwrap(), ("k", "a/b.txt"));
        assert_eq!(encode(&[0; 60]).lines().count(), 2);
    }
}
