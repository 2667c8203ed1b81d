//! Follows a log: everything from a place, then what is added, until it ends. A slow follower loses nothing: the file
//! is the buffer, and the writer only says how far it has got.

use super::store::Progress;
use super::{LogError, LogLine, LogStore};
use crate::run::RunId;
use futures::Stream;
use futures::stream::try_unfold;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::SeekFrom;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;

const PORTION: usize = 64 * 1024;

/// A line and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailItem {
    /// Give this as `from` to go on after this line.
    pub next: u64,
    /// The line.
    pub line: LogLine,
}

struct State {
    store: LogStore,
    run: RunId,
    live: Option<watch::Receiver<Progress>>,
    file: Option<File>,
    /// Where the first byte of `partial` lies in the file.
    place: u64,
    partial: Vec<u8>,
}

impl LogStore {
    /// The lines of a run's log from the byte `from` on (zero, or a former item's `next`), and those still to come.
    /// Ends with the log.
    ///
    /// # Errors
    /// Within the stream: if there is no log, or it cannot be read.
    pub fn tail(
        &self,
        run: &RunId,
        from: u64,
    ) -> impl Stream<Item = Result<TailItem, LogError>> + Send + use<> {
        let state = (State::new(self, run, from, self.follow(run)), VecDeque::new());
        try_unfold(state, |(mut state, mut lines)| async move {
            loop {
                if let Some(item) = lines.pop_front() {
                    return Ok(Some((item, (state, lines))));
                }
                let mut place = state.place;
                let Some(raw) = state.next().await? else {
                    return Ok(None);
                };
                for line in raw.split_inclusive(|byte| *byte == b'\n') {
                    place += u64::try_from(line.len()).unwrap_or_default();
                    let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
                    if let Some(line) = LogLine::parse(&text) {
                        lines.push_back(TailItem { next: place, line });
                    }
                }
            }
        })
    }

    /// A run's log as it lies in its file, many lines at once, each whole: what there is, and with `follow` what is still
    /// to come.
    ///
    /// # Errors
    /// Within the stream: if there is no log, or it cannot be read.
    pub fn raw(
        &self,
        run: &RunId,
        follow: bool,
    ) -> impl Stream<Item = Result<Vec<u8>, LogError>> + Send + use<> {
        let live = if follow { self.follow(run) } else { None };
        try_unfold(State::new(self, run, 0, live), |mut state| async move {
            let raw = state.next().await?;
            Ok(raw.map(|raw| (raw, state)))
        })
    }
}

impl State {
    fn new(store: &LogStore, run: &RunId, from: u64, live: Option<watch::Receiver<Progress>>) -> Self {
        Self {
            store: store.clone(),
            run: run.clone(),
            live,
            file: None,
            place: from,
            partial: Vec::new(),
        }
    }

    /// The next whole lines; none at the end of the log.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        loop {
            // The mark is taken before reading, so nothing written in between is missed.
            let done = match &mut self.live {
                Some(live) => live.borrow_and_update().done,
                None => true,
            };
            if self.read().await? {
                if let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') {
                    let rest = self.partial.split_off(end + 1);
                    let lines = std::mem::replace(&mut self.partial, rest);
                    self.place += u64::try_from(lines.len()).unwrap_or_default();
                    return Ok(Some(lines));
                }
                continue;
            }
            if done {
                if self.file.is_none() {
                    return Err(LogError::Missing(self.run.clone()));
                }
                return Ok(None);
            }
            if let Some(live) = &mut self.live
                && live.changed().await.is_err()
            {
                self.live = None;
            }
        }
    }

    /// Reads what there is; says whether there was anything.
    async fn read(&mut self) -> Result<bool, LogError> {
        if self.file.is_none() {
            self.file = match File::open(self.store.path(&self.run)).await {
                Ok(mut file) => {
                    let len = file.metadata().await.map_err(|e| self.io(e))?.len();
                    if self.place > len {
                        return Err(LogError::Beyond {
                            run: self.run.clone(),
                            len,
                            from: self.place,
                        });
                    }
                    file.seek(SeekFrom::Start(self.place))
                        .await
                        .map_err(|e| self.io(e))?;
                    Some(file)
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(self.io(error)),
            };
        }
        self.partial.reserve(PORTION);
        let count = match &mut self.file {
            Some(file) => file.read_buf(&mut self.partial).await,
            None => Ok(0),
        };
        Ok(count.map_err(|e| self.io(e))? > 0)
    }

    fn io(&self, source: std::io::Error) -> LogError {
        self.store.io(&self.run, "read", source)
    }
}
