//! Helm charts in kustomizations: what they say, and what a helm program is asked to render.
//!
//! Running helm and fetching charts is the caller's ([`Helm`]); without one, charts are refused. Charts reach it as files,
//! so that rendering depends on the tree alone.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::kustomization::decode::{self, Decoder};
use crate::load::Loader;
use crate::node::{Node, from_json};
use crate::resource::Resource;
use crate::{read, smp};
use herder_object::yaml;
use serde_json::Value;
use std::sync::Arc;

/// Files by path, relative to the chart's directory.
pub type ChartFiles = Vec<(String, Arc<[u8]>)>;

/// A helm program, version 3.
pub trait Helm {
    /// Fetches a chart that is not in the tree.
    ///
    /// # Errors
    /// Why not, as a sentence.
    fn pull(&self, chart: &ChartRef) -> std::result::Result<ChartFiles, String>;

    /// What `helm template` prints.
    ///
    /// # Errors
    /// Why it failed, as a sentence.
    fn template(&self, release: &Release) -> std::result::Result<String, String>;
}

/// A chart elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChartRef {
    /// Its name, such as `podinfo`.
    pub name: String,
    /// `https://…` or `oci://…`.
    pub repository: String,
    /// Empty for the newest.
    pub version: String,
}

/// One rendering of a chart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// The chart's name, which is also that of its directory.
    pub chart: String,
    /// The chart's files.
    pub files: ChartFiles,
    /// Value files, later ones win.
    pub values: Vec<Arc<[u8]>>,
    /// The release's name, or nothing.
    pub name: Option<String>,
    /// More options of `helm template`.
    pub options: Vec<String>,
}

/// A chart as a kustomization names it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Chart {
    home: String,
    at: ChartRef,
    release: String,
    values_file: String,
    more_values: Vec<String>,
    inline: Option<Value>,
    merge: String,
    options: Vec<String>,
    pub(crate) line: u32,
}

/// A field of a chart that becomes an option of `helm template`.
const TEXT_OPTIONS: [(&str, &str); 2] = [("namespace", "--namespace"), ("nameTemplate", "--name-template")];
const SWITCHES: [(&str, &str); 4] = [
    ("includeCRDs", "--include-crds"),
    ("skipTests", "--skip-tests"),
    ("skipHooks", "--no-hooks"),
    ("debug", "--debug"),
];

/// Reads an entry of `helmCharts`, or the configuration of a HelmChartInflationGenerator.
pub(crate) fn chart(node: &yaml::Node, strict: bool) -> Result<Chart> {
    let mut decoder = if strict {
        Decoder::strict(node)?
    } else {
        Decoder::lenient(node)?
    };
    let mut options = Vec::new();
    for (field, option) in TEXT_OPTIONS {
        let text = decoder.string(field)?;
        if !text.is_empty() {
            options.extend([option.to_owned(), text]);
        }
    }
    for version in decoder.strings("apiVersions")? {
        options.extend(["--api-versions".to_owned(), version]);
    }
    let version = decoder.string("kubeVersion")?;
    if !version.is_empty() {
        options.extend(["--kube-version".to_owned(), version]);
    }
    for (field, option) in SWITCHES {
        if decoder.boolean(field)? {
            options.push(option.to_owned());
        }
    }
    let chart = Chart {
        home: if strict {
            String::new()
        } else {
            decoder.string("chartHome")?
        },
        at: ChartRef {
            name: decoder.string("name")?,
            repository: decoder.string("repo")?,
            version: decoder.string("version")?,
        },
        release: decoder.string("releaseName")?,
        values_file: decoder.string("valuesFile")?,
        more_values: decoder.strings("additionalValuesFiles")?,
        inline: decoder.optional("valuesInline", decode::json)?,
        merge: decoder.string("valuesMerge")?,
        options,
        line: node.line,
    };
    // Takes a version before release too; charts are pulled by their exact version here.
    decoder.boolean("devel")?;
    decoder.finish()?;
    chart.checked()
}

/// Reads an entry of `helmChartInflationGenerator`, the form before `helmCharts`.
pub(crate) fn old_chart(node: &yaml::Node) -> Result<Chart> {
    let mut decoder = Decoder::strict(node)?;
    for ignored in [
        "chartRepoName",
        "helmBin",
        "helmHome",
        "releaseNamespace",
        "extraArgs",
    ] {
        decoder.field(ignored);
    }
    let chart = Chart {
        home: decoder.string("chartHome")?,
        at: ChartRef {
            name: decoder.string("chartName")?,
            repository: decoder.string("chartRepoUrl")?,
            version: decoder.string("chartVersion")?,
        },
        release: decoder.string("releaseName")?,
        values_file: decoder.string("values")?,
        inline: decoder.optional("valuesLocal", decode::json)?,
        merge: decoder.string("valuesMerge")?,
        line: node.line,
        ..Chart::default()
    };
    decoder.finish()?;
    chart.checked()
}

/// Reads `helmGlobals`: where charts are, relative to the kustomization.
pub(crate) fn globals(node: &yaml::Node) -> Result<String> {
    let mut decoder = Decoder::strict(node)?;
    decoder.string("configHome")?;
    let home = decoder.string("chartHome")?;
    decoder.finish()?;
    Ok(home)
}

impl Chart {
    fn checked(mut self) -> Result<Self> {
        let name = &self.at.name;
        // Neither may become an option of helm's, of which some run programs.
        if self.release.starts_with('-') {
            return Err(Error::new("`releaseName` cannot begin with `-`").on_line(self.line));
        }
        if name.is_empty() || name.contains('/') || name.starts_with(['.', '-']) {
            return Err(
                Error::new("a chart must have a `name` that is the name of its directory").on_line(self.line),
            );
        }
        if !matches!(self.merge.as_str(), "" | "override" | "merge" | "replace") {
            return Err(Error::new(format!("`valuesMerge: {}` is not known", self.merge))
                .on_line(self.line)
                .hint("it can be override, merge or replace"));
        }
        self.inline = self
            .inline
            .filter(|value| value.as_object().is_some_and(|map| !map.is_empty()));
        Ok(self)
    }

    /// Where the charts of this kustomization are, unless the chart says.
    pub(crate) fn in_home(mut self, home: &str) -> Self {
        if self.home.is_empty() {
            home.clone_into(&mut self.home);
        }
        self
    }

    /// The chart's directory, relative to the kustomization.
    fn dir(&self) -> String {
        let home = match self.home.as_str() {
            "" => "charts",
            home => home.trim_end_matches('/'),
        };
        let ChartRef {
            name,
            repository,
            version,
        } = &self.at;
        if version.is_empty() || repository.is_empty() {
            format!("{home}/{name}")
        } else {
            format!("{home}/{name}-{version}/{name}")
        }
    }
}

/// The resources of a chart.
pub(crate) fn inflate(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    chart: &Chart,
    file: &Arc<str>,
) -> Result<Vec<Resource>> {
    let fail = |error: Error| {
        error
            .on_line(chart.line)
            .in_file(file)
            .about(format!("helm chart {}", chart.at.name))
    };
    render(context, loader, chart, file).map_err(fail)
}

fn render(
    context: &mut Context<'_>,
    loader: &Loader<'_>,
    chart: &Chart,
    file: &Arc<str>,
) -> Result<Vec<Resource>> {
    let helm = context.remotes.helm().ok_or_else(|| {
        Error::new("helm charts are not rendered here")
            .hint("build with --enable-helm where helm is installed, or add what `helm template` prints to `resources`")
    })?;
    let dir = chart.dir();
    let files = match loader.directory(context, &dir)? {
        Some(files) => files,
        None if chart.at.repository.is_empty() => {
            return Err(Error::new(format!("there is no chart at `{dir}`"))
                .hint("name the `repo` to pull it from, or put the chart there"));
        }
        None => helm
            .pull(&chart.at)
            .map_err(|reason| Error::new(format!("it cannot be pulled: {reason}")))?,
    };
    let base = if chart.values_file.is_empty() {
        let own = files.iter().find(|(path, _)| path == "values.yaml");
        own.map_or_else(|| Arc::from(&b""[..]), |(_, bytes)| Arc::clone(bytes))
    } else {
        loader.load(context, &chart.values_file)?
    };
    let mut values = vec![match &chart.inline {
        Some(inline) => merged(context, &base, inline, &chart.merge)?,
        None => base,
    }];
    for path in &chart.more_values {
        values.push(loader.load(context, path)?);
    }
    let printed = helm
        .template(&Release {
            chart: chart.at.name.clone(),
            files,
            values,
            name: Some(chart.release.clone()).filter(|name| !name.is_empty()),
            options: chart.options.clone(),
        })
        .map_err(|reason| Error::new(format!("helm failed: {reason}")))?;
    // What helm prints before the first document are messages.
    read::resources(&printed, file).or_else(|error| match printed.find("\n---") {
        Some(at) => read::resources(printed.get(at + 1..).unwrap_or_default(), file),
        None => Err(error),
    })
}

/// Values in a file and values in the kustomization, as one text.
fn merged(context: &Context<'_>, base: &[u8], inline: &Value, merge: &str) -> Result<Arc<[u8]>> {
    let inline = from_json(inline.clone());
    let result = if merge == "replace" {
        inline
    } else {
        let text = std::str::from_utf8(base).map_err(|_| Error::new("the values file is not UTF-8 text"))?;
        let base = match yaml::parse(text) {
            (documents, errors) if errors.is_empty() => match documents.into_iter().next() {
                Some(document) => Node::from_yaml(document.root, 0)?,
                None => Node::map(),
            },
            (_, errors) => {
                let first = errors.into_iter().next().map(|error| error.message);
                return Err(Error::new(format!(
                    "the values file is malformed: {}",
                    first.unwrap_or_default()
                )));
            }
        };
        let (mut dest, patch) = if merge == "merge" {
            (inline, base)
        } else {
            (base, inline)
        };
        if dest.is_null() {
            dest = Node::map();
        }
        smp::merge(&mut dest, patch, &context.schema(), &mut Vec::new())?;
        dest
    };
    Ok(Arc::from(yaml::print(&result.to_json()?).into_bytes()))
}
