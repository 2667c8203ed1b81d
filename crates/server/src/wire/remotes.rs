//! The git crate as what the job runner asks about remotes: only about those that the fleet allows.

use crate::allowed::Allowed;
use futures::future::BoxFuture;
use herder_base::{AllowedRemote, Tree, Url};
use herder_git::Git;
use herder_jobs::{Checkouts, PortError, Remotes};
use std::collections::BTreeMap;

/// Git for jobs.
pub(crate) struct JobRemotes {
    pub(crate) git: Git,
    pub(crate) allowed: Allowed,
}

impl JobRemotes {
    fn admit(&self, url: &Url) -> Result<AllowedRemote, PortError> {
        self.allowed
            .admit(url)
            .map_err(|refused| PortError(format!("{refused}; {}", refused.hint())))
    }
}

fn port(error: &herder_git::Error) -> PortError {
    PortError(herder_base::chain(error).to_string())
}

impl Remotes for JobRemotes {
    fn ls_remote<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<BTreeMap<String, String>, PortError>> {
        Box::pin(async move {
            let remote = self.admit(url)?;
            let found = self.git.ls_remote(&remote, &[]).await;
            Ok(found
                .map_err(|error| port(&error))?
                .into_iter()
                .map(|(name, commit)| (name, commit.to_string()))
                .collect())
        })
    }
}

impl Checkouts for JobRemotes {
    fn tree<'a>(&'a self, url: &'a Url, commit: &'a str) -> BoxFuture<'a, Result<Tree, PortError>> {
        Box::pin(async move {
            let remote = self.admit(url)?;
            let tree = self.git.fetch(&remote, commit).await;
            tree.map_err(|error| port(&error))
        })
    }
}
