//! Name prefixes and suffixes.

use crate::error::{Error, Result};
use crate::fieldspec::{self, Create, FieldSpec};
use crate::node::{Node, Tag};
use crate::resmap::ResMap;
use crate::schema::Schema;

/// Which end of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affix {
    Prefix,
    Suffix,
}

/// Puts a text before or after the names.
pub(crate) fn affix(
    map: &mut ResMap,
    end: Affix,
    text: &str,
    specs: &[FieldSpec],
    schema: &Schema,
) -> Result<()> {
    let create = Create::scalar(Tag::Str);
    for resource in map.list_mut() {
        let original = resource.original_id(schema).gvk;
        let skipped = matches!(original.kind.as_str(), "CustomResourceDefinition" | "Namespace")
            || (original.kind == "APIService" && original.group == "apiregistration.k8s.io");
        if skipped {
            continue;
        }
        for spec in specs {
            if !original.is_selected(&spec.gvk) {
                continue;
            }
            if spec.path == "metadata/name" && !text.is_empty() {
                match end {
                    Affix::Prefix => resource.history.prefixes.push(text.to_owned()),
                    Affix::Suffix => resource.history.suffixes.push(text.to_owned()),
                }
                resource.store_id(schema);
            }
            let result = fieldspec::apply(spec, &mut resource.node, Some(&create), &mut |node| {
                if !node.is_null() && !node.is_scalar() {
                    return Err(
                        Error::new(format!("expected a name but found {}", node.kind_name()))
                            .on_line(node.line),
                    );
                }
                let value = match end {
                    Affix::Prefix => format!("{text}{}", node.text()),
                    Affix::Suffix => format!("{}{text}", node.text()),
                };
                node.set_scalar(Node::scalar(value));
                Ok(())
            });
            result.map_err(|error| resource.error(error))?;
        }
    }
    Ok(())
}
