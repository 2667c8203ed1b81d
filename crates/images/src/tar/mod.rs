//! The tar format, as layers and archives have it: ustar, PAX and GNU's long names. Bounded: what a stranger's headers
//! claim is never allocated before it has come. Sparse files are refused: they are how a few bytes become a full disk.

mod write;

pub(crate) use write::Writer;

use std::io::{self, Read};
use thiserror::Error;

const BLOCK: usize = 512;
/// Bytes of the extended headers of one entry at most: names, links and attributes.
pub const HEADERS: u64 = 1 << 20;

/// Why a tar cannot be read.
#[derive(Debug, Error)]
pub enum TarError {
    /// The bytes did not come.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// They end in the middle.
    #[error("it ends in the middle of an entry: it is torn")]
    Torn,
    /// A header that is none.
    #[error("the header of entry {0} is damaged ({1})")]
    Header(u64, &'static str),
    /// Names or attributes without end.
    #[error("the names and attributes of entry {0} take more than {HEADERS} bytes")]
    Long(u64),
    /// A sparse file.
    #[error("{0:?} is a sparse file; images have none: make the archive without --sparse")]
    Sparse(String),
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file with contents.
    File,
    /// Another name of a file before it.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
    /// A device.
    Device,
    /// Something of a later time.
    Other(u8),
}

/// An entry's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name, as it stands there.
    pub path: Vec<u8>,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// Bytes of contents.
    pub size: u64,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// For messages.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).chars().take(300).collect()
    }
}

/// Reads entries one after the other; between two of them, reads the contents of the former.
#[derive(Debug)]
pub struct Tar<R> {
    inner: R,
    left: u64,
    padding: u64,
    entries: u64,
    defaults: Extended,
}

/// What extended headers say about the next entry.
#[derive(Debug, Clone, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: bool,
    bytes: u64,
}

fn field(block: &[u8; BLOCK], from: usize, length: usize) -> &[u8] {
    block.get(from..from + length).unwrap_or_default()
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    field.get(..end).unwrap_or_default()
}

/// Octal, or binary with the first bit set. Negative numbers are nothing that an image has, except in times.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let start = if first & 0x40 == 0 {
            i128::from(first & 0x3f)
        } else {
            i128::from(*first) - 256
        };
        let value = rest.iter().try_fold(start, |value, byte| {
            value.checked_mul(256)?.checked_add(i128::from(*byte))
        })?;
        return i64::try_from(value).ok();
    }
    let digits: Vec<u8> = field
        .iter()
        .copied()
        .skip_while(|byte| *byte == b' ')
        .take_while(|byte| *byte != 0 && *byte != b' ')
        .collect();
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

fn decimal(value: &[u8]) -> Option<i64> {
    // Times have fractions.
    let text = std::str::from_utf8(value).ok()?;
    text.split('.').next()?.parse().ok()
}

impl<R: Read> Tar<R> {
    /// Over a stream of decompressed bytes.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            left: 0,
            padding: 0,
            entries: 0,
            defaults: Extended::default(),
        }
    }

    /// The stream, at where reading has come to.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// How many entries have been seen.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The next entry; what is left of the contents before it is passed over.
    ///
    /// # Errors
    /// [`TarError`]
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut next = Extended {
            xattrs: self.defaults.xattrs.clone(),
            ..Extended::default()
        };
        loop {
            self.skip()?;
            let Some(block) = self.block()? else {
                return Ok(None);
            };
            self.entries += 1;
            let number_of = self.entries;
            let damaged = |what| TarError::Header(number_of, what);
            let size = number(field(&block, 124, 12)).and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| damaged("its size"))?;
            let kind = *field(&block, 156, 1).first().unwrap_or(&0);
            match kind {
                b'L' | b'K' => {
                    let value = self.contents(size, &mut next)?;
                    let value = Some(text(&value).to_vec());
                    if kind == b'L' {
                        next.path = value;
                    } else {
                        next.link = value;
                    }
                }
                b'x' => {
                    let records = self.contents(size, &mut next)?;
                    pax(&records, &mut next).ok_or_else(|| damaged("its extended header"))?;
                }
                b'g' => {
                    let mut global = Extended::default();
                    let records = self.contents(size, &mut global)?;
                    pax(&records, &mut global).ok_or_else(|| damaged("its extended header"))?;
                    next.xattrs.clone_from(&global.xattrs);
                    self.defaults = global;
                }
                _ => return self.entry(&block, kind, size, next).map(Some),
            }
        }
    }

    fn entry(&mut self, block: &[u8; BLOCK], kind: u8, size: u64, next: Extended) -> Result<Entry, TarError> {
        let damaged = |what| TarError::Header(self.entries, what);
        let ustar = field(block, 257, 5) == b"ustar";
        let old_gnu = field(block, 257, 8) == b"ustar  \0";
        let mut path = text(field(block, 0, 100)).to_vec();
        let prefix = text(field(block, 345, 155));
        if ustar && !old_gnu && !prefix.is_empty() {
            path = [prefix, b"/", &path].concat();
        }
        let path = next.path.or_else(|| self.defaults.path.clone()).unwrap_or(path);
        let link = next.link.or_else(|| self.defaults.link.clone());
        let link = link.unwrap_or_else(|| text(field(block, 157, 100)).to_vec());
        if kind == b'S' || next.sparse || self.defaults.sparse {
            return Err(TarError::Sparse(
                String::from_utf8_lossy(&path).chars().take(300).collect(),
            ));
        }
        let kind = match kind {
            0 | b'0' | b'7' if path.ends_with(b"/") => Kind::Folder,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => Kind::Other(other),
        };
        let size = next.size.unwrap_or(size);
        // Links and folders have no contents, whatever their size says; what follows is the next header.
        let contents = match kind {
            Kind::File | Kind::Other(_) => size,
            _ => 0,
        };
        self.left = contents;
        self.padding = contents.next_multiple_of(512).saturating_sub(contents);
        let id = |named: Option<u64>, at| {
            let plain = || number(field(block, at, 8)).and_then(|id| u64::try_from(id).ok());
            let id = named.or_else(plain).and_then(|id| u32::try_from(id).ok());
            // The last one means "leave it as it is" to the kernel.
            id.filter(|id| *id != u32::MAX)
        };
        let mode = number(field(block, 100, 8)).and_then(|mode| u32::try_from(mode).ok());
        Ok(Entry {
            kind,
            path,
            link,
            size: contents,
            mode: mode.ok_or_else(|| damaged("its mode"))? & 0o7777,
            uid: id(next.uid, 108).ok_or_else(|| damaged("its owner"))?,
            gid: id(next.gid, 116).ok_or_else(|| damaged("its group"))?,
            mtime: next.mtime.or_else(|| number(field(block, 136, 12))).unwrap_or(0),
            xattrs: next.xattrs,
        })
    }

    /// A header with a right sum; `None` at the end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.inner.read(rest) {
                // Some writers leave out the two empty blocks at the end.
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TarError::Torn),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: i64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| i64::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum();
        if number(field(&block, 148, 8)) == Some(sum) {
            Ok(Some(block))
        } else {
            Err(TarError::Header(self.entries + 1, "its sum"))
        }
    }

    /// The contents of an extended header.
    fn contents(&mut self, size: u64, of: &mut Extended) -> Result<Vec<u8>, TarError> {
        of.bytes = of.bytes.saturating_add(size);
        if of.bytes > HEADERS {
            return Err(TarError::Long(self.entries));
        }
        self.left = size;
        self.padding = size.next_multiple_of(512).saturating_sub(size);
        let mut value = Vec::new();
        let read = self.read_to_end(&mut value).map_err(TarError::Read)?;
        if u64::try_from(read).ok() == Some(size) {
            Ok(value)
        } else {
            Err(TarError::Torn)
        }
    }

    fn skip(&mut self) -> Result<(), TarError> {
        let rest = self.left.saturating_add(self.padding);
        if rest > 0 {
            let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink());
            if skipped.map_err(TarError::Read)? < rest {
                return Err(TarError::Torn);
            }
            (self.left, self.padding) = (0, 0);
        }
        Ok(())
    }
}

/// The contents of the entry at hand.
impl<R: Read> Read for Tar<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let Some(into) = into.get_mut(..most).filter(|into| !into.is_empty()) else {
            return Ok(0);
        };
        let count = self.inner.read(into)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, TarError::Torn));
        }
        self.left = self
            .left
            .saturating_sub(u64::try_from(count).unwrap_or(self.left));
        Ok(count)
    }
}

/// Records of a PAX header: `LENGTH KEY=VALUE\n`.
fn pax(mut records: &[u8], into: &mut Extended) -> Option<()> {
    while !records.is_empty() {
        let space = records.iter().take(20).position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(records.get(..space)?).ok()?.parse().ok()?;
        let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
        match key {
            b"path" if !value.contains(&0) => into.path = Some(value.to_vec()),
            b"linkpath" if !value.contains(&0) => into.link = Some(value.to_vec()),
            b"path" | b"linkpath" => return None,
            b"size" => into.size = Some(u64::try_from(decimal(value)?).ok()?),
            b"uid" => into.uid = Some(u64::try_from(decimal(value)?).ok()?),
            b"gid" => into.gid = Some(u64::try_from(decimal(value)?).ok()?),
            b"mtime" => into.mtime = Some(decimal(value)?),
            _ if key.starts_with(b"GNU.sparse.") => into.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    into.xattrs.retain(|(known, _)| known != name);
                    into.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        records = records.get(length..)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind, size: u64) -> Entry {
        Entry {
            kind,
            path: path.as_bytes().to_vec(),
            link: Vec::new(),
            size,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 5,
            xattrs: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "x/".repeat(200) + "end";
        let mut with = entry("attributes", Kind::File, 0);
        with.xattrs = vec![(b"security.capability".to_vec(), vec![0, 1, b'\n', b'=', 255])];
        with.uid = 70_000_000;
        with.mtime = -3;
        let mut link = entry("link", Kind::Symlink, 0);
        link.link = long.clone().into_bytes();
        let all = [
            entry(&long, Kind::File, 600),
            with,
            link,
            entry("d/", Kind::Folder, 0),
        ];
        let mut writer = Writer::new(Vec::new());
        for entry in &all {
            let contents = vec![7; usize::try_from(entry.size).unwrap()];
            writer.append(entry, contents.as_slice()).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let mut tar = Tar::new(bytes.as_slice());
        for entry in &all {
            assert_eq!(tar.next_entry().unwrap().as_ref(), Some(entry));
            let mut contents = Vec::new();
            tar.read_to_end(&mut contents).unwrap();
            assert_eq!(u64::try_from(contents.len()).unwrap(), entry.size);
        }
        assert!(tar.next_entry().unwrap().is_none());
        for cut in [100, 512, 600, 1100] {
            let mut tar = Tar::new(&bytes[..cut]);
            let torn = loop {
                match tar.next_entry() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert!(torn.is_err() || cut == 0, "{cut}");
        }
    }

    #[test]
    fn headers_are_bounded_and_sparse_files_refused() {
        let raw = |kind: u8, size: &str, body: &[u8]| {
            let mut block = [0_u8; BLOCK];
            block[..1].copy_from_slice(b"n");
            block[100..107].copy_from_slice(b"0000644");
            block[108..115].copy_from_slice(b"0000000");
            block[116..123].copy_from_slice(b"0000000");
            block[124..124 + size.len()].copy_from_slice(size.as_bytes());
            block[156] = kind;
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            let mut all = block.to_vec();
            all.extend_from_slice(body);
            all.resize(all.len().next_multiple_of(512), 0);
            all
        };
        let first = |bytes: &[u8]| Tar::new(bytes).next_entry();
        assert!(matches!(
            first(&raw(b'x', "77777777777", b"")),
            Err(TarError::Long(_))
        ));
        assert!(matches!(
            first(&raw(b'L', "77777777777", b"")),
            Err(TarError::Long(_))
        ));
        assert!(matches!(first(&raw(b'S', "0", b"")), Err(TarError::Sparse(_))));
        let mut pax = raw(b'x', "26", b"22 GNU.sparse.major=1\n");
        pax.extend(raw(b'0', "0", b""));
        assert!(matches!(first(&pax), Err(TarError::Sparse(_))));
        for bad in ["9 no=equal", "x a=b\n", "5 ab\n", "99 a=b\n", "6 path"] {
            let size = format!("{:o}", bad.len());
            assert!(first(&raw(b'x', &size, bad.as_bytes())).is_err(), "{bad}");
        }
        let mut damaged = raw(b'0', "0", b"");
        damaged[0] = b'm';
        assert!(matches!(first(&damaged), Err(TarError::Header(1, "its sum"))));
        // A link's size is no size of contents: what follows is the next header.
        let mut link = raw(b'2', "1000", b"");
        link.extend(raw(b'0', "0", b""));
        let mut tar = Tar::new(link.as_slice());
        assert_eq!(tar.next_entry().unwrap().unwrap().size, 0);
        assert_eq!(tar.next_entry().unwrap().unwrap().kind, Kind::File);
    }
}
