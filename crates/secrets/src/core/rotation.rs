//! Replacing passwords so that the present one is in the storage at every moment: a new one is stored before a database
//! is asked to take it, and kept until it is known whether that did. One rotation of an entry at a time. Also what is
//! replaced by itself: whether it is due, and when it is tried again. Owns that order; statements and periods are the
//! engines'.

use super::Core;
use super::expiry::Target;
use super::token::after;
use super::txn::Txn;
use crate::engines::Rotation;
use crate::engines::database::{Connection, StaticRole};
use crate::external::Rotates;
use crate::http::sql::Asked;
use crate::{Error, Result};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Seconds after which a rotation that was begun must have come to its end; then it is gone on with.
const PATIENCE: i64 = 60;
/// Seconds after which a rotation that failed is tried again at the latest.
const LATEST: i64 = 600;
/// Rotations under way at the same time in one place.
const MOST_IN_ONE_PLACE: usize = 4;

/// See the module. What is here is lost with the process: what is stored says enough to begin anew.
#[derive(Default)]
pub(crate) struct Rotations {
    /// One for each entry that was ever rotated.
    locks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    places: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// How often those failed that failed last time, and when they are tried again.
    failed: Mutex<BTreeMap<String, (u32, Timestamp)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rotations {
    /// Waits until no other rotation of the entries is under way. Everybody takes a role's turn before its connection's,
    /// so that no two wait for each other.
    pub(crate) async fn turns(&self, of: &Rotates) -> Vec<OwnedMutexGuard<()>> {
        let mut turns = Vec::new();
        for at in of.role.iter().chain(&of.connection) {
            let one = Arc::clone(lock(&self.locks).entry(at.clone()).or_default());
            turns.push(one.lock_owned().await);
        }
        turns
    }

    /// Room for one more rotation in a place, if there is any.
    pub(crate) fn room(&self, place: &str) -> Option<OwnedSemaphorePermit> {
        let mut places = lock(&self.places);
        let place = places
            .entry(place.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(MOST_IN_ONE_PLACE)));
        Arc::clone(place).try_acquire_owned().ok()
    }

    /// Forgets that an entry's rotation failed.
    pub(crate) fn forget(&self, at: &str) {
        lock(&self.failed).remove(at);
    }

    /// The same for all: what is due is found anew.
    pub(crate) fn forget_all(&self) {
        lock(&self.failed).clear();
    }

    /// Counts a failure, unless it is counted, and says when to try again.
    fn failed(&self, at: &str, now: Timestamp) -> Timestamp {
        let mut failed = lock(&self.failed);
        let (tries, again) = failed.entry(at.to_owned()).or_default();
        if *again > now {
            return *again;
        }
        *again = after(now, (5_i64 << (*tries).min(10)).min(LATEST));
        *tries = tries.saturating_add(1);
        *again
    }
}

impl Core {
    /// What is to be done for an entry whose time has come; `None` if it is gone, was replaced meanwhile, or is to be
    /// tried later: then another hint is in the queue.
    pub(crate) fn due(&self, at: &str) -> Result<Option<Rotation>> {
        let now = self.clock.now();
        if lock(&self.rotations.failed)
            .get(at)
            .is_some_and(|(_, again)| *again > now)
        {
            return Ok(None);
        }
        let (keyring, _) = self.opened()?;
        let mut txn = Txn::new(&self.store, keyring, &self.cache);
        let due = crate::engines::rotation(&mut txn, at)?.filter(|found| found.due <= now);
        if due.is_none() {
            self.rotations.forget(at);
        }
        Ok(due)
    }

    /// Tries an entry again after a while, which gets longer with every failure.
    pub(crate) fn rotation_failed(&self, at: String) {
        let again = self.rotations.failed(&at, self.clock.now());
        self.queue.push([(again, Target::Rotate(at))]);
        self.wake.notify_one();
    }

    /// Puts an entry that was taken from the queue back into it.
    pub(crate) fn rotate_later(&self, at: String, seconds: i64) {
        let when = after(self.clock.now(), seconds);
        self.queue.push([(when, Target::Rotate(at))]);
    }

    /// Stores a password before a database is asked to take it; durable when this returns.
    pub(crate) async fn propose(&self, of: &Rotates, password: &str) -> Result<()> {
        self.change(|txn| {
            if let Some(at) = &of.role {
                let mut role = match txn.get::<StaticRole>(at)? {
                    Some(role) => role,
                    None if of.fresh.is_empty() => {
                        return Err(Error::invalid("the static role was deleted meanwhile"));
                    }
                    None => serde_json::from_str(&of.fresh)
                        .map_err(|_| Error::Internal("a static role could not be read back"))?,
                };
                role.propose(password);
                txn.put(at, &role)?;
            }
            if let Some(at) = &of.connection
                // Deleted meanwhile: then nobody wants its password.
                && let Some(mut connection) = txn.get::<Connection>(at)?
            {
                connection.propose(password);
                txn.put(at, &connection)?;
            }
            Ok(())
        })
        .await?;
        if let Some(at) = &of.role {
            self.rotate_later(at.clone(), PATIENCE);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Stores what is known after a database did not say that it took a password.
    pub(crate) async fn unproven(&self, of: &Rotates, proposed: &str, asked: &Asked<'_>) -> Result<()> {
        let accepted = asked.accepted.map(|password| password.as_str());
        self.change(|txn| {
            if let Some(at) = &of.role
                && txn.get::<StaticRole>(at)?.is_some_and(|role| !role.is_made())
                && (accepted.is_none() || asked.refused)
            {
                // Its first password is certainly none: there is no role then.
                txn.delete(at);
            }
            if let Some(at) = &of.connection
                // A static role's password is told again and again: an earlier time may have reached the database.
                && (accepted.is_some() || of.role.is_none())
                && let Some(mut connection) = txn.get::<Connection>(at)?
            {
                connection.unproven(proposed, accepted);
                txn.put(at, &connection)?;
            }
            Ok(())
        })
        .await?;
        if let Some(at) = &of.role {
            self.rotation_failed(at.clone());
        }
        Ok(())
    }

    async fn change(&self, change: impl FnOnce(&mut Txn<'_>) -> Result<()>) -> Result<()> {
        let pending = {
            let _writing = self.write_lock();
            let (keyring, _) = self.opened()?;
            let mut txn = Txn::new(&self.store, keyring, &self.cache);
            change(&mut txn)?;
            let ops = txn.ops()?;
            if ops.is_empty() {
                return Ok(());
            }
            self.store.submit(ops)?
        };
        pending.durable().await?;
        Ok(())
    }
}
