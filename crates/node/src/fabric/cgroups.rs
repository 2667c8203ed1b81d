//! Removes what containers leave in the cgroup file systems. Creates nothing: the container runtime does.

use std::path::Path;
use std::{fs, thread, time::Duration};

/// Removes every cgroup of the cluster `cluster_id`, killing what still runs in it. Used after an agent was killed
/// (its containers are gone, their groups are not) and before a start. Missing groups are fine.
pub fn remove_cgroups(cluster_id: &str) {
    remove_below(&format!("herder-{cluster_id}"));
}

/// Removes the cgroups of one node (`NODE`) of the cluster.
pub(crate) fn remove_node_cgroups(cluster_id: &str, node: &str) {
    remove_below(&format!("herder-{cluster_id}/{node}"));
}

/// Removes one pod's cgroups.
pub(crate) fn remove_below(path: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let mut hierarchies = vec![root.to_path_buf()];
    if let Ok(entries) = fs::read_dir(root) {
        hierarchies.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
    }
    for hierarchy in hierarchies {
        let group = hierarchy.join(path);
        if group.is_dir() {
            remove_tree(&group);
        }
    }
}

fn remove_tree(group: &Path) {
    if let Ok(entries) = fs::read_dir(group) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_tree(&entry.path());
            }
        }
    }
    // A process that was just killed leaves its group a moment after its parent saw it end.
    for _ in 0..50 {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                kill_members(group);
                thread::sleep(Duration::from_millis(2));
            }
            _ => return,
        }
    }
}

fn kill_members(group: &Path) {
    let Ok(text) = fs::read_to_string(group.join("cgroup.procs")) else {
        return;
    };
    for pid in text
        .lines()
        .filter_map(|line| line.trim().parse::<i32>().ok())
        .filter(|pid| *pid > 1)
    {
        // A process that ended meanwhile is what we want.
        _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}
