//! Finding files: relative to a kustomization's directory, through symbolic links, within its bounds.

use crate::budget;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::remote::{self, RepoSpec};
use crate::{ChartFiles, Files, LoadRestrictor, Tree};
use herder_base::{File, normalise};
use std::sync::Arc;

/// The most that is read of a directory as a whole.
const MOST_BYTES: usize = 64 << 20;

/// What a path is in a tree once links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    File(String),
    Dir(String),
}

/// Where files come from.
#[derive(Clone)]
enum Source<'a> {
    /// What is being built.
    Local(&'a dyn Files),
    /// What was fetched for it.
    Fetched(Tree),
}

impl Files for Source<'_> {
    fn file(&self, path: &str) -> Option<File> {
        match self {
            Self::Local(files) => files.file(path),
            Self::Fetched(tree) => tree.file(path).cloned(),
        }
    }

    fn is_dir(&self, path: &str) -> bool {
        match self {
            Self::Local(files) => files.is_dir(path),
            Self::Fetched(tree) => tree.is_dir(path),
        }
    }

    fn entries(&self, dir: &str) -> Vec<String> {
        match self {
            Self::Local(files) => files.entries(dir),
            Self::Fetched(tree) => tree.entries(dir),
        }
    }

    fn display(&self, path: &str) -> String {
        match self {
            Self::Local(files) => files.display(path),
            Self::Fetched(_) => path.to_owned(),
        }
    }

    fn is_whole_filesystem(&self) -> bool {
        matches!(self, Self::Local(files) if files.is_whole_filesystem())
    }
}

/// Where a kustomization is, and how one got there.
#[derive(Clone)]
pub(crate) struct Loader<'a> {
    files: Source<'a>,
    /// The directory, relative to the tree, without links.
    root: String,
    /// The URL the tree came from; nothing for the tree that is built.
    remote: Option<Arc<str>>,
    restrictor: LoadRestrictor,
    /// The roots (and the remotes they are in) on the way here.
    visited: Vec<(Option<Arc<str>>, String)>,
}

/// A file's content, or where to go on.
pub(crate) enum Base<'a> {
    Dir(Loader<'a>),
    /// A remote that is a single file.
    File(Arc<[u8]>),
}

fn contains(outer: &str, inner: &str) -> bool {
    outer.is_empty()
        || inner == outer
        || inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('/'))
}

fn join(dir: &str, path: &str) -> String {
    if dir.is_empty() {
        path.to_owned()
    } else {
        format!("{dir}/{path}")
    }
}

/// Follows symbolic links; `None` if there is nothing. The places of the links on the way are added to `followed`.
fn resolve(files: &dyn Files, path: &str, followed: &mut Vec<String>) -> Option<Found> {
    let mut pending: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut here: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = pending.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                here.pop()?;
                continue;
            }
            _ => here.push(part),
        }
        let at = here.join("/");
        let Some(file) = files.file(&at) else { continue };
        if !file.symlink {
            return pending.is_empty().then_some(Found::File(at));
        }
        links += 1;
        followed.push(at);
        let target = std::str::from_utf8(&file.bytes).ok()?;
        if links > 40 || (target.starts_with('/') && !files.is_whole_filesystem()) {
            return None;
        }
        if target.starts_with('/') {
            here.clear();
        } else {
            here.pop();
        }
        pending.extend(target.split('/').rev().map(str::to_owned));
    }
    let at = here.join("/");
    files.is_dir(&at).then_some(Found::Dir(at))
}

impl<'a> Loader<'a> {
    /// A loader at the directory a build begins with.
    pub(crate) fn new(files: &'a dyn Files, dir: &str, restrictor: LoadRestrictor) -> Result<Self> {
        match resolve(files, dir, &mut Vec::new()) {
            Some(Found::Dir(root)) => Ok(Self {
                files: Source::Local(files),
                root,
                remote: None,
                restrictor,
                visited: Vec::new(),
            }),
            Some(Found::File(_)) => Err(Error::new(format!("`{dir}` is a file, not a directory"))),
            None => Err(Error::new(format!("there is no directory `{dir}`"))),
        }
    }

    /// The directory, for messages and `read`.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Where the directory is on this machine, if it is on this machine.
    pub(crate) fn absolute(&self) -> Option<String> {
        let here = self.remote.is_none() && self.files.is_whole_filesystem();
        here.then(|| format!("/{}", self.root))
    }

    /// How a path relative to the directory is called in messages.
    pub(crate) fn name(&self, path: &str) -> String {
        let path = normalise(&join(&self.root, path)).unwrap_or_else(|_| path.to_owned());
        match &self.remote {
            Some(url) => format!("{url}: {path}"),
            None => self.files.display(&path),
        }
    }

    fn note(&self, context: &mut Context<'_>, path: &str) {
        if self.remote.is_none() {
            context.read.insert(path.to_owned());
        }
    }

    /// What is at a place, with a note of it and of the links on the way: when any of them changes, so may the result.
    fn find(&self, context: &mut Context<'_>, place: &str) -> Option<Found> {
        let mut followed = Vec::new();
        let found = resolve(&self.files, place, &mut followed);
        self.note(context, place);
        for link in followed {
            self.note(context, &link);
        }
        found
    }

    fn place(&self, path: &str) -> Result<String> {
        if path.starts_with('/') {
            return Err(Error::new(format!("`{path}` is an absolute path"))
                .hint("name files relative to the kustomization"));
        }
        normalise(&join(&self.root, path))
            .map_err(|_| Error::new(format!("`{path}` is outside of what can be read")))
    }

    /// A file's bytes.
    pub(crate) fn load(&self, context: &mut Context<'_>, path: &str) -> Result<Arc<[u8]>> {
        match self.load_if_there(context, path)? {
            Some(bytes) => Ok(bytes),
            None => Err(self.missing(path, &self.place(path)?)),
        }
    }

    /// A file's bytes; nothing if there is no such file.
    fn load_if_there(&self, context: &mut Context<'_>, path: &str) -> Result<Option<Arc<[u8]>>> {
        if remote::is_http(path) {
            return match self.fetch(context, path)? {
                Base::File(bytes) => Ok(Some(bytes)),
                Base::Dir(_) => Err(Error::new(format!("`{path}` is a repository, not a file"))),
            };
        }
        let place = self.place(path)?;
        let file = match self.find(context, &place) {
            Some(Found::File(file)) => file,
            Some(Found::Dir(_)) => return Err(Error::new(format!("`{path}` is a directory, not a file"))),
            None => return Ok(None),
        };
        let dir = file.rsplit_once('/').map_or("", |(dir, _)| dir);
        if self.restrictor == LoadRestrictor::RootOnly && !contains(&self.root, dir) {
            return Err(Error::new(format!("the file `{path}` is outside of `{}`", self.name("")))
                .hint("move it in or below the kustomization's directory, or build with --load-restrictor LoadRestrictionsNone"));
        }
        if file != place {
            self.note(context, &file);
        }
        let found = self.files.file(&file).map(|found| found.bytes);
        budget::spend(found.as_ref().map_or(0, |bytes| bytes.len()))?;
        Ok(found)
    }

    /// All files below a directory, by their paths relative to it; `None` if there is no such directory.
    pub(crate) fn directory(&self, context: &mut Context<'_>, path: &str) -> Result<Option<ChartFiles>> {
        let place = self.place(path)?;
        let Some(Found::Dir(root)) = self.find(context, &place) else {
            return Ok(None);
        };
        let mut found = ChartFiles::new();
        let mut pending = vec![String::new()];
        let mut bytes = 0;
        while let Some(below) = pending.pop() {
            for name in self.files.entries(join(&root, &below).trim_end_matches('/')) {
                // Some call directories by a name that ends with a slash.
                let relative = join(&below, name.trim_end_matches('/'));
                let at = join(&root, &relative);
                match self.find(context, &at) {
                    Some(Found::Dir(dir)) if dir == at => pending.push(relative),
                    Some(Found::File(file)) => {
                        let Some(content) = self.files.file(&file) else {
                            continue;
                        };
                        bytes += content.bytes.len();
                        found.push((relative, content.bytes));
                    }
                    // A link to a directory could lead round in a circle.
                    _ => {}
                }
                if bytes > MOST_BYTES {
                    return Err(Error::new(format!("there is more than 64 MiB below `{path}`")));
                }
            }
        }
        found.sort();
        Ok(Some(found))
    }

    fn missing(&self, path: &str, place: &str) -> Error {
        let error = Error::new(format!("there is no file `{path}`"));
        let (dir, name) = place.rsplit_once('/').unwrap_or(("", place));
        let entries = self.files.entries(dir);
        match herder_base::suggest(name, entries.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    }

    /// A file as text.
    pub(crate) fn text(&self, context: &mut Context<'_>, path: &str) -> Result<String> {
        let bytes = self.load(context, path)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) if bytes.starts_with(b"\0GITCRYPT\0") => {
                Err(Error::new("the file is encrypted by git-crypt")
                    .in_file(&self.name(path))
                    .hint("commit it decrypted to a repository of its own, or put its values into Vault"))
            }
            Err(_) => Err(Error::new("the file is not UTF-8 text").in_file(&self.name(path))),
        }
    }

    /// The kustomization file here: its name and text.
    pub(crate) fn kustomization(&self, context: &mut Context<'_>) -> Result<(String, String)> {
        let mut found = Vec::new();
        for name in ["kustomization.yaml", "kustomization.yml", "Kustomization"] {
            if matches!(self.load_if_there(context, name), Ok(Some(_))) {
                found.push(name);
            }
        }
        // What is refused above is not missing.
        budget::check()?;
        match found.as_slice() {
            [name] => Ok(((*name).to_owned(), self.text(context, name)?)),
            [] => Err(
                Error::new(format!("there is no kustomization file in `{}`", self.name("")))
                    .hint("expected kustomization.yaml, kustomization.yml or Kustomization"),
            ),
            several => Err(Error::new(format!(
                "there are several kustomization files in `{}`: {}",
                self.name(""),
                several.join(", ")
            ))),
        }
    }

    fn fetch(&self, context: &mut Context<'_>, url: &str) -> Result<Base<'a>> {
        let (tree, dir) = match context.remotes.resolve(url) {
            Some(Ok(found)) => found,
            Some(Err(reason)) => return Err(Error::new(format!("`{url}` could not be fetched: {reason}"))),
            None => {
                return Err(
                    Error::new(format!("`{url}` is remote, and nothing was fetched for it"))
                        .hint("use a copy in this repository, or build where the network is allowed"),
                );
            }
        };
        match resolve(&tree, &dir, &mut Vec::new()) {
            Some(Found::File(file)) => match tree.file(&file) {
                Some(found) => Ok(Base::File(Arc::clone(&found.bytes))),
                None => Err(Error::new(format!("`{url}` holds no `{dir}`"))),
            },
            Some(Found::Dir(root)) => {
                let remote: Arc<str> = Arc::from(url);
                let mut visited = self.visited.clone();
                visited.push((self.remote.clone(), self.root.clone()));
                if visited.iter().any(|(seen, _)| seen.as_deref() == Some(url)) {
                    return Err(Error::new(format!("`{url}` refers to itself")));
                }
                Ok(Base::Dir(Self {
                    files: Source::Fetched(tree),
                    root,
                    remote: Some(remote),
                    restrictor: LoadRestrictor::RootOnly,
                    visited,
                }))
            }
            None => Err(Error::new(format!("`{url}` holds no `{dir}`"))),
        }
    }

    /// The base that a path or URL leads to.
    pub(crate) fn base(&self, context: &mut Context<'_>, path: &str) -> Result<Base<'a>> {
        if path.is_empty() {
            return Err(Error::new("an empty path"));
        }
        if RepoSpec::parse(path).is_some() || context.remotes.resolve(path).is_some() {
            return self.fetch(context, path);
        }
        let place = self.place(path)?;
        let root = match self.find(context, &place) {
            Some(Found::Dir(root)) => root,
            Some(Found::File(_)) => return Err(Error::new(format!("`{path}` is a file, not a directory"))),
            None => return Err(self.missing(path, &place)),
        };
        let mut visited = self.visited.clone();
        visited.push((self.remote.clone(), self.root.clone()));
        let cycle = visited
            .iter()
            .find(|(remote, seen)| *remote == self.remote && contains(&root, seen));
        if let Some((_, seen)) = cycle {
            return Err(Error::new(format!(
                "`{path}` leads back to `{seen}`, which is being built"
            )));
        }
        Ok(Base::Dir(Self {
            files: self.files.clone(),
            root,
            remote: self.remote.clone(),
            restrictor: self.restrictor,
            visited,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_base::{Commit, File, TreeBuilder};

    #[test]
    fn follows_links() {
        let mut builder = TreeBuilder::default();
        builder.insert("a/b/f", *b"x").unwrap();
        for (path, target) in [
            ("l", "a/b"),
            ("a/m", "../l/f"),
            ("loop", "loop"),
            ("out", "../.."),
        ] {
            let file = File {
                bytes: Arc::from(target.as_bytes()),
                executable: false,
                symlink: true,
            };
            builder.insert_file(path, file).unwrap();
        }
        let tree = builder.build(Commit::default());
        let found = |path: &str| resolve(&tree, path, &mut Vec::new());
        assert_eq!(found("l/f"), Some(Found::File("a/b/f".to_owned())));
        assert_eq!(found("a/m"), Some(Found::File("a/b/f".to_owned())));
        assert_eq!(found("l"), Some(Found::Dir("a/b".to_owned())));
        assert_eq!(found(""), Some(Found::Dir(String::new())));
        for gone in ["loop", "out", "x", "a/b/f/g"] {
            assert_eq!(found(gone), None, "{gone}");
        }
    }
}
