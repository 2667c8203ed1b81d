//! The dispatcher: one task that owns all jobs and everything waiting or running, and a handle to talk to it.

mod actor;
mod execute;
mod following;
mod handle;
mod poll;
mod triggering;

pub use actor::Dispatcher;
pub(crate) use execute::remark;
pub use handle::{JobEvent, JobView, Jobs, RunRequest, TriggerError};

use crate::artefacts::ArtefactStore;
use crate::log::LogStore;
use crate::ports::{Actions, Executor, Journal, Remotes};
use herder_base::{Clock, Url};
use jiff::tz::TimeZone;
use std::sync::Arc;

/// What the dispatcher works with.
#[derive(Clone)]
pub struct Ports {
    /// Runs shell steps.
    pub executor: Arc<dyn Executor>,
    /// Runs platform actions.
    pub actions: Arc<dyn Actions>,
    /// Knows remotes.
    pub remotes: Arc<dyn Remotes>,
    /// Remembers.
    pub journal: Arc<dyn Journal>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Keeps logs.
    pub logs: LogStore,
    /// Keeps artefacts.
    pub artefacts: ArtefactStore,
}

/// How the dispatcher behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The zone of cron texts that name none.
    pub zone: TimeZone,
    /// How many runs may go on at once.
    pub executors: usize,
    /// How many remotes are looked at, at once.
    pub polls: usize,
    /// Where the platform's pages are, without a slash at the end: for BUILD_URL.
    pub board: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            executors: 16,
            polls: 8,
            board: None,
        }
    }
}

/// The key under which a source's commit is recorded: for people too, so without what opens the remote.
#[must_use]
pub fn commit_key(url: &Url, branch: &str) -> String {
    format!("{url}#{branch}")
}
