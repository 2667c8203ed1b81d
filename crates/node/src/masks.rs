//! What of the machine a pod must not see: whatever not everyone on the machine may read, and Herder's own data.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Files that are masked even when their mode would let everyone read them.
const ALWAYS: [&str; 4] = ["/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-"];

/// Where secrets are looked for, and how deep.
const PLACES: [(&str, usize); 4] = [("/etc", 8), ("/opt", 2), ("/srv", 2), ("/usr/local", 3)];

/// Absolute paths to mask, directories whole. `data` is the data directory.
pub(crate) fn machine_secrets(data: &Path) -> Vec<String> {
    let mut found: Vec<String> = ALWAYS
        .iter()
        .filter(|path| Path::new(path).exists())
        .map(|path| (*path).to_owned())
        .collect();
    for (place, depth) in PLACES {
        walk(Path::new(place), depth, &mut found);
    }
    // In a place that pods do not see it is not there to be masked, which is fine.
    found.extend(
        data.canonicalize()
            .ok()
            .and_then(|data| data.to_str().map(str::to_owned)),
    );
    found.sort();
    found.dedup();
    found
}

fn walk(dir: &Path, depth: usize, found: &mut Vec<String>) {
    // What cannot be listed cannot be shown to a pod either: it runs with no more rights than this process.
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        let mode = meta.permissions().mode();
        let private = if meta.is_dir() {
            mode & 0o005 != 0o005
        } else if meta.is_file() {
            mode & 0o004 == 0
        } else {
            continue;
        };
        match (private, path.to_str()) {
            (true, Some(text)) => found.push(text.to_owned()),
            (false, _) if meta.is_dir() && depth > 0 => walk(&path, depth - 1, found),
            _ => {}
        }
    }
}
