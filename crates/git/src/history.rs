//! A commit's repository for a workspace: its history as deep as was asked for, branches, tags and an index, as a tar
//! archive of the files of a `.git` directory. Without what opens the remote: whoever gets it reads, and pushes only with
//! credentials of its own.

use crate::access::Access;
use crate::archive::{content, header};
use crate::git::{init, local_error, remote_error};
use crate::program::{Failure, Run};
use crate::remote::{check_reference, check_url};
use crate::{Error, Git};
use herder_base::{AllowedRemote, Commit, Url};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// How much of a file is given at once.
const PORTION: usize = 256 << 10;
/// The most submodules of one commit.
const MOST_SUBMODULES: usize = 100;
/// Names for places of work, so that no two share one.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// What goes along, of the files that git makes.
const KEPT: [&str; 5] = ["HEAD", "config", "packed-refs", "shallow", "index"];

/// A repository that is removed when this is dropped.
#[derive(Debug)]
struct Work(PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("{} stays: {error}", self.0.display());
        }
    }
}

/// The archive of a repository.
#[derive(Debug)]
pub struct History {
    work: Work,
    files: std::vec::IntoIter<(String, u64)>,
    open: Option<(File, u64, u64)>,
    ended: bool,
}

impl History {
    /// The next portion; none at the end.
    ///
    /// # Errors
    /// If a file cannot be read; the archive is then not whole.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let failed = |source| Error::Cache {
            path: self.work.0.display().to_string(),
            source,
        };
        let mut out = Vec::new();
        while out.len() < PORTION && !self.ended {
            if let Some((file, left, size)) = &mut self.open {
                let mut portion = Vec::new();
                let count = (&mut *file)
                    .take((*left).min(PORTION as u64))
                    .read_to_end(&mut portion)
                    .await
                    .map_err(failed)?;
                if count == 0 && *left > 0 {
                    return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
                }
                out.extend_from_slice(&portion);
                *left -= count as u64;
                if *left == 0 {
                    let over = usize::try_from(*size % 512).unwrap_or_default();
                    out.resize(out.len() + (512 - over) % 512, 0);
                    self.open = None;
                }
                continue;
            }
            match self.files.next() {
                Some((name, size)) => {
                    let length = usize::try_from(size).unwrap_or(usize::MAX);
                    header(&mut out, &format!(".git/{name}"), b'0', 0o644, length, &[]);
                    if size > 0 {
                        let file = File::open(self.work.0.join(&name)).await.map_err(failed)?;
                        self.open = Some((file, size, size));
                    }
                }
                None => {
                    self.ended = true;
                    // git takes a directory for a repository only with these two in it.
                    for name in [".git/objects/", ".git/refs/"] {
                        header(&mut out, name, b'5', 0o755, 0, &[]);
                    }
                    content(&mut out, &[0; 1024]);
                }
            }
        }
        Ok((!out.is_empty()).then_some(out))
    }
}

/// A submodule of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Its directory.
    pub path: String,
    /// Its remote, resolved.
    pub url: Url,
    /// Its commit.
    pub commit: Commit,
}

impl Git {
    /// The repository of a commit that `branch` (a remote's default if empty) was found at. `depth` is how many commits
    /// its history goes back, all of it if zero.
    ///
    /// # Errors
    /// If the commit cannot be had.
    pub async fn history(
        &self,
        remote: &AllowedRemote,
        branch: &str,
        commit: &Commit,
        depth: u32,
    ) -> Result<History, Error> {
        let url = remote.url();
        check_url(url)?;
        check_reference(commit.as_str())?;
        let access = Access::new(remote);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let work = Work(self.dir().join(format!(".work-{}-{number}", std::process::id())));
        let dir = work.0.clone();
        init(&dir, self.limits().ask).await?;
        let repository = Repository {
            git: self,
            dir: &dir,
            url,
            access: &access,
        };
        repository.fetch(commit, depth).await?;
        let branch = match branch {
            "" => self.default_branch(remote).await.unwrap_or_default(),
            branch => branch.to_owned(),
        };
        repository.point(&branch, commit).await?;
        let files = files(&dir).map_err(|source| Error::Cache {
            path: dir.display().to_string(),
            source,
        })?;
        Ok(History {
            work,
            files: files.into_iter(),
            open: None,
            ended: false,
        })
    }

    /// The submodules of a commit, with their remotes as `.gitmodules` has them. Those without an address are left out.
    ///
    /// # Errors
    /// If the commit cannot be had, or has too many.
    pub async fn submodules(&self, remote: &AllowedRemote, commit: &Commit) -> Result<Vec<Submodule>, Error> {
        check_url(remote.url())?;
        check_reference(commit.as_str())?;
        let cache = self.cache(remote);
        let mut cache = cache.lock().await;
        self.obtain(&mut cache, commit, commit.as_str()).await?;
        let limit = self.limits().ask;
        let failed = |failure| local_error(failure, "ls-tree", &cache.url, limit);
        let args = ["ls-tree", "-r", "-z", "--full-tree", commit.as_str()];
        let tree = Run::new(Some(&cache.dir), limit, args)
            .output()
            .await
            .map_err(failed)?;
        let links: BTreeMap<String, String> = String::from_utf8_lossy(&tree)
            .split('\0')
            .filter_map(|record| {
                let (about, path) = record.split_once('\t')?;
                let mut words = about.split(' ');
                (words.next() == Some("160000")).then_some(())?;
                Some((path.to_owned(), words.nth(1)?.to_owned()))
            })
            .collect();
        if links.is_empty() {
            return Ok(Vec::new());
        }
        if links.len() > MOST_SUBMODULES {
            return Err(Error::TooLarge {
                url: cache.url.clone(),
                commit: commit.clone(),
                found: links.len() as u64,
                limit: MOST_SUBMODULES as u64,
                unit: "submodules",
            });
        }
        let blob = format!("--blob={}:.gitmodules", commit.as_str());
        let args = ["config", blob.as_str(), "--null", "--no-includes", "--list"];
        let config = match Run::new(Some(&cache.dir), limit, args).output().await {
            Ok(config) => config,
            // Links that nobody describes are links to nowhere.
            Err(Failure::Said(_)) => return Ok(Vec::new()),
            Err(failure) => return Err(local_error(failure, "config", &cache.url, limit)),
        };
        let mut described: BTreeMap<String, (String, String)> = BTreeMap::new();
        for line in String::from_utf8_lossy(&config).split('\0') {
            let Some((key, value)) = line.split_once('\n') else {
                continue;
            };
            let Some((name, field)) = key
                .strip_prefix("submodule.")
                .and_then(|key| key.rsplit_once('.'))
            else {
                continue;
            };
            let entry = described.entry(name.to_owned()).or_default();
            match field {
                "path" => value.clone_into(&mut entry.0),
                "url" => value.clone_into(&mut entry.1),
                _ => {}
            }
        }
        Ok(described
            .into_values()
            .filter(|(_, url)| !url.is_empty())
            .filter_map(|(path, url)| {
                let commit = Commit::new(links.get(&path)?);
                Some(Submodule {
                    url: remote.url().resolve(&url),
                    path,
                    commit,
                })
            })
            .collect())
    }
}

struct Repository<'a> {
    git: &'a Git,
    dir: &'a Path,
    url: &'a Url,
    access: &'a Access,
}

impl Repository<'_> {
    async fn run<const N: usize>(&self, args: [&str; N]) -> Result<(), Error> {
        let (limit, command) = (self.git.limits().ask, args.first().copied().unwrap_or_default());
        let output = Run::new(Some(self.dir), limit, args).output().await;
        match output {
            Ok(_) => Ok(()),
            Err(failure) => {
                let command = if command == "read-tree" {
                    "read-tree"
                } else {
                    "update-ref"
                };
                Err(local_error(failure, command, self.url, limit))
            }
        }
    }

    /// Branches, tags and the commit, from the remote.
    async fn fetch(&self, commit: &Commit, depth: u32) -> Result<(), Error> {
        let named = format!("+{}:refs/herder/commit", commit.as_str());
        let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
        let depth = (depth > 0).then(|| format!("--depth={depth}"));
        let depth: Vec<&str> = depth.as_deref().into_iter().collect();
        let first = self.fetch_specs(&depth, &[all[0], all[1], &named]).await;
        match first {
            Ok(()) => return Ok(()),
            Err(error @ Error::Deadline { .. }) => return Err(error),
            // More than there may be, or a server that does not give commits by id.
            Err(_) => {}
        }
        if self.fetch_specs(&depth, &[&named]).await.is_ok() {
            return Ok(());
        }
        self.fetch_specs(&[], &all).await?;
        self.run(["update-ref", "refs/herder/commit", commit.as_str()])
            .await
    }

    async fn fetch_specs(&self, options: &[&str], specs: &[&str]) -> Result<(), Error> {
        let limits = self.git.limits();
        let mut args = vec![
            "fetch",
            "--quiet",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-tags",
            "--force",
        ];
        args.extend(options);
        args.extend(["--", self.access.address()]);
        args.extend(specs);
        Run::bounded(self.dir, limits.transfer, limits.pack, args)
            .speaking_to(self.access)
            .output()
            .await
            .map_err(|failure| remote_error(failure, "fetch", self.url, limits.transfer))?;
        Ok(())
    }

    /// The branch that is checked out if the commit is its head, else the commit alone; the index; the remote's address.
    async fn point(&self, branch: &str, commit: &Commit) -> Result<(), Error> {
        let commit = commit.as_str();
        self.run(["read-tree", commit]).await?;
        let tracking = format!("refs/remotes/origin/{branch}");
        let on_branch = !branch.is_empty()
            && check_reference(branch).is_ok()
            && self.is(&format!("{tracking}^{{commit}}"), commit).await;
        if on_branch {
            let own = format!("refs/heads/{branch}");
            self.run(["update-ref", &own, commit]).await?;
            self.run(["symbolic-ref", "HEAD", &own]).await?;
            let (remote, merge) = (
                format!("branch.{branch}.remote"),
                format!("branch.{branch}.merge"),
            );
            self.run(["config", "--local", &remote, "origin"]).await?;
            self.run(["config", "--local", &merge, &own]).await?;
        } else {
            self.run(["update-ref", "--no-deref", "HEAD", commit]).await?;
        }
        self.run(["update-ref", "-d", "refs/herder/commit"]).await?;
        self.run(["pack-refs", "--all"]).await?;
        // As people may see it: without what opens the remote.
        let address = self.access.clean(self.access.address());
        self.run(["config", "--local", "remote.origin.url", &address])
            .await?;
        self.run([
            "config",
            "--local",
            "remote.origin.fetch",
            "+refs/heads/*:refs/remotes/origin/*",
        ])
        .await?;
        self.run(["config", "--local", "core.bare", "false"]).await
    }

    async fn is(&self, name: &str, commit: &str) -> bool {
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", name];
        let found = Run::new(Some(self.dir), self.git.limits().ask, args)
            .output()
            .await;
        found.is_ok_and(|found| String::from_utf8_lossy(&found).trim() == commit)
    }
}

/// The files that go along, with their sizes.
fn files(dir: &Path) -> std::io::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for name in KEPT {
        match std::fs::metadata(dir.join(name)) {
            Ok(metadata) => found.push((name.to_owned(), metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut open = vec!["objects".to_owned(), "refs".to_owned()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(dir.join(&below))? {
            let entry = entry?;
            let name = format!("{below}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(name);
            } else if kind.is_file() {
                found.push((name, entry.metadata()?.len()));
            }
        }
    }
    Ok(found)
}
