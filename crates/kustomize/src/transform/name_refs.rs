//! Names in other resources' fields, after the resources they mean were renamed.

use crate::budget;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::fieldspec::{self, FieldSpec};
use crate::id::{Gvk, NO_NAMESPACE};
use crate::node::{Content, Node};
use crate::resmap::ResMap;
use crate::resource::{Former, Resource};
use crate::schema::Schema;
use std::collections::{HashMap, HashSet};

/// What is asked of a resource that others may refer to.
struct Candidate {
    name: String,
    namespace: String,
    /// Its namespace now and in the beginning, defaults filled in.
    current: String,
    original: String,
    group: String,
    version: String,
    is_service_account: bool,
    former: Vec<Former>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    described: String,
}

impl Candidate {
    fn new(resource: &Resource, schema: &Schema) -> Self {
        let id = resource.id(schema);
        Self {
            current: id.effective_namespace().to_owned(),
            original: resource.original_id(schema).effective_namespace().to_owned(),
            is_service_account: id.gvk.kind == "ServiceAccount",
            group: id.gvk.group,
            version: id.gvk.version,
            name: id.name,
            namespace: id.namespace,
            former: resource.history.former.clone(),
            prefixes: resource.history.prefixes.clone(),
            suffixes: resource.history.suffixes.clone(),
            described: resource.describe(),
        }
    }

    fn was_selected(&self, selector: &Gvk) -> bool {
        let fits = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        fits(&selector.group, &self.group)
            && fits(&selector.version, &self.version)
            && self
                .former
                .iter()
                .any(|former| fits(&selector.kind, &former.kind))
    }
}

/// Updates all references.
pub(crate) fn fix(map: &mut ResMap, config: &Config, schema: &Schema) -> Result<()> {
    let candidates: Vec<Candidate> = map
        .list()
        .iter()
        .map(|resource| Candidate::new(resource, schema))
        .collect();
    // Only what was renamed can be meant by a name that has to change.
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let mut seen = HashSet::new();
        for former in candidate.former.iter().filter(|former| seen.insert(&former.name)) {
            by_name.entry(&former.name).or_default().push(at);
        }
    }
    if by_name.is_empty() {
        return map
            .list()
            .iter()
            .try_for_each(|resource| binding_namespaces(resource).map(drop));
    }
    let mut plans: HashMap<Gvk, Vec<(&Gvk, &FieldSpec)>> = HashMap::new();
    for (resource, itself) in map.list_mut().iter_mut().zip(&candidates) {
        let original = resource.original_id(schema).gvk;
        let plan = plans.entry(original).or_insert_with_key(|gvk| plan(config, gvk));
        if plan.is_empty() {
            continue;
        }
        let referrer = Referrer {
            itself,
            is_cluster_scoped: itself.current == NO_NAMESPACE,
            binding: binding_namespaces(resource)?,
            role: role(&resource.node),
            candidates: &candidates,
            by_name: &by_name,
        };
        let current = resource.gvk();
        for (target, spec) in plan.iter() {
            // The kind was checked against what the resource was in the beginning.
            let spec = FieldSpec {
                gvk: current.clone(),
                ..(*spec).clone()
            };
            let result = fieldspec::apply(&spec, &mut resource.node, None, &mut |node| {
                referrer.update(node, target, &spec)
            });
            result.map_err(|error| resource.error(error))?;
        }
    }
    Ok(())
}

fn plan<'c>(config: &'c Config, gvk: &Gvk) -> Vec<(&'c Gvk, &'c FieldSpec)> {
    let pairs = config.name_reference.iter().flat_map(|reference| {
        let specs = reference.referrers.iter();
        specs.map(move |spec| (&reference.gvk, spec))
    });
    pairs.filter(|(_, spec)| gvk.is_selected(&spec.gvk)).collect()
}

/// The namespaces of the service accounts that a role binding names.
fn binding_namespaces(resource: &Resource) -> Result<HashSet<String>> {
    let mut found = HashSet::new();
    if resource.kind() != "RoleBinding" {
        return Ok(found);
    }
    for subject in resource.node.get("subjects").map_or(&[][..], Node::items) {
        let Some(namespace) = subject.get("namespace") else {
            continue;
        };
        if subject.get("kind").map_or("", Node::text) != "ServiceAccount" {
            continue;
        }
        if namespace.is_null() || !namespace.is_scalar() {
            return Err(resource.error(Error::new("a subject's namespace is blank").on_line(namespace.line)));
        }
        found.insert(namespace.text().to_owned());
    }
    Ok(found)
}

/// The kind of role that a binding refers to.
fn role(node: &Node) -> Option<Gvk> {
    let text = |field: &str| node.at(&["roleRef", field]).map(|node| node.text().to_owned());
    Some(Gvk {
        group: text("apiGroup")?,
        version: String::new(),
        kind: text("kind")?,
    })
}

struct Referrer<'a> {
    itself: &'a Candidate,
    is_cluster_scoped: bool,
    binding: HashSet<String>,
    role: Option<Gvk>,
    candidates: &'a [Candidate],
    by_name: &'a HashMap<&'a str, Vec<usize>>,
}

impl<'a> Referrer<'a> {
    fn update(&self, node: &mut Node, target: &Gvk, spec: &FieldSpec) -> Result<()> {
        if node.is_null() {
            return Ok(());
        }
        match &mut node.content {
            Content::Map(_) => self.update_mapping(node, target, spec),
            Content::Seq(items) => items
                .iter_mut()
                .filter(|item| !item.is_null())
                .try_for_each(|item| match item.content {
                    Content::Map(_) => self.update_mapping(item, target, spec),
                    Content::Scalar(_) => self.update_scalar(item, target, spec),
                    _ => Err(
                        Error::new(format!("expected a name but found {}", item.kind_name()))
                            .on_line(item.line),
                    ),
                }),
            _ => self.update_scalar(node, target, spec),
        }
    }

    fn update_scalar(&self, node: &mut Node, target: &Gvk, spec: &FieldSpec) -> Result<()> {
        let Some(found) = self.select(node.text(), target, spec, None)? else {
            return Ok(());
        };
        if found.name != node.text() {
            node.set_scalar(Node::scalar(found.name.as_str()));
        }
        Ok(())
    }

    fn update_mapping(&self, node: &mut Node, target: &Gvk, spec: &FieldSpec) -> Result<()> {
        let Some(name) = node.get("name").map(|name| name.text().to_owned()) else {
            return Err(Error::new(format!("there is no `name` below `{}`", spec.path)).on_line(node.line));
        };
        let namespace = node.get("namespace").map(|namespace| namespace.text().to_owned());
        let by_namespace = namespace.map(|namespace| self.namespace_filter(namespace));
        let Some(found) = self.select(&name, target, spec, Some(by_namespace))? else {
            return Ok(());
        };
        if found.name == name && found.namespace.is_empty() {
            return Ok(());
        }
        node.set("name", Node::scalar(found.name.as_str()));
        if !found.namespace.is_empty() {
            node.set("namespace", Node::scalar(found.namespace.as_str()));
        }
        Ok(())
    }

    /// The namespace as candidates had it in the beginning, if any did, or else as they have it now.
    fn namespace_filter(&self, namespace: String) -> (String, bool) {
        let original = self
            .candidates
            .iter()
            .any(|candidate| candidate.original == namespace && self.could_be_meant(candidate));
        (namespace, original)
    }

    fn could_be_meant(&self, candidate: &Candidate) -> bool {
        self.is_cluster_scoped
            || candidate.current == NO_NAMESPACE
            || candidate.current == self.itself.current
            || self.binding.contains(&candidate.namespace)
    }

    /// The resource that a name means. `namespace` is given for references that may name one.
    fn select(
        &self,
        name: &str,
        target: &Gvk,
        spec: &FieldSpec,
        namespace: Option<Option<(String, bool)>>,
    ) -> Result<Option<&'a Candidate>> {
        let Some(named) = self.by_name.get(name) else {
            return Ok(None);
        };
        budget::work(named.len())?;
        let with_namespace = namespace.is_some();
        let wanted = namespace.flatten();
        let role = self.role.as_ref().filter(|_| spec.path.ends_with("roleRef/name"));
        let mut found: Vec<&Candidate> = named
            .iter()
            .filter_map(|at| self.candidates.get(*at))
            .filter(|candidate| self.could_be_meant(candidate))
            .filter(|candidate| match &wanted {
                None => true,
                Some((namespace, true)) => candidate.original == *namespace && namespace != NO_NAMESPACE,
                Some((namespace, false)) => candidate.current == *namespace && namespace != NO_NAMESPACE,
            })
            .filter(|candidate| candidate.was_selected(target))
            .filter(|candidate| role.is_none_or(|role| candidate.was_selected(role)))
            .filter(|candidate| {
                self.is_cluster_scoped
                    || candidate.current == NO_NAMESPACE
                    || candidate.is_service_account
                    || candidate.current == self.itself.current
            })
            .collect();
        if let [one] = found.as_slice() {
            return Ok(Some(one));
        }
        found.retain(|candidate| self.same_affixes(candidate, true));
        if found.len() > 1 {
            found.retain(|candidate| self.same_affixes(candidate, false));
        }
        let Some(first) = found.first().copied() else {
            return Ok(None);
        };
        let identical = found
            .iter()
            .all(|other| other.name == first.name && (!with_namespace || other.namespace == first.namespace));
        if identical {
            return Ok(Some(first));
        }
        let names: Vec<&str> = found
            .iter()
            .map(|candidate| candidate.described.as_str())
            .collect();
        Err(Error::new(format!(
            "`{name}` in `{}` could mean {}",
            spec.path,
            names.join(" or ")
        )))
    }

    fn same_affixes(&self, candidate: &Candidate, allow_empty: bool) -> bool {
        let same = |mine: &[String], theirs: &[String]| {
            (allow_empty && (mine.is_empty() || theirs.is_empty())) || same_ending(mine, theirs)
        };
        same(&candidate.prefixes, &self.itself.prefixes) && same(&candidate.suffixes, &self.itself.suffixes)
    }
}

fn same_ending(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    if short.is_empty() {
        long.is_empty()
    } else {
        long.ends_with(short)
    }
}
