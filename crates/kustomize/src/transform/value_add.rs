//! A value added to fields and paths (the builtin `ValueAddTransformer`).

use super::namespace;
use crate::error::{Error, Result};
use crate::kustomization::Selector;
use crate::node::Node;
use crate::path;
use crate::resmap::ResMap;
use crate::schema::Schema;
use crate::select;

/// One place to write to.
pub(crate) struct Place {
    pub(crate) selector: Option<Selector>,
    pub(crate) field_path: String,
    pub(crate) position: usize,
}

/// Writes a value to all places.
pub(crate) fn add(map: &mut ResMap, value: &str, places: &[Place], schema: &Schema) -> Result<()> {
    for place in places {
        let found = match &place.selector {
            Some(selector) => select::select(map, selector, schema)?,
            None => (0..map.list().len()).collect(),
        };
        for at in found {
            let Some(resource) = map.list_mut().get_mut(at) else {
                continue;
            };
            if place.field_path == "metadata/namespace" {
                let options = namespace::Options {
                    namespace: value,
                    specs: &[],
                    unset_only: false,
                    subjects: namespace::Subjects::DefaultOnly,
                };
                namespace::set_one(resource, &options, schema).map_err(|error| resource.error(error))?;
                continue;
            }
            let parts = path::split(&place.field_path, '/');
            let field = match path::lookup_create(&mut resource.node, &parts, &Node::scalar("")) {
                Ok(Some(field)) if field.is_scalar() => field,
                Ok(_) => {
                    return Err(resource.error(Error::new(format!("`{}` is not a scalar", place.field_path))));
                }
                Err(error) => return Err(resource.error(error)),
            };
            let text = match place.position {
                0 => value.to_owned(),
                position => insert(field.text(), position - 1, value),
            };
            field.set_scalar(Node::scalar(text));
        }
    }
    Ok(())
}

/// Puts a part into a path.
fn insert(path: &str, position: usize, part: &str) -> String {
    if path.is_empty() {
        return part.to_owned();
    }
    let (root, rest) = match path.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", path),
    };
    let mut parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let at = position.min(parts.len());
    parts.insert(at, part);
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts() {
        for (path, position, result) in [
            ("", 0, "P"),
            ("/", 0, "/P"),
            ("pie", 0, "P/pie"),
            ("/raw", 1, "/raw/P"),
            ("/a/nice/warm/pie", 3, "/a/nice/warm/P/pie"),
            ("a", 9, "a/P"),
        ] {
            assert_eq!(insert(path, position, "P"), result);
        }
    }
}
