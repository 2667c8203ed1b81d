//! The redb file and its writer thread. The only module that touches the disk.
//!
//! Changes queue in revision order; the writer takes all that have gathered, commits them in one synced transaction and
//! then acknowledges their writers. After a failed commit nothing more is written: later changes must not reach the
//! disk without the earlier ones.

use crate::{Change, Entry, OpenError, TxnError};
use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;

const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Two little-endian u64, revision and created, precede every value.
const HEADER: usize = 16;
/// The next start begins this far above what was on disk: a reader may have seen, before a crash, revisions that were
/// never acknowledged, and no later change may carry one of those.
const RESTART_GAP: u64 = 10_000;
const CACHE_BYTES: usize = 4 << 20;

pub(crate) type Ack = oneshot::Sender<Result<(), TxnError>>;

/// What waits to be written.
#[derive(Default)]
pub(crate) struct Queue {
    changes: Vec<Change>,
    acks: Vec<Ack>,
    closed: bool,
    failed: Option<Arc<str>>,
}

/// The queue between the index and the writer thread.
#[derive(Default)]
pub(crate) struct Journal {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Journal {
    /// Queues one transaction's changes. Called under the index's lock, so that the order is that of the revisions.
    pub(crate) fn push(&self, changes: &[Change], ack: Ack) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.changes.extend_from_slice(changes);
        queue.acks.push(ack);
        self.wake.notify_one();
    }

    pub(crate) fn failure(&self) -> Option<TxnError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.failed.clone().map(TxnError::Disk)
    }

    pub(crate) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.wake.notify_one();
    }

    fn take(&self) -> Option<(Vec<Change>, Vec<Ack>)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if !queue.acks.is_empty() {
                return Some((
                    std::mem::take(&mut queue.changes),
                    std::mem::take(&mut queue.acks),
                ));
            }
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, reason: &Arc<str>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.failed = Some(Arc::clone(reason));
    }
}

/// What a file held.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) entries: HashMap<Arc<str>, Entry>,
    pub(crate) revision: u64,
}

/// Opens or creates the file (mode 0600) and reads all of it.
pub(crate) fn open(path: &Path) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .map_err(io)?;
    let wrap = |source: redb::Error| match source {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse {
            path: path.to_owned(),
        },
        redb::Error::Io(source)
            if !matches!(source.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) =>
        {
            io(source)
        }
        source => OpenError::Damaged {
            path: path.to_owned(),
            source: Box::new(source),
        },
    };
    let backend = redb::backends::FileBackend::new(file).map_err(|error| wrap(error.into()))?;
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)
        .map_err(|error| wrap(error.into()))?;
    let mut entries = HashMap::new();
    let mut revision = 0;
    let read = database.begin_read().map_err(|error| wrap(error.into()))?;
    match read.open_table(META) {
        Ok(meta) => {
            if let Some(found) = meta.get("revision").map_err(|error| wrap(error.into()))? {
                revision = found.value() + RESTART_GAP;
            }
        }
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(wrap(error.into())),
    }
    match read.open_table(ENTRIES) {
        Ok(table) => {
            for item in table.iter().map_err(|error| wrap(error.into()))? {
                let (key, value) = item.map_err(|error| wrap(error.into()))?;
                let key: Arc<str> = Arc::from(key.value());
                let entry = decode(value.value()).ok_or_else(|| OpenError::Format {
                    path: path.to_owned(),
                    key: key.to_string(),
                })?;
                entries.insert(key, entry);
            }
        }
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(wrap(error.into())),
    }
    drop(read);
    Ok(Opened {
        database,
        entries,
        revision,
    })
}

fn decode(raw: &[u8]) -> Option<Entry> {
    let revision = u64::from_le_bytes(raw.get(..8)?.try_into().ok()?);
    let created = u64::from_le_bytes(raw.get(8..HEADER)?.try_into().ok()?);
    Some(Entry {
        value: Bytes::copy_from_slice(raw.get(HEADER..)?),
        revision,
        created,
    })
}

/// The writer thread: ends when the journal is closed and empty.
pub(crate) fn write_all(database: &Database, journal: &Journal) {
    let mut failed: Option<Arc<str>> = None;
    while let Some((changes, acks)) = journal.take() {
        if failed.is_none()
            && let Err(error) = commit(database, &changes)
        {
            let reason: Arc<str> = Arc::from(error.to_string());
            tracing::error!(%reason, "the store cannot be written; refusing writes");
            journal.fail(&reason);
            failed = Some(reason);
        }
        let result = failed
            .clone()
            .map_or(Ok(()), |reason| Err(TxnError::Disk(reason)));
        for ack in acks {
            // The writer may have stopped waiting; its change is on disk all the same.
            let _gone = ack.send(result.clone());
        }
    }
}

fn commit(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut entries = write.open_table(ENTRIES)?;
        let mut buffer = Vec::new();
        for change in changes {
            match &change.entry {
                Some(entry) => {
                    buffer.clear();
                    buffer.extend_from_slice(&entry.revision.to_le_bytes());
                    buffer.extend_from_slice(&entry.created.to_le_bytes());
                    buffer.extend_from_slice(&entry.value);
                    entries.insert(&*change.key, buffer.as_slice())?;
                }
                None => {
                    entries.remove(&*change.key)?;
                }
            }
        }
        if let Some(last) = changes.last() {
            write.open_table(META)?.insert("revision", last.revision)?;
        }
    }
    write.commit()?;
    Ok(())
}
