//! Blobs: checked while they are written, and again when they are read as documents.

use super::{Store, StoreError, at, sync_dir};
use crate::digest::{Digest, Hashing};
use crate::spec::{DOCUMENT, Descriptor};
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// A blob that is being written; removed if it is dropped before it is whole.
pub struct BlobWriter {
    store: Store,
    path: PathBuf,
    file: Option<Hashing<File>>,
    most: u64,
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if file.bytes.saturating_add(more) > self.most {
            return Err(io::Error::other(format!("more than {} bytes came", self.most)));
        }
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl BlobWriter {
    /// What has been written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.bytes)
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// It is not what was wanted, or cannot be made durable.
    pub fn finish(mut self, wanted: Option<&Digest>) -> Result<(Digest, u64), StoreError> {
        let file = self
            .file
            .take()
            .ok_or_else(|| at("cannot finish", &self.path)(io::ErrorKind::BrokenPipe.into()))?;
        let (digest, bytes) = (file.digest(), file.bytes);
        if let Some(wanted) = wanted.filter(|wanted| **wanted != digest) {
            return Err(StoreError::Digest {
                wanted: wanted.clone(),
                found: digest,
            });
        }
        let cannot = at("cannot write", &self.path);
        file.inner.sync_all().map_err(&cannot)?;
        let place = self.store.blob_path(&digest);
        fs::rename(&self.path, &place).map_err(&cannot)?;
        sync_dir(&self.store.dir().join("blobs/sha256"))?;
        Ok((digest, bytes))
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // Gone already once it is in its place.
        _ = fs::remove_file(&self.path);
    }
}

/// A blob of a known digest that may come in several goes: what came stays, and the next go continues there.
pub struct PartialBlob {
    store: Store,
    path: PathBuf,
    file: Hashing<File>,
    wanted: Descriptor,
}

impl PartialBlob {
    /// What is there already.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.bytes
    }

    /// Adds to it.
    ///
    /// # Errors
    /// More came than its descriptor says, or the disk.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let found = self
            .file
            .bytes
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if found > self.wanted.size {
            return Err(StoreError::Size {
                digest: self.wanted.digest.clone(),
                wanted: self.wanted.size,
                found,
            });
        }
        self.file.write_all(bytes).map_err(at("cannot write", &self.path))
    }

    /// Forgets what came: the other side cannot continue, or it was wrong.
    ///
    /// # Errors
    /// The disk.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        use std::io::Seek as _;
        let cannot = at("cannot write", &self.path);
        let mut file = self.file.inner.try_clone().map_err(&cannot)?;
        file.set_len(0).map_err(&cannot)?;
        file.rewind().map_err(&cannot)?;
        self.file = Hashing::new(file);
        Ok(())
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// It is not what was wanted: it is forgotten then.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let (found, size) = (self.file.digest(), self.file.bytes);
        let (wanted, digest) = (self.wanted.size, self.wanted.digest.clone());
        let path = self.path.clone();
        let cannot = at("cannot write", &path);
        if size == wanted && found == digest {
            self.file.inner.sync_all().map_err(&cannot)?;
            fs::rename(&self.path, self.store.blob_path(&digest)).map_err(&cannot)?;
            return sync_dir(&self.store.dir().join("blobs/sha256"));
        }
        if size < wanted {
            return Err(StoreError::Size {
                digest,
                wanted,
                found: size,
            });
        }
        self.restart()?;
        Err(StoreError::Digest {
            wanted: digest,
            found,
        })
    }
}

impl Store {
    /// Whether a blob is there.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Begins a blob of at most so many bytes.
    ///
    /// # Errors
    /// The disk.
    pub fn write_blob(&self, most: u64) -> Result<BlobWriter, StoreError> {
        let path = self.scratch("blob");
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(at("cannot make", &path))?;
        Ok(BlobWriter {
            store: self.clone(),
            path,
            file: Some(Hashing::new(file)),
            most,
        })
    }

    /// Writes a small blob.
    ///
    /// # Errors
    /// The disk.
    pub fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, StoreError> {
        let descriptor = Descriptor::of(media_type, bytes);
        if !self.has(&descriptor.digest) {
            super::write_whole(self, &self.blob_path(&descriptor.digest), bytes)?;
        }
        Ok(descriptor)
    }

    /// Continues a blob that somebody may have begun. Waits while another process or task is at it; `None` if it is there
    /// by then.
    ///
    /// # Errors
    /// The disk.
    pub fn continue_blob(&self, wanted: &Descriptor) -> Result<Option<PartialBlob>, StoreError> {
        let path = self
            .dir()
            .join("ingest")
            .join(format!("part-{}", wanted.digest.hex()));
        let cannot = at("cannot open", &path);
        loop {
            if self.has(&wanted.digest) {
                return Ok(None);
            }
            let file = File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(&cannot)?;
            file.lock().map_err(&cannot)?;
            // Whoever had it may have put it in its place: then this is a file without a name.
            let named = fs::metadata(&path).ok().zip(file.metadata().ok());
            let same = named.is_some_and(|(named, open)| {
                use std::os::unix::fs::MetadataExt as _;
                (named.dev(), named.ino()) == (open.dev(), open.ino())
            });
            if !same {
                continue;
            }
            let mut reading = Hashing::new(file);
            io::copy(&mut reading, &mut io::sink()).map_err(&cannot)?;
            return Ok(Some(PartialBlob {
                store: self.clone(),
                path: path.clone(),
                file: reading,
                wanted: wanted.clone(),
            }));
        }
    }

    /// Opens a blob.
    ///
    /// # Errors
    /// It is not there.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Missing(digest.clone())),
            other => other.map_err(at("cannot open", &path)),
        }
    }

    /// Reads a document, and makes sure that it is what it was.
    ///
    /// # Errors
    /// It is not there, is too large, or was changed.
    pub fn document(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let file = self.open_blob(digest)?;
        let path = self.blob_path(digest);
        let size = file.metadata().map_err(at("cannot read", &path))?.len();
        if size > DOCUMENT {
            return Err(StoreError::Large {
                digest: digest.clone(),
                size,
                most: DOCUMENT,
            });
        }
        let mut bytes = Vec::new();
        file.take(DOCUMENT)
            .read_to_end(&mut bytes)
            .map_err(at("cannot read", &path))?;
        let found = Digest::of(&bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(StoreError::Digest {
                wanted: digest.clone(),
                found,
            })
        }
    }

    /// Reads a document as what it should be.
    ///
    /// # Errors
    /// As [`document`](Self::document), or it is something else.
    pub fn read<T: DeserializeOwned>(&self, digest: &Digest, what: &'static str) -> Result<T, StoreError> {
        serde_json::from_slice(&self.document(digest)?).map_err(|source| StoreError::Document {
            digest: digest.clone(),
            what,
            source,
        })
    }
}
