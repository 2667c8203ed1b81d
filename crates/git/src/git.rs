//! [`Git`]: the caches, and reading from remotes.

use crate::access::Access;
use crate::archive::Archive;
use crate::objects::{self, Blobs};
use crate::program::{Failure, Run};
use crate::remote::{cache_name, check_reference, check_url, is_full_id, is_short_id};
use crate::{Error, error};
use herder_base::{AllowedRemote, Commit, Tree, Url, suggest};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// What a call may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long asking a remote for its references may take.
    pub ask: Duration,
    /// How long fetching or pushing may take.
    pub transfer: Duration,
    /// How many files a commit may have to be read.
    pub files: u64,
    /// How many bytes they may have together; also how much the trees kept of one remote may have.
    pub bytes: u64,
    /// How many bytes one file may have.
    pub blob: u64,
    /// How large a pack from a remote may be.
    pub pack: u64,
    /// How many bytes the list of a remote's references may have.
    pub references: usize,
    /// How many trees are kept per remote.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ask: Duration::from_secs(30),
            transfer: Duration::from_secs(300),
            files: 100_000,
            bytes: 128 << 20,
            blob: 32 << 20,
            pack: 1 << 30,
            references: 16 << 20,
            kept: 4,
        }
    }
}

/// Who made a commit, when, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The commit.
    pub commit: Commit,
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub email: String,
    /// When it was authored.
    pub time: Timestamp,
    /// The first line of the message.
    pub subject: String,
}

/// Reads and writes remotes through bare caches below one directory. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Git(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    limits: Limits,
    caches: Lock<BTreeMap<Url, Arc<Mutex<Cache>>>>,
}

/// One remote's cache: only one call at a time writes to it.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) url: Url,
    pub(crate) access: Access,
    pub(crate) dir: PathBuf,
    ready: bool,
    trees: VecDeque<Tree>,
    blobs: Blobs,
}

impl Git {
    /// With caches below `dir`, which is made when it is needed.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::with_limits(dir, Limits::default())
    }

    /// With limits of one's own.
    pub fn with_limits(dir: impl Into<PathBuf>, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            dir: dir.into(),
            limits,
            caches: Lock::default(),
        }))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// What a remote's references point to. Names are whole (`refs/heads/main`) or `HEAD`; none asked for means all
    /// branches, tags and `HEAD`. A tag's entry is the commit it leads to. Absent names are absent from the answer.
    ///
    /// # Errors
    /// If the remote cannot be read in time.
    pub async fn ls_remote(
        &self,
        remote: &AllowedRemote,
        refs: &[&str],
    ) -> Result<BTreeMap<String, Commit>, Error> {
        let url = remote.url();
        check_url(url)?;
        let access = Access::new(remote);
        let mut args = vec![
            "ls-remote".to_owned(),
            "--quiet".to_owned(),
            "--".to_owned(),
            access.address().to_owned(),
        ];
        for name in refs {
            check_reference(name)?;
            args.push((*name).to_owned());
            if name.starts_with("refs/tags/") {
                args.push(format!("{name}^{{}}"));
            }
        }
        let output = Run::new(None, self.0.limits.ask, args)
            .speaking_to(&access)
            .at_most(self.0.limits.references)
            .output()
            .await
            .map_err(|failure| remote_error(failure, "read", url, self.0.limits.ask))?;
        let text = String::from_utf8_lossy(&output);
        let mut found = BTreeMap::new();
        let mut peeled = Vec::new();
        for line in text.lines() {
            let Some((id, name)) = line.split_once('\t') else {
                continue;
            };
            match name.strip_suffix("^{}") {
                Some(tag) => peeled.push((tag.to_owned(), Commit::new(id))),
                // Git matches the last parts of names; only the exact ones were asked for.
                None if refs.is_empty() || refs.contains(&name) => {
                    found.insert(name.to_owned(), Commit::new(id));
                }
                None => {}
            }
        }
        for (tag, commit) in peeled {
            if let Some(entry) = found.get_mut(&tag) {
                *entry = commit;
            }
        }
        Ok(found)
    }

    /// What a branch, tag or commit is at present: one question to the remote, none for a whole commit id.
    ///
    /// # Errors
    /// If the remote cannot be read or has no such thing.
    pub async fn resolve(&self, remote: &AllowedRemote, reference: &str) -> Result<Commit, Error> {
        check_url(remote.url())?;
        check_reference(reference)?;
        if is_full_id(reference) {
            return Ok(Commit::new(reference));
        }
        let names = candidates(reference);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = self.ls_remote(remote, &names).await?;
        if let Some(commit) = names.iter().find_map(|name| found.get(*name)) {
            return Ok(commit.clone());
        }
        let all = self.ls_remote(remote, &[]).await?;
        if is_short_id(reference) {
            if let Some(commit) = all.values().find(|commit| commit.as_str().starts_with(reference)) {
                return Ok(commit.clone());
            }
            return self.resolve_short(remote, reference).await;
        }
        if all.is_empty() {
            return Err(Error::Empty {
                url: remote.url().clone(),
            });
        }
        let short = all.keys().filter_map(|name| {
            name.strip_prefix("refs/heads/")
                .or_else(|| name.strip_prefix("refs/tags/"))
        });
        Err(Error::NoReference {
            url: remote.url().clone(),
            reference: if reference.is_empty() {
                "HEAD".to_owned()
            } else {
                reference.to_owned()
            },
            near: suggest(reference, short).map(str::to_owned),
        })
    }

    /// The name of the remote's default branch.
    ///
    /// # Errors
    /// If the remote cannot be read or has none.
    pub async fn default_branch(&self, remote: &AllowedRemote) -> Result<String, Error> {
        let url = remote.url();
        check_url(url)?;
        let access = Access::new(remote);
        let output = Run::new(
            None,
            self.0.limits.ask,
            ["ls-remote", "--symref", "--quiet", "--", access.address(), "HEAD"],
        )
        .speaking_to(&access)
        .output()
        .await
        .map_err(|failure| remote_error(failure, "read", url, self.0.limits.ask))?;
        let text = String::from_utf8_lossy(&output);
        text.lines()
            .find_map(|line| line.strip_prefix("ref: refs/heads/")?.split('\t').next())
            .map(str::to_owned)
            .ok_or_else(|| Error::Empty {
                url: remote.url().clone(),
            })
    }

    /// The files at a branch, tag or commit; the empty reference is the remote's default branch. Fetches only what the
    /// cache lacks, and reads again only what changed.
    ///
    /// # Errors
    /// If the remote cannot be read, has no such reference, or the commit is too large.
    pub async fn fetch(&self, remote: &AllowedRemote, reference: &str) -> Result<Tree, Error> {
        let commit = self.resolve(remote, reference).await?;
        let cache = self.cache(remote);
        let mut cache = cache.lock().await;
        self.obtain(&mut cache, &commit, reference).await?;
        self.tree(&mut cache, &commit).await
    }

    /// Who made a commit, when, and what they say. The commit must have been fetched or pushed through this cache, or
    /// be obtainable by its id.
    ///
    /// # Errors
    /// If the commit cannot be had.
    pub async fn describe(&self, remote: &AllowedRemote, commit: &Commit) -> Result<CommitInfo, Error> {
        check_url(remote.url())?;
        check_reference(commit.as_str())?;
        let cache = self.cache(remote);
        let mut cache = cache.lock().await;
        self.obtain(&mut cache, commit, commit.as_str()).await?;
        let output = Run::new(
            Some(&cache.dir),
            self.0.limits.ask,
            [
                "show",
                "-s",
                "--no-show-signature",
                "--format=%H%x00%an%x00%ae%x00%at%x00%s",
                commit.as_str(),
                "--",
            ],
        )
        .output()
        .await
        .map_err(|failure| local_error(failure, "show", &cache.url, self.0.limits.ask))?;
        let text = String::from_utf8_lossy(&output);
        Ok(crate::history::info(text.trim_end_matches('\n')))
    }

    /// The files of a commit as a tar archive, for a workspace: made while it is read, whatever its size.
    ///
    /// # Errors
    /// If the commit cannot be had.
    pub async fn archive(&self, remote: &AllowedRemote, reference: &str) -> Result<Archive, Error> {
        let commit = self.resolve(remote, reference).await?;
        let cache = self.cache(remote);
        let mut cache = cache.lock().await;
        self.obtain(&mut cache, &commit, reference).await?;
        // A workspace is on the disk of a node: only the number of files and the size of each are bounded here.
        let limits = Limits {
            bytes: u64::MAX,
            ..self.0.limits
        };
        let entries = objects::list(&cache.dir, &cache.url, &commit, &limits).await?;
        Archive::new(&cache.dir, &cache.url, commit, entries)
    }

    /// Makes an empty bare repository with `main` as its default branch; one that exists stays as it is.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub async fn init_bare(&self, path: &Path) -> Result<(), Error> {
        init(path, self.0.limits.ask).await
    }

    pub(crate) fn cache(&self, remote: &AllowedRemote) -> Arc<Mutex<Cache>> {
        let url = remote.url();
        let mut caches = self.0.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = caches.entry(url.clone()).or_insert_with(|| {
            let access = Access::new(remote);
            Arc::new(Mutex::new(Cache {
                url: url.clone(),
                dir: self.0.dir.join(cache_name(access.address())),
                access,
                ready: false,
                trees: VecDeque::new(),
                blobs: Blobs::default(),
            }))
        });
        entry.clone()
    }

    pub(crate) async fn prepare(&self, cache: &mut MutexGuard<'_, Cache>) -> Result<(), Error> {
        if !cache.ready {
            init(&cache.dir, self.0.limits.ask).await?;
            cache.ready = true;
        }
        Ok(())
    }

    /// Makes sure that the cache holds a commit.
    pub(crate) async fn obtain(
        &self,
        cache: &mut MutexGuard<'_, Cache>,
        commit: &Commit,
        reference: &str,
    ) -> Result<(), Error> {
        if cache.trees.iter().any(|tree| tree.commit() == commit) {
            return Ok(());
        }
        self.prepare(cache).await?;
        if self.has(cache, commit).await? {
            return Ok(());
        }
        // Below a name of our own, so that nothing the remote calls its branches can collide here.
        let keep = format!("+{}:refs/herder/{}", commit.as_str(), commit.as_str());
        let first = self
            .fetch_spec(cache, &["--depth=1", "--no-tags"], &[&keep])
            .await;
        if first.is_ok() && self.has(cache, commit).await? {
            return Ok(());
        }
        if let Err(error @ Error::Deadline { .. }) = first {
            return Err(error);
        }
        // A server that does not give commits by id gives branches and tags.
        self.fetch_spec(cache, &["--tags"], &["+refs/heads/*:refs/remotes/origin/*"])
            .await?;
        if self.has(cache, commit).await? {
            return Ok(());
        }
        Err(Error::NoReference {
            url: cache.url.clone(),
            reference: if reference.is_empty() {
                commit.to_string()
            } else {
                reference.to_owned()
            },
            near: None,
        })
    }

    pub(crate) async fn fetch_spec(
        &self,
        cache: &Cache,
        options: &[&str],
        specs: &[&str],
    ) -> Result<(), Error> {
        let limit = self.0.limits.transfer;
        let mut args = vec![
            "fetch",
            "--quiet",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--force",
        ];
        args.extend(options);
        args.extend(["--", cache.access.address()]);
        args.extend(specs);
        tracing::debug!(remote = %cache.url, "fetching");
        Run::bounded(&cache.dir, limit, self.0.limits.pack, args)
            .speaking_to(&cache.access)
            .output()
            .await
            .map_err(|failure| remote_error(failure, "fetch", &cache.url, limit))?;
        Ok(())
    }

    async fn has(&self, cache: &Cache, commit: &Commit) -> Result<bool, Error> {
        let name = format!("{}^{{tree}}", commit.as_str());
        match Run::new(
            Some(&cache.dir),
            self.0.limits.ask,
            ["cat-file", "-e", name.as_str()],
        )
        .output()
        .await
        {
            Ok(_) => Ok(true),
            Err(Failure::Said(_)) => Ok(false),
            Err(failure) => Err(local_error(failure, "cat-file", &cache.url, self.0.limits.ask)),
        }
    }

    async fn resolve_short(&self, remote: &AllowedRemote, reference: &str) -> Result<Commit, Error> {
        let cache = self.cache(remote);
        let mut cache = cache.lock().await;
        self.prepare(&mut cache).await?;
        let spec = ["+refs/heads/*:refs/remotes/origin/*"];
        let unshallow: &[&str] = if cache.dir.join("shallow").exists() {
            &["--tags", "--unshallow"]
        } else {
            &["--tags"]
        };
        self.fetch_spec(&cache, unshallow, &spec).await?;
        let name = format!("{reference}^{{commit}}");
        let args = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            name.as_str(),
        ];
        match Run::new(Some(&cache.dir), self.0.limits.ask, args).output().await {
            Ok(output) => Ok(Commit::new(String::from_utf8_lossy(&output).trim())),
            Err(Failure::Said(_)) => Err(Error::NoReference {
                url: cache.url.clone(),
                reference: reference.to_owned(),
                near: None,
            }),
            Err(failure) => Err(local_error(failure, "rev-parse", &cache.url, self.0.limits.ask)),
        }
    }

    /// Reads a commit that the cache holds.
    async fn tree(&self, cache: &mut MutexGuard<'_, Cache>, commit: &Commit) -> Result<Tree, Error> {
        if let Some(tree) = cache.trees.iter().find(|tree| tree.commit() == commit) {
            return Ok(tree.clone());
        }
        let (tree, blobs) =
            objects::read(&cache.dir, &cache.url, commit, &cache.blobs, &self.0.limits).await?;
        cache.blobs = blobs;
        cache.trees.push_front(tree.clone());
        cache.trees.truncate(self.0.limits.kept.max(1));
        // What the older ones hold besides is bounded too.
        let mut held = 0u64;
        let most = self.0.limits.bytes;
        let mut first = true;
        cache.trees.retain(|tree| {
            held = held.saturating_add(size(tree));
            std::mem::take(&mut first) || held <= most
        });
        Ok(tree)
    }
}

/// How much a tree holds.
fn size(tree: &Tree) -> u64 {
    tree.files()
        .map(|(_, file)| file.bytes.len() as u64)
        .fold(0, u64::saturating_add)
}

/// The whole names that a short one may mean, the likeliest first.
pub(crate) fn candidates(reference: &str) -> Vec<String> {
    if reference.is_empty() || reference == "HEAD" {
        return vec!["HEAD".to_owned()];
    }
    if reference.starts_with("refs/") {
        return vec![reference.to_owned()];
    }
    vec![
        format!("refs/heads/{reference}"),
        format!("refs/tags/{reference}"),
    ]
}

async fn init(path: &Path, limit: Duration) -> Result<(), Error> {
    let failed = |source| Error::Cache {
        path: path.display().to_string(),
        source,
    };
    if tokio::fs::try_exists(path.join("HEAD")).await.map_err(failed)? {
        return Ok(());
    }
    tokio::fs::create_dir_all(path).await.map_err(failed)?;
    let args = [
        "init",
        "--quiet",
        "--bare",
        "--template=",
        "--initial-branch=main",
        "--",
    ]
    .map(std::ffi::OsStr::new);
    Run::new(None, limit, args.into_iter().chain([path.as_os_str()]))
        .output()
        .await
        .map_err(|failure| local_error(failure, "init", &path.display().to_string().into(), limit))?;
    Ok(())
}

/// A failure while talking to a remote.
pub(crate) fn remote_error(failure: Failure, action: &'static str, url: &Url, after: Duration) -> Error {
    match failure {
        Failure::Start(source) => Error::Program(source),
        Failure::Deadline => Error::Deadline {
            action,
            url: url.clone(),
            after,
        },
        Failure::TooMuch(limit) => Error::Flood {
            url: url.clone(),
            what: "references",
            limit: limit as u64,
        },
        Failure::Said(said) => Error::Remote {
            action,
            url: url.clone(),
            hint: error::remedy(&said),
            said,
        },
    }
}

/// A failure while working on the cache.
pub(crate) fn local_error(failure: Failure, command: &'static str, url: &Url, after: Duration) -> Error {
    match failure {
        Failure::Start(source) => Error::Program(source),
        Failure::Deadline => Error::Deadline {
            action: command,
            url: url.clone(),
            after,
        },
        Failure::TooMuch(limit) => Error::Flood {
            url: url.clone(),
            what: "lines",
            limit: limit as u64,
        },
        Failure::Said(said) => Error::Git {
            command,
            url: url.clone(),
            said,
        },
    }
}
