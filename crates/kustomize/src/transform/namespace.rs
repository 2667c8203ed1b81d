//! The namespace of everything that lives in one.

use crate::error::{Error, Result};
use crate::fieldspec::{self, Create, FieldSpec};
use crate::node::{Content, Node, Tag};
use crate::resmap::{ResMap, id_key};
use crate::resource::Resource;
use crate::schema::Schema;
use std::collections::HashMap;

/// Which subjects of role bindings get the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Subjects {
    #[default]
    DefaultOnly,
    AllServiceAccounts,
    None,
}

/// What to set, and where.
pub(crate) struct Options<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) specs: &'a [FieldSpec],
    pub(crate) unset_only: bool,
    pub(crate) subjects: Subjects,
}

/// Sets the namespace of all resources.
pub(crate) fn set(map: &mut ResMap, options: &Options<'_>, schema: &Schema) -> Result<()> {
    if options.namespace.is_empty() {
        return Ok(());
    }
    let mut ids: HashMap<String, usize> = HashMap::new();
    for resource in map.list() {
        *ids.entry(id_key(resource, schema)).or_default() += 1;
    }
    for resource in map.list_mut() {
        if resource.node.is_nil_or_empty() {
            continue;
        }
        if let Some(count) = ids.get_mut(&id_key(resource, schema)) {
            *count = count.saturating_sub(1);
        }
        resource.store_id(schema);
        set_one(resource, options, schema).map_err(|error| resource.error(error))?;
        let count = ids.entry(id_key(resource, schema)).or_default();
        *count += 1;
        if *count > 1 {
            return Err(resource
                .error(Error::new(format!(
                    "two resources are the same in namespace {}",
                    options.namespace
                )))
                .hint("give one of them another name, or build them in namespaces of their own"));
        }
    }
    Ok(())
}

/// Sets the namespace of one resource.
pub(crate) fn set_one(resource: &mut Resource, options: &Options<'_>, schema: &Schema) -> Result<()> {
    let value = Node::tagged_scalar(options.namespace, Tag::Str);
    let mut write = |node: &mut Node| {
        if !node.is_scalar() && !node.is_null() {
            return Err(
                Error::new(format!("expected a namespace but found {}", node.kind_name())).on_line(node.line),
            );
        }
        if !options.unset_only || node.is_null() || node.text().is_empty() {
            node.set_scalar(value.clone());
        }
        Ok(())
    };
    let create = Create::scalar(Tag::Str);
    if !resource.is_cluster_scoped(schema) {
        let spec = FieldSpec::new(crate::id::Gvk::default(), "metadata/namespace", true);
        let bare = Create::scalar(Tag::None);
        fieldspec::apply(&spec, &mut resource.node, Some(&bare), &mut write)?;
    }
    let is_binding = matches!(resource.kind(), "RoleBinding" | "ClusterRoleBinding");
    if is_binding {
        set_subjects(&mut resource.node, options.subjects, &mut write)?;
    }
    let is_core = resource.api_version() == "v1";
    for spec in options.specs {
        let is_name = spec.path == "metadata/name";
        let is_subject = matches!(spec.gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding")
            && spec.path == "subjects/namespace";
        if spec.path == "metadata/namespace" || (is_name && !is_core) || (is_binding && is_subject) {
            continue;
        }
        fieldspec::apply(spec, &mut resource.node, Some(&create), &mut write)?;
    }
    Ok(())
}

fn set_subjects(
    node: &mut Node,
    subjects: Subjects,
    write: &mut dyn FnMut(&mut Node) -> Result<()>,
) -> Result<()> {
    let (field, wanted) = match subjects {
        Subjects::None => return Ok(()),
        Subjects::DefaultOnly => ("name", "default"),
        Subjects::AllServiceAccounts => ("kind", "ServiceAccount"),
    };
    let Some(list) = node.get_mut("subjects").filter(|list| !list.is_null()) else {
        return Ok(());
    };
    let Content::Seq(items) = &mut list.content else {
        return Err(Error::new(format!(
            "expected a list of subjects but found {}",
            list.kind_name()
        ))
        .on_line(list.line));
    };
    for item in items {
        if item
            .get(field)
            .is_some_and(|found| !found.is_null() && found.text() == wanted)
            && let Some(namespace) = item.get_or_insert("namespace", || Node::scalar(""))
        {
            write(namespace)?;
        }
    }
    Ok(())
}
