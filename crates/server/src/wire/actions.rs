//! What the platform itself does as a job's step: `update-jobs`.

use crate::reading;
use crate::state::Inner;
use futures::future::BoxFuture;
use herder_base::Severity;
use herder_jobs::{Action, Actions, Removed, RunEvent, RunResult, RunSpec};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

/// Actions of the platform. Filled in once everything is built, because jobs are part of what is built.
#[derive(Default)]
pub(crate) struct PlatformActions(OnceLock<Weak<Inner>>);

impl PlatformActions {
    /// Says whose actions these are.
    pub(crate) fn fill(&self, shared: Weak<Inner>) {
        // Filled twice only if the platform were built twice with the same actions.
        let _first = self.0.set(shared);
    }
}

impl Actions for PlatformActions {
    fn perform<'a>(
        &'a self,
        action: Action,
        spec: &'a RunSpec,
        events: Sender<RunEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, RunResult> {
        Box::pin(async move {
            let Some(shared) = self.0.get().and_then(Weak::upgrade) else {
                return RunResult::Lost {
                    reason: "the platform is stopping".to_owned(),
                };
            };
            let Action::UpdateJobs = action;
            tokio::select! {
                () = cancel.cancelled() => RunResult::Aborted,
                result = update_jobs(&shared, spec, &events) => result,
            }
        })
    }
}

/// Reads the fleet repository at the run's commit and makes the set of jobs match it.
async fn update_jobs(shared: &Inner, spec: &RunSpec, events: &Sender<RunEvent>) -> RunResult {
    let say = async |line: String| {
        // The log's reader going away does not stop the work.
        let _sent = events
            .send(RunEvent::Output {
                step: 0,
                bytes: format!("{line}\n").into_bytes(),
            })
            .await;
    };
    if shared.everything_down.load(Ordering::SeqCst) {
        say("everything is down, and so are all jobs until it is up again".to_owned()).await;
        return RunResult::Succeeded;
    }
    let Some(checkout) = spec.checkouts.first() else {
        return RunResult::Failed {
            reason: "the run has no checkout of the fleet repository".to_owned(),
        };
    };
    say(format!("reading {} at {}", checkout.url, checkout.commit)).await;
    let remote = match shared.allowed.admit(&checkout.url) {
        Ok(remote) => remote,
        Err(refused) => {
            return RunResult::Failed {
                reason: refused.to_string(),
            };
        }
    };
    let commit = &checkout.commit;
    // The pass that asks for this has just read the same commit.
    let known = shared
        .reading
        .load_full()
        .filter(|known| reading::commit(known).as_str() == commit);
    let reading = match known {
        Some(known) => known,
        None => match reading::read(&shared.git, &remote, commit, shared.renders(), shared.clock.now()).await
        {
            Ok(reading) => Arc::new(reading),
            Err(error) => {
                return RunResult::Failed {
                    reason: herder_base::chain(&error).to_string(),
                };
            }
        },
    };
    for diagnostic in reading.diagnostics.iter().filter(|diagnostic| {
        diagnostic
            .at
            .as_ref()
            .is_some_and(|at| at.path.starts_with("jobs/"))
    }) {
        say(diagnostic.to_string()).await;
    }
    // What could not be read must not be taken for removed.
    let removed = match &reading.fleet.held.jobs {
        Some(reason) => {
            say(format!(
                "some jobs could not be read, so none is removed: {reason}"
            ))
            .await;
            Removed::Ignore
        }
        None => Removed::Delete,
    };
    shared.allow(&reading.fleet);
    let jobs = reading.fleet.jobs.clone();
    let reconciled = match shared.jobs.reconcile(jobs, removed, false).await {
        Ok(reconciled) => reconciled,
        Err(error) => {
            return RunResult::Failed {
                reason: herder_base::chain(&error).to_string(),
            };
        }
    };
    let groups = [
        ("created", &reconciled.created),
        ("updated", &reconciled.updated),
        ("removed", &reconciled.removed),
        ("kept, so many at once must be confirmed:", &reconciled.kept),
    ];
    for (what, names) in groups {
        for name in names {
            say(format!("{what} {name}")).await;
        }
    }
    for (name, why) in &reconciled.refused {
        say(format!("refused {name}: {why}")).await;
    }
    say(format!("{} unchanged", reconciled.unchanged)).await;
    let broken = reading
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .count();
    if reading.fleet.held.jobs.is_some() {
        return RunResult::Failed {
            reason: format!(
                "some jobs could not be read ({broken} errors in the fleet repository); the others were updated"
            ),
        };
    }
    RunResult::Succeeded
}
