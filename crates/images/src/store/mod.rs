//! Images on disk: blobs by digest, layers unpacked by the digest of their contents, and names. Several processes use one
//! store at the same time. What is in place is whole: everything is written beside, made durable and renamed.
//!
//! ```text
//! DIR/blobs/sha256/HEX   as it came, checked while it was written
//! DIR/layers/HEX/fs      a layer, unpacked; HEX/layer.json says what of
//! DIR/names/HEX.json     a name, and what it stands for
//! DIR/ingest/            what is not whole yet
//! DIR/lock               shared by who adds, held alone by who removes
//! ```

mod blob;
mod image;
mod layer;
mod names;
mod prune;

pub use blob::{BlobWriter, PartialBlob};
pub use image::Image;
pub(crate) use image::choose;
pub use names::Named;
pub use prune::{Keep, Pruned, Wrong};

use crate::digest::Digest;
use crate::reference::Reference;
use crate::spec::Platform;
use crate::unpack::{Bounds, UnpackError};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// Layers that an image may have: what overlayfs can stack, less what is put on top.
pub const LAYERS: usize = 450;

/// Why the store could not do something.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something else came than was asked for.
    #[error("{wanted} was asked for and {found} came: somebody changed it, or it is damaged")]
    Digest {
        /// What was asked for.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// Too much or too little came.
    #[error("{digest} has {wanted} bytes by its descriptor, and {found} came")]
    Size {
        /// Of what.
        digest: Digest,
        /// As promised.
        wanted: u64,
        /// As came.
        found: u64,
    },
    /// Not there.
    #[error("{0} is not in the store")]
    Missing(Digest),
    /// No such name.
    #[error("image {0} is not in the store; `herder image ls` shows what is")]
    Unknown(Reference),
    /// A layer that was not unpacked yet.
    #[error("layer {0} is not unpacked")]
    Unpacked(Digest),
    /// A document that cannot be read.
    #[error("{digest} is no {what}")]
    Document {
        /// Which.
        digest: Digest,
        /// What it should be.
        what: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A document without end.
    #[error("{digest} has {size} bytes, and a document has at most {most}")]
    Large {
        /// Which.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The bound.
        most: u64,
    },
    /// Something that is not run.
    #[error("{digest} cannot be run: {why}")]
    Unfit {
        /// Which.
        digest: Digest,
        /// Why.
        why: String,
    },
    /// None of an index's images is for this machine.
    #[error("no image for {own} in {digest}; it has {others}", own = Platform::own())]
    Platform {
        /// The index.
        digest: Digest,
        /// What it has.
        others: String,
    },
    /// A layer.
    #[error("layer {digest}")]
    Layer {
        /// Its blob.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: UnpackError,
    },
    /// Somebody is adding while somebody removes.
    #[error("another process is pulling, importing or building; try again when it has finished")]
    Busy,
}

pub(crate) fn at<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

/// A store.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    bounds: Bounds,
}

/// Held while something is added: nothing is removed meanwhile.
#[derive(Debug)]
pub struct Adding {
    _lock: File,
}

static COUNTER: AtomicU64 = AtomicU64::new(0);

impl Store {
    /// Opens the store in `dir`, and makes it if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = dir.into();
        // Nobody else may enter: there are programs in it that run as their owner.
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for part in ["blobs/sha256", "layers", "names", "ingest"] {
            let part = dir.join(part);
            builder.create(&part).map_err(at("cannot make", &part))?;
        }
        Ok(Self {
            dir,
            bounds: Bounds::default(),
        })
    }

    /// The same with other bounds.
    #[must_use]
    pub fn bounded(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn lock_file(&self) -> Result<File, StoreError> {
        let path = self.dir.join("lock");
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(at("cannot open", &path))
    }

    /// Says that something is about to be added or taken up; waits for who removes.
    ///
    /// # Errors
    /// The lock cannot be had.
    pub fn adding(&self) -> Result<Adding, StoreError> {
        let lock = self.lock_file()?;
        lock.lock_shared()
            .map_err(at("cannot lock", &self.dir.join("lock")))?;
        Ok(Adding { _lock: lock })
    }

    /// A name for something that is not whole yet.
    fn scratch(&self, kind: &str) -> PathBuf {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{kind}-{}-{number}-{}", std::process::id(), crate::random());
        self.dir.join("ingest").join(name)
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join("layers").join(diff_id.hex())
    }
}

/// Makes a rename durable.
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    let opened = File::open(dir).map_err(at("cannot open", dir))?;
    opened.sync_all().map_err(at("cannot make durable", dir))
}

/// Writes a small file so that it is there whole or not at all.
fn write_whole(store: &Store, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    use std::io::Write as _;
    let scratch = store.scratch("file");
    let write = || {
        let mut file = File::options().write(true).create_new(true).open(&scratch)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&scratch, path)
    };
    let written = write();
    if written.is_err() {
        // The next one who prunes takes away what stays.
        _ = fs::remove_file(&scratch);
    }
    written.map_err(at("cannot write", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

#[cfg(test)]
mod tests;
