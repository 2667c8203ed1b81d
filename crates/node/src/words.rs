//! A container's last words: a file it may write its termination message to. It has a file system of its own, so that a
//! container that writes without end fills nothing that others need.

use super::mounts::place;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As much as is read of it.
const READ: u64 = 16 << 10;

fn dir(bundle: &Path) -> PathBuf {
    bundle.join("words")
}

/// Makes an empty file.
pub(crate) fn make(bundle: &Path) -> io::Result<Arc<OwnedFd>> {
    let dir = dir(bundle);
    fs::create_dir(&dir)?;
    mount(
        Some("tmpfs"),
        &dir,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Some("mode=0700,size=16k,nr_inodes=4"),
    )?;
    let file = dir.join("file");
    fs::write(&file, "")?;
    // The container may run as anyone.
    fs::set_permissions(&file, Permissions::from_mode(0o666))?;
    place(&file).map(Arc::new)
}

/// What was written; nothing if that cannot be read.
pub(crate) fn read(bundle: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(dir(bundle).join("file")) {
        // What could be read counts.
        _ = file.take(READ).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Forgets it, if there is one.
pub(crate) fn forget(bundle: &Path) {
    // There may be none.
    _ = umount2(&dir(bundle), MntFlags::MNT_DETACH);
}
