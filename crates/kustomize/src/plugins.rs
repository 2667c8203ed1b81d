//! Transformers and generators, as kustomization fields or as configured resources of version `builtin`.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::fieldspec::FieldSpec;
use crate::function::Function;
use crate::generate::{self, Kind};
use crate::kustomization::decode::{self, Decoder, field_spec_lenient, string};
use crate::kustomization::{self, Image, Patch, Replacement, Replica};
use crate::load::Loader;
use crate::node::Node;
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::transform::names::{self, Affix};
use crate::transform::namespace::{self, Subjects};
use crate::transform::patches::{self, Loaded};
use crate::transform::value_add::{self, Place};
use crate::transform::{images, labels, replacements, replicas};
use crate::{hash, helm, read};
use herder_object::yaml;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something that changes resources, ready to be applied.
pub(crate) enum Plugin {
    Strategic(Vec<Resource>),
    Patch(Loaded, Arc<str>),
    Namespace {
        namespace: String,
        specs: Vec<FieldSpec>,
        unset_only: bool,
        subjects: Subjects,
    },
    Affix(Affix, String, Vec<FieldSpec>),
    /// Labels or annotations.
    Labels(BTreeMap<String, String>, Vec<FieldSpec>),
    Replicas(Replica, Vec<FieldSpec>),
    Image(Image, Vec<FieldSpec>),
    Replacements(Vec<Replacement>, Arc<str>),
    ValueAdd(String, Vec<Place>),
    Hash,
    Function(Box<Function>),
    Several(Vec<Plugin>),
}

impl Plugin {
    /// Changes the resources.
    pub(crate) fn apply(&self, context: &mut Context<'_>, map: &mut ResMap) -> Result<()> {
        let schema = context.schema();
        match self {
            Self::Strategic(patches) => patches::apply_strategic(context, map, patches),
            Self::Patch(patch, file) => patches::apply(context, map, patch, file),
            Self::Namespace {
                namespace,
                specs,
                unset_only,
                subjects,
            } => {
                let options = namespace::Options {
                    namespace,
                    specs,
                    unset_only: *unset_only,
                    subjects: *subjects,
                };
                namespace::set(map, &options, &schema)
            }
            Self::Affix(end, text, specs) => names::affix(map, *end, text, specs, &schema),
            Self::Labels(entries, specs) => labels::set(map, entries, specs),
            Self::Replicas(replica, specs) => replicas::set(map, replica, specs, &schema),
            Self::Image(image, specs) => images::set(map, image, specs),
            Self::Replacements(all, file) => {
                replacements::apply(map, all).map_err(|error| error.in_file(file))
            }
            Self::ValueAdd(value, places) => value_add::add(map, value, places, &schema),
            Self::Hash => add_hashes(map, &schema),
            Self::Function(function) => function.transform(context, map),
            Self::Several(plugins) => plugins.iter().try_for_each(|plugin| plugin.apply(context, map)),
        }
    }
}

/// Appends hashes to the names of generated resources.
pub(crate) fn add_hashes(map: &mut ResMap, schema: &crate::schema::Schema) -> Result<()> {
    for resource in map.list_mut() {
        if resource.history.needs_hash {
            let suffix = hash::suffix(&resource.node).map_err(|error| resource.error(error))?;
            resource.store_id(schema);
            let name = format!("{}-{suffix}", resource.name());
            resource.set_name(&name);
        }
    }
    Ok(())
}

/// What a plugin's configuration is refused for.
fn check(config: &Resource) -> Result<()> {
    if config.api_version() == "builtin" {
        return Ok(());
    }
    Err(config.error(
        Error::new("plugins that run programs are refused")
            .hint("only plugins with `apiVersion: builtin` and functions that are allowed are run"),
    ))
}

fn configuration(config: &Resource) -> Result<yaml::Node> {
    let value = config.node.to_json().map_err(|error| config.error(error))?;
    decode::read(&yaml::print(&value))
}

/// The resources that a configured generator makes.
pub(crate) fn generate(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    config: &Resource,
) -> Result<Vec<Resource>> {
    if let Some(function) = Function::of(config, loader)? {
        return function.generate(context).map_err(|error| config.error(error));
    }
    check(config)?;
    let root = configuration(config)?;
    let fail = |error: Error| config.error(error);
    match config.kind() {
        kind @ ("ConfigMapGenerator" | "SecretGenerator") => {
            let mut generator = kustomization::generator(&root, false).map_err(fail)?;
            if generator.name.is_empty() {
                config.name().clone_into(&mut generator.name);
            }
            if generator.namespace.is_empty() {
                config.namespace().clone_into(&mut generator.namespace);
            }
            generator.line = config.line;
            let kind = if kind == "SecretGenerator" {
                Kind::Secret
            } else {
                Kind::ConfigMap
            };
            Ok(vec![generate::generate(
                context,
                loader,
                kind,
                &generator,
                &config.file,
            )?])
        }
        "IAMPolicyGenerator" => Ok(vec![iam_policy(&root, config).map_err(fail)?]),
        "HelmChartInflationGenerator" => {
            let mut chart = helm::chart(&root, false).map_err(fail)?;
            chart.line = config.line;
            helm::inflate(context, loader, &chart, &config.file)
        }
        other => Err(fail(Error::new(format!(
            "there is no builtin generator `{other}`"
        )))),
    }
}

fn iam_policy(root: &yaml::Node, config: &Resource) -> Result<Resource> {
    let mut decoder = Decoder::lenient(root)?;
    let cloud = decoder.string("cloud")?;
    if cloud != "gke" {
        return Err(Error::new(format!("the cloud `{cloud}` is not known")).hint("only gke is"));
    }
    let part = |node: Option<&yaml::Node>, field: &'static str| match node {
        Some(node) => Decoder::lenient(node)?.string(field),
        None => Ok(String::new()),
    };
    let (kubernetes, account) = (
        decoder.field("kubernetesService"),
        decoder.field("serviceAccount"),
    );
    let email = format!(
        "{}@{}.iam.gserviceaccount.com",
        part(account, "name")?,
        part(account, "projectId")?
    );
    let mut node = Node::map();
    node.set("apiVersion", Node::string("v1"));
    node.set("kind", Node::string("ServiceAccount"));
    let mut metadata = Node::map();
    let mut annotations = Node::map();
    annotations.set("iam.gke.io/gcp-service-account", Node::string(email));
    metadata.set("annotations", annotations);
    metadata.set("name", Node::string(part(kubernetes, "name")?));
    let namespace = part(kubernetes, "namespace")?;
    if !namespace.is_empty() {
        metadata.set("namespace", Node::string(namespace));
    }
    node.set("metadata", metadata);
    Ok(Resource::new(node, &config.file))
}

/// Reads a configured transformer.
pub(crate) fn transformer(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    config: &Resource,
) -> Result<Plugin> {
    if let Some(function) = Function::of(config, loader)? {
        return Ok(Plugin::Function(Box::new(function)));
    }
    check(config)?;
    let root = configuration(config)?;
    read_transformer(context, loader, config, &root).map_err(|error| config.error(error))
}

fn read_transformer(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    config: &Resource,
    root: &yaml::Node,
) -> Result<Plugin> {
    let mut decoder = Decoder::lenient(root)?;
    let specs = |decoder: &mut Decoder<'_>| decoder.list("fieldSpecs", field_spec_lenient);
    let file = &config.file;
    Ok(match config.kind() {
        "AnnotationsTransformer" => Plugin::Labels(decoder.map("annotations", string)?, specs(&mut decoder)?),
        "LabelTransformer" => Plugin::Labels(decoder.map("labels", string)?, specs(&mut decoder)?),
        "NamespaceTransformer" => Plugin::Namespace {
            namespace: config.namespace().to_owned(),
            specs: specs(&mut decoder)?,
            unset_only: decoder.boolean("unsetOnly")?,
            subjects: match decoder.string("setRoleBindingSubjects")?.as_str() {
                "" | "defaultOnly" => Subjects::DefaultOnly,
                "allServiceAccounts" => Subjects::AllServiceAccounts,
                "none" => Subjects::None,
                other => {
                    return Err(
                        Error::new(format!("`setRoleBindingSubjects: {other}` is not known"))
                            .hint("it can be defaultOnly, allServiceAccounts or none"),
                    );
                }
            },
        },
        kind @ ("PrefixTransformer" | "SuffixTransformer" | "PrefixSuffixTransformer") => {
            if decoder.field("fieldSpecs").is_none_or(decode::is_null) {
                return Err(Error::new("`fieldSpecs` is missing"));
            }
            let specs = specs(&mut decoder)?;
            let (prefix, suffix) = (decoder.string("prefix")?, decoder.string("suffix")?);
            let mut plugins = Vec::new();
            if kind != "SuffixTransformer" {
                plugins.push(Plugin::Affix(Affix::Prefix, prefix, specs.clone()));
            }
            if kind != "PrefixTransformer" {
                plugins.push(Plugin::Affix(Affix::Suffix, suffix, specs));
            }
            Plugin::Several(plugins)
        }
        "ImageTagTransformer" => {
            let image = decoder
                .optional("imageTag", kustomization::image)?
                .unwrap_or_default();
            Plugin::Image(image, specs(&mut decoder)?)
        }
        "ReplicaCountTransformer" => {
            let replica = decoder.optional("replica", |node| kustomization::replica(node, false))?;
            Plugin::Replicas(replica.unwrap_or_default(), specs(&mut decoder)?)
        }
        "PatchTransformer" => {
            let patch = Patch {
                path: decoder.string("path")?,
                patch: decoder.string("patch")?,
                target: decoder.optional("target", |node| kustomization::selector(node, false))?,
                options: decoder.map("options", decode::boolean)?,
                line: config.line,
            };
            Plugin::Patch(patches::load(context, loader, &patch, file)?, Arc::clone(file))
        }
        "PatchJson6902Transformer" => {
            let patch = Patch {
                path: decoder.string("path")?,
                patch: decoder.string("jsonOp")?,
                target: decoder.optional("target", |node| kustomization::selector(node, false))?,
                line: config.line,
                ..Patch::default()
            };
            Plugin::Patch(
                patches::load_json(context, loader, &patch, file)?,
                Arc::clone(file),
            )
        }
        "PatchStrategicMergeTransformer" => {
            let mut all = Vec::new();
            for path in decoder.strings("paths")? {
                all.extend(patches::load_strategic(
                    context,
                    loader,
                    &path,
                    config.line,
                    file,
                )?);
            }
            let inline = decoder.string("patches")?;
            all.extend(read::resources(&inline, file)?);
            if all.is_empty() {
                return Err(Error::new("there is no patch in it"));
            }
            Plugin::Strategic(all)
        }
        "ReplacementTransformer" => {
            Plugin::Replacements(replacement_list(context, loader, &mut decoder)?, Arc::clone(file))
        }
        "ValueAddTransformer" => value_add(context, loader, &mut decoder)?,
        "HashTransformer" => Plugin::Hash,
        other => return Err(Error::new(format!("there is no builtin transformer `{other}`"))),
    })
}

fn replacement_list(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    decoder: &mut Decoder<'_>,
) -> Result<Vec<Replacement>> {
    let entries = decoder.list("replacements", |node| {
        Ok((
            Decoder::lenient(node)?.string("path")?,
            kustomization::replacement(node)?,
        ))
    })?;
    let mut all = Vec::new();
    for (path, inline) in entries {
        if path.is_empty() {
            all.push(inline);
            continue;
        }
        if inline.source.is_some() || inline.targets.as_ref().is_some_and(|targets| !targets.is_empty()) {
            return Err(Error::new(
                "a replacement has both a `path` and a source or targets",
            ));
        }
        all.extend(kustomization::replacements(&loader.text(context, &path)?)?);
    }
    Ok(all)
}

fn value_add(context: &mut Context<'_>, loader: &Loader<'_>, decoder: &mut Decoder<'_>) -> Result<Plugin> {
    let place = |node: &yaml::Node| {
        let mut decoder = Decoder::lenient(node)?;
        let place = Place {
            selector: decoder.optional("selector", |node| kustomization::selector(node, false))?,
            field_path: decoder.string("fieldPath")?,
            position: usize::try_from(decoder.integer("filePathPosition")?)
                .map_err(|_| Error::new("`filePathPosition` cannot be negative"))?,
        };
        if place.field_path.is_empty() {
            return Err(Error::new("`fieldPath` is missing"));
        }
        Ok(place)
    };
    let mut value = decoder.string("value")?.trim().to_owned();
    if value.is_empty() {
        let root = loader.root();
        value = root.rsplit('/').next().unwrap_or(root).to_owned();
    }
    let mut places = decoder.list("targets", place)?;
    let path = decoder.string("targetFilePath")?;
    if !path.is_empty() {
        let root = decode::read(&loader.text(context, &path)?)?;
        places.extend(Decoder::lenient(&root)?.list("targets", place)?);
    }
    if places.is_empty() {
        return Err(Error::new("there is no target in it"));
    }
    Ok(Plugin::ValueAdd(value, places))
}
