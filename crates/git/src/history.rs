//! What became of a path: the commits of a branch that changed it, newest first.

use crate::git::{CommitInfo, local_error};
use crate::program::Run;
use crate::remote::{check_reference, check_url};
use crate::{Error, Git};
use herder_base::{AllowedRemote, Commit, normalise};
use jiff::Timestamp;

/// How many commits of a branch are looked at.
pub const DEPTH: u32 = 500;

impl Git {
    /// The commits that changed a file or folder, newest first, among the last [`DEPTH`] of a branch; the empty branch is
    /// the remote's default one.
    ///
    /// # Errors
    /// If the remote cannot be read.
    pub async fn history(
        &self,
        remote: &AllowedRemote,
        branch: &str,
        path: &str,
        limit: u32,
    ) -> Result<Vec<CommitInfo>, Error> {
        check_url(remote.url())?;
        check_reference(branch)?;
        let path = normalise(path).map_err(|_| Error::Name {
            reference: path.to_owned(),
        })?;
        let commit = self.resolve(remote, branch).await?;
        let cache = self.cache(remote);
        let mut cache = cache.lock().await;
        self.prepare(&mut cache).await?;
        let from = if branch.is_empty() {
            "HEAD".to_owned()
        } else {
            format!("refs/heads/{branch}")
        };
        let spec = format!("+{from}:refs/herder/history");
        let depth = format!("--depth={DEPTH}");
        self.fetch_spec(&cache, &[&depth, "--no-tags"], &[&spec]).await?;
        self.obtain(&mut cache, &commit, branch).await?;
        let limit = format!("--max-count={limit}");
        let args = [
            "--literal-pathspecs",
            "log",
            "--no-show-signature",
            &limit,
            "--format=%H%x00%an%x00%ae%x00%at%x00%s",
            commit.as_str(),
            "--",
            &path,
        ];
        let output = Run::new(Some(&cache.dir), self.limits().ask, args)
            .output()
            .await
            .map_err(|failure| local_error(failure, "log", &cache.url, self.limits().ask))?;
        Ok(String::from_utf8_lossy(&output).lines().map(info).collect())
    }
}

/// A line of the format above.
pub(crate) fn info(line: &str) -> CommitInfo {
    let mut fields = line.split('\0');
    let mut next = || fields.next().unwrap_or_default().to_owned();
    CommitInfo {
        commit: Commit::new(next()),
        author: next(),
        email: next(),
        time: next()
            .parse()
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .unwrap_or_default(),
        subject: next(),
    }
}
