//! A commit's files from the object store: one listing, contents one after the other, unchanged contents shared. All of
//! it bounded before it is held: what is small in a pack can be large outside of it.

use crate::git::local_error;
use crate::program::{Failure, Run, Talk};
use crate::{Error, Limits};
use herder_base::{Commit, File, Tree, TreeBuilder, Url};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// Contents by object id, of the tree read last.
pub(crate) type Blobs = HashMap<String, Arc<[u8]>>;

/// The longest record of a listing: no path is longer.
const LONGEST: u64 = 64 << 10;
/// How many contents are asked for at once: fewer bytes than a pipe holds, so that nobody waits for anybody.
const AHEAD: usize = 256;

/// The files of a commit, without their contents. Submodules are left out.
pub(crate) async fn list(
    dir: &Path,
    url: &Url,
    commit: &Commit,
    limits: &Limits,
) -> Result<Vec<Entry>, Error> {
    let listing = async {
        let mut talk = Run::new(
            Some(dir),
            limits.ask,
            ["ls-tree", "-r", "-z", "-l", "--full-tree", commit.as_str()],
        )
        .start()
        .map_err(|failure| local_error(failure, "ls-tree", url, limits.ask))?;
        let too_large = |found, limit, unit| Error::TooLarge {
            url: url.clone(),
            commit: commit.clone(),
            found,
            limit,
            unit,
        };
        let (mut entries, mut size, mut count) = (Vec::new(), 0u64, 0u64);
        let mut record = Vec::new();
        loop {
            record.clear();
            let read = (&mut talk.stdout).take(LONGEST).read_until(0, &mut record).await;
            match read {
                Ok(0) => break,
                Ok(_) if record.pop() == Some(0) => {}
                _ => return Err(unexpected("ls-tree", url, "its listing cannot be understood")),
            }
            count += 1;
            if count > limits.files {
                return Err(too_large(count, limits.files, "files or more"));
            }
            let entry = parse_entry(&record)
                .ok_or_else(|| unexpected("ls-tree", url, "its listing cannot be understood"))?;
            if let Some(entry) = entry {
                if entry.size > limits.blob {
                    return Err(Error::FileTooLarge {
                        url: url.clone(),
                        commit: commit.clone(),
                        path: entry.path,
                        found: entry.size,
                        limit: limits.blob,
                    });
                }
                size = size.saturating_add(entry.size);
                entries.push(entry);
            }
            if size > limits.bytes {
                return Err(too_large(size, limits.bytes, "bytes or more"));
            }
        }
        let finished = talk.finish().await;
        finished.map_err(|failure| local_error(failure, "ls-tree", url, limits.ask))?;
        Ok(entries)
    };
    tokio::time::timeout(limits.ask, listing)
        .await
        .unwrap_or_else(|_| Err(local_error(Failure::Deadline, "ls-tree", url, limits.ask)))
}

/// Reads all files of a commit. Submodules are left out.
pub(crate) async fn read(
    dir: &Path,
    url: &Url,
    commit: &Commit,
    known: &Blobs,
    limits: &Limits,
) -> Result<(Tree, Blobs), Error> {
    let entries = list(dir, url, commit, limits).await?;
    let mut blobs = Blobs::with_capacity(entries.len());
    let mut missing = Vec::new();
    for entry in &entries {
        if blobs.contains_key(&entry.id) {
            continue;
        }
        if let Some(bytes) = known.get(&entry.id) {
            blobs.insert(entry.id.clone(), bytes.clone());
        } else {
            blobs.insert(entry.id.clone(), Arc::from([]));
            missing.push((entry.id.clone(), entry.size));
        }
    }
    if !missing.is_empty() {
        let reading = async {
            let mut contents = Contents::open(dir, url, missing.iter().map(|(id, _)| id.clone()))?;
            for (id, size) in missing {
                let bytes = contents.next(&id, size).await?;
                blobs.insert(id, Arc::from(bytes));
            }
            Ok(())
        };
        tokio::time::timeout(limits.transfer, reading)
            .await
            .unwrap_or_else(|_| Err(local_error(Failure::Deadline, "cat-file", url, limits.transfer)))?;
    }
    let mut builder = TreeBuilder::default();
    for entry in entries {
        let bytes = blobs.get(&entry.id).cloned().unwrap_or_else(|| Arc::from([]));
        let file = File {
            bytes,
            executable: entry.mode == "100755",
            symlink: entry.mode == "120000",
        };
        builder
            .insert_file(&entry.path, file)
            .map_err(|error| unexpected("ls-tree", url, &error.to_string()))?;
    }
    Ok((builder.build(commit.clone()), blobs))
}

/// Contents of objects, one after the other.
pub(crate) struct Contents {
    talk: Talk,
    url: Url,
    wanted: VecDeque<String>,
    /// How many were asked for and have not come.
    asked: usize,
}

impl Contents {
    /// Of these objects in this order.
    pub(crate) fn open(
        dir: &Path,
        url: &Url,
        wanted: impl IntoIterator<Item = String>,
    ) -> Result<Self, Error> {
        let started = Run::new(Some(dir), std::time::Duration::MAX, ["cat-file", "--batch"]).start();
        Ok(Self {
            talk: started
                .map_err(|failure| local_error(failure, "cat-file", url, std::time::Duration::MAX))?,
            url: url.clone(),
            wanted: wanted.into_iter().collect(),
            asked: 0,
        })
    }

    /// The next one, which must be this.
    pub(crate) async fn next(&mut self, id: &str, size: u64) -> Result<Vec<u8>, Error> {
        let damaged = |url: &Url| unexpected("cat-file", url, &format!("object {id} is missing or damaged"));
        if self.asked == 0 {
            let batch = self.wanted.len().min(AHEAD);
            let mut question = String::new();
            for id in self.wanted.drain(..batch) {
                question.push_str(&id);
                question.push('\n');
            }
            self.asked = batch;
            let written = async {
                self.talk.stdin.write_all(question.as_bytes()).await?;
                self.talk.stdin.flush().await
            };
            written.await.map_err(|_| damaged(&self.url))?;
        }
        self.asked = self.asked.saturating_sub(1);
        let mut head = Vec::new();
        let read = (&mut self.talk.stdout)
            .take(256)
            .read_until(b'\n', &mut head)
            .await;
        let expected = format!("{id} blob {size}\n");
        if read.is_err() || head != expected.as_bytes() {
            return Err(damaged(&self.url));
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| damaged(&self.url))?];
        let mut end = [0];
        let read = async {
            self.talk.stdout.read_exact(&mut bytes).await?;
            self.talk.stdout.read_exact(&mut end).await
        };
        match read.await {
            Ok(_) if end == *b"\n" => Ok(bytes),
            _ => Err(damaged(&self.url)),
        }
    }
}

fn unexpected(command: &'static str, url: &Url, said: &str) -> Error {
    Error::Git {
        command,
        url: url.clone(),
        said: said.to_owned(),
    }
}

/// A file in a listing.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) mode: String,
    pub(crate) id: String,
    pub(crate) size: u64,
    pub(crate) path: String,
}

/// `MODE TYPE ID SIZE\tPATH`; `None` inside for what is no file.
fn parse_entry(record: &[u8]) -> Option<Option<Entry>> {
    let tab = record.iter().position(|byte| *byte == b'\t')?;
    let (head, path) = record.split_at_checked(tab)?;
    let mut fields = std::str::from_utf8(head).ok()?.split_ascii_whitespace();
    let (mode, kind, id, size) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    if kind != "blob" {
        return Some(None);
    }
    Some(Some(Entry {
        mode: mode.to_owned(),
        id: id.to_owned(),
        size: size.parse().ok()?,
        path: String::from_utf8_lossy(path.get(1..)?).into_owned(),
    }))
}
