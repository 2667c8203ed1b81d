//! Runs job definitions: triggers, queue, dispatcher, logs. Executors, remotes, the platform's own actions and the
//! memory of past runs are traits that the server fills in.
//!
//! Owns when a run starts and why, its environment, its log and how it ended. Knows no cluster, no git program, no
//! SQL; reads no clock but the one it is given.
#![forbid(unsafe_code)]

pub mod cron;
mod definition;
mod ports;
mod run;

pub use definition::{
    Action, Definition, Downstream, Origin, Parameter, ParameterKind, Retention, Source, Step, Target,
    Threshold, Trigger,
};
pub use ports::{
    Actions, Checkouts, Decision, Executor, Journal, NewRun, PortError, Remotes, RunUpdate, SeenHead,
};
pub use run::{Cause, Change, Checkout, RunEvent, RunId, RunRecord, RunResult, RunSpec, RunStatus};
