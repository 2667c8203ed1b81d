//! Ties rollouts to the run that caused them: workloads whose generation moved in the run's namespace while it ran, and
//! that no commit of the fleet explains.

use crate::state::Inner;
use herder_cluster::{Cluster, Health};
use herder_jobs::RunId;
use herder_ledger::Rollout;
use std::collections::BTreeMap;
use tracing::error;

/// Generation by (kind, name).
pub(crate) type Generations = BTreeMap<(String, String), u64>;

/// The workloads of a namespace as they are.
pub(crate) fn generations(cluster: &Cluster, namespace: &str) -> Generations {
    let states = cluster
        .applications()
        .into_iter()
        .filter(|state| state.namespace == namespace && !state.owned);
    states
        .flat_map(|state| state.workloads)
        .map(|(kind, name, generation)| ((kind, name), generation))
        .collect()
}

/// Records what moved since `before`.
pub(crate) async fn record(shared: &Inner, run: &RunId, namespace: &str, before: &Generations) {
    // What the last step applied may still be on its way through the watch.
    let mut changes = shared.cluster.changes();
    let settle = tokio::time::sleep(std::time::Duration::from_millis(300));
    tokio::pin!(settle);
    loop {
        tokio::select! {
            () = &mut settle => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    for ((kind, name), generation) in generations(&shared.cluster, namespace) {
        if before.get(&(kind.clone(), name.clone())) == Some(&generation) {
            continue;
        }
        let rollout = Rollout {
            job: run.job.clone(),
            number: run.number,
            namespace: namespace.to_owned(),
            kind,
            name,
            generation,
            health: "progressing".to_owned(),
            detail: String::new(),
            at: shared.clock.now(),
        };
        if let Err(cause) = shared.ledger.record_rollout(&rollout).await {
            error!(error = %herder_base::chain(&cause), "a rollout could not be recorded");
        }
    }
    shared.bell.pass_again();
}

/// The word a rollout's health is recorded as.
pub(crate) fn word(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Progressing => "progressing",
        Health::Degraded => "failed",
        Health::Missing => "gone",
    }
}
