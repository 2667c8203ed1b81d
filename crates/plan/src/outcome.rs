//! What became of an action.

use crate::What;
use herder_object::Key;

/// What became of one action of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The object.
    pub key: Key,
    /// What was to be done.
    pub what: What,
    /// Its unit.
    pub unit: String,
    /// Its application.
    pub application: Option<String>,
    /// What happened, or the server's reason why not.
    pub result: Result<Effect, String>,
    /// Whether the server gave the same reason before.
    pub again: bool,
}

/// What an action did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The object is new.
    Created,
    /// The object was changed.
    Changed,
    /// The server found nothing to change.
    Unchanged,
    /// The object is gone, or going.
    Deleted,
    /// There was nothing to delete.
    Absent,
    /// The kind is not served any more.
    Skipped,
}

impl Effect {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Absent => "absent",
            Self::Skipped => "skipped",
        }
    }
}
