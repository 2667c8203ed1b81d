//! What happened: plans, runs, rollouts, promotions, leases, deployments, the findings of the last read, and an audit chain.
//!
//! Owns the SQL and nothing else: one schema and one set of statements for SQLite (the default, one file) and
//! PostgreSQL (by URL). It decides nothing, reads no clock and knows no other crate's types; times are arguments.
//! Nothing secret belongs here: callers mask before they record.
#![forbid(unsafe_code)]

mod actor;
mod audit;
mod deployments;
mod error;
mod facts;
mod findings;
mod heads;
mod hosts;
mod leases;
mod open;
mod plans;
mod promotions;
mod rollouts;
mod row;
mod runs;
mod seal;
mod sessions;

pub use actor::{Actor, Principal};
pub use audit::{AuditEntry, AuditFault, AuditRecord, AuditReport, check};
pub use deployments::{Deployment, NewDeployment};
pub use error::{Error, OpenError, SealError};
pub use findings::Finding;
pub use heads::{DecisionRecord, Head};
pub use hosts::HostOwner;
pub use leases::Lease;
pub use open::Ledger;
pub use plans::{NewPlan, PlanHead, PlanRow, PlanState, PlannedAction, SkippedKind};
pub use promotions::{NewPromotion, Promotion};
pub use rollouts::Rollout;
pub use runs::{NewRun, RunChange, RunFilter, RunRow};
pub use seal::SealedHead;
pub use sessions::Session;
