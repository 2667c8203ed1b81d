//! Image names, tags and digests.

use crate::budget;
use crate::error::{Error, Result};
use crate::fieldspec::{self, FieldSpec};
use crate::kustomization::Image;
use crate::node::{Content, Node};
use crate::resmap::ResMap;
use regex::Regex;

/// Replaces an image wherever it is named.
pub(crate) fn set(map: &mut ResMap, image: &Image, specs: &[FieldSpec]) -> Result<()> {
    // What is not an expression matches nothing, as upstream.
    let Some(pattern) = budget::expression(&format!(
        "^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$",
        image.name
    ))?
    else {
        return Err(Error::new(format!(
            "the image name `{}` is not a regular expression",
            image.name
        )));
    };
    for resource in map.list_mut() {
        if resource.kind() == "CustomResourceDefinition" {
            continue;
        }
        let mut result = everywhere(&mut resource.node, image, &pattern);
        for spec in specs {
            result = result.and_then(|()| {
                fieldspec::apply(spec, &mut resource.node, None, &mut |node| {
                    update(node, image, &pattern)
                })
            });
        }
        result.map_err(|error| resource.error(error))?;
    }
    Ok(())
}

/// In the elements of every list called `containers` or `initContainers`, however deep.
fn everywhere(node: &mut Node, image: &Image, pattern: &Regex) -> Result<()> {
    budget::work(1)?;
    match &mut node.content {
        Content::Map(pairs) => {
            for (key, value) in pairs {
                everywhere(value, image, pattern)?;
                if !matches!(&*key.text, "containers" | "initContainers") {
                    continue;
                }
                if let Content::Seq(items) = &mut value.content {
                    for item in items {
                        if !item.is_map() && !item.is_null() {
                            return Err(Error::new(format!(
                                "expected a container but found {}",
                                item.kind_name()
                            ))
                            .on_line(item.line));
                        }
                        if let Some(field) = item.get_mut("image") {
                            update(field, image, pattern)?;
                        }
                    }
                }
            }
            Ok(())
        }
        Content::Seq(items) => items
            .iter_mut()
            .try_for_each(|item| everywhere(item, image, pattern)),
        _ => Ok(()),
    }
}

fn update(node: &mut Node, image: &Image, pattern: &Regex) -> Result<()> {
    if !node.is_null() && !node.is_scalar() {
        return Err(
            Error::new(format!("expected an image but found {}", node.kind_name())).on_line(node.line),
        );
    }
    if !pattern.is_match(node.text()) {
        return Ok(());
    }
    let text = replace(node.text(), image);
    node.set_scalar(Node::scalar(text));
    Ok(())
}

/// What an image becomes.
fn replace(text: &str, image: &Image) -> String {
    let (name, mut tag, mut digest) = split(text);
    let mut result = if image.new_name.is_empty() {
        name
    } else {
        &image.new_name
    }
    .to_owned();
    let suffixed;
    match (image.new_tag.as_str(), image.digest.as_str()) {
        ("", "") => {
            if !image.tag_suffix.is_empty() {
                suffixed = format!("{tag}{}", image.tag_suffix);
                (tag, digest) = (&suffixed, "");
            }
        }
        (new_tag, new_digest) => (tag, digest) = (new_tag, new_digest),
    }
    if !tag.is_empty() {
        result = format!("{result}:{tag}");
    }
    if !digest.is_empty() {
        result = format!("{result}@{digest}");
    }
    result
}

/// Name, tag and digest.
pub(crate) fn split(image: &str) -> (&str, &str, &str) {
    let start = image.find('/').unwrap_or_default();
    let search = image.get(start..).unwrap_or_default();
    let at = search.find('@').map(|at| at + start);
    let colon = search.find(':').map(|at| at + start);
    let cut = |from: usize, to: usize| image.get(from..to).unwrap_or_default();
    match (at, colon) {
        (None, None) => (image, "", ""),
        (Some(at), colon) if colon.is_none_or(|colon| at < colon) => {
            (cut(0, at), "", cut(at + 1, image.len()))
        }
        (Some(at), Some(colon)) => (cut(0, colon), cut(colon + 1, at), cut(at + 1, image.len())),
        (_, Some(colon)) => (cut(0, colon), cut(colon + 1, image.len()), ""),
        (Some(_), None) => (image, "", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_replaces() {
        assert_eq!(
            split("host:5000/a/b:v1@sha256:x"),
            ("host:5000/a/b", "v1", "sha256:x")
        );
        assert_eq!(split("a@sha256:x"), ("a", "", "sha256:x"));
        assert_eq!(split("a"), ("a", "", ""));
        let image = |new_name: &str, new_tag: &str, digest: &str, tag_suffix: &str| Image {
            name: String::new(),
            new_name: new_name.to_owned(),
            new_tag: new_tag.to_owned(),
            digest: digest.to_owned(),
            tag_suffix: tag_suffix.to_owned(),
        };
        assert_eq!(replace("a:1", &image("b", "", "", "")), "b:1");
        assert_eq!(replace("a:1@sha256:x", &image("", "2", "", "")), "a:2");
        assert_eq!(replace("a:1", &image("", "", "sha256:y", "")), "a@sha256:y");
        assert_eq!(replace("a:1", &image("", "2", "sha256:y", "")), "a:2@sha256:y");
        assert_eq!(replace("a:1", &image("", "", "", "-x")), "a:1-x");
    }
}
