//! A job as the fleet describes it, whichever language it was written in. The server turns it into what runs.

use herder_base::{Location, Url};
use std::collections::BTreeMap;
use std::time::Duration;

/// A job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// Its name, folders separated by `/`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What a person can set when starting it.
    pub parameters: Vec<Parameter>,
    /// The repositories it checks out; the first is the workspace's root.
    pub sources: Vec<JobSource>,
    /// What starts it.
    pub triggers: Vec<Trigger>,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// Where its pod runs and what it deploys to.
    pub target: Target,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// The image of its pod; empty means `host`.
    pub image: String,
    /// How long a run may take.
    pub timeout: Option<Duration>,
    /// How often a failed run is tried again.
    pub retries: u32,
    /// Whether two runs may go on at once.
    pub concurrent: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// How long it waits for further commits before it starts.
    pub quiet_period: Option<Duration>,
    /// What is kept of finished runs.
    pub retention: Retention,
    /// Globs of files to keep from the workspace.
    pub artefacts: Vec<String>,
    /// Which language it was written in.
    pub origin: Origin,
    /// The Jenkins `config.xml`, for jobs from Job DSL.
    pub xml: Option<String>,
    /// What of it has no meaning here and was left out.
    pub warnings: Vec<String>,
    /// Where it is defined.
    pub source: Location,
}

/// The language a job was written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// `jobs/*.yaml`.
    #[default]
    Native,
    /// `jobs/*.groovy`.
    JobDsl,
}

/// A parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, also the environment variable's.
    pub name: String,
    /// What it can be.
    pub kind: ParameterKind,
    /// Its value if none is given.
    pub default: String,
    /// What it is for.
    pub description: String,
}

/// What a parameter can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ParameterKind {
    /// One line.
    #[default]
    Text,
    /// Many lines.
    Lines,
    /// `true` or `false`.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
    /// Never shown.
    Password,
}

/// A repository a job checks out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobSource {
    /// The remote, resolved.
    pub url: Url,
    /// The branch, empty for the remote's default.
    pub branch: String,
    /// The directory in the workspace, empty for its root.
    pub directory: String,
}

/// What starts a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// A new commit, looked for at these times (Jenkins cron, `H` allowed; several lines are several times).
    Poll(String),
    /// These times.
    Cron(String),
    /// A notification about one of its repositories.
    Webhook,
    /// The end of other jobs.
    Upstream {
        /// Their names.
        jobs: Vec<String>,
        /// The worst result that still counts: `success`, `unstable` or `failure`.
        threshold: String,
    },
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, for the log.
    pub name: String,
    /// A shell script.
    pub shell: String,
}

/// Where a job's pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// The platform's own namespace, without rights elsewhere.
    #[default]
    Platform,
    /// A namespace.
    Namespace(String),
    /// The namespace that a parameter names.
    Parameter(String),
}

/// What is kept of finished runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// At most so many runs.
    pub runs: Option<u32>,
    /// At most so long.
    pub age: Option<Duration>,
}
