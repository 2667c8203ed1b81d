//! The store itself: reads from memory, transactions through the journal, watches from the bus.

use crate::disk::{self, Journal};
use crate::state::State;
use crate::{Bus, Change, Conflict, Entry, Gone, Op, OpenError, Reader, TxnError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Recent changes kept for watchers.
const RING: usize = 4096;

struct Inner {
    state: RwLock<State>,
    bus: Bus<Change>,
    /// Absent when the store lives in memory only.
    journal: Option<Arc<Journal>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A handle to one store; clones share it. The file is complete and released when the last handle is dropped.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

/// A transaction that has happened in memory, and is on its way to the disk.
#[derive(Debug)]
#[must_use = "it is durable only once `durable` has returned"]
pub struct Pending {
    /// Its revision.
    pub revision: u64,
    ack: Option<oneshot::Receiver<Result<(), TxnError>>>,
}

impl Pending {
    /// Waits until the transaction is on disk.
    ///
    /// # Errors
    /// [`TxnError::Disk`] if it could not be written.
    pub async fn durable(self) -> Result<u64, TxnError> {
        if let Some(ack) = self.ack {
            ack.await.unwrap_or(Err(TxnError::Closed))?;
        }
        Ok(self.revision)
    }
}

impl Store {
    /// Opens or creates the file at `path` (mode 0600), reading all of it.
    ///
    /// # Errors
    /// [`OpenError`] if the file is in use, unreadable or not a store.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let opened = disk::open(path)?;
        let journal = Arc::new(Journal::default());
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let journal = Arc::clone(&journal);
                let database = opened.database;
                move || disk::write_all(&database, &journal)
            })
            .map_err(|source| OpenError::Io {
                path: path.to_owned(),
                source,
            })?;
        let state = State::new(opened.entries, opened.revision);
        Ok(Self::assemble(state, Some(journal), Some(writer)))
    }

    /// A store that is gone with its last handle.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::assemble(State::default(), None, None)
    }

    fn assemble(state: State, journal: Option<Arc<Journal>>, writer: Option<JoinHandle<()>>) -> Self {
        Self(Arc::new(Inner {
            bus: Bus::new(RING, state.revision),
            state: RwLock::new(state),
            journal,
            writer: Mutex::new(writer),
        }))
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of the last transaction.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// The entry at `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Entry> {
        self.state().get(key).cloned()
    }

    /// All entries whose key starts with `prefix`, in key order, with the revision at which this was read.
    #[must_use]
    pub fn range(&self, prefix: &str) -> (Vec<(Arc<str>, Entry)>, u64) {
        let state = self.state();
        let found = state
            .range(prefix)
            .map(|(key, entry)| (Arc::clone(key), entry.clone()))
            .collect();
        (found, state.revision)
    }

    /// The revision that last wrote `key`; `None` if there is no such key.
    #[must_use]
    pub fn written(&self, key: &str) -> Option<u64> {
        self.state().get(key).map(|entry| entry.revision)
    }

    /// All keys that start with `prefix`, in order.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<Arc<str>> {
        self.state().keys(prefix).map(Arc::clone).collect()
    }

    /// Does a transaction in memory, or nothing of it; the caller awaits its durability. Readers and watchers see it at
    /// once; everything they then write is behind it on the disk too, so a crash loses a suffix, never a middle.
    ///
    /// # Errors
    /// [`TxnError::Conflict`] if an expectation does not hold, [`TxnError::Disk`] after an earlier failed write.
    pub fn submit(&self, ops: Vec<Op>) -> Result<Pending, TxnError> {
        if let Some(failure) = self.0.journal.as_ref().and_then(|journal| journal.failure()) {
            return Err(failure);
        }
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let changes = state
            .apply(ops)
            .map_err(|conflict: Conflict| TxnError::from(conflict))?;
        let revision = state.revision;
        if changes.is_empty() {
            return Ok(Pending { revision, ack: None });
        }
        let ack = self.0.journal.as_ref().map(|journal| {
            let (send, receive) = oneshot::channel();
            journal.push(&changes, send);
            receive
        });
        self.0.bus.publish(revision, changes);
        Ok(Pending { revision, ack })
    }

    /// Does a transaction, or nothing of it, and returns its revision once it is on disk.
    ///
    /// # Errors
    /// [`TxnError::Conflict`] if an expectation does not hold; [`TxnError::Disk`] if it cannot be written.
    pub async fn txn(&self, ops: Vec<Op>) -> Result<u64, TxnError> {
        self.submit(ops)?.durable().await
    }

    /// Changes after revision `since` to keys that start with `prefix`, in order.
    ///
    /// # Errors
    /// [`Gone`] if they are no longer kept.
    pub fn watch(&self, prefix: impl Into<String>, since: u64) -> Result<Watch, Gone> {
        Ok(Watch {
            reader: self.0.bus.read(since)?,
            prefix: prefix.into(),
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(journal) = &self.journal {
            journal.close();
        }
        let writer = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the store's writer thread ended abnormally");
        }
    }
}

/// Follows the changes below a prefix.
#[derive(Debug)]
pub struct Watch {
    reader: Reader<Change>,
    prefix: String,
}

impl Watch {
    /// The next change; waits for one. `None` once the store is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Change, Gone>> {
        loop {
            match self.reader.next().await? {
                Ok((_, change)) if change.key.starts_with(&self.prefix) => return Some(Ok(change)),
                Ok(_) => {}
                Err(gone) => return Some(Err(gone)),
            }
        }
    }
}
