//! Unpacks one layer into a folder of its own, in the form that overlayfs reads: a file that a layer takes away becomes a
//! device 0/0, a folder that hides those below gets an attribute. A layer is a stranger's: everything is opened beneath
//! the folder, amounts are bounded, devices are left out, and what cannot be right is refused with the entry's name.

mod place;

use crate::compression;
use crate::digest::{Digest, Hashing};
use crate::tar::{Entry, Kind, Tar, TarError};
use place::Place;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use thiserror::Error;

/// How much a layer may have.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Entries.
    pub entries: u64,
    /// Bytes once decompressed.
    pub bytes: u64,
    /// Bytes that one compressed byte may become, once `free` has been passed.
    pub ratio: u64,
    /// Bytes that are not asked about their ratio.
    pub free: u64,
    /// Folders within folders.
    pub depth: usize,
    /// Bytes that have to be left on the disk.
    pub left: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            entries: 1 << 20,
            bytes: 64 << 30,
            ratio: 200,
            free: 1 << 30,
            depth: 256,
            left: 256 << 20,
        }
    }
}

/// Why a layer was refused.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// Its bytes.
    #[error("the layer cannot be decompressed")]
    Compressed(#[source] io::Error),
    /// Its format.
    #[error("the layer is no tar that can be read")]
    Tar(#[from] TarError),
    /// Too many entries.
    #[error("the layer has more than {0} entries")]
    Entries(u64),
    /// Too many bytes.
    #[error("the layer has more than {0} bytes once decompressed")]
    Bytes(u64),
    /// A bomb.
    #[error("the layer grows more than {0} times when it is decompressed")]
    Ratio(u64),
    /// The disk.
    #[error("the disk is nearly full: less than {0} bytes would be left")]
    Full(u64),
    /// Something else than was promised.
    #[error("the layer is {found} once decompressed; its image says {wanted}")]
    Other {
        /// What the image says.
        wanted: Digest,
        /// What it is.
        found: Digest,
    },
    /// An entry that cannot be right.
    #[error("{entry:?} in the layer {why}")]
    Entry {
        /// Its name.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An entry that could not be made.
    #[error("{entry:?} of the layer could not be made")]
    Make {
        /// Its name.
        entry: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder.
    #[error("the layer's folder cannot be used")]
    Folder(#[source] io::Error),
}

/// What became of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The digest of its decompressed bytes.
    pub diff_id: Digest,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its entries.
    pub entries: u64,
    /// Devices that were left out.
    pub left_out: u64,
}

/// Counts what comes in, for the ratio.
struct Counting<R> {
    inner: R,
    bytes: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        let more = u64::try_from(count).unwrap_or(0);
        self.bytes.fetch_add(more, std::sync::atomic::Ordering::Relaxed);
        Ok(count)
    }
}

/// Stops at the bounds: what was exceeded is in the error.
struct Bounded<R> {
    inner: R,
    came: std::sync::Arc<std::sync::atomic::AtomicU64>,
    bytes: u64,
    bounds: Bounds,
    disk: Option<std::fs::File>,
    looked: u64,
}

#[derive(Debug, Error)]
#[error("a bound was passed")]
struct Passed(UnpackErrorKind);

#[derive(Debug, Clone, Copy)]
enum UnpackErrorKind {
    Bytes,
    Ratio,
    Full,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(count).unwrap_or(0));
        let came = self.came.load(std::sync::atomic::Ordering::Relaxed).max(1);
        let passed = |kind| Err(io::Error::other(Passed(kind)));
        if self.bytes > self.bounds.bytes {
            return passed(UnpackErrorKind::Bytes);
        }
        if self.bytes > self.bounds.free && self.bytes / came > self.bounds.ratio {
            return passed(UnpackErrorKind::Ratio);
        }
        // Not with every read: asking costs a system call.
        if let Some(disk) = &self.disk
            && self.bytes.saturating_sub(self.looked) > 16 << 20
        {
            self.looked = self.bytes;
            let fs = rustix::fs::fstatvfs(disk)?;
            if fs.f_bavail.saturating_mul(fs.f_frsize) < self.bounds.left {
                return passed(UnpackErrorKind::Full);
            }
        }
        Ok(count)
    }
}

fn explained(error: UnpackError, bounds: &Bounds) -> UnpackError {
    let source = match &error {
        UnpackError::Tar(TarError::Read(source))
        | UnpackError::Make { source, .. }
        | UnpackError::Compressed(source) => source,
        _ => return error,
    };
    match source.get_ref().and_then(|inner| inner.downcast_ref::<Passed>()) {
        Some(Passed(UnpackErrorKind::Bytes)) => UnpackError::Bytes(bounds.bytes),
        Some(Passed(UnpackErrorKind::Ratio)) => UnpackError::Ratio(bounds.ratio),
        Some(Passed(UnpackErrorKind::Full)) => UnpackError::Full(bounds.left),
        None => error,
    }
}

/// Unpacks `layer`, compressed or not, into the empty folder `into`. `wanted` is what its image says it is; without, it is
/// found out.
///
/// # Errors
/// [`UnpackError`]; the folder is then to be removed.
pub fn unpack(
    layer: impl Read + Send,
    into: &Path,
    wanted: Option<&Digest>,
    bounds: &Bounds,
) -> Result<Unpacked, UnpackError> {
    try_unpack(layer, into, wanted, bounds).map_err(|error| explained(error, bounds))
}

fn try_unpack(
    layer: impl Read + Send,
    into: &Path,
    wanted: Option<&Digest>,
    bounds: &Bounds,
) -> Result<Unpacked, UnpackError> {
    let came = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
    let counting = Counting {
        inner: layer,
        bytes: std::sync::Arc::clone(&came),
    };
    let (_, plain) = compression::reader(counting).map_err(UnpackError::Compressed)?;
    let bounded = Bounded {
        inner: plain,
        came,
        bytes: 0,
        bounds: *bounds,
        disk: Some(std::fs::File::open(into).map_err(UnpackError::Folder)?),
        looked: 0,
    };
    let mut tar = Tar::new(Hashing::new(bounded));
    let mut place = Place::open(into).map_err(UnpackError::Folder)?;
    let (mut bytes, mut left_out) = (0_u64, 0);
    while let Some(entry) = tar.next_entry()? {
        if tar.entries() > bounds.entries {
            return Err(UnpackError::Entries(bounds.entries));
        }
        bytes = bytes.saturating_add(entry.size);
        if put(&mut place, &entry, &mut tar, bounds)? == Put::LeftOut {
            left_out += 1;
        }
    }
    let entries = tar.entries();
    let mut rest = tar.into_inner();
    // What is behind the end counts for the digest.
    io::copy(&mut rest, &mut io::sink()).map_err(UnpackError::Compressed)?;
    let diff_id = rest.digest();
    if let Some(wanted) = wanted.filter(|wanted| **wanted != diff_id) {
        return Err(UnpackError::Other {
            wanted: wanted.clone(),
            found: diff_id,
        });
    }
    place.finish().map_err(UnpackError::Folder)?;
    Ok(Unpacked {
        diff_id,
        bytes,
        entries,
        left_out,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Put {
    Done,
    LeftOut,
}

/// What begins the names of entries that take files of lower layers away.
const WHITEOUT: &str = ".wh.";

fn put(
    place: &mut Place,
    entry: &Entry,
    contents: &mut impl Read,
    bounds: &Bounds,
) -> Result<Put, UnpackError> {
    let wrong = |why| UnpackError::Entry {
        entry: entry.shown(),
        why,
    };
    let path = inside(&entry.path).map_err(wrong)?;
    if path.components().count() > bounds.depth {
        return Err(wrong("is too deep"));
    }
    let made = |result: io::Result<()>| {
        result.map(|()| Put::Done).map_err(|source| UnpackError::Make {
            entry: entry.shown(),
            source,
        })
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        // The root itself.
        return match entry.kind {
            Kind::Folder => made(place.root(entry)),
            _ => Err(wrong("is the root and no folder")),
        };
    };
    let bytes = name.as_encoded_bytes();
    if let Some(hidden) = bytes.strip_prefix(WHITEOUT.as_bytes()) {
        return match hidden {
            b".wh..opq" => made(place.hide_all(parent)),
            // What an older file system left behind for itself.
            _ if hidden.starts_with(WHITEOUT.as_bytes()) => Ok(Put::LeftOut),
            b"" | b"." | b".." => Err(wrong("takes away nothing")),
            _ => {
                let hidden = Path::new(place::os(hidden));
                made(place.hide(parent, hidden))
            }
        };
    }
    match entry.kind {
        Kind::File => made(place.file(parent, Path::new(name), entry, contents)),
        Kind::Folder => made(place.folder(parent, Path::new(name), entry)),
        Kind::Fifo => made(place.fifo(parent, Path::new(name), entry)),
        Kind::Symlink if entry.link.is_empty() || entry.link.contains(&0) => Err(wrong("leads nowhere")),
        Kind::Symlink => made(place.symlink(parent, Path::new(name), entry)),
        Kind::HardLink => {
            let target = inside(&entry.link).map_err(|_| wrong("is a link to outside of the layer"))?;
            made(place.hard_link(parent, Path::new(name), &target))
        }
        // No container may open devices of its own, and one on the machine's disk would be one for everybody.
        Kind::Device => Ok(Put::LeftOut),
        Kind::Other(_) => Err(wrong("is of an unknown kind")),
    }
}

/// A name within the layer: what begins with `/` begins at its root.
fn inside(name: &[u8]) -> Result<PathBuf, &'static str> {
    if name.contains(&0) || name.len() > 4096 {
        return Err("has no name that a file may have");
    }
    let mut path = PathBuf::new();
    for part in Path::new(place::os(name)).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(part) if part.len() <= 255 => path.push(part),
            Component::Normal(_) => return Err("has a name that is too long"),
            Component::ParentDir | Component::Prefix(_) => return Err("leads out of the layer by `..`"),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
