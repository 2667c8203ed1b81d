//! A commit's files as a tar archive that is made while it is read. Not by `git archive`: that would apply what the
//! repository's attributes and the machine's filters say (LFS, substitutions), and hold nothing back.

use crate::Error;
use crate::objects::{Contents, Entry};
use herder_base::{Commit, Url};
use std::path::Path;

/// How much of a file's content is given at once.
const PORTION: usize = 256 << 10;

/// The archive of one commit.
pub struct Archive {
    commit: Commit,
    contents: Contents,
    entries: std::vec::IntoIter<Entry>,
    ready: Vec<u8>,
    given: usize,
    ended: bool,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({})", self.commit)
    }
}

impl Archive {
    pub(crate) fn new(dir: &Path, url: &Url, commit: Commit, entries: Vec<Entry>) -> Result<Self, Error> {
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        Ok(Self {
            commit,
            contents: Contents::open(dir, url, ids)?,
            entries: entries.into_iter(),
            ready: Vec::new(),
            given: 0,
            ended: false,
        })
    }

    /// The commit it is of.
    #[must_use]
    pub fn commit(&self) -> &Commit {
        &self.commit
    }

    /// The next portion; none at the end.
    ///
    /// # Errors
    /// If an object cannot be read; the archive is then not whole.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        while self.ready.len() - self.given < PORTION && !self.ended {
            let Some(entry) = self.entries.next() else {
                self.ended = true;
                self.ready.extend([0; 1024]);
                break;
            };
            let bytes = self.contents.next(&entry.id, entry.size).await?;
            add(&mut self.ready, &entry, &bytes);
        }
        let end = self.ready.len().min(self.given + PORTION);
        let portion = self.ready.get(self.given..end).unwrap_or_default().to_vec();
        self.given = end;
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
        }
        Ok((!portion.is_empty()).then_some(portion))
    }
}

/// One file, with a pax header in front where the plain one is too narrow.
fn add(out: &mut Vec<u8>, entry: &Entry, bytes: &[u8]) {
    let link = entry.mode == "120000";
    let target = if link { bytes } else { &[] };
    let mut pax = Vec::new();
    if entry.path.len() > 100 {
        record(&mut pax, "path", entry.path.as_bytes());
    }
    if target.len() > 100 {
        record(&mut pax, "linkpath", target);
    }
    if !pax.is_empty() {
        header(out, "pax", b"x"[0], 0o644, pax.len(), &[]);
        content(out, &pax);
    }
    let mode = if entry.mode == "100755" { 0o755 } else { 0o644 };
    let kind = if link { b'2' } else { b'0' };
    let size = if link { 0 } else { bytes.len() };
    header(out, &entry.path, kind, mode, size, target);
    if !link {
        content(out, bytes);
    }
}

pub(crate) fn content(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

pub(crate) fn header(out: &mut Vec<u8>, name: &str, kind: u8, mode: u32, size: usize, link: &[u8]) {
    let mut block = [0u8; 512];
    let mut put = |at: usize, width: usize, text: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(text.iter().take(width)) {
            *to = *from;
        }
    };
    put(0, 100, name.as_bytes());
    put(100, 8, format!("{mode:07o}\0").as_bytes());
    put(108, 8, b"0000000\0");
    put(116, 8, b"0000000\0");
    put(124, 12, format!("{size:011o}\0").as_bytes());
    put(136, 12, b"00000000000\0");
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    put(265, 32, b"root");
    put(297, 32, b"root");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    for (to, from) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *to = from;
    }
    out.extend_from_slice(&block);
}
