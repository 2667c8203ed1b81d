//! A whole build, from a directory of a tree to objects in order.

use crate::budget;
use crate::context::Context;
use crate::error::Result;
use crate::fieldspec::FieldSpec;
use crate::id::Gvk;
use crate::kustomization::SortOptions;
use crate::load::Loader;
use crate::origin::{self, Origin};
use crate::target::{Gathered, Target};
use crate::transform::{labels, name_refs, sort, vars};
use crate::{Error, Files, LoadRestrictor, Remotes, Tree, plugins, reread};
use herder_base::Diagnostic;
use herder_object::yaml;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The order of the output when the kustomization asks for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reorder {
    /// By kind, as `kubectl` does.
    #[default]
    Legacy,
    /// As read.
    None,
}

/// What a build can be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Which files a kustomization may read.
    pub load_restrictor: LoadRestrictor,
    /// The order of the output.
    pub reorder: Reorder,
}

/// What a build made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Build {
    /// The objects, in the order in which they are printed.
    pub objects: Vec<Value>,
    /// The paths that were read or looked for, relative to the tree's root: while none of them changes, appears or
    /// disappears, neither does the result.
    pub read: BTreeSet<String>,
    /// What is probably not meant.
    pub warnings: Vec<Diagnostic>,
}

impl Build {
    /// What `kustomize build` prints.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml::print_all(&self.objects)
    }
}

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Builds the kustomization in a directory of a tree.
///
/// ```
/// use herder_kustomize::{NoRemotes, Options, Tree, build};
/// let tree = Tree::from_texts([
///     ("base/kustomization.yaml", "resources: [service.yaml]\n"),
///     ("base/service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\n"),
///     ("staging/kustomization.yaml", "resources: [../base]\nnamespace: staging\n"),
/// ])?;
/// let build = build(&tree, "staging", &Options::default(), &NoRemotes)?;
/// assert_eq!(build.to_yaml(), "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\n  namespace: staging\n");
/// assert!(build.read.contains("base/service.yaml"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If anything it names is missing or malformed, or asks for what is refused (helm, functions, exec plugins).
pub fn build(
    tree: &Tree,
    dir: &str,
    options: &Options,
    remotes: &dyn Remotes,
) -> std::result::Result<Build, Error> {
    build_from(tree, dir, options, remotes)
}

/// Builds from files that are only looked at when they are needed.
///
/// # Errors
/// As [`build`].
pub fn build_from(
    files: &dyn Files,
    dir: &str,
    options: &Options,
    remotes: &dyn Remotes,
) -> std::result::Result<Build, Error> {
    let mut objects = Vec::new();
    let (read, warnings) = run(files, dir, options, remotes, &mut |object| objects.push(object))?;
    Ok(Build {
        objects,
        read,
        warnings,
    })
}

/// Builds and prints, holding only one object at a time besides the text: for large sets.
///
/// # Errors
/// As [`build`].
pub fn print_from(
    files: &dyn Files,
    dir: &str,
    options: &Options,
    remotes: &dyn Remotes,
) -> std::result::Result<(String, Vec<Diagnostic>), Error> {
    let mut out = String::new();
    let (_, warnings) = run(files, dir, options, remotes, &mut |object| {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        out.push_str(&yaml::print(&object));
    })?;
    Ok((out, warnings))
}

fn run(
    files: &dyn Files,
    dir: &str,
    options: &Options,
    remotes: &dyn Remotes,
    each: &mut dyn FnMut(Value),
) -> Result<(BTreeSet<String>, Vec<Diagnostic>)> {
    budget::begin();
    let mut context = Context::new(remotes);
    let loader = Loader::new(files, dir, options.load_restrictor)?;
    let mut target = Target::load(&mut context, loader)?;
    target.set_schema(&mut context)?;
    let metadata = target.kustomization.build_metadata.clone();
    target.origin = (!metadata.is_empty()).then(Origin::default);
    let order = target.kustomization.sort_options.clone();
    let mut all = target.gather(&mut context, Gathered::default())?;
    finish_names(&mut context, &mut all)?;
    let resources = all.map.list_mut();
    for resource in resources
        .iter()
        .filter(|resource| !resource.node.is_nil_or_empty())
    {
        resource.validate()?;
    }
    resources.retain(|resource| !is_local(resource) && !resource.node.is_nil_or_empty());
    let schema = context.schema();
    let order = order.or_else(|| {
        (options.reorder == Reorder::Legacy).then(|| SortOptions {
            order: "legacy".to_owned(),
            legacy: None,
        })
    });
    if let Some(order) = order {
        sort::sort(&mut all.map, &order, &schema).map_err(|error| error.in_file(&target.file))?;
    }
    let wants = |option: &str| metadata.iter().any(|wanted| wanted == option);
    if wants("managedByLabel") {
        let label = BTreeMap::from([(MANAGED_BY.to_owned(), "kustomize-(devel)".to_owned())]);
        labels::set(
            &mut all.map,
            &label,
            &[FieldSpec::new(Gvk::default(), "metadata/labels", true)],
        )?;
    }
    let (origins, transformations) = (wants("originAnnotations"), wants("transformerAnnotations"));
    let resources = all.map.list_mut();
    for resource in resources.iter_mut() {
        resource.finish(!origins || !transformations);
    }
    if !metadata.is_empty() {
        if !origins {
            origin::remove(resources, origin::ORIGIN);
        }
        if !transformations {
            origin::remove(resources, origin::TRANSFORMATIONS);
        }
    }
    for resource in std::mem::take(resources) {
        let object = resource.node.to_json().and_then(|mut object| {
            reread::through_json(&mut object)?;
            Ok(object)
        });
        each(object.map_err(|error| resource.error(error))?);
    }
    let warnings = Target::warnings(&mut context);
    Ok((context.read, warnings))
}

/// What is done once, at the end: hashes, references, vars.
fn finish_names(context: &mut Context<'_>, all: &mut Gathered) -> Result<()> {
    let schema = context.schema();
    plugins::add_hashes(&mut all.map, &schema)?;
    name_refs::fix(&mut all.map, &all.config, &schema)?;
    vars::resolve(&mut all.map, &all.vars, &all.config.var_reference)
}

/// Whether a resource is only there for the build.
fn is_local(resource: &crate::resource::Resource) -> bool {
    let annotation = resource
        .node
        .at(&["metadata", "annotations", "config.kubernetes.io/local-config"]);
    annotation.is_some_and(|value| value.text() != "false")
}
