//! Transformer configuration: which fields are names, labels, images and so on, by default and as configured.

use crate::error::Result;
use crate::fieldspec::{self, FieldSpec};
use crate::id::{self, Gvk};
use crate::kustomization::decode::{Decoder, field_spec};
use std::sync::{Arc, OnceLock};

/// A kind that others refer to by name, and the fields they do it with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BackReference {
    pub(crate) gvk: Gvk,
    pub(crate) referrers: Vec<FieldSpec>,
}

/// Everything that is configurable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Config {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) common_annotations: Vec<FieldSpec>,
    pub(crate) name_reference: Vec<BackReference>,
    pub(crate) var_reference: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
}

impl Config {
    /// The defaults of kustomize v5.5.0, shared.
    pub(crate) fn builtin() -> Arc<Self> {
        static BUILTIN: OnceLock<Arc<Config>> = OnceLock::new();
        Arc::clone(BUILTIN.get_or_init(|| {
            let mut config = read_defaults(include_str!("defaults.txt"));
            config.sort();
            Arc::new(config)
        }))
    }

    fn section(&mut self, name: &str) -> Option<&mut Vec<FieldSpec>> {
        Some(match name {
            "namePrefix" => &mut self.name_prefix,
            "nameSuffix" => &mut self.name_suffix,
            "namespace" => &mut self.namespace,
            "commonLabels" => &mut self.common_labels,
            "labels" => &mut self.labels,
            "templateLabels" => &mut self.template_labels,
            "commonAnnotations" => &mut self.common_annotations,
            "varReference" => &mut self.var_reference,
            "images" => &mut self.images,
            "replicas" => &mut self.replicas,
            _ => return None,
        })
    }

    /// Reads a file of `configurations`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut config = Self::default();
        let root = crate::kustomization::decode::read(text)?;
        let mut decoder = Decoder::strict(&root)?;
        for name in [
            "namePrefix",
            "nameSuffix",
            "namespace",
            "commonLabels",
            "labels",
            "templateLabels",
            "commonAnnotations",
            "varReference",
            "images",
            "replicas",
        ] {
            let specs = decoder.list(name, field_spec)?;
            if let Some(section) = config.section(name) {
                *section = specs;
            }
        }
        config.name_reference = decoder.list("nameReference", |node| {
            let mut decoder = Decoder::strict(node)?;
            let gvk = decoder.gvk()?;
            let referrers = decoder.list("fieldSpecs", field_spec)?;
            decoder.finish()?;
            Ok(BackReference { gvk, referrers })
        })?;
        decoder.finish()?;
        config.sort();
        Ok(config)
    }

    fn sort(&mut self) {
        for name in [
            "namePrefix",
            "nameSuffix",
            "namespace",
            "commonLabels",
            "labels",
            "commonAnnotations",
            "varReference",
            "images",
            "replicas",
        ] {
            if let Some(specs) = self.section(name) {
                fieldspec::sort(specs);
            }
        }
        self.name_reference
            .sort_by_cached_key(|reference| id::order_key(&reference.gvk));
    }

    /// Adds what another configuration has.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        let pairs = [
            (&mut self.name_prefix, &other.name_prefix),
            (&mut self.name_suffix, &other.name_suffix),
            (&mut self.namespace, &other.namespace),
            (&mut self.common_labels, &other.common_labels),
            (&mut self.labels, &other.labels),
            (&mut self.template_labels, &other.template_labels),
            (&mut self.common_annotations, &other.common_annotations),
            (&mut self.var_reference, &other.var_reference),
            (&mut self.images, &other.images),
            (&mut self.replicas, &other.replicas),
        ];
        for (mine, theirs) in pairs {
            fieldspec::merge_all(mine, theirs)?;
        }
        for reference in &other.name_reference {
            self.add_reference(reference)?;
        }
        self.sort();
        Ok(())
    }

    pub(crate) fn add_reference(&mut self, reference: &BackReference) -> Result<()> {
        match self
            .name_reference
            .iter_mut()
            .find(|mine| mine.gvk == reference.gvk)
        {
            Some(mine) => fieldspec::merge_all(&mut mine.referrers, &reference.referrers),
            None => {
                self.name_reference.push(reference.clone());
                Ok(())
            }
        }
    }

    /// The defaults as they are once merged into nothing, which drops specifications that a more general one follows.
    fn builtin_merged() -> Arc<Self> {
        static MERGED: OnceLock<Arc<Config>> = OnceLock::new();
        Arc::clone(MERGED.get_or_init(|| {
            let mut merged = Config::default();
            // The defaults do not disagree with themselves.
            let _ = merged.merge(&Config::builtin());
            Arc::new(merged)
        }))
    }

    /// As [`Config::merge`] on shared configurations, which nearly always are the defaults.
    pub(crate) fn merge_shared(mine: &mut Arc<Self>, other: &Arc<Self>) -> Result<()> {
        let merged = Self::builtin_merged();
        let has_defaults = Arc::ptr_eq(other, &Self::builtin()) || Arc::ptr_eq(other, &merged);
        if Arc::ptr_eq(mine, other) || (has_defaults && Arc::ptr_eq(mine, &merged)) {
            return Ok(());
        }
        if has_defaults && **mine == Self::default() {
            *mine = merged;
            return Ok(());
        }
        Arc::make_mut(mine).merge(other)
    }
}

fn read_defaults(text: &str) -> Config {
    let mut config = Config::default();
    let mut section = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            continue;
        }
        let mut words = line.split(' ');
        let path = words.next().unwrap_or_default();
        let (mut gvk, mut create) = (Gvk::default(), false);
        for word in words {
            match word.split_once('=') {
                None => create = word == "+",
                Some(("group", value)) => value.clone_into(&mut gvk.group),
                Some(("version", value)) => value.clone_into(&mut gvk.version),
                Some((_, value)) => value.clone_into(&mut gvk.kind),
            }
        }
        if path == "@" {
            config.name_reference.push(BackReference {
                gvk,
                referrers: Vec::new(),
            });
            continue;
        }
        let spec = FieldSpec::new(gvk, path, create);
        match config.section(section) {
            Some(specs) => specs.push(spec),
            None => {
                if let Some(reference) = config.name_reference.last_mut() {
                    reference.referrers.push(spec);
                }
            }
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_defaults() {
        let config = Config::builtin();
        let references: usize = config
            .name_reference
            .iter()
            .map(|reference| reference.referrers.len())
            .sum();
        assert_eq!((config.name_reference.len(), references), (16, 167));
        assert_eq!((config.common_labels.len(), config.var_reference.len()), (32, 72));
        let mut twice = (*config).clone();
        twice.merge(&config).unwrap();
        assert_eq!(twice, *config);
        // What `merge_shared` takes for granted: once merged, the defaults stay as they are.
        let merged = Config::builtin_merged();
        for start in [Config::default(), (*merged).clone()] {
            for more in [&merged, &config] {
                let mut result = start.clone();
                result.merge(more).unwrap();
                assert_eq!(result, *merged);
            }
        }
    }
}
