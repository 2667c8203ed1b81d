//! Where a build's files come from: a [`Tree`], or something that looks at them one by one.

use herder_base::{File, Tree};

/// Files by path. Paths are relative, without `.`, `..` or doubled slashes; the empty one is the root.
pub trait Files {
    /// A file or symbolic link; nothing for directories.
    fn file(&self, path: &str) -> Option<File>;

    /// Whether there is a directory, links not followed.
    fn is_dir(&self, path: &str) -> bool;

    /// The names in a directory, for suggestions.
    fn entries(&self, dir: &str) -> Vec<String>;

    /// How a path is called in messages.
    fn display(&self, path: &str) -> String {
        path.to_owned()
    }

    /// Whether the root is that of the filesystem, so that absolute links lead somewhere.
    fn is_whole_filesystem(&self) -> bool {
        false
    }
}

impl Files for Tree {
    fn file(&self, path: &str) -> Option<File> {
        Tree::file(self, path).cloned()
    }

    fn is_dir(&self, path: &str) -> bool {
        Tree::is_dir(self, path)
    }

    fn entries(&self, dir: &str) -> Vec<String> {
        Tree::entries(self, dir)
    }
}
