//! A commit's files from the object store: one listing, one batch of contents, unchanged contents shared.

use crate::git::local_error;
use crate::program::Run;
use crate::{Error, Limits};
use herder_base::{Commit, File, Tree, TreeBuilder, show_remote as shown};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Contents by object id, of the tree read last.
pub(crate) type Blobs = HashMap<String, Arc<[u8]>>;

/// Reads all files of a commit. Submodules are left out.
pub(crate) async fn read(
    dir: &Path,
    url: &str,
    commit: &Commit,
    known: &Blobs,
    limits: &Limits,
) -> Result<(Tree, Blobs), Error> {
    let unexpected = |command, said: &str| Error::Git {
        command,
        url: shown(url),
        said: said.to_owned(),
    };
    let listing = Run::new(
        Some(dir),
        limits.ask,
        ["ls-tree", "-r", "-z", "-l", "--full-tree", commit.as_str()],
    )
    .output()
    .await
    .map_err(|failure| local_error(failure, "ls-tree", url, limits.ask))?;
    let mut entries = Vec::new();
    let mut size = 0u64;
    for record in listing
        .split(|byte| *byte == 0)
        .filter(|record| !record.is_empty())
    {
        let entry =
            parse_entry(record).ok_or_else(|| unexpected("ls-tree", "its listing cannot be understood"))?;
        if let Some(entry) = entry {
            size += entry.size;
            entries.push(entry);
        }
    }
    let too_large = |found, limit, unit| Error::TooLarge {
        url: shown(url),
        commit: commit.clone(),
        found,
        limit,
        unit,
    };
    if entries.len() as u64 > limits.files {
        return Err(too_large(entries.len() as u64, limits.files, "files"));
    }
    if size > limits.bytes {
        return Err(too_large(size, limits.bytes, "bytes"));
    }
    let mut blobs = Blobs::with_capacity(entries.len());
    let mut wanted = String::new();
    let mut missing = Vec::new();
    for entry in &entries {
        if blobs.contains_key(&entry.id) {
            continue;
        }
        if let Some(bytes) = known.get(&entry.id) {
            blobs.insert(entry.id.clone(), bytes.clone());
        } else {
            blobs.insert(entry.id.clone(), Arc::from([]));
            wanted.push_str(&entry.id);
            wanted.push('\n');
            missing.push(entry.id.clone());
        }
    }
    if !missing.is_empty() {
        let output = Run::new(Some(dir), limits.transfer, ["cat-file", "--batch", "--buffer"])
            .input(wanted.as_bytes())
            .output()
            .await
            .map_err(|failure| local_error(failure, "cat-file", url, limits.transfer))?;
        let mut rest = output.as_slice();
        for id in missing {
            let (bytes, after) = next_blob(rest, &id)
                .ok_or_else(|| unexpected("cat-file", &format!("object {id} is missing or damaged")))?;
            blobs.insert(id, Arc::from(bytes));
            rest = after;
        }
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
            .map_err(|error| unexpected("ls-tree", &error.to_string()))?;
    }
    Ok((builder.build(commit.clone()), blobs))
}

struct Entry {
    mode: String,
    id: String,
    size: u64,
    path: String,
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

/// `ID blob SIZE\nBYTES\n`.
fn next_blob<'a>(output: &'a [u8], id: &str) -> Option<(&'a [u8], &'a [u8])> {
    let end = output.iter().position(|byte| *byte == b'\n')?;
    let (head, rest) = output.split_at_checked(end)?;
    let mut fields = std::str::from_utf8(head).ok()?.split(' ');
    if fields.next()? != id || fields.next()? != "blob" {
        return None;
    }
    let size: usize = fields.next()?.parse().ok()?;
    let (bytes, after) = rest.get(1..)?.split_at_checked(size)?;
    Some((bytes, after.get(1..)?))
}
