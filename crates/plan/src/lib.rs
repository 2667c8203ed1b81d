//! (Fleet, Observed, now) → [`Plan`]: what to change in the cluster and in Vault, each action with its reason.
//!
//! Owns the words [`Observed`], [`Plan`] and [`Outcome`]. Deciding is synchronous and pure; applying chooses nothing.
//! An object that already is as git says makes no action, and nothing is deleted because something could not be read:
//! every input is [`Known`] or says why not. Only a [`Checked`] plan can be applied.
#![forbid(unsafe_code)]

mod check;
mod compare;
mod decide;
mod each;
mod ended;
mod going;
mod known;
mod learnt;
mod observed;
mod order;
mod others;
mod outcome;
mod parts;
mod plan;
mod prune;
mod turns;

pub use check::{Checked, Refused, check};
pub use decide::{State, plan};
pub use ended::Ended;
pub use herder_fleet::{Move, PromoteError, Promotion, pinned, promote, release, rollback};
pub use known::Known;
pub use learnt::{Contest, Difference, Learnt, Lessons, Refusal};
pub use observed::{Observed, ObservedObject, ServedKind};
pub use order::Phase;
pub use outcome::{Effect, Outcome};
pub use parts::{Inventory, Part, PartAction, PartOutcome, Present, Wish};
pub use plan::{Absent, Action, Plan, Skipped, What};
