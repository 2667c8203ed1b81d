//! A file system whose power is cut: it lies in a file, and a copy of that file is what the disk holds at this moment.
//! What was not synced is not in it. Needs root and loop devices.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking, and say why they skip"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the test that runs in a mount namespace of its own.
const INSIDE: &str = "HERDER_TEST_POWER";

fn outside(test: &str) {
    let able = Command::new("sh")
        .args([
            "-c",
            "test $(id -u) = 0 && command -v mkfs.ext4 && command -v unshare && losetup -f",
        ])
        .output()
        .is_ok_and(|tried| tried.status.success());
    if !able {
        assert!(
            std::env::var_os("CI").is_none() || !is_root(),
            "mkfs.ext4, unshare and a loop device are missing, and CI must have them"
        );
        eprintln!("skipped: needs root, mkfs.ext4 and a loop device");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let inside = Command::new("unshare")
        .args(["-m", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, dir.path())
        .output()
        .unwrap();
    assert!(
        inside.status.success(),
        "{}{}",
        String::from_utf8_lossy(&inside.stdout),
        String::from_utf8_lossy(&inside.stderr)
    );
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// A file system in a file.
pub(crate) struct Disk {
    image: PathBuf,
    pub(crate) mounted: PathBuf,
    copies: PathBuf,
}

/// Runs a command that must succeed.
pub(crate) fn must(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

impl Disk {
    /// Runs a test again where its mounts are seen by nobody and end with it. There it gets a disk; here it is over.
    pub(crate) fn inside(test: &str) -> Option<Self> {
        match std::env::var_os(INSIDE) {
            Some(dir) => Some(Self::make(Path::new(&dir))),
            None => {
                outside(test);
                None
            }
        }
    }

    fn make(dir: &Path) -> Self {
        let disk = Self {
            image: dir.join("disk"),
            mounted: dir.join("now"),
            copies: dir.join("after"),
        };
        std::fs::create_dir(&disk.mounted).unwrap();
        std::fs::create_dir(&disk.copies).unwrap();
        std::fs::File::create(&disk.image)
            .unwrap()
            .set_len(48 << 20)
            .unwrap();
        must(
            Command::new("mkfs.ext4")
                .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
                .arg(&disk.image),
        );
        // The file system syncs nothing by itself meanwhile.
        must(
            Command::new("mount")
                .args(["-o", "loop,commit=3600"])
                .args([&disk.image, &disk.mounted]),
        );
        disk
    }

    /// Pulls the plug: what is found is what had reached the disk. Until the next cut.
    pub(crate) fn after_a_cut(&self) -> &Path {
        let copy = self.copies.with_extension("disk");
        // Of an earlier cut, if there was one.
        let _unmounted = Command::new("umount").arg(&self.copies).output();
        std::fs::copy(&self.image, &copy).unwrap();
        must(
            Command::new("mount")
                .args(["-o", "loop"])
                .args([&copy, &self.copies]),
        );
        &self.copies
    }
}
