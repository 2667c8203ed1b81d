//! Bounds of a node and of its pods as a whole, in control groups above those of the containers. The container runtime
//! makes the groups of containers below; `fabric::cgroups` removes all of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What everything in a group may take together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// Processes.
    pub(crate) processes: Option<u64>,
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
}

/// Sets them on `group`, in whichever hierarchies the machine has.
pub(crate) fn bound(group: &str, bounds: Bounds) -> io::Result<()> {
    bound_in(Path::new("/sys/fs/cgroup"), group, bounds)
}

fn bound_in(root: &Path, group: &str, bounds: Bounds) -> io::Result<()> {
    let unified = root.join("cgroup.controllers");
    if unified.exists() {
        let made = hand_down(root, group)?;
        set(&made, "pids.max", bounds.processes)?;
        return set(&made, "memory.max", bounds.memory);
    }
    for (controller, file, value) in [
        ("pids", "pids.max", bounds.processes),
        ("memory", "memory.limit_in_bytes", bounds.memory),
    ] {
        let hierarchy = root.join(controller);
        if value.is_some() && hierarchy.is_dir() {
            let made = hierarchy.join(group);
            fs::create_dir_all(&made)?;
            set(&made, file, value)?;
        }
    }
    Ok(())
}

fn set(group: &Path, file: &str, value: Option<u64>) -> io::Result<()> {
    match value {
        Some(value) => fs::write(group.join(file), value.to_string()),
        None => Ok(()),
    }
}

/// In the unified hierarchy a group can only be bounded if all above it pass the controllers on.
fn hand_down(root: &Path, group: &str) -> io::Result<PathBuf> {
    let mut here = root.to_path_buf();
    for part in Path::new(group).components() {
        let available = fs::read_to_string(here.join("cgroup.controllers"))?;
        let wanted: Vec<String> = ["cpu", "memory", "pids"]
            .iter()
            .filter(|name| available.split_whitespace().any(|known| known == **name))
            .map(|name| format!("+{name}"))
            .collect();
        // Where it is refused, setting the bound below says so.
        _ = fs::write(here.join("cgroup.subtree_control"), wanted.join(" "));
        here.push(part);
        fs::create_dir_all(&here)?;
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts() {
        let dir = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            processes: Some(7),
            memory: Some(1 << 20),
        };
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap_or_default();
        fs::create_dir_all(dir.path().join("pids")).unwrap();
        bound_in(dir.path(), "h/n/p", bounds).unwrap();
        assert_eq!(read("pids/h/n/p/pids.max"), "7");
        assert!(!dir.path().join("memory").exists());

        for group in ["", "u", "u/p"] {
            let group = dir.path().join(group);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("cgroup.controllers"), "memory pids io\n").unwrap();
        }
        bound_in(dir.path(), "u/p", bounds).unwrap();
        assert_eq!(read("u/cgroup.subtree_control"), "+memory +pids");
        assert_eq!(
            (read("u/p/pids.max"), read("u/p/memory.max")),
            ("7".to_owned(), "1048576".to_owned())
        );
    }
}
