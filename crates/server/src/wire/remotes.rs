//! The git crate as what the job runner asks about remotes.

use futures::future::BoxFuture;
use herder_base::Tree;
use herder_git::Git;
use herder_jobs::{Checkouts, PortError, Remotes};
use std::collections::BTreeMap;

/// Git for jobs.
pub(crate) struct JobRemotes(pub(crate) Git);

fn port(error: &herder_git::Error) -> PortError {
    PortError(herder_base::chain(error).to_string())
}

impl Remotes for JobRemotes {
    fn ls_remote<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, String>, PortError>> {
        Box::pin(async move {
            let found = self.0.ls_remote(url, &[]).await.map_err(|error| port(&error))?;
            Ok(found
                .into_iter()
                .map(|(name, commit)| (name, commit.to_string()))
                .collect())
        })
    }
}

impl Checkouts for JobRemotes {
    fn tree<'a>(&'a self, url: &'a str, commit: &'a str) -> BoxFuture<'a, Result<Tree, PortError>> {
        Box::pin(async move { self.0.fetch(url, commit).await.map_err(|error| port(&error)) })
    }
}
