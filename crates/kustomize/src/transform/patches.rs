//! Patches, strategic and JSON, with and without targets.

use crate::budget;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::jsonpatch::JsonPatch;
use crate::kustomization::{Patch, Selector};
use crate::load::Loader;
use crate::node::from_patched;
use crate::resmap::ResMap;
use crate::resource::{History, Resource};
use crate::schema::Schema;
use crate::{read, select, smp};
use serde_json::Value;
use std::sync::Arc;

/// Patches read and ready.
pub(crate) enum Loaded {
    /// Each for the one resource it names.
    Strategic(Vec<Resource>),
    /// For all that a selector selects.
    Targeted(Box<Resource>, Selector),
    Json(JsonPatch, Selector, Remember),
}

/// Whether a JSON patch keeps what the resource was called before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remember {
    Yes,
    No,
}

/// The text of a patch and the file it is in.
fn text(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    patch: &Patch,
    file: &Arc<str>,
) -> Result<(String, Arc<str>, u32)> {
    let inline = patch.patch.trim();
    match (inline.is_empty(), patch.path.is_empty()) {
        (true, true) => Err(Error::new("a patch needs either `path` or `patch`")),
        (false, false) => Err(Error::new("a patch has both `path` and `patch`")),
        (false, true) => Ok((inline.to_owned(), Arc::clone(file), patch.line)),
        (true, false) => {
            let text = loader.text(context, &patch.path)?;
            Ok((text, Arc::from(loader.name(&patch.path)), 0))
        }
    }
}

/// Reads an entry of `patches`, of either kind.
pub(crate) fn load(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    patch: &Patch,
    file: &Arc<str>,
) -> Result<Loaded> {
    load_entry(context, loader, patch, file).map_err(|error| error.on_line(patch.line).in_file(file))
}

fn load_entry(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    patch: &Patch,
    file: &Arc<str>,
) -> Result<Loaded> {
    let (text, from, line) = text(context, loader, patch, file)?;
    let place = |error: Error| {
        if line > 0 {
            error.in_file("")
        } else {
            error.in_file(&from)
        }
    };
    let strategic = read::resources(&text, &Arc::from(if line > 0 { "" } else { &*from }));
    let json = JsonPatch::parse(&text);
    let (mut resources, json) = match (strategic, json) {
        (Ok(_), Ok(_)) => {
            return Err(Error::new("it could be a strategic merge or a JSON patch").in_file(&from));
        }
        (Ok(resources), Err(_)) => (resources, None),
        (Err(_), Ok(json)) => (Vec::new(), Some(json)),
        (Err(strategic), Err(json)) => {
            let is_list = text.trim_start().starts_with(['[', '-']);
            return Err(place(if is_list { json } else { strategic })
                .hint("a patch is a resource with kind and name, or a list of JSON patch operations"));
        }
    };
    if let Some(json) = json {
        return match patch.target.clone() {
            Some(target) => Ok(Loaded::Json(json, target, Remember::Yes)),
            None => Err(Error::new("a JSON patch needs a `target`")),
        };
    }
    for resource in &mut resources {
        let option = |name: &str| patch.options.get(name).copied().unwrap_or_default();
        resource.allow_name_change = option("allowNameChange");
        resource.allow_kind_change = option("allowKindChange");
        if resource.file.is_empty() {
            resource.file = Arc::clone(file);
            resource.line = patch.line;
        }
    }
    match patch.target.clone() {
        None if resources.is_empty() => match patch.target {
            // Upstream finds neither kind of patch in an empty text, and then asks for a target.
            None => Err(Error::new("the patch is empty")),
            Some(_) => Ok(Loaded::Strategic(resources)),
        },
        None => Ok(Loaded::Strategic(resources)),
        Some(target) => {
            let count = resources.len();
            match (resources.pop(), count) {
                (Some(resource), 1) => Ok(Loaded::Targeted(Box::new(resource), target)),
                (None, _) => Ok(Loaded::Strategic(Vec::new())),
                _ => Err(Error::new("several patches in one entry cannot have a `target`")),
            }
        }
    }
}

/// Reads an entry of `patchesJson6902`.
pub(crate) fn load_json(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    patch: &Patch,
    file: &Arc<str>,
) -> Result<Loaded> {
    let result = || {
        let target = patch.target.clone().filter(|target| !target.id.name.is_empty());
        let Some(target) = target else {
            return Err(Error::new("a JSON patch must name its target"));
        };
        let (text, from) = match (patch.path.is_empty(), patch.patch.is_empty()) {
            (true, true) => return Err(Error::new("a patch needs either `path` or `patch`")),
            (false, false) => return Err(Error::new("a patch has both `path` and `patch`")),
            (false, true) => (loader.text(context, &patch.path)?, loader.name(&patch.path)),
            (true, false) => (patch.patch.clone(), String::new()),
        };
        let json = JsonPatch::parse(&text).map_err(|error| error.in_file(&from))?;
        if json.is_empty() {
            return Err(Error::new("the patch is empty"));
        }
        Ok(Loaded::Json(json, target, Remember::No))
    };
    let mut result = result;
    result().map_err(|error| error.on_line(patch.line).in_file(file))
}

/// Reads an entry of `patchesStrategicMerge`: a patch or the path of one.
pub(crate) fn load_strategic(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    entry: &str,
    line: u32,
    file: &Arc<str>,
) -> Result<Vec<Resource>> {
    if let Ok(mut resources) = read::resources(entry, &Arc::from("")) {
        for resource in &mut resources {
            resource.file = Arc::clone(file);
            resource.line = line;
        }
        return Ok(resources);
    }
    if entry.contains('\n') {
        let error = read::resources(entry, file).err();
        return Err(error
            .unwrap_or_else(|| Error::new("not a patch"))
            .on_line(line)
            .in_file(file));
    }
    let text = loader
        .text(context, entry)
        .map_err(|error| error.on_line(line).in_file(file))?;
    read::resources(&text, &Arc::from(loader.name(entry)))
}

/// Applies patches of `patchesStrategicMerge`.
pub(crate) fn apply_strategic(
    context: &mut Context<'_>,
    map: &mut ResMap,
    patches: &[Resource],
) -> Result<()> {
    let schema = context.schema();
    for patch in patches {
        let id = patch.original_id(&schema);
        let at = map.one(&id, &schema).map_err(|error| patch.place(error))?;
        apply_to_all(context, map, vec![at], patch)?;
    }
    Ok(())
}

/// Applies a patch.
pub(crate) fn apply(
    context: &mut Context<'_>,
    map: &mut ResMap,
    patch: &Loaded,
    file: &Arc<str>,
) -> Result<()> {
    let schema = context.schema();
    match patch {
        Loaded::Strategic(patches) => {
            for patch in patches {
                let id = patch.original_id(&schema);
                let at = map.one(&id, &schema).map_err(|error| patch.place(error))?;
                budget::work(budget::APPLY)?;
                if let Some(resource) = map.list_mut().get_mut(at) {
                    merge(context, resource, patch, &schema)?;
                }
            }
            Ok(())
        }
        Loaded::Targeted(patch, target) => {
            let found = select::select(map, target, &schema).map_err(|error| patch.error(error))?;
            apply_to_all(context, map, found, patch)
        }
        Loaded::Json(json, target, remember) => {
            let found = select::select(map, target, &schema).map_err(|error| error.in_file(file))?;
            for at in found {
                budget::work(budget::APPLY)?;
                let Some(resource) = map.list_mut().get_mut(at) else {
                    continue;
                };
                if *remember == Remember::Yes {
                    resource.store_id(&schema);
                }
                let mut value = resource.node.to_json().map_err(|error| resource.error(error))?;
                if resource.history != History::default() {
                    // Upstream keeps the history in annotations, so that there are some.
                    let annotations = value
                        .pointer_mut("/metadata/annotations")
                        .filter(|found| found.is_object());
                    if annotations.is_none()
                        && let Some(Value::Object(metadata)) = value.get_mut("metadata")
                    {
                        metadata.insert("annotations".to_owned(), Value::Object(serde_json::Map::new()));
                    }
                }
                let line = resource.node.line;
                let value = json.apply(value).map_err(|error| resource.error(error))?;
                resource.node = from_patched(value);
                resource.node.line = line;
                let annotations = resource.annotations();
                resource.set_annotations(annotations);
            }
            Ok(())
        }
    }
}

/// Applies a copy of the patch, under the name of each resource, as upstream does for targets.
fn apply_to_all(
    context: &mut Context<'_>,
    map: &mut ResMap,
    found: Vec<usize>,
    patch: &Resource,
) -> Result<()> {
    let schema = context.schema();
    // All are put together anew below.
    budget::work(map.list().len())?;
    for at in found {
        budget::work(budget::APPLY)?;
        let Some(resource) = map.list_mut().get_mut(at) else {
            continue;
        };
        let mut copy = patch.clone();
        copy.node.unshare();
        // Upstream writes the patch's own labels and annotations anew here, as strings.
        let (labels, annotations) = (copy.labels(), copy.annotations());
        copy.set_labels(labels);
        copy.set_annotations(annotations);
        let (name, namespace) = (patch.name().to_owned(), patch.namespace().to_owned());
        copy.set_name(&name);
        copy.set_namespace(&namespace);
        let gvk = resource.gvk();
        copy.set_api_version(&gvk.api_version());
        copy.set_kind(patch.kind());
        merge(context, resource, &copy, &schema)?;
    }
    let list = std::mem::take(map.list_mut());
    let kept = list
        .into_iter()
        .filter(|resource| !resource.node.is_nil_or_empty())
        .collect();
    map.append_all(kept, &schema)
}

fn merge(
    context: &mut Context<'_>,
    resource: &mut Resource,
    patch: &Resource,
    schema: &Schema,
) -> Result<()> {
    let (name, namespace, kind) = (
        resource.name().to_owned(),
        resource.namespace().to_owned(),
        resource.kind().to_owned(),
    );
    if patch.allow_name_change || patch.allow_kind_change {
        resource.store_id(schema);
    }
    if smp::wipes_history(&patch.node) {
        resource.history = History::default();
    }
    context.note_merge();
    let mut replaced = Vec::new();
    let kept = smp::merge(&mut resource.node, patch.node.clone(), schema, &mut replaced)
        .map_err(|error| patch.error(error))?;
    for path in replaced {
        context.warn(
            "list-replaced",
            &patch.file,
            patch.line,
            format!(
                "the patch replaces the whole list `{path}` of {}",
                resource.describe()
            ),
            "lists of kinds without a schema cannot be merged: repeat all elements, or use a JSON patch",
        );
    }
    if !kept || resource.node.is_nil_or_empty() {
        resource.node = crate::node::Node::default();
        return Ok(());
    }
    if !patch.allow_kind_change {
        resource.set_kind(&kind);
    }
    if !patch.allow_name_change {
        resource.set_name(&name);
    }
    resource.set_namespace(&namespace);
    Ok(())
}
