//! The files of this machine for a build: each is read when the build asks for it, and no other.

use herder_base::File;
use herder_kustomize::Files;
use std::fs;
use std::path::{Path, PathBuf};

/// The whole filesystem; messages name files relative to a directory.
pub(crate) struct Disk {
    here: PathBuf,
}

impl Disk {
    /// Names files relative to `here`.
    pub(crate) fn new(here: &Path) -> Self {
        Self {
            here: here.to_owned(),
        }
    }

    /// How a directory is called among these files.
    ///
    /// # Errors
    /// If it does not exist.
    pub(crate) fn path(dir: &Path) -> std::io::Result<String> {
        let absolute = fs::canonicalize(dir)?;
        Ok(absolute.to_string_lossy().trim_start_matches('/').to_owned())
    }
}

fn absolute(path: &str) -> PathBuf {
    Path::new("/").join(path)
}

impl Files for Disk {
    fn file(&self, path: &str) -> Option<File> {
        let path = absolute(path);
        let kind = fs::symlink_metadata(&path).ok()?.file_type();
        if kind.is_dir() {
            return None;
        }
        let bytes = if kind.is_symlink() {
            fs::read_link(&path)
                .ok()?
                .to_string_lossy()
                .into_owned()
                .into_bytes()
        } else {
            fs::read(&path).ok()?
        };
        Some(File {
            bytes: bytes.into(),
            executable: false,
            symlink: kind.is_symlink(),
        })
    }

    fn is_dir(&self, path: &str) -> bool {
        fs::symlink_metadata(absolute(path)).is_ok_and(|found| found.is_dir())
    }

    fn entries(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(absolute(dir)).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn display(&self, path: &str) -> String {
        let path = absolute(path);
        path.strip_prefix(&self.here)
            .unwrap_or(&path)
            .display()
            .to_string()
    }

    fn is_whole_filesystem(&self) -> bool {
        true
    }
}
