//! Runs job definitions: triggers, queue, dispatcher, logs. Executors, remotes, the platform's own actions and the
//! memory of past runs are traits that the server fills in.
//!
//! Owns when a run starts and why, its environment, its log and how it ended. Knows no cluster, no git program, no
//! SQL; reads no clock but the one it is given.
#![forbid(unsafe_code)]

pub mod cron;
mod definition;
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

pub use definition::{
    Action, Definition, Downstream, Origin, Parameter, ParameterKind, Retention, Source, Step, Target,
    Threshold, Trigger,
};
pub use dispatch::{Dispatcher, JobEvent, JobView, Jobs, Ports, RunRequest, Settings, TriggerError};
pub use env::{EnvInput, environment, expand};
pub use local::LocalExecutor;
pub use log::LogStore;
pub use memory::MemoryJournal;
pub use ports::{
    Actions, Checkouts, Decision, Executor, Journal, NewRun, PortError, Remotes, RunUpdate, SeenHead,
};
pub use reconcile::{Reconciled, Refusal, Removed};
pub use run::{Cause, Change, Checkout, RunEvent, RunId, RunRecord, RunResult, RunSpec, RunStatus};
