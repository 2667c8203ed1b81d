//! Files that runs keep: one folder per run, below one root. Owns where they lie and how much there may be; what they are
//! called comes from jobs, so every name is checked, and nothing but plain files is ever made here.

use crate::log::folder;
use crate::run::RunId;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// The most files of one run.
const MOST_FILES: u64 = 10_000;
/// The most bytes of one run.
const MOST_BYTES: u64 = 1 << 30;
/// The longest name.
const LONGEST_NAME: usize = 512;

/// A file that a run keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artefact {
    /// Its path in the workspace.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// An artefact cannot be kept or had.
#[derive(Debug, Error)]
pub enum ArtefactError {
    /// Its name cannot be one.
    #[error("`{0}` is no path of an artefact: it must be relative, without `..`, of at most 512 bytes")]
    Name(String),
    /// There would be too much.
    #[error("{run} keeps more than {what}: what is too much is not kept")]
    Full {
        /// The run.
        run: RunId,
        /// What it is too much of.
        what: String,
    },
    /// A part came that does not go on where the last one ended.
    #[error("`{path}` of {run} has {len} bytes, so a part cannot go on at byte {at}")]
    Gap {
        /// The run.
        run: RunId,
        /// The path.
        path: String,
        /// What is there.
        len: u64,
        /// Where the part begins.
        at: u64,
    },
    /// There is no such artefact.
    #[error("{run} has no artefact `{path}`")]
    Missing {
        /// The run.
        run: RunId,
        /// The path.
        path: String,
    },
    /// The file system said no.
    #[error("the artefacts of {run} cannot be {action}")]
    Io {
        /// The run.
        run: RunId,
        /// What was tried.
        action: &'static str,
        /// What was said.
        source: std::io::Error,
    },
}

/// What one run has kept so far.
#[derive(Debug, Default)]
pub struct Room {
    files: u64,
    bytes: u64,
}

/// Keeps artefacts. Clones share the root.
#[derive(Debug, Clone)]
pub struct ArtefactStore {
    root: Arc<Path>,
    most_files: u64,
    most_bytes: u64,
}

impl ArtefactStore {
    /// Below `root`, which is made at the first write.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into().into(),
            most_files: MOST_FILES,
            most_bytes: MOST_BYTES,
        }
    }

    /// With limits of one's own per run.
    #[must_use]
    pub fn with_limits(mut self, files: u64, bytes: u64) -> Self {
        (self.most_files, self.most_bytes) = (files, bytes);
        self
    }

    /// The folder of a run. `#` is in no name of a job's folder, so that the folder of a job `a/1` is not that of a run of
    /// `a`.
    fn dir(&self, run: &RunId) -> PathBuf {
        self.root.join(folder(&run.job)).join(format!("#{}", run.number))
    }

    fn place(&self, run: &RunId, path: &str) -> Result<PathBuf, ArtefactError> {
        let bad = || ArtefactError::Name(path.chars().take(LONGEST_NAME).collect());
        let good = !path.is_empty()
            && path.len() <= LONGEST_NAME
            && herder_job::is_within(path)
            && path
                .split('/')
                .all(|part| part.len() <= 255 && !part.is_empty() && part != ".");
        if !good {
            return Err(bad());
        }
        Ok(self.dir(run).join(path))
    }

    /// Begins a run's artefacts anew: those of an earlier attempt go.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub async fn begin(&self, run: &RunId) -> Result<Room, ArtefactError> {
        gone(tokio::fs::remove_dir_all(self.dir(run)).await)
            .map_err(|source| io(run, "begun anew", source))?;
        Ok(Room::default())
    }

    /// Adds a part of a file, at byte `at`; the first one makes it.
    ///
    /// # Errors
    /// If the name is none, it would be too much, or it cannot be written.
    pub async fn add(
        &self,
        run: &RunId,
        room: &mut Room,
        path: &str,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), ArtefactError> {
        let place = self.place(run, path)?;
        let full = |what: String| ArtefactError::Full {
            run: run.clone(),
            what,
        };
        if at == 0 && room.files >= self.most_files {
            return Err(full(format!("{} files", self.most_files)));
        }
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if room.bytes.saturating_add(len) > self.most_bytes {
            return Err(full(format!("{} bytes", self.most_bytes)));
        }
        let failed = |source| io(run, "written", source);
        if let Some(parent) = place.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(failed)?;
        }
        let mut file = if at == 0 {
            room.files += 1;
            File::create_new(&place).await.map_err(failed)?
        } else {
            File::options().append(true).open(&place).await.map_err(failed)?
        };
        let there = file.metadata().await.map_err(failed)?.len();
        if there != at {
            return Err(ArtefactError::Gap {
                run: run.clone(),
                path: path.to_owned(),
                len: there,
                at,
            });
        }
        file.write_all(bytes).await.map_err(failed)?;
        file.flush().await.map_err(failed)?;
        room.bytes += len;
        Ok(())
    }

    /// What a run keeps, by path.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn list(&self, run: &RunId) -> Result<Vec<Artefact>, ArtefactError> {
        let dir = self.dir(run);
        let walked = tokio::task::spawn_blocking(move || walk(&dir)).await;
        let walked = walked.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        walked.map_err(|source| io(run, "read", source))
    }

    /// Opens one.
    ///
    /// # Errors
    /// If there is none of that name, or it cannot be read.
    pub async fn open(&self, run: &RunId, path: &str) -> Result<(File, u64), ArtefactError> {
        let place = self.place(run, path)?;
        let missing = || ArtefactError::Missing {
            run: run.clone(),
            path: path.to_owned(),
        };
        let file = match File::open(&place).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
            Err(source) => return Err(io(run, "read", source)),
        };
        let metadata = file.metadata().await.map_err(|source| io(run, "read", source))?;
        if !metadata.is_file() {
            return Err(missing());
        }
        Ok((file, metadata.len()))
    }

    /// Removes those of finished runs; none are no error.
    ///
    /// # Errors
    /// If one cannot be removed; the others are tried first.
    pub async fn remove(&self, job: &str, numbers: &[u64]) -> Result<(), ArtefactError> {
        let mut result = Ok(());
        for number in numbers {
            let run = RunId {
                job: job.to_owned(),
                number: *number,
            };
            if let Err(source) = gone(tokio::fs::remove_dir_all(self.dir(&run)).await) {
                result = Err(io(&run, "removed", source));
            }
        }
        result
    }
}

fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn io(run: &RunId, action: &'static str, source: std::io::Error) -> ArtefactError {
    ArtefactError::Io {
        run: run.clone(),
        action,
        source,
    }
}

fn walk(root: &Path) -> std::io::Result<Vec<Artefact>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && dir == root => break,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if let Ok(path) = entry.path().strip_prefix(root) {
                found.push(Artefact {
                    path: path.to_string_lossy().into_owned(),
                    size: entry.metadata()?.len(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(job: &str) -> RunId {
        RunId {
            job: job.to_owned(),
            number: 1,
        }
    }

    #[tokio::test]
    async fn keeps_lists_and_removes() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtefactStore::new(dir.path());
        let (a, below) = (run("a"), run("a/#1"));
        let mut room = store.begin(&a).await.unwrap();
        store.add(&a, &mut room, "target/x.jar", 0, b"ab").await.unwrap();
        store.add(&a, &mut room, "target/x.jar", 2, b"c").await.unwrap();
        let gap = store.add(&a, &mut room, "target/x.jar", 7, b"c").await;
        assert!(matches!(gap, Err(ArtefactError::Gap { len: 3, at: 7, .. })));
        let mut other = store.begin(&below).await.unwrap();
        store.add(&below, &mut other, "y", 0, b"").await.unwrap();
        let kept = store.list(&a).await.unwrap();
        assert_eq!(
            kept,
            [Artefact {
                path: "target/x.jar".to_owned(),
                size: 3
            }]
        );
        assert_eq!(store.open(&a, "target/x.jar").await.unwrap().1, 3);
        for path in ["target", "target/y", "nothing"] {
            assert!(
                matches!(store.open(&a, path).await, Err(ArtefactError::Missing { .. })),
                "{path}"
            );
        }
        store.remove("a", &[1, 2]).await.unwrap();
        assert!(store.list(&a).await.unwrap().is_empty());
        assert_eq!(store.list(&below).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn names_and_amounts_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtefactStore::new(dir.path().join("in")).with_limits(2, 10);
        let a = run("../../etc");
        let mut room = store.begin(&a).await.unwrap();
        let long = "x".repeat(300);
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            "a\nb",
            long.as_str(),
        ] {
            let refused = store.add(&a, &mut room, path, 0, b"x").await;
            assert!(matches!(refused, Err(ArtefactError::Name(_))), "{path}");
            assert!(store.open(&a, path).await.is_err(), "{path}");
        }
        store.add(&a, &mut room, "a", 0, b"12345").await.unwrap();
        let full = store.add(&a, &mut room, "a", 5, b"678901").await;
        assert!(matches!(full, Err(ArtefactError::Full { .. })));
        store.add(&a, &mut room, "b", 0, b"").await.unwrap();
        let full = store.add(&a, &mut room, "c", 0, b"").await;
        assert!(matches!(full, Err(ArtefactError::Full { .. })));
        // All of it is below the root, whatever the job is called.
        let entries: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(entries, ["in"]);
    }
}
