//! The transformers of one kustomization, built in and configured, in upstream's order.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::fieldspec::{self, FieldSpec};
use crate::id::Gvk;
use crate::kustomization::Replacement;
use crate::origin;
use crate::plugins::Plugin;
use crate::target::{Gathered, Target};
use crate::transform::names::Affix;
use crate::transform::namespace::Subjects;
use crate::transform::patches;

/// Runs them all.
pub(crate) fn run(target: &mut Target<'_>, context: &mut Context<'_>, all: &mut Gathered) -> Result<()> {
    let mut plugins = builtin(target, context, all).map_err(|error| error.in_file(&target.file))?;
    let entries = std::mem::take(&mut target.kustomization.transformers);
    let configured = target.transformers(context, &entries)?;
    let origin = target.origin.clone();
    let builtin = plugins.drain(..).map(|(name, plugin)| {
        let origin = origin.as_ref().map(|origin| origin.builtin(&target.name, name));
        (plugin, origin)
    });
    for (plugin, origin) in builtin.chain(configured) {
        plugin
            .apply(context, &mut all.map)
            .map_err(|error| error.in_file(&target.file))?;
        if let Some(origin) = origin {
            origin::add_transformation(all.map.list_mut(), &origin);
        }
        if all
            .map
            .list()
            .iter()
            .any(|resource| resource.node.is_nil_or_empty())
        {
            all.map
                .list_mut()
                .retain(|resource| !resource.node.is_nil_or_empty());
        }
    }
    Ok(())
}

/// What the fields of the kustomization ask for. Everything is read before anything is applied.
fn builtin(
    target: &Target<'_>,
    context: &mut Context<'_>,
    all: &Gathered,
) -> Result<Vec<(&'static str, Plugin)>> {
    let kustomization = &target.kustomization;
    let (loader, file, config) = (&target.loader, &target.file, &all.config);
    let mut plugins = Vec::new();
    let mut strategic = Vec::new();
    for entry in &kustomization.patches_strategic_merge {
        strategic.extend(patches::load_strategic(
            context,
            loader,
            &entry.text,
            entry.line,
            file,
        )?);
    }
    if !kustomization.patches_strategic_merge.is_empty() {
        if strategic.is_empty() {
            return Err(Error::new("`patchesStrategicMerge` holds no patch"));
        }
        plugins.push(("PatchStrategicMergeTransformer", Plugin::Strategic(strategic)));
    }
    for patch in &kustomization.patches {
        let loaded = patches::load(context, loader, patch, file)?;
        plugins.push(("PatchTransformer", Plugin::Patch(loaded, file.clone())));
    }
    if !kustomization.namespace.is_empty() {
        plugins.push((
            "NamespaceTransformer",
            Plugin::Namespace {
                namespace: kustomization.namespace.clone(),
                specs: config.namespace.clone(),
                unset_only: false,
                subjects: Subjects::DefaultOnly,
            },
        ));
    }
    for (name, end, text, specs) in [
        (
            "PrefixTransformer",
            Affix::Prefix,
            &kustomization.name_prefix,
            &config.name_prefix,
        ),
        (
            "SuffixTransformer",
            Affix::Suffix,
            &kustomization.name_suffix,
            &config.name_suffix,
        ),
    ] {
        if !text.is_empty() {
            plugins.push((name, Plugin::Affix(end, text.clone(), specs.clone())));
        }
    }
    labels(target, all, &mut plugins)?;
    if !kustomization.common_annotations.is_empty() {
        let annotations = Plugin::Labels(
            kustomization.common_annotations.clone(),
            config.common_annotations.clone(),
        );
        plugins.push(("AnnotationsTransformer", annotations));
    }
    for patch in &kustomization.patches_json6902 {
        let loaded = patches::load_json(context, loader, patch, file)?;
        plugins.push(("PatchJson6902Transformer", Plugin::Patch(loaded, file.clone())));
    }
    for replica in &kustomization.replicas {
        plugins.push((
            "ReplicaCountTransformer",
            Plugin::Replicas(replica.clone(), config.replicas.clone()),
        ));
    }
    for image in &kustomization.images {
        plugins.push((
            "ImageTagTransformer",
            Plugin::Image(image.clone(), config.images.clone()),
        ));
    }
    if !kustomization.replacements.is_empty() {
        let all = replacements(target, context)?;
        plugins.push(("ReplacementTransformer", Plugin::Replacements(all, file.clone())));
    }
    Ok(plugins)
}

fn labels(target: &Target<'_>, all: &Gathered, plugins: &mut Vec<(&'static str, Plugin)>) -> Result<()> {
    let kustomization = &target.kustomization;
    let config = &all.config;
    for label in &kustomization.labels {
        let mut specs = label.fields.clone();
        fieldspec::merge_all(&mut specs, &config.labels)?;
        if label.include_selectors {
            fieldspec::merge_all(&mut specs, &config.common_labels)?;
        } else {
            if label.include_templates {
                fieldspec::merge_all(&mut specs, &config.template_labels)?;
            }
            fieldspec::merge_one(
                &mut specs,
                &FieldSpec::new(Gvk::default(), "metadata/labels", true),
            )?;
        }
        plugins.push(("LabelTransformer", Plugin::Labels(label.pairs.clone(), specs)));
    }
    if !kustomization.labels.is_empty() || !kustomization.common_labels.is_empty() {
        let common = Plugin::Labels(kustomization.common_labels.clone(), config.common_labels.clone());
        plugins.push(("LabelTransformer", common));
    }
    Ok(())
}

fn replacements(target: &Target<'_>, context: &mut Context<'_>) -> Result<Vec<Replacement>> {
    let mut all = Vec::new();
    for field in &target.kustomization.replacements {
        let inline = &field.replacement;
        if field.path.is_empty() {
            all.push(inline.clone());
            continue;
        }
        let at = |error: Error| error.on_line(inline.line);
        if inline.source.is_some() || inline.targets.as_ref().is_some_and(|targets| !targets.is_empty()) {
            return Err(at(Error::new(
                "a replacement has both a `path` and a source or targets",
            )));
        }
        let text = target.loader.text(context, &field.path).map_err(at)?;
        let name = target.loader.name(&field.path);
        all.extend(crate::kustomization::replacements(&text).map_err(|error| error.in_file(&name))?);
    }
    Ok(all)
}
