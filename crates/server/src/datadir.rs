//! The data directory: creates it, locks it, writes `endpoints.json`.
//!
//! Owns the lock for as long as the value lives; nothing else in the platform writes at the top of the directory.

use crate::error::Error;
use serde_json::Value;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// An open, locked data directory.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Takes rights on a directory from everybody but its owner, if others have any of these; it must be ours.
fn close_to_others(dir: &Path, rights: u32) -> Result<(), Error> {
    let found = std::fs::metadata(dir).map_err(Error::file("look at", dir))?;
    let ours = std::fs::metadata("/proc/self").map_err(Error::file("look at", "/proc/self"))?;
    if found.uid() != ours.uid() {
        let why = std::io::Error::other(format!(
            "it belongs to user {}, who could read and change what is in it; choose another directory with --dir",
            found.uid()
        ));
        return Err(Error::file("keep secrets in", dir)(why));
    }
    if found.mode() & rights == 0 {
        return Ok(());
    }
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(dir, mode).map_err(Error::file("make private", dir))
}

impl DataDir {
    /// Creates what is missing and takes the lock.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let private = |dir: &Path| DirBuilder::new().recursive(true).mode(0o700).create(dir);
        // Pods of an ordinary user's cluster never see this directory, so nobody else needs to.
        private(path).map_err(Error::file("create", path))?;
        let path = path.canonicalize().map_err(Error::file("resolve", path))?;
        // One that was there already may be anybody's to write in, or to read keys in.
        close_to_others(&path, 0o022)?;
        for below in ["state", "git", "logs", "volumes", "kubelite"] {
            let dir = path.join(below);
            private(&dir).map_err(Error::file("create", &dir))?;
            let open = if below == "state" { 0o077 } else { 0o022 };
            close_to_others(&dir, open)?;
        }
        let lock_path = path.join("lock");
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path);
        let mut lock = opened.map_err(Error::file("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message; an unreadable lock file changes nothing.
                let _length = lock.read_to_string(&mut pid);
                return Err(Error::Busy {
                    dir: path,
                    pid: pid.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(Error::file("lock", lock_path)(source)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(Error::file("write", lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory itself, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only its owner can read, atomically.
    pub(crate) fn write_private(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let target = self.path.join(name);
        let staged = self.path.join(format!("{name}.tmp"));
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&staged)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&staged, &target)
        };
        write().map_err(Error::file("write", &target))?;
        Ok(target)
    }

    /// Tells other programs where to find everything. Removed by [`DataDir::close`].
    pub(crate) fn write_endpoints(&self, endpoints: &Value) -> Result<(), Error> {
        let mut text = serde_json::to_vec_pretty(endpoints)
            .map_err(|error| Error::file("write", "endpoints.json")(error.into()))?;
        text.push(b'\n');
        self.write_private("endpoints.json", &text).map(drop)
    }

    /// Takes back what only holds while the platform runs.
    pub(crate) fn close(&self) {
        // Gone already is as good.
        let _removed = std::fs::remove_file(self.path.join("endpoints.json"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_open_to_others_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        for path in [dir.path(), &state] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let _open = DataDir::open(dir.path()).unwrap();
        for path in [dir.path(), &state] {
            assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o777, 0o700);
        }
    }
}
