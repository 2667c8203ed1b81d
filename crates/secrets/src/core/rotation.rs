//! Replacing the password this server logs in to a database with, so that the present one is in the storage at every
//! moment: the new one is stored before the database is asked to take it, and both are kept until it is known which
//! counts. One rotation of a connection at a time. Owns that order; the statements are the engine's.

use super::Core;
use super::txn::Txn;
use crate::Result;
use crate::engines::database::Connection;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// One lock for each connection that was ever rotated.
#[derive(Default)]
pub(crate) struct Rotations(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Rotations {
    /// Waits until no other rotation of a connection is under way.
    pub(crate) async fn turn(&self, at: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(at.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

impl Core {
    /// Stores a password before a database is asked to take it; durable when this returns.
    pub(crate) async fn propose(&self, at: &str, password: &str) -> Result<()> {
        self.change(at, |connection| connection.propose(password)).await
    }

    /// Stores what is known after a database did not say that it took a password.
    pub(crate) async fn unproven(&self, at: &str, proposed: &str, accepted: Option<&str>) -> Result<()> {
        self.change(at, |connection| connection.unproven(proposed, accepted))
            .await
    }

    async fn change(&self, at: &str, change: impl FnOnce(&mut Connection)) -> Result<()> {
        let pending = {
            let _writing = self.write_lock();
            let (keyring, _) = self.opened()?;
            let mut txn = Txn::new(&self.store, keyring, &self.cache);
            // Deleted meanwhile: then nobody wants its password.
            let Some(mut connection) = txn.get::<Connection>(at)? else {
                return Ok(());
            };
            change(&mut connection);
            txn.put(at, &connection)?;
            self.store.submit(txn.ops()?)?
        };
        pending.durable().await?;
        Ok(())
    }
}
