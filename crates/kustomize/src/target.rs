//! One kustomization and everything below it: resources, generators, components and transformers in upstream's order.

use crate::budget;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::generate::{self, Kind};
use crate::kustomization::{self, Kustomization, Text, Var};
use crate::load::{Base, Loader};
use crate::origin::{self, Origin};
use crate::plugins::{self, Plugin};
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::transform::vars;
use crate::{crds, helm, read, steps};
use herder_base::Diagnostic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has been gathered so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered {
    pub(crate) map: ResMap,
    pub(crate) config: Arc<Config>,
    pub(crate) vars: BTreeMap<String, Var>,
}

impl Gathered {
    fn merge(&mut self, other: Self, context: &Context<'_>) -> Result<()> {
        let schema = context.schema();
        let mut other = other;
        if self.map.list().is_empty() {
            self.map = other.map;
        } else {
            self.map
                .append_all(std::mem::take(other.map.list_mut()), &schema)?;
        }
        Config::merge_shared(&mut self.config, &other.config)?;
        vars::add(&mut self.vars, other.vars.into_values())
    }
}

/// A kustomization with its place.
pub(crate) struct Target<'a> {
    pub(crate) kustomization: Kustomization,
    pub(crate) loader: Loader<'a>,
    /// The name of the file in its directory.
    pub(crate) name: String,
    /// How the file is called in messages.
    pub(crate) file: Arc<str>,
    pub(crate) origin: Option<Origin>,
}

impl<'a> Target<'a> {
    /// Reads the kustomization at a loader.
    pub(crate) fn load(context: &mut Context<'_>, loader: Loader<'a>) -> Result<Self> {
        budget::enter()?;
        let (name, text) = loader.kustomization(context)?;
        let file: Arc<str> = Arc::from(loader.name(&name));
        let kustomization = kustomization::parse(&text).map_err(|error| error.in_file(&file))?;
        for (old, new, line) in &kustomization.deprecated {
            context.warn(
                "deprecated-field",
                &file,
                *line,
                format!("`{old}` is deprecated"),
                &format!("use `{new}` instead"),
            );
        }
        Ok(Self {
            kustomization,
            loader,
            name,
            file,
            origin: None,
        })
    }

    /// Puts the schema that the kustomization names in force, unless one is.
    pub(crate) fn set_schema(&self, context: &mut Context<'_>) -> Result<()> {
        let openapi = &self.kustomization.openapi;
        let here = |error: Error| error.in_file(&self.file);
        let custom = match openapi.get("path") {
            Some(path) => Some((path, self.loader.text(context, path).map_err(here)?)),
            None => None,
        };
        if context.schema_is_set() {
            return Ok(());
        }
        match (
            custom,
            openapi.get("version").filter(|version| !version.is_empty()),
        ) {
            (Some(_), Some(_)) => Err(here(Error::new("`openapi` names both a version and a path"))),
            (Some((path, text)), None) => context
                .set_custom_schema(&text)
                .map_err(|error| error.in_file(&self.loader.name(path))),
            (None, Some(version)) => context.set_schema_version(version).map_err(here),
            (None, None) => Ok(()),
        }
    }

    /// Adds what this kustomization makes to what is gathered: nothing, or what a component is applied to.
    pub(crate) fn gather(&mut self, context: &mut Context<'_>, mut all: Gathered) -> Result<Gathered> {
        let resources = std::mem::take(&mut self.kustomization.resources);
        self.add_resources(context, &mut all, &resources)?;
        let config = self.config(context)?;
        Config::merge_shared(&mut all.config, &config).map_err(|error| error.in_file(&self.file))?;
        self.generate(context, &mut all)?;
        let components = std::mem::take(&mut self.kustomization.components);
        for component in &components {
            let base = self.base(context, component)?;
            all = self.add_directory(context, all, base, component, true)?;
        }
        budget::hand_on(all.map.list().len())?;
        steps::run(self, context, &mut all)?;
        self.validate(context, &all)?;
        let schema = context.schema();
        vars::attach(&mut all.map, &self.kustomization.vars, &schema)
            .map_err(|error| error.in_file(&self.file))?;
        vars::add(&mut all.vars, self.kustomization.vars.iter().cloned())
            .map_err(|error| error.in_file(&self.file))?;
        Ok(all)
    }

    fn config(&self, context: &mut Context<'_>) -> Result<Arc<Config>> {
        let mut config = Config::builtin();
        for entry in &self.kustomization.configurations {
            let at = |error: Error| error.on_line(entry.line).in_file(&self.file);
            let text = self.loader.text(context, &entry.text).map_err(at)?;
            let file = self.loader.name(&entry.text);
            let more = Config::parse(&text).map_err(|error| error.in_file(&file))?;
            Arc::make_mut(&mut config)
                .merge(&more)
                .map_err(|error| error.in_file(&file))?;
        }
        for entry in &self.kustomization.crds {
            let at = |error: Error| error.on_line(entry.line).in_file(&self.file);
            let text = self.loader.text(context, &entry.text).map_err(at)?;
            let more = crds::config(&text).map_err(|error| error.in_file(&self.loader.name(&entry.text)))?;
            Arc::make_mut(&mut config).merge(&more).map_err(at)?;
        }
        Ok(config)
    }

    fn base(&self, context: &mut Context<'_>, entry: &Text) -> Result<Base<'a>> {
        self.loader
            .base(context, &entry.text)
            .map_err(|error| error.on_line(entry.line).in_file(&self.file))
    }

    /// Adds files and directories.
    pub(crate) fn add_resources(
        &mut self,
        context: &mut Context<'_>,
        all: &mut Gathered,
        entries: &[Text],
    ) -> Result<()> {
        for entry in entries {
            let at = |error: Error| error.on_line(entry.line).in_file(&self.file);
            let base = match self.loader.load(context, &entry.text) {
                Ok(bytes) => Base::File(bytes),
                Err(no_file) => match self.loader.base(context, &entry.text) {
                    Ok(base) => base,
                    Err(no_base) => {
                        // The better of the two: what is there as a file cannot be a directory, and the reverse.
                        let is_dir = no_file.message().contains("is a directory");
                        let missing = is_dir || no_file.message().starts_with("there is no file");
                        return Err(at(
                            if missing && !no_base.message().starts_with("there is no file") {
                                no_base
                            } else if missing {
                                Error::new(format!("there is no file or directory `{}`", entry.text)).hint(
                                    no_file
                                        .hint_text()
                                        .unwrap_or("paths are relative to the kustomization")
                                        .to_owned(),
                                )
                            } else {
                                no_file
                            },
                        ));
                    }
                },
            };
            match base {
                Base::File(bytes) => self.add_file(context, all, entry, &bytes)?,
                base @ Base::Dir(_) => {
                    *all = self.add_directory(context, std::mem::take(all), base, entry, false)?;
                }
            }
        }
        Ok(())
    }

    fn add_file(
        &self,
        context: &mut Context<'_>,
        all: &mut Gathered,
        entry: &Text,
        bytes: &[u8],
    ) -> Result<()> {
        let file: Arc<str> = Arc::from(self.loader.name(&entry.text));
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Error::new("the file is not UTF-8 text").in_file(&file))?;
        let mut resources = read::resources(text, &file)?;
        context.note_resources();
        if let Some(origin) = &self.origin {
            let origin = origin.append(&entry.text);
            resources.iter_mut().for_each(|resource| origin.set(resource));
        }
        all.map.append_all(resources, &context.schema())
    }

    fn add_directory(
        &mut self,
        context: &mut Context<'_>,
        mut all: Gathered,
        base: Base<'a>,
        entry: &Text,
        component: bool,
    ) -> Result<Gathered> {
        let at = |error: Error| error.on_line(entry.line).in_file(&self.file);
        let loader = match base {
            Base::Dir(loader) => loader,
            Base::File(_) => {
                return Err(at(Error::new(format!(
                    "`{}` is a file, not a directory",
                    entry.text
                ))));
            }
        };
        let mut target = Self::load(context, loader).map_err(at)?;
        target.origin = self.origin.as_ref().map(|origin| origin.append(&entry.text));
        target.set_schema(context)?;
        if component && !target.kustomization.component {
            return Err(at(Error::new(format!("`{}` is not a Component", entry.text)))
                .hint("name it in `resources`, or make its kind Component"));
        }
        if !component && target.kustomization.component {
            return Err(
                at(Error::new(format!("`{}` is a Component", entry.text))).hint("name it in `components`")
            );
        }
        if component {
            let gathered = target.gather(context, all)?;
            all = Gathered::default();
            all.merge(gathered, context).map_err(at)?;
        } else {
            let gathered = target.gather(context, Gathered::default())?;
            all.merge(gathered, context).map_err(at)?;
        }
        Ok(all)
    }

    fn generate(&mut self, context: &mut Context<'_>, all: &mut Gathered) -> Result<()> {
        let builtin = [
            (
                Kind::ConfigMap,
                "ConfigMapGenerator",
                std::mem::take(&mut self.kustomization.config_maps),
            ),
            (
                Kind::Secret,
                "SecretGenerator",
                std::mem::take(&mut self.kustomization.secrets),
            ),
        ];
        for (kind, name, generators) in builtin {
            let origin = self
                .origin
                .as_ref()
                .map(|origin| origin.builtin(&self.name, name));
            for generator in generators {
                let resource = generate::generate(context, &self.loader, kind, &generator, &self.file)?;
                absorb(all, vec![resource], origin.as_ref(), context)?;
            }
        }
        let origin = self
            .origin
            .as_ref()
            .map(|origin| origin.builtin(&self.name, "HelmChartInflationGenerator"));
        for chart in std::mem::take(&mut self.kustomization.charts) {
            let made = helm::inflate(context, &self.loader, &chart, &self.file)?;
            absorb(all, made, origin.as_ref(), context)?;
        }
        let entries = std::mem::take(&mut self.kustomization.generators);
        let configs = self.plugin_configs(context, &entries)?;
        for config in configs.map.list() {
            let made = plugins::generate(context, &self.loader, config)?;
            absorb(all, made, Origin::of_plugin(config).as_ref(), context)?;
        }
        Ok(())
    }

    /// The configurations of plugins: written in place, or in files and directories.
    pub(crate) fn plugin_configs(&mut self, context: &mut Context<'_>, entries: &[Text]) -> Result<Gathered> {
        let mut configs = Gathered::default();
        let mut paths = Vec::new();
        for entry in entries {
            let Ok(mut resources) = read::resources(&entry.text, &self.file) else {
                paths.push(entry.clone());
                continue;
            };
            if let Some(origin) = &self.origin {
                let origin = origin.append(&self.name);
                resources.iter_mut().for_each(|resource| origin.set(resource));
            }
            for resource in &mut resources {
                resource.line = entry.line;
            }
            configs.map.append_all(resources, &context.schema())?;
        }
        self.add_resources(context, &mut configs, &paths)?;
        Ok(configs)
    }

    /// Reads plugins that transform.
    pub(crate) fn transformers(
        &mut self,
        context: &mut Context<'_>,
        entries: &[Text],
    ) -> Result<Vec<(Plugin, Option<Origin>)>> {
        let configs = self.plugin_configs(context, entries)?;
        let mut result = Vec::new();
        for config in configs.map.list() {
            result.push((
                plugins::transformer(context, &self.loader, config)?,
                Origin::of_plugin(config),
            ));
        }
        Ok(result)
    }

    fn validate(&mut self, context: &mut Context<'_>, all: &Gathered) -> Result<()> {
        let entries = std::mem::take(&mut self.kustomization.validators);
        for (plugin, _) in self.transformers(context, &entries)? {
            let mut copy = all.map.clone();
            plugin.apply(context, &mut copy)?;
            let same = copy.list().len() == all.map.list().len()
                && copy
                    .list()
                    .iter()
                    .zip(all.map.list())
                    .all(|(a, b)| a.node == b.node);
            if !same {
                return Err(Error::new("a validator changed resources").in_file(&self.file));
            }
        }
        Ok(())
    }

    /// Warnings and where they come from, for callers that show them.
    pub(crate) fn warnings(context: &mut Context<'_>) -> Vec<Diagnostic> {
        std::mem::take(&mut context.warnings)
    }
}

fn absorb(
    all: &mut Gathered,
    mut made: Vec<Resource>,
    origin: Option<&Origin>,
    context: &mut Context<'_>,
) -> Result<()> {
    context.note_resources();
    origin::add_origins(&mut made, origin);
    let schema = context.schema();
    made.into_iter()
        .try_for_each(|resource| all.map.absorb(resource, &schema))
}
