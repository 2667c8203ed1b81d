//! What others may ask of the dispatcher.

use super::actor::Dispatcher;
use super::{Ports, Settings};
use crate::artefacts::ArtefactStore;
use crate::log::LogStore;
use crate::ports::{Decision, Journal, PortError};
use crate::reconcile::{Reconciled, Removed};
use crate::run::{Cause, RunId, RunRecord, RunStatus};
use herder_job::Job;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot};

/// Something happened to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum JobEvent {
    /// The set of jobs changed.
    Reconciled(Reconciled),
    /// A run waits.
    Queued {
        /// Which.
        run: RunId,
    },
    /// A run started.
    Started {
        /// Which.
        run: RunId,
    },
    /// A run ended.
    Finished {
        /// Which.
        run: RunId,
        /// How.
        status: RunStatus,
    },
    /// A trigger decided.
    Decided(Decision),
}

/// A job and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    /// What it is.
    #[serde(serialize_with = "shared")]
    pub definition: Arc<Job>,
    /// Whether triggers are ignored, by its definition or because it is no longer defined.
    pub disabled: bool,
    /// When a trigger looks next.
    pub next: Option<Timestamp>,
    /// Numbers of runs that go on.
    pub running: Vec<u64>,
    /// Numbers of runs that wait.
    pub queued: Vec<u64>,
    /// The last decision of a trigger.
    pub decision: Option<Decision>,
}

fn shared<S: serde::Serializer>(definition: &Arc<Job>, serializer: S) -> Result<S::Ok, S::Error> {
    definition.as_ref().serialize(serializer)
}

/// A run that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    /// The job's full name.
    pub job: String,
    /// Parameters; the job's defaults fill in the rest.
    pub parameters: BTreeMap<String, String>,
    /// Exactly these commits, by `URL#BRANCH`: to run something again as it was.
    pub commits: Option<BTreeMap<String, String>>,
    /// Why.
    pub cause: Cause,
}

impl RunRequest {
    /// What somebody asks for without parameters.
    pub fn manual(job: impl Into<String>, by: impl Into<String>) -> Self {
        Self {
            job: job.into(),
            parameters: BTreeMap::new(),
            commits: None,
            cause: Cause::Manual { by: by.into() },
        }
    }
}

/// A run could not be asked for or ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TriggerError {
    /// There is no such job.
    #[error("there is no job `{job}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    NoJob {
        /// The name asked for.
        job: String,
        /// A name that exists.
        suggestion: Option<String>,
    },
    /// It asks for what cannot be had.
    #[error("the job `{job}` cannot run: {}", why.join("; "))]
    Refused {
        /// The job.
        job: String,
        /// What it asks for, with the places.
        why: Vec<String>,
    },
    /// It is disabled.
    #[error("the job `{0}` is disabled")]
    Disabled(String),
    /// It has no such parameter.
    #[error("the job `{job}` has no parameter `{name}`; it has {known}")]
    NoParameter {
        /// The job.
        job: String,
        /// The name given.
        name: String,
        /// The names it has.
        known: String,
    },
    /// A parameter cannot have this value.
    #[error("the parameter `{name}` of `{job}` cannot be `{value}`: {why}")]
    Value {
        /// The job.
        job: String,
        /// The parameter.
        name: String,
        /// The value.
        value: String,
        /// Why not.
        why: String,
    },
    /// It neither waits nor goes on.
    #[error("{0} neither waits nor runs")]
    NotActive(RunId),
    /// It could not be recorded.
    #[error("the run of `{job}` cannot be recorded")]
    Journal {
        /// The job.
        job: String,
        /// What was said.
        source: PortError,
    },
    /// The dispatcher stops.
    #[error("the job dispatcher is stopping")]
    Stopping,
}

pub(super) enum Command {
    Reconcile {
        definitions: Vec<Job>,
        built_in: bool,
        removed: Removed,
        many: bool,
        reply: oneshot::Sender<Reconciled>,
    },
    Run {
        request: RunRequest,
        reply: oneshot::Sender<Result<RunId, TriggerError>>,
    },
    Abort {
        run: RunId,
        by: String,
        reply: oneshot::Sender<Result<(), TriggerError>>,
    },
    Notify {
        url: String,
        reply: oneshot::Sender<Vec<String>>,
    },
    List {
        reply: oneshot::Sender<Vec<JobView>>,
    },
    Tick {
        reply: oneshot::Sender<()>,
    },
}

/// The handle. Clones talk to the same dispatcher.
#[derive(Clone)]
pub struct Jobs {
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<JobEvent>,
    journal: Arc<dyn Journal>,
    logs: LogStore,
    artefacts: ArtefactStore,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jobs")
    }
}

impl Jobs {
    /// A dispatcher and its handle. Nothing happens before [`Dispatcher::run`].
    #[must_use]
    pub fn new(settings: Settings, ports: Ports) -> (Self, Dispatcher) {
        let (commands, inbox) = mpsc::channel(256);
        let (events, _) = broadcast::channel(1024);
        let handle = Self {
            commands,
            events: events.clone(),
            journal: Arc::clone(&ports.journal),
            logs: ports.logs.clone(),
            artefacts: ports.artefacts.clone(),
        };
        (handle, Dispatcher::new(settings, ports, inbox, events))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, TriggerError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| TriggerError::Stopping)?;
        answer.await.map_err(|_| TriggerError::Stopping)
    }

    /// Adds jobs that belong to Herder itself: no reconcile removes or replaces them.
    ///
    /// # Errors
    /// If the dispatcher stops.
    pub async fn add_built_in(&self, definitions: Vec<Job>) -> Result<Reconciled, TriggerError> {
        self.ask(|reply| Command::Reconcile {
            definitions,
            built_in: true,
            removed: Removed::Ignore,
            many: false,
            reply,
        })
        .await
    }

    /// Makes the set of jobs match `definitions`, all at once. Jobs with the same content keep their state; refused
    /// definitions leave the former version. `many` allows to remove most of the jobs.
    ///
    /// # Errors
    /// If the dispatcher stops.
    pub async fn reconcile(
        &self,
        definitions: Vec<Job>,
        removed: Removed,
        many: bool,
    ) -> Result<Reconciled, TriggerError> {
        self.ask(|reply| Command::Reconcile {
            definitions,
            built_in: false,
            removed,
            many,
            reply,
        })
        .await
    }

    /// Asks for a run. If the same already waits, that one is returned.
    ///
    /// # Errors
    /// If there is no such job, it is disabled, a parameter is wrong, or it cannot be recorded.
    pub async fn trigger(&self, request: RunRequest) -> Result<RunId, TriggerError> {
        self.ask(|reply| Command::Run { request, reply }).await?
    }

    /// Ends a run that waits or goes on; returns when it was told, not when it has ended.
    ///
    /// # Errors
    /// If it neither waits nor goes on.
    pub async fn abort(&self, run: &RunId, by: &str) -> Result<(), TriggerError> {
        let (run, by) = (run.clone(), by.to_owned());
        self.ask(|reply| Command::Abort { run, by, reply }).await?
    }

    /// A remote changed, somebody says: the jobs that poll it or wait for notices look at once. Returns their names.
    ///
    /// # Errors
    /// If the dispatcher stops.
    pub async fn notify(&self, url: &str) -> Result<Vec<String>, TriggerError> {
        let url = url.to_owned();
        self.ask(|reply| Command::Notify { url, reply }).await
    }

    /// All jobs, by name.
    ///
    /// # Errors
    /// If the dispatcher stops.
    pub async fn list(&self) -> Result<Vec<JobView>, TriggerError> {
        self.ask(|reply| Command::List { reply }).await
    }

    /// Makes the dispatcher look at the clock at once, as it otherwise does by itself.
    ///
    /// # Errors
    /// If the dispatcher stops.
    pub async fn tick(&self) -> Result<(), TriggerError> {
        self.ask(|reply| Command::Tick { reply }).await
    }

    /// Events from now on. A subscriber that is too slow misses some and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<JobEvent> {
        self.events.subscribe()
    }

    /// The logs.
    #[must_use]
    pub const fn logs(&self) -> &LogStore {
        &self.logs
    }

    /// The artefacts.
    #[must_use]
    pub const fn artefacts(&self) -> &ArtefactStore {
        &self.artefacts
    }

    /// The memory: past runs, decisions.
    #[must_use]
    pub fn journal(&self) -> &dyn Journal {
        &*self.journal
    }

    /// Waits until a run has ended.
    ///
    /// # Errors
    /// If it is not known, or the dispatcher stops.
    pub async fn wait(&self, run: &RunId) -> Result<RunRecord, TriggerError> {
        // Subscribed before looking, so that an end in between is not missed.
        let mut events = self.subscribe();
        loop {
            let found = self
                .journal
                .get(run)
                .await
                .map_err(|source| TriggerError::Journal {
                    job: run.job.clone(),
                    source,
                })?;
            match found {
                None => return Err(TriggerError::NotActive(run.clone())),
                Some(record) if record.status.is_final() => return Ok(record),
                Some(_) => {}
            }
            loop {
                match events.recv().await {
                    Ok(JobEvent::Finished { run: ended, .. }) if ended == *run => break,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return Err(TriggerError::Stopping),
                }
            }
        }
    }
}
