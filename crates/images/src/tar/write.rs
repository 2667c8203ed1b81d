//! Writes tars: ustar, with PAX headers for what does not fit. The same entries make the same bytes.

use super::{BLOCK, Entry, Kind};
use std::io::{self, Read, Write};

/// Writes one archive.
pub(crate) struct Writer<W> {
    inner: W,
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    if let Some(place) = block.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    // The length counts itself.
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() + rest != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn octal(value: u64, digits: usize) -> Option<Vec<u8>> {
    let text = format!("{value:0digits$o}");
    (text.len() <= digits).then(|| text.into_bytes())
}

fn header(entry: &Entry, kind: u8, size: u64) -> ([u8; BLOCK], Vec<u8>) {
    let mut block = [0; BLOCK];
    let mut more = Vec::new();
    for (key, at, value) in [(&b"path"[..], 0, &entry.path), (b"linkpath", 157, &entry.link)] {
        if value.len() > 100 {
            more.extend(record(key, value));
        }
        put(
            &mut block,
            at,
            value.get(..value.len().min(100)).unwrap_or_default(),
        );
    }
    put(
        &mut block,
        100,
        &octal(u64::from(entry.mode), 7).unwrap_or_default(),
    );
    for (key, at, digits, value) in [
        (&b"uid"[..], 108, 7, u64::from(entry.uid)),
        (b"gid", 116, 7, u64::from(entry.gid)),
        (b"size", 124, 11, size),
    ] {
        let field = octal(value, digits).unwrap_or_else(|| {
            more.extend(record(key, value.to_string().as_bytes()));
            vec![b'0'; digits]
        });
        put(&mut block, at, &field);
    }
    let time = u64::try_from(entry.mtime).ok().and_then(|time| octal(time, 11));
    let time = time.unwrap_or_else(|| {
        more.extend(record(b"mtime", entry.mtime.to_string().as_bytes()));
        vec![b'0'; 11]
    });
    put(&mut block, 136, &time);
    for (name, value) in &entry.xattrs {
        more.extend(record(&[b"SCHILY.xattr.", name.as_slice()].concat(), value));
    }
    put(&mut block, 156, &[kind]);
    put(&mut block, 257, b"ustar\x0000");
    put(&mut block, 148, b"        ");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    put(&mut block, 148, &octal(sum, 6).unwrap_or_default());
    put(&mut block, 154, b"\0 ");
    (block, more)
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Appends an entry; of `contents` exactly as many bytes as it says.
    pub(crate) fn append(&mut self, entry: &Entry, contents: impl Read) -> io::Result<()> {
        let kind = match entry.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::Device | Kind::Other(_) => {
                return Err(io::Error::other("devices are not written into images"));
            }
            Kind::Folder => b'5',
            Kind::Fifo => b'6',
        };
        let (block, more) = header(entry, kind, entry.size);
        if !more.is_empty() {
            let named = Entry {
                path: b"pax".to_vec(),
                link: Vec::new(),
                xattrs: Vec::new(),
                mtime: 0,
                uid: 0,
                gid: 0,
                ..entry.clone()
            };
            let size = u64::try_from(more.len()).unwrap_or(u64::MAX);
            let (extended, _) = header(&named, b'x', size);
            self.inner.write_all(&extended)?;
            self.inner.write_all(&more)?;
            self.pad(size)?;
        }
        self.inner.write_all(&block)?;
        let written = io::copy(&mut contents.take(entry.size), &mut self.inner)?;
        if written != entry.size {
            let text = format!("{} became shorter while it was read", entry.shown());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.pad(entry.size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = size.next_multiple_of(512) - size;
        io::copy(&mut io::repeat(0).take(rest), &mut self.inner).map(drop)
    }

    /// The two empty blocks at the end.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        self.inner.flush()?;
        Ok(self.inner)
    }
}
