//! Replica counts.

use crate::error::{Error, Result};
use crate::fieldspec::{self, Create, FieldSpec};
use crate::kustomization::Replica;
use crate::node::{Node, Tag};
use crate::resmap::ResMap;
use crate::schema::Schema;
use herder_base::suggest;

/// Sets the count of the resource with a name.
pub(crate) fn set(map: &mut ResMap, replica: &Replica, specs: &[FieldSpec], schema: &Schema) -> Result<()> {
    let create = Create::scalar(Tag::Int);
    let mut any = false;
    for spec in specs {
        let found = map.find(schema, |id| {
            id.name == replica.name && id.gvk.is_selected(&spec.gvk)
        });
        any |= !found.is_empty();
        for at in found {
            let Some(resource) = map.list_mut().get_mut(at) else {
                continue;
            };
            let result = fieldspec::apply(spec, &mut resource.node, Some(&create), &mut |node| {
                if !node.is_null() && !node.is_scalar() {
                    return Err(
                        Error::new(format!("expected a count but found {}", node.kind_name()))
                            .on_line(node.line),
                    );
                }
                node.set_scalar(Node::tagged_scalar(replica.count.to_string(), Tag::Int));
                Ok(())
            });
            result.map_err(|error| resource.error(error))?;
        }
    }
    if any {
        return Ok(());
    }
    let error = Error::new(format!("nothing called `{}` has replicas", replica.name)).on_line(replica.line);
    let counted = map
        .list()
        .iter()
        .filter(|resource| specs.iter().any(|spec| resource.gvk().is_selected(&spec.gvk)));
    Err(
        match suggest(&replica.name, counted.map(crate::resource::Resource::name)) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error,
        },
    )
}
