//! Labels and annotations in all the places where they belong.

use crate::error::Result;
use crate::fieldspec::{self, Create, FieldSpec};
use crate::node::{Node, Tag};
use crate::resmap::ResMap;
use std::collections::BTreeMap;

/// Sets entries of the mappings that the specifications lead to.
pub(crate) fn set(map: &mut ResMap, entries: &BTreeMap<String, String>, specs: &[FieldSpec]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let create = Create::map();
    for resource in map.list_mut() {
        for (key, value) in entries {
            let share = next_share(&resource.node);
            let mut follow: Vec<(u32, Node)> = Vec::new();
            for spec in specs {
                let result = fieldspec::apply(spec, &mut resource.node, Some(&create), &mut |node| {
                    if node.is_null() {
                        return Ok(());
                    }
                    if !node.is_map() {
                        return Err(crate::error::Error::new(format!(
                            "expected a mapping for `{key}` but found {}",
                            node.kind_name()
                        ))
                        .on_line(node.line));
                    }
                    let value = Node {
                        shared: share,
                        ..Node::tagged_scalar(value.as_str(), Tag::Str)
                    };
                    let shared = node.set(key, value.clone());
                    if shared != 0 && shared != share {
                        follow.push((shared, Node { shared, ..value }));
                    }
                    Ok(())
                });
                result.map_err(|error| resource.error(error))?;
            }
            for (shared, node) in follow {
                resource.node.spread(shared, &node);
            }
        }
    }
    Ok(())
}

/// A share number that nothing in the tree has.
fn next_share(node: &Node) -> u32 {
    fn highest(node: &Node) -> u32 {
        let below = match &node.content {
            crate::node::Content::Map(pairs) => pairs.iter().map(|(_, child)| highest(child)).max(),
            crate::node::Content::Seq(items) => items.iter().map(highest).max(),
            _ => None,
        };
        node.shared.max(below.unwrap_or_default())
    }
    highest(node) + 1
}
