//! What this crate needs from the outside, as traits: somebody to run things, somebody who knows remotes, somebody
//! who remembers. The server gives them.

use crate::run::{Cause, RunEvent, RunId, RunRecord, RunResult, RunSpec, RunStatus};
use futures::future::BoxFuture;
use herder_base::{Tree, Url};
use herder_job::Action;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs a run's shell steps somewhere.
pub trait Executor: Send + Sync {
    /// Runs one attempt to its end. Sends events as they happen (a full channel makes it wait), stops soon after
    /// `cancel`, and leaves nothing behind.
    fn run<'a>(
        &'a self,
        spec: &'a RunSpec,
        events: mpsc::Sender<RunEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, RunResult>;
}

/// Does what a step asks of the platform itself.
pub trait Actions: Send + Sync {
    /// Performs `action` for a run.
    fn perform<'a>(
        &'a self,
        action: Action,
        spec: &'a RunSpec,
        events: mpsc::Sender<RunEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, RunResult>;
}

/// Something outside failed; the text is for people and complete.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct PortError(pub String);

/// Knows what remotes hold.
pub trait Remotes: Send + Sync {
    /// The commit of every reference of a remote, `HEAD` among them. Has a deadline of its own.
    fn ls_remote<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<BTreeMap<String, String>, PortError>>;
}

/// Gets the files of a commit.
pub trait Checkouts: Send + Sync {
    /// The files of `commit` of the remote `url`.
    fn tree<'a>(&'a self, url: &'a Url, commit: &'a str) -> BoxFuture<'a, Result<Tree, PortError>>;
}

/// A run about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The job.
    pub job: String,
    /// Why it exists.
    pub causes: Vec<Cause>,
    /// Parameters, secrets masked.
    pub parameters: BTreeMap<String, String>,
    /// Commits as far as known, by `URL#BRANCH`.
    pub commits: BTreeMap<String, String>,
    /// The namespace it deploys to.
    pub namespace: Option<String>,
    /// When.
    pub queued_at: Timestamp,
}

/// What changes about a run; `None` leaves things as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunUpdate {
    /// New status.
    pub status: Option<RunStatus>,
    /// New reason.
    pub reason: Option<String>,
    /// All causes, after more triggers coalesced into it.
    pub causes: Option<Vec<Cause>>,
    /// Commits now known.
    pub commits: Option<BTreeMap<String, String>>,
    /// The attempt under way.
    pub attempt: Option<u32>,
    /// When it first started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Why a trigger did or did not lead to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The job.
    pub job: String,
    /// When.
    pub at: Timestamp,
    /// The trigger, for people.
    pub about: String,
    /// Whether it ran.
    pub ran: bool,
    /// Why.
    pub why: String,
}

/// The commit a job saw last, per remote and branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenHead {
    /// The job.
    pub job: String,
    /// The remote.
    pub remote: String,
    /// The branch as the job names it.
    pub branch: String,
    /// The commit.
    pub commit: String,
}

/// Remembers runs, heads and decisions beyond a restart.
pub trait Journal: Send + Sync {
    /// Records a queued run under the job's next number.
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<RunRecord, PortError>>;
    /// Changes a run.
    fn update<'a>(&'a self, id: &'a RunId, update: RunUpdate) -> BoxFuture<'a, Result<(), PortError>>;
    /// One run.
    fn get<'a>(&'a self, id: &'a RunId) -> BoxFuture<'a, Result<Option<RunRecord>, PortError>>;
    /// A job's runs, newest first.
    fn history<'a>(&'a self, job: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<RunRecord>, PortError>>;
    /// All runs that are queued or running, oldest first.
    fn unfinished(&self) -> BoxFuture<'_, Result<Vec<RunRecord>, PortError>>;
    /// Removes finished runs.
    fn remove<'a>(&'a self, job: &'a str, numbers: &'a [u64]) -> BoxFuture<'a, Result<(), PortError>>;
    /// Everything every job saw.
    fn heads(&self) -> BoxFuture<'_, Result<Vec<SeenHead>, PortError>>;
    /// Records what a job saw.
    fn see(&self, head: SeenHead, at: Timestamp) -> BoxFuture<'_, Result<(), PortError>>;
    /// Records a decision.
    fn decide(&self, decision: Decision) -> BoxFuture<'_, Result<(), PortError>>;
    /// A job's decisions, newest first.
    fn decisions<'a>(&'a self, job: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<Decision>, PortError>>;
    /// Forgets heads and decisions of a removed job.
    fn forget<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<(), PortError>>;
}
