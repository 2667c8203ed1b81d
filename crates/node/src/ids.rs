//! Ids of users for pods: each pod that has a user namespace of its own has 65,536 of the machine's ids for itself. A node
//! takes a slab of ids that no other node on this machine has, of whatever cluster, and gives its pods parts of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Ids of a pod.
pub(crate) const EACH: u32 = 1 << 16;
/// Ids of a node.
const SLAB: u32 = 1 << 24;
/// Pods of a node.
const PODS: u32 = SLAB / EACH;
/// Where nodes of all clusters agree on who has which slab.
const AGREED: &str = "/run/herder/ids";

/// A node's slab, and which parts of it are in use.
#[derive(Debug)]
pub(crate) struct Ids {
    first: u32,
    used: Mutex<BTreeSet<u32>>,
    /// Locked for as long as the node lives, however it ends.
    _lock: File,
}

/// A pod's ids, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    ids: Arc<Ids>,
    part: u32,
}

impl Lease {
    /// The machine's id for the pod's id 0.
    pub(crate) fn first(&self) -> u32 {
        self.ids.first + self.part * EACH
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut used = self.ids.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.remove(&self.part);
    }
}

/// Slabs in the order they are tried: first those that the machine's own tools leave alone (above what systemd gives to
/// containers), then downwards; never the first, where the machine's users are, nor what is negative to old programs.
fn slabs() -> impl Iterator<Item = u32> {
    (0x70..0x7f).chain((1..0x70).rev()).map(|slab| slab * SLAB)
}

/// Ranges that the machine's administrator has given to users: first id and number.
fn given_away() -> Vec<(u64, u64)> {
    ["/etc/subuid", "/etc/subgid"]
        .iter()
        .flat_map(|path| ranges(&fs::read_to_string(path).unwrap_or_default()))
        .collect()
}

fn ranges(text: &str) -> Vec<(u64, u64)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .filter_map(|line| {
            let mut fields = line.split(':').skip(1);
            let mut number = || fields.next()?.trim().parse().ok();
            Some((number()?, number()?))
        })
        .collect()
}

impl Ids {
    /// Takes a slab.
    pub(crate) fn take() -> io::Result<Arc<Self>> {
        let given = given_away();
        let free = |first: u32| {
            let (first, end) = (u64::from(first), u64::from(first) + u64::from(SLAB));
            !given
                .iter()
                .any(|(start, count)| *start < end && first < start.saturating_add(*count))
        };
        Self::take_in(Path::new(AGREED), slabs().filter(|first| free(*first)))
    }

    fn take_in(dir: &Path, slabs: impl Iterator<Item = u32>) -> io::Result<Arc<Self>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let meta = fs::symlink_metadata(dir)?;
        if !meta.is_dir() || meta.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::other(format!(
                "{} belongs to somebody else",
                dir.display()
            )));
        }
        for first in slabs {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .custom_flags(nix::libc::O_NOFOLLOW)
                .mode(0o600)
                .open(dir.join(format!("{first}")))?;
            match file.try_lock() {
                Ok(()) => {
                    return Ok(Arc::new(Self {
                        first,
                        used: Mutex::default(),
                        _lock: file,
                    }));
                }
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other("other nodes on this machine have all of them"))
    }

    /// Ids for a pod.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let part = (0..PODS).find(|part| !used.contains(part))?;
        used.insert(part);
        Some(Lease {
            ids: Arc::clone(self),
            part,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pods_share_ids() {
        let dir = tempfile::tempdir().unwrap();
        let take = || Ids::take_in(&dir.path().join("ids"), slabs());
        let (one, two) = (take().unwrap(), take().unwrap());
        assert_eq!((one.first, two.first), (0x7000_0000, 0x7100_0000));
        let leases: Vec<Lease> = (0..PODS).map(|_| one.lease().unwrap()).collect();
        assert!(one.lease().is_none());
        let firsts: BTreeSet<u32> = leases.iter().map(Lease::first).collect();
        assert_eq!(firsts.len(), 256);
        assert!(firsts.iter().all(|first| first % EACH == 0 && *first < two.first));
        drop(leases);
        assert_eq!(one.lease().unwrap().first(), 0x7000_0000);
        drop(one);
        assert_eq!(take().unwrap().first, 0x7000_0000);
        assert_eq!(ranges("# x\nme:100000:65536\nodd\n"), [(100_000, 65_536)]);
        assert_eq!(slabs().count(), 126);
    }
}
