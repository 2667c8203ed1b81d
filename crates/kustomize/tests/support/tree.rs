//! A directory of this machine as a tree, for tests and measurements.

use herder_base::{Commit, File, Tree, TreeBuilder};
use std::fs;
use std::path::Path;

fn add(builder: &mut TreeBuilder, root: &Path, below: &str) {
    for entry in fs::read_dir(root.join(below)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            add(builder, root, &path);
            continue;
        }
        let symlink = kind.is_symlink();
        let bytes = if symlink {
            fs::read_link(entry.path())
                .unwrap()
                .into_os_string()
                .into_string()
                .unwrap()
                .into_bytes()
        } else {
            fs::read(entry.path()).unwrap()
        };
        let file = File {
            bytes: bytes.into(),
            executable: false,
            symlink,
        };
        builder.insert_file(&path, file).unwrap();
    }
}

/// Reads everything below a directory.
pub(crate) fn read(root: &Path) -> Tree {
    let mut builder = TreeBuilder::default();
    add(&mut builder, root, "");
    builder.build(Commit::default())
}
