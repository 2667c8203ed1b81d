//! Writes one run's log: joins what steps write into lines, hides secrets, stamps, and tells followers.

use super::store::Progress;
use super::{LineKind, LogError, LogLine, LogStore, Mask};
use crate::run::{RunEvent, RunId};
use herder_base::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

/// A line longer than this is cut into several.
const LONGEST_LINE: usize = 64 * 1024;

/// A log longer than this takes no more text from steps.
const LONGEST_LOG: u64 = 256 * 1024 * 1024;

/// Writes one run's log.
#[derive(Debug)]
pub struct LogWriter {
    store: LogStore,
    run: RunId,
    file: File,
    len: u64,
    full: bool,
    mask: Mask,
    clock: Arc<dyn Clock>,
    open: BTreeMap<u32, Vec<u8>>,
    ready: Vec<u8>,
    progress: Arc<watch::Sender<Progress>>,
}

impl LogWriter {
    pub(super) async fn open(
        store: LogStore,
        run: RunId,
        mask: Mask,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LogError> {
        let path = store.path(&run);
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent)
                .await
                .map_err(|source| store.io(&run, "created", source))?;
        }
        let opened = File::options().create(true).append(true).open(&path).await;
        let file = opened.map_err(|source| store.io(&run, "created", source))?;
        let metadata = file.metadata().await;
        let len = metadata.map_err(|source| store.io(&run, "opened", source))?.len();
        let progress = store.sender(&run);
        let ready = if len == 0 {
            format!(
                "#herder-log 1 {} #{}\n",
                run.job.replace(['\n', '\r'], " "),
                run.number
            )
            .into_bytes()
        } else {
            Vec::new()
        };
        Ok(Self {
            store,
            run,
            file,
            len,
            full: false,
            mask,
            clock,
            open: BTreeMap::new(),
            ready,
            progress,
        })
    }

    /// Writes what an executor told.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn event(&mut self, event: RunEvent) -> Result<(), LogError> {
        match event {
            RunEvent::Note(text) => self.line(LineKind::Note, text.as_bytes()),
            RunEvent::StepStarted { step, title } => self.line(LineKind::Begin(step), title.as_bytes()),
            RunEvent::Output { step, bytes } => self.output(step, &bytes),
            RunEvent::StepFinished { step, code } => {
                self.end_of_text(step);
                self.line(LineKind::End(step), code.to_string().as_bytes());
            }
        }
        self.flush().await
    }

    /// Writes a remark.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn note(&mut self, text: &str) -> Result<(), LogError> {
        self.event(RunEvent::Note(text.to_owned())).await
    }

    /// Writes what is left of unfinished lines and ends the log.
    ///
    /// # Errors
    /// If the file cannot be written; followers come to their end nevertheless.
    pub async fn finish(mut self) -> Result<(), LogError> {
        let steps: Vec<u32> = self.open.keys().copied().collect();
        for step in steps {
            self.end_of_text(step);
        }
        let result = self.flush().await;
        self.store.close(&self.run);
        result
    }

    fn output(&mut self, step: u32, bytes: &[u8]) {
        if self.full {
            return;
        }
        let mut buffer = self.open.remove(&step).unwrap_or_default();
        buffer.extend_from_slice(bytes);
        let mut rest = buffer.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.line(LineKind::Text(step), line);
            rest = after.get(1..).unwrap_or_default();
        }
        let mut left = rest.to_vec();
        while left.len() > LONGEST_LINE + self.mask.longest() {
            // What stays behind may be the beginning of a secret that goes on in the next portion.
            let hidden = self.mask.apply(&left);
            let keep = self.mask.longest().min(hidden.len());
            let (now, later) = hidden.split_at(LONGEST_LINE.min(hidden.len() - keep));
            if now.is_empty() {
                break;
            }
            self.line(LineKind::Text(step), now);
            left = later.to_vec();
        }
        if !left.is_empty() {
            self.open.insert(step, left);
        }
        if self.len > LONGEST_LOG {
            self.full = true;
            self.line(
                LineKind::Note,
                b"the log has reached its limit of 256 MiB; what follows is dropped",
            );
        }
    }

    fn end_of_text(&mut self, step: u32) {
        if let Some(rest) = self.open.remove(&step) {
            self.line(LineKind::Text(step), &rest);
        }
    }

    fn line(&mut self, kind: LineKind, text: &[u8]) {
        let at = self.clock.now();
        let hidden = self.mask.apply(text);
        let whole = String::from_utf8_lossy(&hidden);
        let whole = whole.trim_end_matches('\r');
        // A remark may have several lines; each becomes one.
        for text in whole.split('\n') {
            let line = LogLine {
                at,
                kind,
                text: text.to_owned(),
            };
            self.ready.extend_from_slice(line.to_string().as_bytes());
            self.ready.push(b'\n');
        }
    }

    async fn flush(&mut self) -> Result<(), LogError> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let written = async {
            self.file.write_all(&self.ready).await?;
            self.file.flush().await
        };
        written
            .await
            .map_err(|source| self.store.io(&self.run, "written", source))?;
        self.len += u64::try_from(self.ready.len()).unwrap_or_default();
        self.ready.clear();
        let len = self.len;
        self.progress.send_modify(|progress| progress.len = len);
        Ok(())
    }
}

impl Drop for LogWriter {
    /// A writer that is dropped half-way must not leave followers waiting.
    fn drop(&mut self) {
        self.store.close(&self.run);
    }
}
