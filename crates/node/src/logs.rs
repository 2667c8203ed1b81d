//! Container output as CRI log files: `TIME STREAM F|P TEXT`, one per line, rotated by size.

use super::taps::Taps;
use crate::stream::Stream;
use herder_base::Clock;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;

/// A file is rotated at this size.
const SIZE: u64 = 10 << 20;
/// So many files are kept, the current one included.
const FILES: u32 = 5;
/// Longer lines are written in parts.
const LINE: usize = 16 << 10;

/// The log of one container instance.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    written: u64,
}

impl Log {
    /// Opens `PATH`, appending.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).append(true).open(&path)?;
        let written = file.metadata()?.len();
        Ok(Self { path, file, written })
    }

    fn write(&mut self, stamp: &str, stream: &str, full: bool, text: &[u8]) -> io::Result<()> {
        let tag = if full { 'F' } else { 'P' };
        let mut line = format!("{stamp} {stream} {tag} ").into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.written += u64::try_from(line.len()).unwrap_or(0);
        // In the middle of a line as well, or one that never ends would grow without end.
        if self.written >= SIZE {
            self.rotate()?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..FILES - 1).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, numbered(1))?;
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

/// Copies one stream into the log until everyone who could write to it is gone.
pub(crate) async fn copy(
    pipe: OwnedFd,
    stream: &'static str,
    (log, taps): (Arc<Mutex<Log>>, Arc<Taps>),
    clock: Arc<dyn Clock>,
) {
    let mut pipe = match Stream::new(pipe) {
        Ok(pipe) => pipe,
        Err(error) => {
            tracing::error!(%error, "a container's output cannot be read");
            return;
        }
    };
    let mut buffer = vec![0_u8; 4 * LINE];
    let mut line: Vec<u8> = Vec::new();
    loop {
        let length = match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        note(&log, &clock, stream, (&mut line, bytes));
        taps.say(stream, bytes).await;
    }
    taps.end(stream).await;
    if !line.is_empty() {
        let stamp = stamp(clock.as_ref());
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        report(&log.path.clone(), log.write(&stamp, stream, true, &line));
    }
}

/// Writes what came; the beginning of a line that has not ended stays in `line`.
fn note(log: &Mutex<Log>, clock: &Arc<dyn Clock>, stream: &str, (line, bytes): (&mut Vec<u8>, &[u8])) {
    {
        let stamp = stamp(clock.as_ref());
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece
                .strip_suffix(b"\n")
                .map_or((piece, false), |text| (text, true));
            line.extend_from_slice(text);
            while line.len() > LINE {
                let part: Vec<u8> = line.drain(..LINE).collect();
                report(&log.path.clone(), log.write(&stamp, stream, false, &part));
            }
            if ends {
                report(&log.path.clone(), log.write(&stamp, stream, true, line));
                line.clear();
            }
        }
    }
}

fn report(path: &Path, written: io::Result<()>) {
    if let Err(error) = written {
        tracing::error!(path = %path.display(), %error, "a container's output could not be written");
    }
}

fn stamp(clock: &dyn Clock) -> String {
    format!("{:.9}", clock.now())
}

/// The last lines of a log, for termination messages.
pub(crate) fn tail(path: &Path, lines: usize, bytes: usize) -> String {
    let content = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let mut last: Vec<&str> = text
        .lines()
        .rev()
        .take(lines)
        .filter_map(|line| line.splitn(4, ' ').nth(3))
        .collect();
    last.reverse();
    let joined = last.join("\n");
    let mut start = joined.len().saturating_sub(bytes);
    while !joined.is_char_boundary(start) {
        start += 1;
    }
    joined.get(start..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_base::SystemClock;

    #[tokio::test]
    async fn lines_parts_and_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c/0.log");
        let log = Arc::new(Mutex::new(Log::open(path.clone()).unwrap()));
        let (read, write) = nix::unistd::pipe().unwrap();
        let copying = copy(
            read,
            "stdout",
            (Arc::clone(&log), Arc::default()),
            Arc::new(SystemClock),
        );
        let writing = tokio::task::spawn_blocking(move || {
            let mut write = File::from(write);
            write.write_all(b"one\ntwo\n").unwrap();
            write.write_all(&vec![b'x'; LINE + 5]).unwrap();
            write.write_all(b"\nunfinished").unwrap();
        });
        tokio::join!(copying, async { writing.await.unwrap() });
        let text = fs::read_to_string(&path).unwrap();
        let tags: Vec<(&str, usize)> = text
            .lines()
            .map(|line| {
                let mut words = line.splitn(4, ' ');
                assert!(words.next().unwrap().ends_with('Z'));
                assert_eq!(words.next(), Some("stdout"));
                (words.next().unwrap(), words.next().unwrap().len())
            })
            .collect();
        assert_eq!(tags, [("F", 3), ("F", 3), ("P", LINE), ("F", 5), ("F", 10)]);
        assert_eq!(tail(&path, 1, 100), "unfinished");

        let mut log = log.lock().unwrap();
        for _ in 0..6 {
            log.written = SIZE;
            log.write("t", "stderr", true, b"full").unwrap();
        }
        assert_eq!(fs::read_dir(dir.path().join("c")).unwrap().count(), 5);
        // A line without an end.
        for _ in 0..100 {
            log.write("t", "stdout", false, &vec![b'x'; 1 << 20]).unwrap();
        }
        let files = fs::read_dir(dir.path().join("c")).unwrap();
        let all: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(all < u64::from(FILES) * (SIZE + (2 << 20)), "{all}");
    }
}
