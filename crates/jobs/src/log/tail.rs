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
    lines: VecDeque<TailItem>,
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
        let state = State {
            store: self.clone(),
            run: run.clone(),
            live: self.follow(run),
            file: None,
            place: from,
            partial: Vec::new(),
            lines: VecDeque::new(),
        };
        try_unfold(state, |mut state| async move {
            let item = state.next().await?;
            Ok(item.map(|item| (item, state)))
        })
    }
}

impl State {
    async fn next(&mut self) -> Result<Option<TailItem>, LogError> {
        loop {
            if let Some(item) = self.lines.pop_front() {
                return Ok(Some(item));
            }
            // The mark is taken before reading, so nothing written in between is missed.
            let done = match &mut self.live {
                Some(live) => live.borrow_and_update().done,
                None => true,
            };
            if self.read().await? {
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
        let mut portion = vec![0u8; PORTION];
        let count = match &mut self.file {
            Some(file) => file.read(&mut portion).await,
            None => Ok(0),
        };
        let count = count.map_err(|e| self.io(e))?;
        portion.truncate(count);
        self.partial.extend_from_slice(&portion);
        let mut rest = self.partial.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.place += u64::try_from(end + 1).unwrap_or_default();
            if let Some(line) = LogLine::parse(&String::from_utf8_lossy(line)) {
                self.lines.push_back(TailItem {
                    next: self.place,
                    line,
                });
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.partial = rest.to_vec();
        Ok(count > 0)
    }

    fn io(&self, source: std::io::Error) -> LogError {
        self.store.io(&self.run, "read", source)
    }
}
