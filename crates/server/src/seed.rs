//! A commit is the seed run: the pass that reads a commit of the fleet repository changes the jobs, too.
//!
//! It does so by a run of `update-jobs` at exactly that commit, and waits for it, so that what changed, and what was refused,
//! is in a log like everything that jobs do.

use crate::reading::{self, Reading};
use crate::state::Shared;
use crate::wire::definitions::UPDATE_JOBS;
use herder_jobs::{Cause, RunId, RunRequest, RunStatus, TriggerError, commit_key};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a pass waits for the jobs. They change all the same if it takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the set of jobs what a reading says, once per commit.
pub(crate) async fn seed(shared: &Shared, reading: &Reading) {
    let commit = reading::commit(reading).to_string();
    let down = shared.everything_down.load(Ordering::SeqCst);
    if down || shared.seeded.load().as_deref() == Some(&commit) {
        return;
    }
    let ended = tokio::time::timeout(PATIENCE, run(shared, &commit)).await;
    match ended {
        // A run that failed has said why; the same commit would fail again.
        Ok(Ok((_, status))) if status != RunStatus::Lost => shared.seeded.store(Some(Arc::new(commit))),
        Ok(Ok((run, status))) => {
            tracing::warn!(%run, "the jobs are not those of {commit} yet: the run is {status}")
        }
        Ok(Err(error)) => {
            let error = herder_base::chain(&error);
            tracing::warn!("the jobs are not those of {commit} yet: {error}");
        }
        Err(_) => tracing::warn!("the jobs of {commit} are still being read"),
    }
}

async fn run(shared: &Shared, commit: &str) -> Result<(RunId, RunStatus), TriggerError> {
    let options = &shared.options;
    let short = commit.get(..12).unwrap_or(commit);
    let run = shared
        .jobs
        .trigger(RunRequest {
            job: UPDATE_JOBS.to_owned(),
            parameters: BTreeMap::new(),
            commits: Some([(commit_key(&options.fleet, &options.branch), commit.to_owned())].into()),
            cause: Cause::Platform {
                why: format!("commit {short} of the fleet repository was read"),
            },
        })
        .await?;
    let record = shared.jobs.wait(&run).await?;
    Ok((run, record.status))
}
