//! What a run is, what starts it, what an executor is told and what it tells back. Data only.

use herder_base::{Secret, Url};
use herder_job::{Job, Step};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId {
    /// The job's full name.
    pub job: String,
    /// The number within the job, from one.
    pub number: u64,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.job, self.number)
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// It waits: for its quiet period, for another run of its job, or for an executor.
    Queued,
    /// It goes on.
    Running,
    /// All steps ended with zero.
    Succeeded,
    /// A step failed, or it could not be started.
    Failed,
    /// Somebody ended it.
    Aborted,
    /// It took longer than its job allows.
    TimedOut,
    /// Nobody knows how it ended, because what ran it went away.
    Lost,
}

impl RunStatus {
    /// The word used in records and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::TimedOut => "timed-out",
            Self::Lost => "lost",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Running,
            Self::Succeeded,
            Self::Failed,
            Self::Aborted,
            Self::TimedOut,
            Self::Lost,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
    }

    /// Whether it will not change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A branch that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The remote's URL.
    pub remote: String,
    /// The branch as the job names it.
    pub branch: String,
    /// Where it was, if that was known.
    pub from: Option<String>,
    /// Where it is.
    pub to: String,
}

/// Why a run exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody asked.
    Manual {
        /// Who.
        by: String,
    },
    /// Polling found changes.
    Poll {
        /// What moved.
        changes: Vec<Change>,
    },
    /// A notice led to a poll that found changes.
    Webhook {
        /// What moved.
        changes: Vec<Change>,
    },
    /// Its time came.
    Cron {
        /// The cron text.
        spec: String,
    },
    /// Another run ended.
    Upstream {
        /// That run.
        run: RunId,
        /// The jobs whose runs led to that one, so that jobs which start each other come to an end.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        after: Vec<String>,
    },
    /// An earlier run was lost.
    Retry {
        /// Its number.
        of: u64,
    },
    /// The platform itself needs it.
    Platform {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moved = |f: &mut fmt::Formatter<'_>, changes: &[Change]| {
            for change in changes {
                let to = change.to.get(..12).unwrap_or(&change.to);
                let branch = if change.branch.is_empty() {
                    "HEAD"
                } else {
                    &change.branch
                };
                write!(f, " {branch} of {} is now {to}", change.remote)?;
            }
            Ok(())
        };
        match self {
            Self::Manual { by } => write!(f, "started by {by}"),
            Self::Poll { changes } => {
                f.write_str("polling:")?;
                moved(f, changes)
            }
            Self::Webhook { changes } => {
                f.write_str("webhook:")?;
                moved(f, changes)
            }
            Self::Cron { spec } => write!(f, "its time came ({spec})"),
            Self::Upstream { run, .. } => write!(f, "{run} ended"),
            Self::Retry { of } => write!(f, "run #{of} was lost"),
            Self::Platform { why } => f.write_str(why),
        }
    }
}

/// A source at the commit a run uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The remote's URL, parameters filled in.
    pub url: Url,
    /// The branch, without Jenkins' decoration; empty for the remote's head.
    pub branch: String,
    /// The commit.
    pub commit: String,
    /// Directory below the workspace; the workspace itself if empty.
    pub directory: String,
    /// How many commits back its history goes; all of it if zero, one if nothing is said.
    pub depth: Option<u32>,
    /// Whether its submodules are checked out.
    pub submodules: bool,
}

/// All an executor needs to know.
#[derive(Clone)]
pub struct RunSpec {
    /// Which run.
    pub id: RunId,
    /// The job as it was when the run started.
    pub definition: Arc<Job>,
    /// Which attempt this is, from one.
    pub attempt: u32,
    /// Parameters, unmasked.
    pub parameters: BTreeMap<String, String>,
    /// What to check out.
    pub checkouts: Vec<Checkout>,
    /// The namespace it deploys to.
    pub namespace: Option<String>,
    /// The environment of its steps, but for WORKSPACE, WORKSPACE_TMP and HOME: the executor knows those.
    pub env: BTreeMap<String, String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Values that must not be seen; the log masks them.
    pub secrets: Vec<Secret<String>>,
}

impl fmt::Debug for RunSpec {
    /// Without parameters and environment, some of which are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunSpec({}, attempt {})", self.id, self.attempt)
    }
}

impl RunSpec {
    /// Whether a text is or holds a secret.
    #[must_use]
    pub fn holds_secret(&self, text: &str) -> bool {
        self.secrets.iter().map(Secret::expose).any(|secret| {
            !secret.is_empty() && (secret == text || (secret.len() >= 4 && text.contains(secret.as_str())))
        })
    }
}

/// What an executor tells while it runs. Closed: readers handle every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// Something worth a line that no step wrote: where it runs, what it waits for.
    Note(String),
    /// The executor gives the run a secret of its own: hidden in the log from here on.
    Hide(Secret<String>),
    /// A step begins.
    StepStarted {
        /// Its index, from zero.
        step: u32,
        /// For people.
        title: String,
    },
    /// Bytes a step wrote, in any portions.
    Output {
        /// The step.
        step: u32,
        /// What it wrote.
        bytes: Vec<u8>,
    },
    /// A step ended.
    StepFinished {
        /// The step.
        step: u32,
        /// Its exit code.
        code: i32,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunResult {
    /// All steps ended with zero.
    Succeeded,
    /// A step failed, or it could not be started.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// It was told to stop and did.
    Aborted,
    /// What ran it went away.
    Lost {
        /// Why, for people.
        reason: String,
    },
}

/// A run as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Which run.
    pub id: RunId,
    /// How it stands.
    pub status: RunStatus,
    /// Why it stands so, where that needs saying.
    pub reason: Option<String>,
    /// Why it exists; more than one if several triggers coalesced.
    pub causes: Vec<Cause>,
    /// Parameters, secrets masked.
    pub parameters: BTreeMap<String, String>,
    /// Commit per remote and branch (`URL#BRANCH`).
    pub commits: BTreeMap<String, String>,
    /// The namespace it deploys to.
    pub namespace: Option<String>,
    /// Attempts begun.
    pub attempt: u32,
    /// When it was asked for.
    pub queued_at: Timestamp,
    /// When it first started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}
