//! The files of one commit, immutable and cheap to share. This is the only form in which repository content
//! reaches the readers, so that reading needs no filesystem and can be replayed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// A commit id, as the git program prints it. Empty for a tree that no commit holds yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Commit(String);

impl Commit {
    /// Wraps an id.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One file's content and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The bytes; for a symbolic link its target.
    pub bytes: Arc<[u8]>,
    /// Whether git marks it executable.
    pub executable: bool,
    /// Whether it is a symbolic link.
    pub symlink: bool,
}

/// A path that cannot be in a tree.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// It begins with `/`.
    #[error("`{0}` is absolute")]
    Absolute(String),
    /// It climbs out of the tree with `..`.
    #[error("`{0}` leaves the tree")]
    Escapes(String),
    /// It holds a NUL byte.
    #[error("`{0}` holds a NUL byte")]
    Nul(String),
}

/// Resolves `.` and `..` and doubled slashes. The empty string is the root.
///
/// # Errors
/// If the path is absolute, climbs above the root or holds a NUL byte.
pub fn normalise(path: &str) -> Result<String, PathError> {
    if path.starts_with('/') {
        return Err(PathError::Absolute(path.to_owned()));
    }
    if path.contains('\0') {
        return Err(PathError::Nul(path.replace('\0', "\\0")));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(|| PathError::Escapes(path.to_owned()))?;
            }
            _ => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[derive(Debug)]
struct Inner {
    commit: Commit,
    files: BTreeMap<String, File>,
}

/// All files of one commit, by path relative to the root. Cloning shares the content.
#[derive(Clone)]
pub struct Tree(Arc<Inner>);

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({}, {} files)", self.0.commit.short(), self.0.files.len())
    }
}

impl Default for Tree {
    fn default() -> Self {
        TreeBuilder::default().build(Commit::default())
    }
}

impl Tree {
    /// A tree of text files without a commit, for tests and tools.
    ///
    /// # Errors
    /// If a path is absolute or leaves the tree.
    pub fn from_texts<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, PathError> {
        let mut builder = TreeBuilder::default();
        for (path, text) in files {
            builder.insert(path, text.as_bytes())?;
        }
        Ok(builder.build(Commit::default()))
    }

    /// The commit these files belong to.
    #[must_use]
    pub fn commit(&self) -> &Commit {
        &self.0.commit
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.files.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.files.is_empty()
    }

    /// A file, by normalised path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.0.files.get(path)
    }

    /// A file's bytes, by normalised path.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.file(path).map(|file| &*file.bytes)
    }

    /// A file's text, by normalised path; `None` if it is missing or not UTF-8.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(path)?).ok()
    }

    /// All files in path order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.0.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The files below a directory, with whole paths. The empty string is the root.
    pub fn below<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = (&'a str, &'a File)> {
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let start = prefix.clone();
        self.0
            .files
            .range(start..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, file)| (path.as_str(), file))
    }

    /// Whether anything lies below `dir`.
    #[must_use]
    pub fn is_dir(&self, dir: &str) -> bool {
        self.below(dir).next().is_some()
    }

    /// The names directly in a directory, in order, each once; directories end with `/`.
    #[must_use]
    pub fn entries(&self, dir: &str) -> Vec<String> {
        let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
        let mut names: Vec<String> = Vec::new();
        for (path, _) in self.below(dir) {
            let rest = path.get(skip..).unwrap_or_default();
            let name = match rest.split_once('/') {
                Some((first, _)) => format!("{first}/"),
                None => rest.to_owned(),
            };
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The part below a directory as a tree of its own, paths relative to it, the commit kept.
    #[must_use]
    pub fn subtree(&self, dir: &str) -> Self {
        let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
        let files = self
            .below(dir)
            .filter_map(|(path, file)| Some((path.get(skip..)?.to_owned(), file.clone())))
            .collect();
        Self(Arc::new(Inner {
            commit: self.0.commit.clone(),
            files,
        }))
    }
}

/// Collects files into a [`Tree`].
#[derive(Debug, Default)]
pub struct TreeBuilder {
    files: BTreeMap<String, File>,
}

impl TreeBuilder {
    /// Adds or replaces a regular file.
    ///
    /// # Errors
    /// If the path is absolute or leaves the tree.
    pub fn insert(&mut self, path: &str, bytes: impl Into<Arc<[u8]>>) -> Result<(), PathError> {
        self.insert_file(
            path,
            File {
                bytes: bytes.into(),
                executable: false,
                symlink: false,
            },
        )
    }

    /// Adds or replaces a file with its mode.
    ///
    /// # Errors
    /// If the path is absolute or leaves the tree.
    pub fn insert_file(&mut self, path: &str, file: File) -> Result<(), PathError> {
        self.files.insert(normalise(path)?, file);
        Ok(())
    }

    /// The finished tree.
    #[must_use]
    pub fn build(self, commit: Commit) -> Tree {
        Tree(Arc::new(Inner {
            commit,
            files: self.files,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_escape() {
        assert_eq!(normalise("a/./b//../c").unwrap(), "a/c");
        assert_eq!(normalise("").unwrap(), "");
        assert!(matches!(normalise("../x"), Err(PathError::Escapes(_))));
        assert!(matches!(normalise("/etc/passwd"), Err(PathError::Absolute(_))));
        assert!(matches!(normalise("a\0b"), Err(PathError::Nul(_))));
    }

    #[test]
    fn lists_and_cuts() {
        let tree = Tree::from_texts([("a/b/c", "1"), ("a/d", "2"), ("ab", "3")]).unwrap();
        assert_eq!(tree.entries("a"), ["b/", "d"]);
        assert_eq!(tree.entries(""), ["a/", "ab"]);
        assert_eq!(tree.below("a").count(), 2);
        assert!(tree.is_dir("a/b") && !tree.is_dir("ab"));
        assert_eq!(tree.subtree("a").text("b/c"), Some("1"));
    }
}
