//! Runs jobs: triggers, queue, dispatcher, logs, artefacts. Executors, remotes, the platform's own actions and the
//! memory of past runs are traits that the server fills in.
//!
//! Owns when a run starts and why, its environment, its log and how it ended. Knows no cluster, no git program, no
//! SQL; reads no clock but the one it is given.
#![forbid(unsafe_code)]

mod artefacts;
pub mod cron;
mod dispatch;
mod env;
mod local;
pub mod log;
mod memory;
mod ports;
mod queue;
mod reconcile;
pub mod remotes;
mod run;
pub mod script;

pub use artefacts::{Artefact, ArtefactError, ArtefactStore, Room};
pub use dispatch::{
    Dispatcher, JobEvent, JobView, Jobs, Ports, RunRequest, Settings, TriggerError, commit_key,
};
pub use env::{EnvInput, environment, expand};
pub use herder_job::{
    Action, Artefacts, Downstream, Ended, Job, May, Origin, Parameter, ParameterKind, Retention, Scope,
    Source, Step, Target, Trigger, When, is_within,
};
pub use local::LocalExecutor;
pub use log::LogStore;
pub use memory::MemoryJournal;
pub use ports::{
    Actions, Checkouts, Decision, Executor, Journal, NewRun, PortError, Remotes, RunUpdate, SeenHead,
};
pub use reconcile::{Reconciled, Refusal, Removed};
pub use run::{Cause, Change, Checkout, RunEvent, RunId, RunRecord, RunResult, RunSpec, RunStatus};
