//! What a job is: the native form that Job DSL, config.xml and YAML all end in. Data only.

use herder_base::Url;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Definition {
    /// The full name, folders separated by `/`.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What a run may be given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// What is checked out, the first into the workspace itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// What starts it besides people, who always may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// What it does, in order; the first failing step ends it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The namespace whose deployer's rights its steps have.
    #[serde(skip_serializing_if = "Target::is_none")]
    pub namespace: Target,
    /// How long one attempt may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// How many times a failed run is tried again.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: u32,
    /// Whether several runs may go on at once.
    #[serde(skip_serializing_if = "is_default")]
    pub concurrent: bool,
    /// Seconds to wait for more of the same before it starts; by default 5 for polls and 0 otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_period: Option<u64>,
    /// Which finished runs are kept.
    #[serde(skip_serializing_if = "is_default")]
    pub retention: Retention,
    /// Patterns of files to keep from the workspace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<String>,
    /// More environment variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Jobs to start when it ends well enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub downstream: Vec<Downstream>,
    /// Whether triggers are ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub disabled: bool,
    /// Where it was written.
    #[serde(skip_serializing_if = "is_default")]
    pub origin: Origin,
}

impl Definition {
    /// The last part of the name.
    #[must_use]
    pub fn base_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    /// A digest of everything that matters to runs; where it was written does not.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let content = Self {
            origin: Origin::default(),
            ..self.clone()
        };
        let text = serde_json::to_vec(&content).unwrap_or_default();
        let mut digest = Sha256::new_with_prefix(&text);
        // The text leaves out what must not be shown: that may change, too.
        for parameter in self.parameters.iter().filter(|parameter| parameter.is_secret()) {
            digest.update([0]);
            digest.update(parameter.default_value());
        }
        for source in &self.sources {
            digest.update([0]);
            digest.update(source.url.expose());
        }
        hex::encode(digest.finalize())
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn time_limit(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A parameter of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Its name, also of the environment variable.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What may be given.
    #[serde(flatten)]
    pub kind: ParameterKind,
}

/// What a parameter takes, and what it is if nothing is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ParameterKind {
    /// A line.
    String {
        /// Used if nothing is given.
        #[serde(default)]
        default: String,
    },
    /// Several lines.
    Text {
        /// Used if nothing is given.
        #[serde(default)]
        default: String,
    },
    /// `true` or `false`.
    Boolean {
        /// Used if nothing is given.
        #[serde(default)]
        default: bool,
    },
    /// One of several; the first if nothing is given.
    Choice {
        /// What may be chosen.
        choices: Vec<String>,
    },
    /// A line that is masked wherever it would be seen.
    Password {
        /// Used if nothing is given. Read, never shown.
        #[serde(default, skip_serializing)]
        default: String,
    },
}

impl Parameter {
    /// The value if nothing is given.
    #[must_use]
    pub fn default_value(&self) -> String {
        match &self.kind {
            ParameterKind::String { default }
            | ParameterKind::Text { default }
            | ParameterKind::Password { default } => default.clone(),
            ParameterKind::Boolean { default } => default.to_string(),
            ParameterKind::Choice { choices } => choices.first().cloned().unwrap_or_default(),
        }
    }

    /// Whether its value must not be seen.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, ParameterKind::Password { .. })
    }
}

/// A git repository to check out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Its URL; may hold `$PARAMETER`.
    pub url: Url,
    /// Branch, tag or commit, also in Jenkins' spellings (`*/main`, `origin/main`); the remote's head if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// Directory below the workspace; the workspace itself if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub directory: String,
}

/// What starts a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// Look at the sources at these times, run if they changed. A cron text as Jenkins has it, or `@every 10s`.
    Poll(String),
    /// Run at these times.
    Cron(String),
    /// A notice that a source changed.
    Webhook,
    /// Another job ended.
    Upstream {
        /// Any of these jobs.
        jobs: Vec<String>,
        /// How it must have ended.
        #[serde(default)]
        threshold: Threshold,
    },
}

/// How well another job must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub enum Threshold {
    /// It succeeded.
    #[default]
    Success,
    /// It ended, however.
    Always,
}

/// A job to start after this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Downstream {
    /// Its full name.
    pub job: String,
    /// How this job must have ended.
    #[serde(default)]
    pub threshold: Threshold,
    /// Parameters it is given; values may hold `$VARIABLE` of the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// A script, run by `/bin/sh -xe` or by what its first line names.
    Shell(String),
    /// Something the platform itself does.
    Action(Action),
}

/// What the platform itself does as a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Reads the fleet repository and makes the set of jobs match it.
    UpdateJobs,
}

/// The namespace a run deploys to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// None: its steps have no rights on the cluster.
    #[default]
    None,
    /// This one.
    Fixed(String),
    /// The one named by a parameter of the run.
    Parameter(String),
}

impl Target {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Which finished runs are kept. The newest run and the newest successful one always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<u32>,
    /// At most so old, in days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
}

/// Where a job was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In a native file.
    #[default]
    Native,
    /// In a Job DSL script, at `path:line`.
    JobDsl(String),
    /// In Herder itself: never removed by a reconcile.
    BuiltIn,
}
