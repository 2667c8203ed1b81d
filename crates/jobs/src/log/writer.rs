//! Writes one run's log: joins what steps write into lines, hides secrets, stamps, and tells followers.

use super::store::Progress;
use super::{LineKind, LogError, LogLine, LogStore, Mask};
use crate::run::{RunEvent, RunId};
use herder_base::{Clock, Secret};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

/// A line longer than this is cut into several.
const LONGEST_LINE: usize = 64 * 1024;

/// A log longer than this takes no more text from steps, unless the store says otherwise.
pub(super) const LONGEST_LOG: u64 = 1 << 30;

/// How much memory is kept for what is written next.
const MOST_READY: usize = 1 << 20;

/// Writes one run's log.
#[derive(Debug)]
pub struct LogWriter {
    store: LogStore,
    run: RunId,
    file: File,
    len: u64,
    /// How much text of steps was left out because the log is full.
    dropped: u64,
    mask: Mask,
    secrets: Vec<Secret<String>>,
    clock: Arc<dyn Clock>,
    open: BTreeMap<u32, Open>,
    ready: Vec<u8>,
    progress: Arc<watch::Sender<Progress>>,
}

/// The line that a step has not ended yet. Its length is bounded by the longest line and the longest secret.
#[derive(Debug, Default)]
struct Open {
    /// As written; its end may be the beginning of a secret.
    raw: Vec<u8>,
    /// What came before, with secrets hidden.
    masked: Vec<u8>,
}

impl LogWriter {
    pub(super) async fn open(
        store: LogStore,
        run: RunId,
        secrets: Vec<Secret<String>>,
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
            dropped: 0,
            mask: Mask::new(&secrets),
            secrets,
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
            RunEvent::Hide(secret) => {
                self.secrets.push(secret);
                self.mask = Mask::new(&self.secrets);
            }
            RunEvent::StepStarted { step, title } => self.line(LineKind::Begin(step), title.as_bytes()),
            RunEvent::Output { step, bytes } => self.output(step, &bytes),
            RunEvent::StepFinished { step, code } => {
                self.end_of_text(step);
                self.line(LineKind::End(step), code.to_string().as_bytes());
            }
        }
        self.flush().await
    }

    /// What hides this run's secrets.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
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
        if self.full() {
            self.dropped = self.dropped.saturating_add(bytes.len() as u64);
            return;
        }
        let mut rest = bytes;
        let mut open = self.open.remove(&step).unwrap_or_default();
        if !(open.raw.is_empty() && open.masked.is_empty())
            && let Some(end) = rest.iter().position(|byte| *byte == b'\n')
        {
            let (line, after) = rest.split_at(end);
            open.raw.extend_from_slice(line);
            open.masked.extend_from_slice(&self.mask.apply(&open.raw));
            let whole = std::mem::take(&mut open.masked);
            open.raw.clear();
            self.text(LineKind::Text(step), &whole);
            rest = after.get(1..).unwrap_or_default();
        }
        // Whole lines are masked together: no secret's spelling goes over the end of one.
        if let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
            let (lines, after) = rest.split_at(end);
            let mask = self.mask.clone();
            self.text(LineKind::Text(step), &mask.apply(lines));
            rest = after.get(1..).unwrap_or_default();
        }
        open.raw.extend_from_slice(rest);
        if open.raw.len() > self.mask.longest() + LONGEST_LINE {
            open.masked.extend_from_slice(&self.mask.drain(&mut open.raw));
            let mut whole = open.masked.len() - open.masked.len() % LONGEST_LINE;
            // Not through a character, if there are characters.
            let inner = |at: usize| open.masked.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
            for _ in 0..3 {
                whole -= usize::from(whole > 0 && inner(whole));
            }
            let later = open.masked.split_off(whole);
            let now = std::mem::replace(&mut open.masked, later);
            if !now.is_empty() {
                self.text(LineKind::Text(step), &now);
            }
        }
        if !(open.raw.is_empty() && open.masked.is_empty()) {
            self.open.insert(step, open);
        }
        if self.full() {
            let limit = self.store.longest();
            let note = format!(
                "the log is cut here: it has reached its limit of {limit} bytes; what steps write from now on is dropped, the run goes on"
            );
            self.text(LineKind::Note, note.as_bytes());
        }
    }

    fn full(&self) -> bool {
        self.len + self.ready.len() as u64 > self.store.longest()
    }

    fn end_of_text(&mut self, step: u32) {
        if let Some(mut rest) = self.open.remove(&step) {
            rest.masked.extend_from_slice(&self.mask.apply(&rest.raw));
            self.text(LineKind::Text(step), &rest.masked);
        }
        if self.dropped > 0 {
            let note = format!("{} bytes of output were dropped", self.dropped);
            self.dropped = 0;
            self.text(LineKind::Note, note.as_bytes());
        }
    }

    /// A line of Herder's own; one of several lines becomes several.
    fn line(&mut self, kind: LineKind, text: &[u8]) {
        let hidden = self.mask.apply(text).into_owned();
        self.text(kind, &hidden);
    }

    /// Lines in which secrets are hidden. They come at the same time, so they share its stamp.
    fn text(&mut self, kind: LineKind, text: &[u8]) {
        let at = self.clock.now();
        let head = LogLine {
            at,
            kind,
            text: String::new(),
        }
        .to_string();
        let whole = String::from_utf8_lossy(text);
        self.ready.reserve(whole.len() + head.len());
        for line in whole.split('\n') {
            let mut rest = line.trim_end_matches('\r');
            loop {
                let mut end = rest.len().min(LONGEST_LINE);
                while !rest.is_char_boundary(end) {
                    end -= 1;
                }
                let (now, later) = rest.split_at(end);
                self.ready.extend_from_slice(head.as_bytes());
                self.ready.extend_from_slice(now.as_bytes());
                self.ready.push(b'\n');
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
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
        self.ready.shrink_to(MOST_READY);
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use herder_base::FixedClock;

    async fn written(store: LogStore, secret: &str, portions: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
        let run = RunId {
            job: "j".to_owned(),
            number: 1,
        };
        let clock = Arc::new(FixedClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let mut writer = store
            .writer(&run, vec![Secret::from(secret)], clock)
            .await
            .unwrap();
        for bytes in portions {
            writer.event(RunEvent::Output { step: 0, bytes }).await.unwrap();
            let held: usize = writer.open.values().map(|o| o.raw.len() + o.masked.len()).sum();
            assert!(held < 3 * LONGEST_LINE, "{held}");
        }
        let finished = RunEvent::StepFinished { step: 0, code: 0 };
        writer.event(finished).await.unwrap();
        writer.finish().await.unwrap();
        let lines: Vec<_> = store.tail(&run, 0).collect().await;
        lines
            .into_iter()
            .map(|item| item.unwrap().line)
            .filter(|line| !matches!(line.kind, LineKind::End(_)))
            .map(|line| line.text)
            .collect()
    }

    #[tokio::test]
    async fn every_byte_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let text: String = (0..200_000).map(|i| format!("{i} é\n")).collect();
        let portions = text.as_bytes().chunks(4099).map(<[u8]>::to_vec);
        let lines = written(LogStore::new(dir.path()), "not in there", portions).await;
        assert!(lines.join("\n") + "\n" == text);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_bounded_and_masked() {
        let dir = tempfile::tempdir().unwrap();
        let text = "0123456789é secret-value ".repeat(40_000);
        for size in [1000, 65_536, 300_000] {
            let portions = text.as_bytes().chunks(size).map(<[u8]>::to_vec);
            let store = LogStore::new(dir.path().join(size.to_string()));
            let lines = written(store, "secret-value", portions.take(4000)).await;
            assert!(lines.iter().all(|line| line.len() <= LONGEST_LINE));
            assert!(lines.concat() == text.replace("secret-value", "********"));
        }
    }

    #[tokio::test]
    async fn a_long_log_is_cut_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(dir.path()).with_limit(100_000);
        let portions = (0..100).map(|_| b"0123456789\n".repeat(1000));
        let lines = written(store, "", portions).await;
        let cut: Vec<_> = lines.iter().filter(|line| line.contains("cut here")).collect();
        assert_eq!(cut.len(), 1);
        assert!(
            lines
                .iter()
                .any(|line| line.ends_with("bytes of output were dropped"))
        );
        assert!(lines.len() < 5000);
    }
}
