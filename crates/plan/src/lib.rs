//! (Fleet, Observed, now) → [`Plan`]: what to change in the cluster, each action with its reason.
//!
//! Owns the words [`Observed`], [`Plan`] and [`Outcome`]. Deciding is synchronous and pure; applying chooses nothing.
//! An object that already is as git says makes no action, and nothing is deleted because something could not be read.
#![forbid(unsafe_code)]

mod check;
mod compare;
mod decide;
mod observed;
mod order;
mod outcome;
mod plan;
mod prune;

pub use check::check;
pub use decide::{State, plan};
pub use herder_fleet::{Move, PromoteError, Promotion, promote, release};
pub use observed::{Observed, ObservedObject, ServedKind};
pub use order::Phase;
pub use outcome::{Effect, Outcome};
pub use plan::{Action, Plan, Skipped, What};
