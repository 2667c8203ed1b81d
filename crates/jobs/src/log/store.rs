//! Where logs lie, and which of them still grow.

use super::LogWriter;
use crate::run::RunId;
use herder_base::{Clock, Secret};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;
use tokio::sync::watch;

/// A log could not be written or read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The system refused.
    #[error("the log of {run} cannot be {action} at {path}")]
    Io {
        /// The run.
        run: RunId,
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is none.
    #[error("{0} has no log: it was never started, or its log was removed by the job's retention")]
    Missing(RunId),
    /// The place to read from lies beyond the end.
    #[error("the log of {run} has {len} bytes, it cannot be read from {from}")]
    Beyond {
        /// The run.
        run: RunId,
        /// Its length.
        len: u64,
        /// The place asked for.
        from: u64,
    },
}

/// How far a growing log has got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) len: u64,
    pub(crate) done: bool,
}

type Live = Arc<Mutex<HashMap<RunId, Arc<watch::Sender<Progress>>>>>;

/// All logs below a directory. Clones share it.
#[derive(Debug, Clone)]
pub struct LogStore {
    root: Arc<Path>,
    live: Live,
    longest: u64,
}

impl LogStore {
    /// Logs below `root`; nothing is created before the first write.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into().into(),
            live: Live::default(),
            longest: super::writer::LONGEST_LOG,
        }
    }

    /// With a limit of one's own to the bytes of one log.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.longest = bytes;
        self
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    /// The file of a run: the job's folders, then `NUMBER.log`.
    #[must_use]
    pub fn path(&self, run: &RunId) -> PathBuf {
        let mut path = self.root.join(folder(&run.job));
        path.push(format!("{}.log", run.number));
        path
    }

    /// Says that a run will have a log, so that it can be followed before it begins.
    pub fn announce(&self, run: &RunId) {
        self.sender(run);
    }

    /// Says that a run's log will not grow any more; followers come to their end.
    pub fn close(&self, run: &RunId) {
        let sender = self.lock().remove(run);
        if let Some(sender) = sender {
            sender.send_modify(|progress| progress.done = true);
        }
    }

    /// Opens a run's log for writing, at its end if there is one already. The secrets are hidden in it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub async fn writer(
        &self,
        run: &RunId,
        secrets: Vec<Secret<String>>,
        clock: Arc<dyn Clock>,
    ) -> Result<LogWriter, LogError> {
        LogWriter::open(self.clone(), run.clone(), secrets, clock).await
    }

    /// Removes the logs of finished runs; missing ones are no error.
    ///
    /// # Errors
    /// If one cannot be removed; the others are tried first.
    pub async fn remove(&self, job: &str, numbers: &[u64]) -> Result<(), LogError> {
        let mut result = Ok(());
        for number in numbers {
            let run = RunId {
                job: job.to_owned(),
                number: *number,
            };
            let path = self.path(&run);
            if let Err(source) = tokio::fs::remove_file(&path).await
                && source.kind() != std::io::ErrorKind::NotFound
            {
                result = Err(self.io(&run, "removed", source));
            }
        }
        result
    }

    pub(crate) fn sender(&self, run: &RunId) -> Arc<watch::Sender<Progress>> {
        let mut live = self.lock();
        Arc::clone(
            live.entry(run.clone())
                .or_insert_with(|| Arc::new(watch::Sender::new(Progress::default()))),
        )
    }

    pub(crate) fn follow(&self, run: &RunId) -> Option<watch::Receiver<Progress>> {
        self.lock().get(run).map(|sender| sender.subscribe())
    }

    pub(crate) fn io(&self, run: &RunId, action: &'static str, source: std::io::Error) -> LogError {
        LogError::Io {
            run: run.clone(),
            action,
            path: self.path(run).display().to_string(),
            source,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Arc<watch::Sender<Progress>>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job's folders.
pub(crate) fn folder(job: &str) -> PathBuf {
    job.split('/').map(encode).collect()
}

/// A job's name part as a directory name: nothing that means something to the system, no two names alike, and never
/// the form of a log's name, so that the folder of a job `a/1.log` cannot meet the first log of `a`.
fn encode(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    let log = segment.ends_with(".log") || segment.bytes().all(|b| b == b'.');
    for byte in segment.bytes() {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b' ' | b'+' | b'@' | b'=' | b',');
        if plain || (byte == b'.' && !log) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_directory() {
        let store = LogStore::new("/logs");
        for (job, expected) in [
            ("team/build", "/logs/team/build/7.log"),
            ("../../etc", "/logs/%2E%2E/%2E%2E/etc/7.log"),
            ("a/1.log", "/logs/a/1%2Elog/7.log"),
            ("v1.2 x", "/logs/v1.2 x/7.log"),
        ] {
            let run = RunId {
                job: job.to_owned(),
                number: 7,
            };
            assert_eq!(store.path(&run), PathBuf::from(expected));
        }
    }
}
