//! A plan: named, immutable, printable.

use crate::{PartAction, Phase};
use herder_base::{Commit, Diagnostic, Location};
use herder_object::Key;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// What to change, in the order to change it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Hash of what it says; equal plans have equal ids.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// The plan it follows.
    pub parent: Option<String>,
    /// Counts plans; a plan with a lower generation than the last applied one is stale.
    pub generation: u64,
    /// The fleet's name.
    pub fleet: String,
    /// The fleet repository's commit.
    pub commit: Commit,
    /// What to do: by phase, then as the fleet has it.
    pub actions: Vec<Action>,
    /// What to do besides objects: policies, then roles.
    pub parts: Vec<PartAction>,
    /// Objects of kinds that the cluster does not serve.
    pub skipped: Vec<Skipped>,
    /// Objects that git names and that are left out, whatever the reason: what they belong to is incomplete.
    pub absent: Vec<Absent>,
    /// Jobs that have ended and went by their own rule.
    pub ended: Vec<(Key, Option<String>)>,
    /// How many objects already are as git says.
    pub unchanged: usize,
    /// What people should know.
    pub notes: Vec<Diagnostic>,
}

/// One change, or one change that is deliberately not made.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// What to do.
    pub what: What,
    /// With which object.
    pub key: Key,
    /// The object as it is to be; for [`What::Delete`] as it was seen, so that its uid can be a precondition.
    pub value: Option<Arc<Value>>,
    /// Its unit.
    pub unit: String,
    /// Its application.
    pub application: Option<String>,
    /// When in the plan.
    pub phase: Phase,
    /// Why, for people.
    pub reason: String,
    /// The place in git it comes from.
    pub source: Option<Location>,
}

/// What to do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Make it so (server-side apply).
    Apply,
    /// Remove it.
    Delete,
    /// Leave it as it is although git says otherwise; the reason says why.
    Hold,
}

/// An object that git names and that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Which object.
    pub key: Key,
    /// The application it belongs to.
    pub application: Option<String>,
    /// Where git names it.
    pub source: Location,
    /// Why it is left out.
    pub why: String,
}

/// Objects of a kind that the cluster does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// `cert-manager.io/v1 Certificate`.
    pub kind: String,
    /// How many objects.
    pub count: usize,
    /// The first place that has one.
    pub first: Option<Location>,
}

impl What {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Delete => "delete",
            Self::Hold => "hold",
        }
    }
}

impl Plan {
    /// Whether applying it would write nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes().next().is_none() && self.part_writes().next().is_none()
    }

    /// The actions that write, in order.
    pub fn writes(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().filter(|action| action.what != What::Hold)
    }

    /// The actions of parts that write.
    pub fn part_writes(&self) -> impl Iterator<Item = &PartAction> {
        self.parts.iter().filter(|action| action.what != What::Hold)
    }

    /// The units it writes to, in order, each once.
    #[must_use]
    pub fn units(&self) -> Vec<&str> {
        let mut units: Vec<&str> = self.writes().map(|action| action.unit.as_str()).collect();
        units.sort_unstable();
        units.dedup();
        units
    }
}
