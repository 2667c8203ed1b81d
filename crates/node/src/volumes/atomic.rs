//! A directory whose files all change at once, as Kubernetes does it: real files in a hidden directory, a symbolic
//! link `..data` to it that is swapped, and links to `..data/NAME` beside it.

use nix::unistd::{Gid, chown};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

/// Relative path → content and mode.
pub(crate) type Payload = BTreeMap<String, (Vec<u8>, u32)>;

/// The directory.
#[derive(Debug)]
pub(crate) struct AtomicDir {
    path: PathBuf,
    group: Option<u32>,
    generation: u64,
    shown: Option<Payload>,
}

impl AtomicDir {
    /// An empty one at `path`, which exists.
    pub(crate) fn new(path: PathBuf, group: Option<u32>) -> Self {
        Self {
            path,
            group,
            generation: 0,
            shown: None,
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Shows exactly `payload`; the same one again writes nothing.
    pub(crate) fn write(&mut self, payload: &Payload) -> io::Result<()> {
        if self.shown.as_ref() == Some(payload) {
            return Ok(());
        }
        self.generation += 1;
        let hidden = format!("..v{}", self.generation);
        let dir = self.path.join(&hidden);
        fs::create_dir(&dir)?;
        fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
        for (name, (content, mode)) in payload {
            let file = dir.join(checked(name)?);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&file, content)?;
            let mut mode = *mode;
            if let Some(group) = self.group {
                chown(&file, None, Some(Gid::from_raw(group)))?;
                mode |= 0o040;
            }
            fs::set_permissions(&file, Permissions::from_mode(mode))?;
        }
        let (fresh, data) = (self.path.join("..data_tmp"), self.path.join("..data"));
        _ = fs::remove_file(&fresh);
        symlink(&hidden, &fresh)?;
        fs::rename(&fresh, &data)?;

        let names: BTreeSet<&str> = payload
            .keys()
            .filter_map(|name| name.split('/').next())
            .filter(|name| !name.is_empty())
            .collect();
        for name in &names {
            let link = self.path.join(name);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new("..data").join(name), &link)?;
            }
        }
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with("..v") && name != hidden {
                fs::remove_dir_all(entry.path())?;
            } else if !name.starts_with("..") && !names.contains(name) {
                fs::remove_file(entry.path())?;
            }
        }
        self.shown = Some(payload.clone());
        Ok(())
    }
}

fn checked(name: &str) -> io::Result<&Path> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !name.is_empty() && !name.starts_with("..") {
        return Ok(path);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{name:?} is no path inside the volume"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(entries: &[(&str, &str)]) -> Payload {
        entries
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (text.as_bytes().to_vec(), 0o640)))
            .collect()
    }

    #[test]
    fn all_files_change_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut atomic = AtomicDir::new(dir.path().to_owned(), None);
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).ok();
        atomic.write(&payload(&[("a", "1"), ("sub/b", "2")])).unwrap();
        assert_eq!(
            (read("a").as_deref(), read("sub/b").as_deref()),
            (Some("1"), Some("2"))
        );
        let mode = fs::metadata(dir.path().join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let before = fs::read_link(dir.path().join("..data")).unwrap();
        atomic.write(&payload(&[("a", "1"), ("sub/b", "2")])).unwrap();
        assert_eq!(fs::read_link(dir.path().join("..data")).unwrap(), before);
        atomic.write(&payload(&[("c", "3")])).unwrap();
        assert_eq!(
            (read("a"), read("sub/b"), read("c").as_deref()),
            (None, None, Some("3"))
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        for bad in ["../x", "/x", "", "..data"] {
            assert!(atomic.write(&payload(&[(bad, "")])).is_err(), "{bad}");
        }
    }
}
