//! What kustomizations built to, kept for as long as nothing they read has changed.
//!
//! Owns no rendering: it only says whether an earlier result still stands, which it does if every path that was read or
//! looked for is as it was and every remote base is at the same commit.

use herder_base::{Commit, Tree};
use herder_kustomize::{Build, Error, Options};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Results of earlier readings; a cheap handle. Hand the same one to the next reading, and only what changed is
/// rendered.
#[derive(Debug, Clone, Default)]
pub struct Renders(Arc<Mutex<Kept>>);

/// A build's result, shared.
pub(crate) type Result = std::result::Result<Arc<Build>, Error>;

#[derive(Debug, Default)]
struct Kept {
    /// By repository and directory.
    entries: BTreeMap<(String, String), Entry>,
    pass: u64,
    rendered: u64,
}

#[derive(Debug)]
struct Entry {
    /// The commit of the whole repository, for a build that failed: it does not say what it looked for.
    whole: Option<Commit>,
    read: Vec<(String, Seen)>,
    options: Options,
    remotes: Vec<(String, Option<Commit>)>,
    result: Result,
    pass: u64,
}

/// What a path was.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Dir,
    /// Its content, which for a symbolic link is where it leads.
    File {
        bytes: Arc<[u8]>,
        symlink: bool,
    },
}

fn look(tree: &Tree, path: &str) -> Seen {
    match tree.file(path) {
        Some(file) => Seen::File {
            bytes: Arc::clone(&file.bytes),
            symlink: file.symlink,
        },
        None if tree.is_dir(path) => Seen::Dir,
        None => Seen::Nothing,
    }
}

impl Seen {
    fn is_still(&self, tree: &Tree, path: &str) -> bool {
        match (self, tree.file(path)) {
            // Trees of one cache share what is the same; comparing bytes is for the rest.
            (Self::File { bytes, symlink }, Some(new)) => {
                *symlink == new.symlink && (Arc::ptr_eq(bytes, &new.bytes) || *bytes == new.bytes)
            }
            _ => *self == look(tree, path),
        }
    }
}

impl Renders {
    /// How many builds were not answered from what was kept, since this was made.
    #[must_use]
    pub fn rendered(&self) -> u64 {
        self.kept().rendered
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // What is kept is checked before it is used, so that a panic elsewhere does no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The earlier result for a directory of a repository, if it still stands. `commit` tells where a remote is now.
    pub(crate) fn get(
        &self,
        repository: &str,
        dir: &str,
        tree: &Tree,
        options: &Options,
        commit: &dyn Fn(&str) -> Option<Commit>,
    ) -> Option<Result> {
        let mut kept = self.kept();
        let pass = kept.pass;
        let entry = kept.entries.get_mut(&(repository.to_owned(), dir.to_owned()))?;
        let stands = entry.options == *options
            && entry.whole.as_ref().is_none_or(|commit| commit == tree.commit())
            && entry.read.iter().all(|(path, seen)| seen.is_still(tree, path))
            && entry.remotes.iter().all(|(url, at)| *at == commit(url));
        if !stands {
            return None;
        }
        entry.pass = pass;
        Some(entry.result.clone())
    }

    /// Keeps a result with what it depends on.
    pub(crate) fn put(
        &self,
        repository: &str,
        dir: &str,
        tree: &Tree,
        options: &Options,
        remotes: Vec<(String, Option<Commit>)>,
        result: &Result,
    ) {
        let mut kept = self.kept();
        kept.rendered += 1;
        let read = result.iter().flat_map(|build| &build.read);
        let read = read.map(|path| (path.clone(), look(tree, path)));
        let entry = Entry {
            // What took all the steps it may and came to nothing is not tried again before it changes.
            whole: result.is_err().then(|| tree.commit().clone()),
            read: read.collect(),
            options: options.clone(),
            remotes,
            result: result.clone(),
            pass: kept.pass,
        };
        kept.entries
            .insert((repository.to_owned(), dir.to_owned()), entry);
    }

    /// Ends a reading: what it did not ask for goes.
    pub(crate) fn end_pass(&self) {
        let mut kept = self.kept();
        let pass = kept.pass;
        kept.entries.retain(|_, entry| entry.pass == pass);
        kept.pass += 1;
    }
}
