//! What starts a job, and what a job starts.

use serde::Serialize;
use std::collections::BTreeMap;

/// What starts a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
        when: When,
    },
}

/// How another job must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// It succeeded.
    #[default]
    Success,
    /// A step failed, it took too long, or what ran it went away.
    Failure,
    /// It succeeded or failed; nobody ended it.
    Completed,
    /// It ended, however.
    Always,
}

/// How a job ended, as far as its followers care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It succeeded.
    Well,
    /// It failed by itself.
    Badly,
    /// Somebody ended it.
    Told,
}

impl When {
    /// Whether a job that ended so is followed.
    #[must_use]
    pub const fn follows(self, ended: Ended) -> bool {
        match self {
            Self::Success => matches!(ended, Ended::Well),
            Self::Failure => matches!(ended, Ended::Badly),
            Self::Completed => matches!(ended, Ended::Well | Ended::Badly),
            Self::Always => true,
        }
    }
}

/// A job to start after this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Downstream {
    /// Its full name.
    pub job: String,
    /// How this job must have ended.
    pub when: When,
    /// Parameters it is given; values may hold `$VARIABLE` of the run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Whether it is given this run's own parameters, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub current: bool,
    /// Whether it takes this run's commits of the repositories that both have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub same_commits: bool,
}
