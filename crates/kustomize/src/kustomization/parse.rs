//! From the text of a kustomization file, with kustomize's checks.

use super::decode::{self, Decoder, field_spec, is_null, string};
use super::{
    FieldOptions, Generator, GeneratorOptions, Image, Kustomization, Label, Patch, Replacement,
    ReplacementField, Replica, Selector, SortOptions, Source, Target, Text, Var,
};
use crate::error::{Error, Result};
use crate::helm;
use crate::id::ResId;
use herder_object::yaml::Node;

const DEPRECATED: [(&str, &str); 6] = [
    ("bases", "resources"),
    ("commonLabels", "labels"),
    ("imageTags", "images"),
    ("patchesJson6902", "patches"),
    ("patchesStrategicMerge", "patches"),
    ("vars", "replacements"),
];

fn text(node: &Node) -> Result<Text> {
    Ok(Text {
        text: string(node)?,
        line: node.line,
    })
}

/// Reads a kustomization file.
pub(crate) fn parse(content: &str) -> Result<Kustomization> {
    let root = decode::read(content)?;
    let mut decoder = Decoder::strict(&root)?;
    let kind = decoder.string("kind")?;
    let api_version = decoder.string("apiVersion")?;
    let component = check_version(&kind, &api_version, &mut decoder)?;
    let result = fields(&mut decoder, component)?;
    decoder.finish()?;
    let empty = Kustomization {
        component,
        ..Kustomization::default()
    };
    // Upstream compares what was decoded with nothing, and empty lists are something.
    let something = root.pairs().unwrap_or_default().iter().any(|(key, value)| {
        !matches!(key.text(), Some("kind" | "apiVersion")) && !is_null(value) && !is_zero(value)
    });
    if result == empty && !something {
        return Err(Error::new("the kustomization is empty").on_line(root.line.max(1)));
    }
    Ok(result)
}

/// Whether Go's JSON decoder makes the zero value of it.
fn is_zero(node: &Node) -> bool {
    node.text().is_some_and(|text| matches!(text, "" | "false" | "0"))
}

fn check_version(kind: &str, api_version: &str, decoder: &mut Decoder<'_>) -> Result<bool> {
    let component = kind == "Component";
    let (wanted, name) = if component {
        ("kustomize.config.k8s.io/v1alpha1", "Component")
    } else {
        ("kustomize.config.k8s.io/v1beta1", "Kustomization")
    };
    let place = |decoder: &mut Decoder<'_>, field, error: Error| match decoder.field(field) {
        Some(node) => error.on_line(node.line).on_column(node.column),
        None => error,
    };
    if !matches!(kind, "" | "Kustomization" | "Component") {
        let error = Error::new(format!(
            "kind is `{kind}`, but should be Kustomization or Component"
        ));
        return Err(place(decoder, "kind", error));
    }
    if !api_version.is_empty() && api_version != wanted {
        let error = Error::new(format!(
            "apiVersion is `{api_version}`, but that of a {name} is `{wanted}`"
        ));
        return Err(place(decoder, "apiVersion", error));
    }
    Ok(component)
}

fn fields(decoder: &mut Decoder<'_>, component: bool) -> Result<Kustomization> {
    let deprecated = DEPRECATED
        .iter()
        .filter_map(|(old, new)| {
            let node = decoder.field(old).filter(|node| !is_null(node))?;
            Some((*old, *new, node.line))
        })
        .collect();
    decoder.optional("metadata", |node| decode::map(node, |_| Ok(())))?;
    let mut resources = decoder.list("resources", text)?;
    resources.extend(decoder.list("bases", text)?);
    let mut images = decoder.list("images", image)?;
    images.extend(decoder.list("imageTags", image)?);
    let options = decoder.optional("generatorOptions", generator_options)?;
    let mut config_maps = decoder.list("configMapGenerator", |node| generator(node, true))?;
    let mut secrets = decoder.list("secretGenerator", |node| generator(node, true))?;
    for generator in config_maps.iter_mut().chain(&mut secrets) {
        with_global_options(generator, options.as_ref());
    }
    let chart_home = decoder
        .optional("helmGlobals", helm::globals)?
        .unwrap_or_default();
    let mut charts = decoder.list("helmCharts", |node| helm::chart(node, true))?;
    charts.extend(decoder.list("helmChartInflationGenerator", helm::old_chart)?);
    let charts = charts
        .into_iter()
        .map(|chart| chart.in_home(&chart_home))
        .collect();
    Ok(Kustomization {
        component,
        openapi: decoder.map("openapi", string)?,
        name_prefix: decoder.string("namePrefix")?,
        name_suffix: decoder.string("nameSuffix")?,
        namespace: decoder.string("namespace")?,
        common_labels: decoder.map("commonLabels", string)?,
        labels: decoder.list("labels", label)?,
        common_annotations: decoder.map("commonAnnotations", string)?,
        patches_strategic_merge: decoder.list("patchesStrategicMerge", text)?,
        patches_json6902: decoder.list("patchesJson6902", patch)?,
        patches: decoder.list("patches", patch)?,
        images,
        replacements: decoder.list("replacements", replacement_field)?,
        replicas: decoder.list("replicas", |node| replica(node, true))?,
        vars: decoder.list("vars", var)?,
        sort_options: decoder.optional("sortOptions", sort_options)?,
        resources,
        components: decoder.list("components", text)?,
        crds: decoder.list("crds", text)?,
        config_maps,
        secrets,
        charts,
        configurations: decoder.list("configurations", text)?,
        generators: decoder.list("generators", text)?,
        transformers: decoder.list("transformers", text)?,
        validators: decoder.list("validators", text)?,
        build_metadata: decoder.strings("buildMetadata")?,
        deprecated,
    })
}

fn label(node: &Node) -> Result<Label> {
    let mut decoder = Decoder::strict(node)?;
    let label = Label {
        pairs: decoder.map("pairs", string)?,
        include_selectors: decoder.boolean("includeSelectors")?,
        include_templates: decoder.boolean("includeTemplates")?,
        fields: decoder.list("fields", field_spec)?,
    };
    decoder.finish()?;
    Ok(label)
}

/// Reads a patch entry.
fn patch(node: &Node) -> Result<Patch> {
    let mut decoder = Decoder::strict(node)?;
    let patch = Patch {
        path: decoder.string("path")?,
        patch: decoder.string("patch")?,
        target: decoder.optional("target", |node| selector(node, true))?,
        options: decoder.map("options", decode::boolean)?,
        line: node.line,
    };
    decoder.finish()?;
    Ok(patch)
}

fn decoder(node: &Node, strict: bool) -> Result<Decoder<'_>> {
    if strict {
        Decoder::strict(node)
    } else {
        Decoder::lenient(node)
    }
}

fn id(decoder: &mut Decoder<'_>) -> Result<ResId> {
    Ok(ResId {
        gvk: decoder.gvk()?,
        name: decoder.string("name")?,
        namespace: decoder.string("namespace")?,
        cluster: false,
    })
}

/// Reads a selector.
pub(crate) fn selector(node: &Node, strict: bool) -> Result<Selector> {
    let mut decoder = decoder(node, strict)?;
    let selector = Selector {
        id: id(&mut decoder)?,
        annotations: decoder.string("annotationSelector")?,
        labels: decoder.string("labelSelector")?,
    };
    decoder.finish()?;
    Ok(selector)
}

/// Reads an image entry.
pub(crate) fn image(node: &Node) -> Result<Image> {
    let mut decoder = Decoder::strict(node)?;
    let image = Image {
        name: decoder.string("name")?,
        new_name: decoder.string("newName")?,
        tag_suffix: decoder.string("tagSuffix")?,
        new_tag: decoder.string("newTag")?,
        digest: decoder.string("digest")?,
    };
    decoder.finish()?;
    Ok(image)
}

/// Reads a replica entry.
pub(crate) fn replica(node: &Node, strict: bool) -> Result<Replica> {
    let mut decoder = decoder(node, strict)?;
    let replica = Replica {
        name: decoder.string("name")?,
        count: decoder.integer("count")?,
        line: node.line,
    };
    decoder.finish()?;
    Ok(replica)
}

fn replacement_field(node: &Node) -> Result<ReplacementField> {
    let mut decoder = Decoder::strict(node)?;
    let path = decoder.string("path")?;
    let replacement = replacement_of(&mut decoder, node.line)?;
    decoder.finish()?;
    Ok(ReplacementField { path, replacement })
}

fn replacement_of(decoder: &mut Decoder<'_>, line: u32) -> Result<Replacement> {
    let strict = decoder.is_strict();
    Ok(Replacement {
        source: decoder.optional("source", |node| source(node, strict))?,
        targets: decoder.optional("targets", |node| decode::list(node, |node| target(node, strict)))?,
        line,
    })
}

/// Reads one replacement of a file.
pub(crate) fn replacement(node: &Node) -> Result<Replacement> {
    let mut decoder = Decoder::lenient(node)?;
    replacement_of(&mut decoder, node.line)
}

/// Reads a file with one replacement or a list of them.
pub(crate) fn replacements(content: &str) -> Result<Vec<Replacement>> {
    let root = decode::read(content)?;
    if root.elements().is_some() {
        return decode::list(&root, replacement);
    }
    if root.pairs().is_none() {
        return Err(decode::wrong(&root, "a replacement or a list of them"));
    }
    Ok(vec![replacement(&root)?])
}

fn source(node: &Node, strict: bool) -> Result<Source> {
    let mut decoder = decoder(node, strict)?;
    let source = Source {
        id: id(&mut decoder)?,
        field_path: decoder.string("fieldPath")?,
        options: decoder.optional("options", |node| field_options(node, strict))?,
    };
    decoder.finish()?;
    Ok(source)
}

fn target(node: &Node, strict: bool) -> Result<Target> {
    let mut decoder = decoder(node, strict)?;
    let target = Target {
        select: decoder.optional("select", |node| selector(node, strict))?,
        reject: decoder.list("reject", |node| selector(node, strict))?,
        field_paths: decoder.strings("fieldPaths")?,
        options: decoder.optional("options", |node| field_options(node, strict))?,
    };
    decoder.finish()?;
    Ok(target)
}

fn field_options(node: &Node, strict: bool) -> Result<FieldOptions> {
    let mut decoder = decoder(node, strict)?;
    decoder.string("encoding")?;
    let options = FieldOptions {
        delimiter: decoder.string("delimiter")?,
        index: decoder.integer("index")?,
        create: decoder.boolean("create")?,
    };
    decoder.finish()?;
    Ok(options)
}

fn var(node: &Node) -> Result<Var> {
    let mut decoder = Decoder::strict(node)?;
    let mut var = Var {
        name: decoder.string("name")?,
        line: node.line,
        ..Var::default()
    };
    if let Some(node) = decoder.field("objref") {
        let mut object = Decoder::strict(node)?;
        let api_version = object.string("apiVersion")?;
        var.gvk = object.gvk()?;
        match api_version.split('/').collect::<Vec<_>>().as_slice() {
            [""] => {}
            [version] => (*version).clone_into(&mut var.gvk.version),
            [group, version] => {
                (*group).clone_into(&mut var.gvk.group);
                (*version).clone_into(&mut var.gvk.version);
            }
            _ => {}
        }
        var.object = object.string("name")?;
        var.namespace = object.string("namespace")?;
        object.finish()?;
    }
    if let Some(node) = decoder.field("fieldref") {
        let mut field = Decoder::strict(node)?;
        var.field_path = field.string("fieldPath")?;
        field.finish()?;
    }
    if var.field_path.is_empty() {
        "metadata.name".clone_into(&mut var.field_path);
    }
    decoder.finish()?;
    Ok(var)
}

fn sort_options(node: &Node) -> Result<SortOptions> {
    let mut decoder = Decoder::strict(node)?;
    let options = SortOptions {
        order: decoder.string("order")?,
        legacy: decoder.optional("legacySortOptions", |node| {
            let mut decoder = Decoder::strict(node)?;
            let orders = (decoder.strings("orderFirst")?, decoder.strings("orderLast")?);
            decoder.finish()?;
            Ok(orders)
        })?,
    };
    decoder.finish()?;
    Ok(options)
}

/// Reads a ConfigMap or Secret generator.
pub(crate) fn generator(node: &Node, strict: bool) -> Result<Generator> {
    let mut decoder = decoder(node, strict)?;
    let mut envs = decoder.strings("envs")?;
    let env = decoder.string("env")?;
    if !env.is_empty() {
        envs.push(env);
    }
    let generator = Generator {
        name: decoder.string("name")?,
        namespace: decoder.string("namespace")?,
        behavior: decoder.string("behavior")?,
        kind: decoder.string("type")?,
        literals: decoder.strings("literals")?,
        files: decoder.strings("files")?,
        envs,
        options: decoder.optional("options", generator_options)?,
        line: node.line,
    };
    decoder.finish()?;
    Ok(generator)
}

fn generator_options(node: &Node) -> Result<GeneratorOptions> {
    let mut decoder = Decoder::strict(node)?;
    let options = GeneratorOptions {
        labels: decoder.map("labels", string)?,
        annotations: decoder.map("annotations", string)?,
        disable_name_suffix_hash: decoder.boolean("disableNameSuffixHash")?,
        immutable: decoder.boolean("immutable")?,
    };
    decoder.finish()?;
    Ok(options)
}

/// Lets a generator inherit what `generatorOptions` says for all.
fn with_global_options(generator: &mut Generator, global: Option<&GeneratorOptions>) {
    let Some(global) = global else { return };
    let local = generator.options.get_or_insert_default();
    for (mine, theirs) in [
        (&mut local.labels, &global.labels),
        (&mut local.annotations, &global.annotations),
    ] {
        for (key, value) in theirs {
            mine.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    local.disable_name_suffix_hash |= global.disable_name_suffix_hash;
    local.immutable |= global.immutable;
}
