//! The resources of a build in order, found by what they are or were called.

use crate::budget;
use crate::error::{Error, Result};
use crate::id::{ResId, effective_namespace};
use crate::resource::{Behavior, Resource};
use crate::schema::Schema;
use herder_base::suggest;
use std::collections::HashSet;

/// Resources in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResMap {
    list: Vec<Resource>,
    /// The ids in `list`, while nobody could have changed them. Makes appending linear.
    ids: Option<HashSet<String>>,
}

/// A text that is the same for the same id.
pub(crate) fn id_key(resource: &Resource, schema: &Schema) -> String {
    let namespace = effective_namespace(resource.is_cluster_scoped(schema), resource.namespace());
    format!(
        "{}\0{}\0{namespace}\0{}",
        resource.api_version(),
        resource.kind(),
        resource.name()
    )
}

impl ResMap {
    pub(crate) fn list(&self) -> &[Resource] {
        &self.list
    }

    pub(crate) fn list_mut(&mut self) -> &mut Vec<Resource> {
        self.ids = None;
        &mut self.list
    }

    pub(crate) fn append(&mut self, resource: Resource, schema: &Schema) -> Result<()> {
        let list = &self.list;
        let ids = self
            .ids
            .get_or_insert_with(|| list.iter().map(|resource| id_key(resource, schema)).collect());
        let key = id_key(&resource, schema);
        if !ids.insert(key.clone()) {
            let first = self.list.iter().find(|other| id_key(other, schema) == key);
            let error = resource.error(Error::new("is there already"));
            return Err(match first.filter(|first| !first.file.is_empty()) {
                Some(first) => error.hint(format!("the first one is in {}:{}", first.file, first.line)),
                None => error,
            });
        }
        self.list.push(resource);
        Ok(())
    }

    pub(crate) fn append_all(&mut self, resources: Vec<Resource>, schema: &Schema) -> Result<()> {
        resources
            .into_iter()
            .try_for_each(|resource| self.append(resource, schema))
    }

    /// Which resources have or had an id that matches.
    pub(crate) fn find(&self, schema: &Schema, matches: impl Fn(&ResId) -> bool) -> Vec<usize> {
        let found = self.list.iter().enumerate().filter(|(_, resource)| {
            resource.former_ids().any(|id| matches(&id)) || matches(&resource.id(schema))
        });
        found.map(|(at, _)| at).collect()
    }

    /// The one resource that has or had this id.
    pub(crate) fn one(&self, id: &ResId, schema: &Schema) -> Result<usize> {
        budget::work(self.list.len())?;
        let named = |resource: &Resource| {
            resource.name() == id.name
                || resource
                    .history
                    .former
                    .iter()
                    .any(|former| former.name == id.name)
        };
        let found: Vec<usize> = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, resource)| named(resource))
            .filter(|(_, resource)| {
                resource.former_ids().any(|other| id.same(&other)) || id.same(&resource.id(schema))
            })
            .map(|(at, _)| at)
            .collect();
        match found.as_slice() {
            [at] => Ok(*at),
            [] => Err(self.none(id)),
            several => {
                let names: Vec<String> = several
                    .iter()
                    .filter_map(|at| self.list.get(*at))
                    .map(Resource::describe)
                    .collect();
                Err(Error::new(format!(
                    "several resources match `{id}`: {}",
                    names.join(", ")
                )))
            }
        }
    }

    fn none(&self, id: &ResId) -> Error {
        let error = Error::new(format!("no resource matches `{id}` ({})", id.gvk.api_version()));
        let same_name = self.list.iter().find(|resource| resource.name() == id.name);
        if let Some(resource) = same_name {
            return error.hint(format!(
                "nearest is {} ({})",
                resource.describe(),
                resource.api_version()
            ));
        }
        let names = self.list.iter().filter(|resource| resource.kind() == id.gvk.kind);
        match suggest(&id.name, names.clone().map(Resource::name)) {
            Some(name) => error.hint(format!("nearest is {} {name}", id.gvk.kind)),
            None => match names.map(Resource::name).take(5).collect::<Vec<_>>().as_slice() {
                [] => error.hint(format!("there is no {} at all", id.gvk.kind)),
                some => error.hint(format!("there is {} {}", id.gvk.kind, some.join(", "))),
            },
        }
    }

    /// Adds a generated resource, or replaces or merges the one that is there.
    pub(crate) fn absorb(&mut self, mut resource: Resource, schema: &Schema) -> Result<()> {
        let id = resource.id(schema);
        let found = self.find(schema, |other| id.same(other));
        let at = match found.as_slice() {
            [] => {
                return match resource.history.behavior {
                    Behavior::Create => self.append(resource, schema),
                    Behavior::Replace | Behavior::Merge => {
                        Err(resource.error(Error::new("does not exist, so it cannot be merged or replaced")))
                    }
                };
            }
            [at] => *at,
            _ => return Err(resource.error(Error::new("several resources could be merged with it"))),
        };
        let Some(old) = self.list.get_mut(at) else {
            return Ok(());
        };
        match resource.history.behavior {
            Behavior::Create => {
                return Err(resource
                    .error(Error::new("is there already"))
                    .hint("say `behavior: merge` or `behavior: replace`"));
            }
            Behavior::Replace => resource.adopt_metadata(old),
            Behavior::Merge => {
                let origin = old.annotations().remove(crate::origin::ORIGIN);
                resource.adopt_metadata(old);
                for field in ["data", "binaryData"] {
                    let mut data = old.data(field);
                    data.extend(resource.data(field));
                    crate::generate::set_data(&mut resource.node, field, data);
                }
                if let Some(origin) = origin {
                    let mut annotations = resource.annotations();
                    annotations.insert(crate::origin::ORIGIN.to_owned(), origin);
                    resource.set_annotations(annotations);
                }
            }
        }
        *old = resource;
        self.ids = None;
        Ok(())
    }
}
