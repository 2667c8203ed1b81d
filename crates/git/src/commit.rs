//! Commits: made in the cache without a working tree, pushed only onto exactly the expected parent.

use crate::git::{Cache, local_error, remote_error};
use crate::program::{Failure, Run};
use crate::remote::{check_reference, check_url, is_full_id};
use crate::{Error, Git};
use herder_base::{AllowedRemote, Commit, normalise};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tokio::sync::MutexGuard;

/// One file's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path, relative to the root.
    pub path: String,
    /// Its new content; `None` removes the file.
    pub content: Option<Vec<u8>>,
}

/// Who makes a commit, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name.
    pub name: String,
    /// Address.
    pub email: String,
    /// When.
    pub time: Timestamp,
}

impl Git {
    /// Commits changes on top of `parent` and pushes them to `branch`, whole or not at all. An empty branch is the
    /// remote's default one; an empty parent means that the branch does not exist yet. Changes that change nothing push nothing and return the parent.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the branch is not at `parent` any more; otherwise if the remote refuses.
    pub async fn commit(
        &self,
        remote: &AllowedRemote,
        branch: &str,
        parent: &Commit,
        changes: &[Change],
        message: &str,
        author: &Signature,
    ) -> Result<Commit, Error> {
        check_url(remote.url())?;
        check_reference(branch)?;
        if !(parent.as_str().is_empty() || is_full_id(parent.as_str())) {
            return Err(Error::Name {
                reference: parent.to_string(),
            });
        }
        let default;
        let branch = if branch.is_empty() {
            default = self.default_branch(remote).await?;
            &default
        } else {
            branch
        };
        let mut paths = BTreeMap::new();
        for change in changes {
            let path = normalise(&change.path).map_err(Error::Path)?;
            if path.is_empty() || path.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
                return Err(Error::Reserved { path });
            }
            paths.insert(path, change.content.as_deref());
        }
        let cache = self.cache(remote);
        let mut cache = cache.lock().await;
        self.prepare(&mut cache).await?;
        if !parent.as_str().is_empty() {
            self.obtain(&mut cache, parent, branch).await?;
        }
        let index = cache.dir.join("index.commit");
        let made = self.make(&cache, &index, parent, &paths, message, author).await;
        // The index is only scratch paper; the next commit overwrites what could not be removed.
        let _ = tokio::fs::remove_file(&index).await;
        let commit = made?;
        if &commit != parent {
            self.push(&cache, branch, parent, &commit).await?;
        }
        Ok(commit)
    }

    async fn make(
        &self,
        cache: &MutexGuard<'_, Cache>,
        index: &std::path::Path,
        parent: &Commit,
        paths: &BTreeMap<String, Option<&[u8]>>,
        message: &str,
        author: &Signature,
    ) -> Result<Commit, Error> {
        let start = if parent.as_str().is_empty() {
            "--empty"
        } else {
            parent.as_str()
        };
        self.call(cache, "read-tree", &["read-tree", start], index, &[])
            .await?;
        let mut modes = BTreeMap::new();
        if !parent.as_str().is_empty() && !paths.is_empty() {
            let mut args = vec!["ls-tree", "-z", "--full-tree", parent.as_str(), "--"];
            args.extend(paths.keys().map(String::as_str));
            let listing = self.call(cache, "ls-tree", &args, index, &[]).await?;
            for record in listing.split('\0') {
                if let Some((head, path)) = record.split_once('\t') {
                    modes.insert(
                        path.to_owned(),
                        head.split(' ').next().unwrap_or_default().to_owned(),
                    );
                }
            }
        }
        let mut info = Vec::new();
        for (path, content) in paths {
            let line = match content {
                None => format!("0 {:0>40}\t{path}\0", 0),
                Some(bytes) => {
                    let id = self
                        .call(
                            cache,
                            "hash-object",
                            &["hash-object", "-w", "--stdin"],
                            index,
                            bytes,
                        )
                        .await?;
                    let mode = modes
                        .get(path)
                        .filter(|mode| *mode == "100755")
                        .map_or("100644", String::as_str);
                    format!("{mode} {id}\t{path}\0")
                }
            };
            info.extend_from_slice(line.as_bytes());
        }
        self.call(
            cache,
            "update-index",
            &["update-index", "-z", "--index-info"],
            index,
            &info,
        )
        .await?;
        let tree = self
            .call(cache, "write-tree", &["write-tree"], index, &[])
            .await?;
        if !parent.as_str().is_empty() {
            let before = format!("{}^{{tree}}", parent.as_str());
            let before = self
                .call(
                    cache,
                    "rev-parse",
                    &["rev-parse", "--verify", &before],
                    index,
                    &[],
                )
                .await?;
            if before == tree {
                return Ok(parent.clone());
            }
        }
        let mut args = vec!["commit-tree", tree.as_str(), "-F", "-"];
        if !parent.as_str().is_empty() {
            args.extend(["-p", parent.as_str()]);
        }
        let limit = self.limits().ask;
        let time = format!("@{} +0000", author.time.as_second());
        let (name, email) = (
            clean(&author.name, "Herder"),
            clean(&author.email, "herder@localhost"),
        );
        let output = Run::new(Some(&cache.dir), limit, args)
            .env("GIT_AUTHOR_NAME", &name)
            .env("GIT_AUTHOR_EMAIL", &email)
            .env("GIT_AUTHOR_DATE", &time)
            .env("GIT_COMMITTER_NAME", &name)
            .env("GIT_COMMITTER_EMAIL", &email)
            .env("GIT_COMMITTER_DATE", &time)
            .input(message.as_bytes())
            .output()
            .await
            .map_err(|failure| local_error(failure, "commit-tree", &cache.url, limit))?;
        Ok(Commit::new(String::from_utf8_lossy(&output).trim()))
    }

    async fn push(
        &self,
        cache: &MutexGuard<'_, Cache>,
        branch: &str,
        parent: &Commit,
        commit: &Commit,
    ) -> Result<(), Error> {
        let limit = self.limits().transfer;
        let name = if branch.starts_with("refs/") {
            branch.to_owned()
        } else {
            format!("refs/heads/{branch}")
        };
        let lease = format!("--force-with-lease={name}:{}", parent.as_str());
        let spec = format!("{}:{name}", commit.as_str());
        let args = [
            "push",
            "--quiet",
            "--no-verify",
            "--no-signed",
            lease.as_str(),
            "--",
            cache.access.address(),
            spec.as_str(),
        ];
        match Run::new(Some(&cache.dir), limit, args)
            .speaking_to(&cache.access)
            .output()
            .await
        {
            Ok(_) => Ok(()),
            Err(Failure::Said(said)) if is_conflict(&said) => Err(Error::Conflict {
                url: cache.url.clone(),
                branch: branch.to_owned(),
                expected: parent.clone(),
            }),
            Err(failure) => Err(remote_error(failure, "push to", &cache.url, limit)),
        }
    }

    /// A plumbing call on the cache with an index of its own; what it printed, without the last newline.
    async fn call(
        &self,
        cache: &MutexGuard<'_, Cache>,
        command: &'static str,
        args: &[&str],
        index: &std::path::Path,
        input: &[u8],
    ) -> Result<String, Error> {
        let limit = self.limits().ask;
        let output = Run::new(Some(&cache.dir), limit, args)
            .env("GIT_INDEX_FILE", index)
            .input(input)
            .output()
            .await
            .map_err(|failure| local_error(failure, command, &cache.url, limit))?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }
}

/// Whether a refused push means that the branch moved.
fn is_conflict(said: &str) -> bool {
    [
        "stale info",
        "fetch first",
        "non-fast-forward",
        "cannot lock ref",
        "failed to update ref",
        "reference already exists",
    ]
    .iter()
    .any(|part| said.contains(part))
}

/// A name as git takes it: without what would end the field.
fn clean(text: &str, otherwise: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '<' | '>'))
        .collect();
    let text = text.trim();
    if text.is_empty() {
        otherwise.to_owned()
    } else {
        text.to_owned()
    }
}
