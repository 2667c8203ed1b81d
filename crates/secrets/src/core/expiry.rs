//! What ends, or is to be replaced, when. Only a queue of hints: every reader checks an entry's own time, so a late or
//! lost hint never makes an expired token valid.

use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// What ends or is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A token, by its hash.
    Token(String),
    /// A lease, by its id.
    Lease(String),
    /// Something outside is to be undone, by the outbox entry's id.
    Undo(String),
    /// A password or key is to be replaced, by the key of its entry.
    Rotate(String),
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<BTreeSet<(Timestamp, Target)>>);

impl Queue {
    pub(crate) fn push(&self, items: impl IntoIterator<Item = (Timestamp, Target)>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(items);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes one thing that has ended.
    pub(crate) fn pop(&self, now: Timestamp) -> Option<Target> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.first()?.0 > now {
            return None;
        }
        queue.pop_first().map(|(_, target)| target)
    }

    /// When the next thing ends.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .first()
            .map(|(at, _)| *at)
    }
}
