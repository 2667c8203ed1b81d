//! The config repositories of environments: one directory per application.

use super::documents::is_yaml;
use super::kustomize;
use super::objects::{self, Raw};
use crate::render;
use crate::{ConfigSource, Environment, Inputs, Settings, SourceRef};
use herder_base::{Diagnostic, Location, Tree};
use std::collections::BTreeSet;

/// Directories of a config repository that are parts, not applications.
const PARTS: [&str; 4] = ["base", "bases", "components", "common"];

/// An application's objects in one environment.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// The objects, or why there are none.
    pub(crate) objects: Result<Vec<Raw>, String>,
}

/// Whether a config lies in the fleet repository itself.
pub(crate) fn is_root(inputs: &Inputs, config: &ConfigSource) -> bool {
    config.branch.is_empty() && config.repository == inputs.fleet_url
}

/// The tree of a config.
pub(crate) fn tree<'a>(inputs: &'a Inputs, config: &ConfigSource) -> Result<&'a Tree, String> {
    if is_root(inputs, config) {
        return Ok(&inputs.root);
    }
    let source = SourceRef::new(config.repository.clone(), config.branch.clone());
    match inputs.trees.get(&source) {
        Some(Ok(tree)) => Ok(tree),
        Some(Err(why)) => Err(why.clone()),
        None => Err(format!("{} has not been fetched yet", config.repository)),
    }
}

/// The directories of the applications in a config: those with a kustomization, or with plain files where there is none
/// anywhere. The config itself may be one kustomization for all: its name is then empty.
pub(crate) fn applications(tree: &Tree, config: &ConfigSource, include: &[String]) -> Vec<(String, String)> {
    if kustomize::is_root(tree, &config.path) && include.is_empty() {
        return vec![(String::new(), config.path.clone())];
    }
    let below = |name: &str| {
        if config.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", config.path)
        }
    };
    let directories: Vec<(String, String)> = tree
        .entries(&config.path)
        .iter()
        .filter_map(|entry| entry.strip_suffix('/'))
        .filter(|name| !name.starts_with('.') && !PARTS.contains(name))
        .filter(|name| include.is_empty() || include.iter().any(|wanted| wanted == name))
        .map(|name| (name.to_owned(), below(name)))
        .collect();
    let kustomized: Vec<_> = directories
        .iter()
        .filter(|(_, dir)| kustomize::is_root(tree, dir) && !kustomize::is_component(tree, dir))
        .cloned()
        .collect();
    if kustomized.is_empty() {
        return directories
            .into_iter()
            .filter(|(_, dir)| tree.entries(dir).iter().any(|entry| is_yaml(entry)))
            .collect();
    }
    kustomized
}

/// How many objects one environment may make before no further application of it is rendered: the largest real ones have
/// a tenth of it, and everybody waits for what is rendered.
const MOST_OBJECTS: usize = 5000;

/// Renders the applications of an environment; the error says why nothing of it could be read.
pub(crate) fn read(
    inputs: &Inputs,
    settings: &Settings,
    environment: &Environment,
    found: &mut Vec<Diagnostic>,
) -> Result<Vec<Rendered>, String> {
    let Some(config) = &environment.config else {
        return Ok(Vec::new());
    };
    let tree = tree(inputs, config).map_err(|why| {
        found.push(
            Diagnostic::error(
                "unreadable",
                format!(
                    "the config of environment `{}` cannot be read: {why}",
                    environment.name
                ),
            )
            .at(environment.source.clone())
            .hint("nothing in its namespace is changed until it can be"),
        );
        why
    })?;
    let repository = if is_root(inputs, config) {
        String::new()
    } else {
        config.repository.to_string()
    };
    let repository = repository.as_str();
    let here = |path: &str| Location {
        repository: repository.to_owned(),
        ..Location::new(path, 0, 0)
    };
    if !config.path.is_empty() && !tree.is_dir(&config.path) {
        let why = format!("{} has no directory `{}`", config.repository, config.path);
        found.push(
            Diagnostic::error("missing-reference", why.clone())
                .at(environment.source.clone())
                .hint("correct `config.path`"),
        );
        return Err(why);
    }
    let directories = applications(tree, config, &environment.include);
    let names: BTreeSet<&str> = directories.iter().map(|(name, _)| name.as_str()).collect();
    let mut rendered = Vec::new();
    for wanted in environment
        .include
        .iter()
        .filter(|wanted| !names.contains(wanted.as_str()))
    {
        let why = format!(
            "the config of environment `{}` has no application `{wanted}`",
            environment.name
        );
        found.push(
            Diagnostic::error("missing-reference", why.clone())
                .at(environment.source.clone())
                .hint(format!(
                    "add the directory {wanted}/ with a kustomization, or remove it from `include`"
                )),
        );
        rendered.push(Rendered {
            name: wanted.clone(),
            version: None,
            objects: Err(why),
        });
    }
    if directories.is_empty() && environment.include.is_empty() {
        // An empty config repository must not look as if every application had been removed.
        let why = "its config holds no application".to_owned();
        found.push(
            Diagnostic::warning(
                "empty",
                format!(
                    "the config of environment `{}` holds no application",
                    environment.name
                ),
            )
            .at(here(&config.path))
            .hint("add a directory with a kustomization per application"),
        );
        return Err(why);
    }
    let mut all = 0_usize;
    for (name, dir) in directories {
        let objects = if all > MOST_OBJECTS {
            let why = format!(
                "the config of environment `{}` makes more than {MOST_OBJECTS} objects; `{name}` is not rendered any more",
                environment.name
            );
            found.push(
                Diagnostic::error("too-much", why.clone())
                    .at(here(&dir))
                    .hint("give part of it an environment of its own"),
            );
            Err(why)
        } else if kustomize::is_root(tree, &dir) {
            kustomize::build(inputs, settings, tree, repository, &dir, found)
        } else {
            objects::files(tree, repository, &dir, false, found).whole()
        };
        all += objects.as_ref().map_or(0, Vec::len);
        let version = objects
            .as_deref()
            .ok()
            .and_then(tagged)
            .or_else(|| kustomize::pinned(tree, &dir));
        rendered.push(Rendered {
            name,
            version,
            objects,
        });
    }
    Ok(rendered)
}

/// The tag, or the short digest, of the first container whose image has one that says something.
fn tagged(objects: &[Raw]) -> Option<String> {
    objects
        .iter()
        .filter_map(|raw| render::containers(&raw.value))
        .flatten()
        .find_map(|container| {
            let image = container.get("image")?.as_str()?;
            let (name, digest) = image.split_once('@').unwrap_or((image, ""));
            let (_, tag) = name
                .rsplit_once(':')
                .filter(|(_, tag)| !tag.contains('/'))
                .unwrap_or((name, ""));
            if !tag.is_empty() && tag != "latest" {
                return Some(tag.to_owned());
            }
            let digest = digest.split_once(':').map_or(digest, |(_, hex)| hex);
            digest.get(..12).map(str::to_owned)
        })
}
