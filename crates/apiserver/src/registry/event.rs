//! What happened, in order, for every watcher in the process.

use herder_store::{Gone, Reader};
use serde_json::Value;
use std::sync::Arc;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was created.
    Added,
    /// It changed.
    Modified,
    /// It is gone; the event carries its last state with the revision of the deletion.
    Deleted,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct Event {
    /// The resource, such as `deployments.apps`.
    pub resource: Arc<str>,
    /// What happened.
    pub kind: EventKind,
    /// The object after the change (before it, when deleted).
    pub object: Arc<Value>,
    /// The object before the change; `None` when added.
    pub previous: Option<Arc<Value>>,
    /// The revision of the change.
    pub revision: u64,
}

/// Follows all events of a registry, in order.
#[derive(Debug)]
pub struct Subscription(pub(super) Reader<Event>);

impl Subscription {
    /// The next event; waits for one, for ever once the registry is gone. Cancel safe.
    ///
    /// # Errors
    /// [`Gone`] if this reader fell behind: subscribe again, then list afresh.
    pub async fn next(&mut self) -> Result<Event, Gone> {
        match self.0.next().await {
            Some(Ok((_, event))) => Ok(event),
            Some(Err(gone)) => Err(gone),
            None => std::future::pending().await,
        }
    }

    /// The next event if there is one now.
    ///
    /// # Errors
    /// [`Gone`] if this reader fell behind.
    pub fn try_next(&mut self) -> Result<Option<Event>, Gone> {
        Ok(self.0.try_next()?.map(|(_, event)| event))
    }

    /// Events up to this revision have been taken.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.position()
    }
}
