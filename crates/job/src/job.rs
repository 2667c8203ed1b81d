//! The job itself.

use crate::{Downstream, May, Parameter, Step, Trigger};
use herder_base::{Location, Url};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Job {
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
    pub target: Target,
    /// What its steps may ask the platform for.
    #[serde(skip_serializing_if = "May::is_nothing")]
    pub may: May,
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
    /// Which files of the workspace are kept with the run.
    #[serde(skip_serializing_if = "Artefacts::is_none")]
    pub artefacts: Artefacts,
    /// More environment variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Jobs to start when it ends well enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub downstream: Vec<Downstream>,
    /// Whether triggers are ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub disabled: bool,
    /// What it asks for and cannot be had here. Nothing starts it as long as there is something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// The language it was written in.
    #[serde(skip_serializing_if = "is_default")]
    pub origin: Origin,
    /// Where it was written.
    #[serde(serialize_with = "place", skip_serializing_if = "is_default")]
    pub at: Location,
}

impl Job {
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
            at: Location::default(),
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

    /// Whether a run of it would do anything: a step, or other jobs to start.
    #[must_use]
    pub fn does_something(&self) -> bool {
        !self.steps.is_empty() || !self.downstream.is_empty()
    }

    /// Refuses it for a reason, with the place where it asks for what cannot be had.
    pub fn refuse(&mut self, at: &Location, why: &str) {
        let text = if at.path.is_empty() {
            why.to_owned()
        } else {
            format!("{at}: {why}")
        };
        if !self.refused.contains(&text) {
            self.refused.push(text);
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn place<S: Serializer>(at: &Location, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// A git repository to check out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Its URL; may hold `$PARAMETER`.
    pub url: Url,
    /// Branch, tag or commit, also in Jenkins' spellings (`*/main`, `origin/main`); the remote's head if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// Directory below the workspace; the workspace itself if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// How many commits back its history goes; all of it if zero, one if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// Whether its submodules are checked out, and theirs.
    #[serde(skip_serializing_if = "is_default")]
    pub submodules: bool,
}

/// The namespace a run deploys to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<u32>,
    /// At most so old, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
}

/// Which files of the workspace are kept with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Artefacts {
    /// Patterns, as Jenkins (Ant) has them: `*` within a name, `**` across folders.
    pub include: Vec<String>,
    /// Patterns of what is not kept all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether a run that has no such file succeeds all the same.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_empty: bool,
    /// Whether they are kept although a step failed.
    #[serde(skip_serializing_if = "is_default")]
    pub always: bool,
}

impl Artefacts {
    /// Whether nothing is kept.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.include.is_empty()
    }
}

/// The language a job was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A native file.
    #[default]
    Native,
    /// A Job DSL script.
    JobDsl,
    /// Herder itself: never removed by a reconcile.
    BuiltIn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_what_runs() {
        let job = Job {
            name: "a".to_owned(),
            steps: vec![Step::shell("make")],
            ..Job::default()
        };
        let mut moved = job.clone();
        moved.at = Location::new("jobs/b.yaml", 3, 0);
        assert_eq!(job.content_hash(), moved.content_hash());
        let mut other = job.clone();
        other.may.run = Some(crate::Scope::Own);
        assert_ne!(job.content_hash(), other.content_hash());
        let mut other = job.clone();
        other.sources.push(Source {
            depth: Some(0),
            ..Source::default()
        });
        assert_ne!(job.content_hash(), other.content_hash());
    }
}
