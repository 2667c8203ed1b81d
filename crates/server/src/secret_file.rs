//! A secret in a file of its own: made at the first start, read again when the file is replaced.
//!
//! Owns the file's rights and the comparison. Replacing the file is how a secret is changed: what was valid before is not
//! from that moment on.

use crate::datadir::DataDir;
use crate::error::Error;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use herder_base::Secret;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Tells a replaced file from the one before: device, inode, length, and when it was changed.
type Stamp = (u64, u64, u64, i64, i64);

/// See the module.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    read: Mutex<(Option<Stamp>, Arc<Secret<String>>)>,
}

impl SecretFile {
    /// The secret in a file below the data directory, made if there is none.
    pub(crate) fn open(dir: &DataDir, name: &str) -> Result<Self, Error> {
        let path = dir.path().join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => {
                let mode = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&path, mode).map_err(Error::file("make private", &path))?;
                text.trim().to_owned()
            }
            Ok(_) => Self::make(dir, name)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::make(dir, name)?,
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        let read = Mutex::new((stamp(&path), Arc::new(Secret::new(text))));
        Ok(Self { path, read })
    }

    fn make(dir: &DataDir, name: &str) -> Result<String, Error> {
        let text = random().map_err(|error| Error::file("make", name)(error))?;
        dir.write_private(name, text.as_bytes())?;
        Ok(text)
    }

    /// The secret of this moment. A file that cannot be read or holds nothing changes nothing.
    pub(crate) fn current(&self) -> Arc<Secret<String>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(&self.path);
        if now.is_some() && now != read.0 {
            let text = std::fs::read_to_string(&self.path).unwrap_or_default();
            if !text.trim().is_empty() {
                *read = (now, Arc::new(Secret::new(text.trim().to_owned())));
            }
        }
        Arc::clone(&read.1)
    }

    /// Whether this is the secret; takes the same time for every wrong one, whatever its length.
    pub(crate) fn is(&self, given: &str) -> bool {
        let (own, given) = (
            digest(&SHA256, self.current().expose().as_bytes()),
            digest(&SHA256, given.as_bytes()),
        );
        verify_slices_are_equal(own.as_ref(), given.as_ref()).is_ok()
    }

    /// Tells one secret from another without telling either.
    pub(crate) fn fingerprint(&self) -> String {
        let text = format!("herder fingerprint\n{}", self.current().expose());
        hex::encode(digest(&SHA256, text.as_bytes()))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.size(),
        found.mtime(),
        found.mtime_nsec(),
    ))
}

/// 256 random bits, hexadecimal.
pub(crate) fn random() -> Result<String, std::io::Error> {
    let mut bytes = [0u8; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the machine gives no random numbers"))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_ends_the_secret_before() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let file = SecretFile::open(&data, "state/x").unwrap();
        let (first, before) = (file.current().expose().clone(), file.fingerprint());
        assert!(file.is(&first) && !file.is("") && !file.is(&first[1..]));
        data.write_private("state/x", b"another\n").unwrap();
        assert!(file.is("another") && !file.is(&first));
        assert_ne!(file.fingerprint(), before);
        std::fs::remove_file(dir.path().join("state/x")).unwrap();
        assert!(file.is("another"));
    }
}
