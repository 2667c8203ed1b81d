//! The words of the store: operations, entries, changes and errors.

use bytes::Bytes;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A value and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Bytes,
    /// The revision that last wrote it.
    pub revision: u64,
    /// The revision that created it.
    pub created: u64,
}

/// What must be true of a key for a transaction to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is no such key.
    Absent,
    /// The key was last written by this revision.
    Revision(u64),
}

/// What a transaction does to a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the value.
    Put(Bytes),
    /// Removes the key; no error if it is not there.
    Delete,
    /// Only checks the expectation.
    Check,
}

impl fmt::Debug for Write {
    /// Never prints the value: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(value) => write!(f, "Put({} bytes)", value.len()),
            Self::Delete => f.write_str("Delete"),
            Self::Check => f.write_str("Check"),
        }
    }
}

/// One part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The key.
    pub key: String,
    /// What must be true of it.
    pub expect: Expect,
    /// What happens to it.
    pub write: Write,
}

impl Op {
    /// Sets `key`, whatever it was.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            expect: Expect::Any,
            write: Write::Put(value.into()),
        }
    }

    /// Removes `key`, whatever it was.
    pub fn delete(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            expect: Expect::Any,
            write: Write::Delete,
        }
    }

    /// The same under a condition.
    #[must_use]
    pub fn expecting(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

/// One key's change, as watchers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Arc<str>,
    /// The new entry; `None` when deleted.
    pub entry: Option<Entry>,
    /// The revision of the transaction.
    pub revision: u64,
}

/// An expectation did not hold; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key:?} was expected {expected} but {}", match .actual { Some(at) => format!("was last written at revision {at}"), None => "does not exist".to_owned() })]
pub struct Conflict {
    /// The key.
    pub key: String,
    /// What was expected of it.
    pub expected: Expect,
    /// The revision it has, if it exists.
    pub actual: Option<u64>,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("in any state"),
            Self::Absent => f.write_str("not to exist"),
            Self::Revision(at) => write!(f, "at revision {at}"),
        }
    }
}

/// A transaction did not happen, or is not known to be on disk.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TxnError {
    /// An expectation did not hold.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The file cannot be written. The store refuses all writes from then on: memory is ahead of the disk.
    #[error("the store can no longer be written; free space or repair the disk and start again ({0})")]
    Disk(Arc<str>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// The file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the store {} is in use by another process: end that, or choose another directory", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged, cut short or something else.
    #[error("the store {} is damaged or no store: put it back from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<redb::Error>,
    },
    /// Its directory or mode.
    #[error("cannot prepare {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// An entry is not in this store's format.
    #[error("the store {} has an entry that is not in this program's format: key {key:?}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
}
