//! From text to resources: documents, lists taken apart, and what upstream insists on.

use crate::error::{Error, Result};
use crate::node::{Content, Node, from_json};
use crate::resource::Resource;
use herder_object::yaml;
use std::borrow::Cow;
use std::sync::Arc;

/// Splits at lines that begin with `---`; each part with the number of lines above it.
fn documents(text: &str) -> Result<Vec<(&str, u32)>> {
    let mut parts = Vec::new();
    let (mut start, mut above, mut line, mut at) = (0, 0, 0_u32, 0);
    let mut after_break = false;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let content = rest.get(..length).unwrap_or_default();
        line += 1;
        if after_break && content.ends_with('\n') && content.starts_with("---") {
            let trailing = content.get(3..).unwrap_or_default().trim();
            if !trailing.is_empty() && !trailing.starts_with('#') {
                return Err(Error::new(format!("`{}` after a document separator", trailing))
                    .on_line(line)
                    .hint("only a comment may follow `---` on its line"));
            }
            parts.push((text.get(start..at).unwrap_or_default(), above));
            start = at + length;
            above = line;
            // The break that ends a separator does not begin another one.
            after_break = false;
        } else {
            after_break = content.ends_with('\n');
        }
        at += length;
    }
    parts.push((text.get(start..).unwrap_or_default(), above));
    Ok(parts)
}

/// All documents of a text that are not empty, as trees.
fn nodes(text: &str) -> Result<Vec<Node>> {
    let text = if text.contains("\r\n") {
        Cow::Owned(text.replace("\r\n", "\n"))
    } else {
        Cow::Borrowed(text)
    };
    let parts = documents(&text)?;
    let single = parts.len() == 1;
    let mut result = Vec::new();
    for (part, above) in parts {
        let (parsed, errors) = yaml::parse(part);
        let Some(document) = parsed.into_iter().next() else {
            match errors.into_iter().next() {
                None => continue,
                Some(error) => {
                    return Err(Error::new(error.message)
                        .on_line(error.line.saturating_add(above))
                        .on_column(error.column));
                }
            }
        };
        let mut node = Node::from_yaml(document.root, above)?;
        if node.is_null() {
            continue;
        }
        let kind = node.get("kind").map_or("", Node::text);
        if single
            && matches!(kind, "List" | "ResourceList")
            && (node.get("items").is_some() || node.get("functionConfig").is_some())
        {
            if let Some(Content::Seq(items)) = node.remove("items").map(|items| items.content) {
                result.extend(items);
            }
            continue;
        }
        result.push(node);
    }
    Ok(result)
}

/// All resources of a text.
pub(crate) fn resources(text: &str, file: &Arc<str>) -> Result<Vec<Resource>> {
    resources_of(nodes(text).map_err(|error| error.in_file(file))?, file)
}

fn checked(nodes: Vec<Node>, file: &Arc<str>) -> Result<Vec<Resource>> {
    let mut result = Vec::with_capacity(nodes.len());
    for node in nodes {
        if node.is_nil_or_empty() {
            continue;
        }
        let resource = Resource::new(node, file);
        resource.validate()?;
        result.push(resource);
    }
    Ok(result)
}

fn resources_of(nodes: Vec<Node>, file: &Arc<str>) -> Result<Vec<Resource>> {
    let mut queue = std::collections::VecDeque::from(checked(nodes, file)?);
    let mut result = Vec::with_capacity(queue.len());
    while let Some(resource) = queue.pop_front() {
        let is_list = resource.kind().ends_with("List");
        let Some(items) = resource.node.get("items").filter(|_| is_list) else {
            result.push(resource);
            continue;
        };
        if items.is_null() {
            continue;
        }
        if !items.is_seq() {
            return Err(Error::new(format!(
                "expected a list in `items` but found {}",
                items.kind_name()
            ))
            .on_line(items.line)
            .in_file(file));
        }
        let items = items
            .items()
            .iter()
            .map(|item| {
                let mut node = from_json(item.decode()?);
                node.line = item.line;
                Ok(node)
            })
            .collect::<Result<Vec<_>>>()
            .map_err(|error| error.in_file(file))?;
        queue.extend(checked(items, file)?);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<(String, u32)>> {
        let found = resources(text, &Arc::from("f.yaml"))?;
        Ok(found.iter().map(|r| (r.name().to_owned(), r.line)).collect())
    }

    #[test]
    fn reads_documents_and_lists() {
        let object = |name: &str| format!("kind: A\nmetadata: {{name: {name}}}\n");
        let text = format!("# head\n---\n{}--- # more\n\n---\n{}", object("a"), object("b"));
        assert_eq!(names(&text).unwrap(), [("a".to_owned(), 3), ("b".to_owned(), 8)]);
        let text = "kind: List\nitems:\n- kind: A\n  metadata: {name: x}\n- kind: BList\n  items:\n  - {kind: B, metadata: {name: y}}\n";
        assert_eq!(names(text).unwrap().len(), 2);
        for (text, line) in [
            ("kind: A\n", 1),
            ("a: b\n--- x\nc: d\n", 2),
            ("kind: A\nmetadata: {name: a}\n---\na: [\n", 5),
        ] {
            assert_eq!(names(text).unwrap_err().line(), line, "{text}");
        }
    }
}
