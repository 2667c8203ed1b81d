//! Remote bases for a build: fetched through a cache below the user's cache directory when the build asks for them.

use super::function::Allowed;
use super::helm::Program;
use anyhow::{Context, Result};
use herder_base::AllowedRemote;
use herder_git::Git;
use herder_kustomize::{Functions, Helm, RemoteRef, Remotes, Tree, parse_url};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::runtime::{Builder, Runtime};

/// Fetches each repository once per build.
pub(super) struct Fetching {
    runtime: Runtime,
    git: Git,
    helm: Option<Program>,
    functions: Allowed,
    fetched: RefCell<BTreeMap<(String, String), Result<Tree, String>>>,
}

impl Fetching {
    /// With the user's cache.
    ///
    /// # Errors
    /// If no runtime can be made.
    pub(super) fn new(helm: Option<Program>, functions: Allowed) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no runtime")?;
        Ok(Self {
            runtime,
            git: Git::new(cache_dir("git")),
            helm,
            functions,
            fetched: RefCell::default(),
        })
    }

    /// The files that a reference leads to.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(super) fn fetch(&self, reference: &RemoteRef) -> Result<Tree, String> {
        let key = (reference.repository.clone(), reference.reference.clone());
        if let Some(found) = self.fetched.borrow().get(&key) {
            return found.clone();
        }
        // Whoever builds has named the kustomization and has no rights but their own.
        let remote = AllowedRemote::own(reference.repository.as_str().into());
        let fetched = self
            .runtime
            .block_on(self.git.fetch(&remote, &reference.reference))
            .map_err(|error| herder_base::chain(&error).to_string());
        self.fetched.borrow_mut().insert(key, fetched.clone());
        fetched
    }
}

/// The user's cache for one kind of thing.
pub(super) fn cache_dir(kind: &str) -> PathBuf {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = variable("XDG_CACHE_HOME")
        .or_else(|| Some(variable("HOME")?.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    base.join("herder").join(kind)
}

impl Remotes for Fetching {
    fn resolve(&self, url: &str) -> Option<Result<(Tree, String), String>> {
        let reference = parse_url(url)?;
        Some(self.fetch(&reference).map(|tree| (tree, reference.path)))
    }

    fn helm(&self) -> Option<&dyn Helm> {
        self.helm.as_ref().map(|program| program as &dyn Helm)
    }

    fn functions(&self) -> Option<&dyn Functions> {
        Some(&self.functions)
    }
}
