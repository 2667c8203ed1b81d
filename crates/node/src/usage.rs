//! How much a pod's volumes take on the machine's disk, in bytes and in files. Pods write in them at the same time: nothing is followed out of a
//! volume, and what is too deep to be counted counts as too much.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::mounts::name_of;

/// Directories within directories that are looked into.
pub(crate) const DEPTH: usize = 200;

/// Files, directories and links that the volumes of one pod may hold on the machine's disk: its file system has only so
/// many, for everybody.
pub(crate) const FILES: u64 = 200_000;

/// A volume with a limit.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// Its name.
    pub(crate) name: String,
    /// The directory.
    pub(crate) place: Arc<OwnedFd>,
    /// Bytes.
    pub(crate) limit: u64,
    /// The limit as it was declared.
    pub(crate) shown: String,
}

/// A pod's volumes, and what it may use in all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget {
    /// Volumes on disk.
    pub(crate) volumes: Vec<Watched>,
    /// The sum of the containers' `ephemeral-storage`, if all have one.
    pub(crate) whole: Option<(u64, String)>,
}

impl Budget {
    /// Why the pod must go, if it must. Blocks.
    pub(crate) fn exceeded(&self) -> Option<String> {
        self.exceeded_with(FILES)
    }

    fn exceeded_with(&self, most: u64) -> Option<String> {
        let mut whole = 0_u64;
        let mut files = most;
        for volume in &self.volumes {
            let used = match bytes(volume.place.as_fd(), &mut files) {
                Ok(Some(used)) => used,
                Ok(None) => {
                    return Some(format!(
                        "Pod's volumes hold more than {most} files, directories and links. "
                    ));
                }
                Err(error) => {
                    tracing::warn!(volume = volume.name, %error, "a volume's size could not be found out");
                    0
                }
            };
            if used > volume.limit {
                return Some(format!(
                    "Usage of EmptyDir volume {:?} exceeds the limit {:?}. ",
                    volume.name, volume.shown
                ));
            }
            whole = whole.saturating_add(used);
        }
        let (limit, shown) = self.whole.as_ref()?;
        (whole > *limit).then(|| {
            format!("Pod ephemeral local storage usage exceeds the total limit of containers {shown}. ")
        })
    }
}

/// Bytes on disk of a directory and everything in it. `files` is how many it may hold, and then how many are left; none when
/// there are more: the rest is not looked at, so that very many cannot make the look itself long.
fn bytes(dir: BorrowedFd<'_>, files: &mut u64) -> io::Result<Option<u64>> {
    let mut seen = HashSet::new();
    let dir = openat(
        dir,
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    count(&dir, DEPTH, &mut seen, files)
}

fn count(dir: &OwnedFd, depth: usize, seen: &mut HashSet<u64>, files: &mut u64) -> io::Result<Option<u64>> {
    let mut all = 0_u64;
    for entry in std::fs::read_dir(name_of(dir))? {
        let name = entry?.file_name();
        let stat = match fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            // Gone meanwhile.
            Err(Errno::ENOENT) => continue,
            other => other?,
        };
        // A file of several names is there once.
        if stat.st_nlink > 1 && !seen.insert(stat.st_ino) {
            continue;
        }
        let Some(left) = files.checked_sub(1) else {
            return Ok(None);
        };
        *files = left;
        all = all.saturating_add(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512));
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
            continue;
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(Some(u64::MAX));
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(dir, name.as_os_str(), flags, Mode::empty()) {
            Ok(inner) => match count(&inner, depth, seen, files)? {
                Some(more) => all = all.saturating_add(more),
                None => return Ok(None),
            },
            // Something else by now.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Some(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_measured_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        std::fs::create_dir_all(volume.join("a/b")).unwrap();
        std::fs::write(dir.path().join("outside"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink(dir.path(), volume.join("a/out")).unwrap();
        std::fs::write(volume.join("a/b/file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(volume.join("a/b/file"), volume.join("again")).unwrap();
        let place = Arc::new(crate::mounts::place(&volume).unwrap());
        let used = bytes(place.as_fd(), &mut 5).unwrap().unwrap();
        assert!((100_000..200_000).contains(&used), "{used}");
        let budget = |limit, whole| Budget {
            volumes: vec![Watched {
                name: "v".to_owned(),
                place: Arc::clone(&place),
                limit,
                shown: "64Ki".to_owned(),
            }],
            whole,
        };
        assert_eq!(budget(1 << 20, None).exceeded(), None);
        assert_eq!(
            budget(1 << 16, None).exceeded().unwrap().trim(),
            "Usage of EmptyDir volume \"v\" exceeds the limit \"64Ki\"."
        );
        let whole = budget(1 << 20, Some((1 << 16, "64Ki".to_owned())))
            .exceeded()
            .unwrap();
        assert!(whole.contains("total limit of containers 64Ki"), "{whole}");
        let deep: std::path::PathBuf = (0..DEPTH + 2).map(|_| "d").collect();
        std::fs::create_dir_all(volume.join(deep)).unwrap();
        assert!(budget(1 << 30, None).exceeded().is_some());
    }
    #[test]
    fn files_are_counted_over_all_volumes_of_a_pod() {
        let dir = tempfile::tempdir().unwrap();
        let volume = |name: &str| {
            let volume = dir.path().join(name);
            std::fs::create_dir_all(volume.join("d")).unwrap();
            for number in 0..4 {
                std::fs::write(volume.join(format!("d/{number}")), "").unwrap();
            }
            // One more name, not one more file.
            std::fs::hard_link(volume.join("d/0"), volume.join("again")).unwrap();
            Watched {
                name: name.to_owned(),
                place: Arc::new(crate::mounts::place(&volume).unwrap()),
                limit: 1 << 30,
                shown: "1Gi".to_owned(),
            }
        };
        let budget = Budget {
            volumes: vec![volume("a"), volume("b")],
            whole: None,
        };
        assert_eq!(budget.exceeded_with(10), None);
        assert_eq!(
            budget.exceeded_with(9).unwrap().trim(),
            "Pod's volumes hold more than 9 files, directories and links."
        );
        assert_eq!(budget.exceeded(), None);
    }
}
