//! The flow, on one screen: git → Fleet → (observe) → Plan → check → record → apply → Outcomes.
//!
//! Each arrow is a named value. Deciding is `herder_plan::plan`; nothing here chooses anything.

use crate::reading::{self, Reading};
use crate::state::Shared;
use herder_base::AllowedRemote;
use herder_cluster::Scope;
use herder_plan::{Checked, Outcome, Refused};
use std::sync::Arc;

/// What one pass did.
pub(crate) struct Pass {
    pub(crate) plan: Checked,
    pub(crate) outcomes: Vec<Outcome>,
}

/// Why a pass did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// Half an observation is none.
    #[error("the cluster could not be observed")]
    Observe(#[from] herder_cluster::Error),
    /// A plan that breaks a rule is not applied, not even in part.
    #[error(transparent)]
    Refused(#[from] Box<Refused>),
}

/// Git → Fleet, with its diagnostics recorded and the policies it wants in Vault.
pub(crate) async fn read(shared: &Shared) -> Result<Arc<Reading>, herder_git::Error> {
    let options = &shared.options;
    // Whoever started Herder named it.
    let (fleet, branch) = (AllowedRemote::own(options.fleet.clone()), &options.branch);
    let mut reading =
        reading::read(&shared.git, &fleet, branch, shared.renders(), shared.clock.now()).await?;
    reading.look_back(shared.reading().as_deref());
    let reading = Arc::new(reading);
    shared.allow(&reading.fleet);
    shared.record_reading(&reading).await;
    shared.reading.store(Some(Arc::clone(&reading)));
    Ok(reading)
}

/// (Fleet, Observed, now) → Plan → Outcomes.
pub(crate) async fn pass(shared: &Shared, reading: &Reading) -> Result<Pass, PassError> {
    let fleet = &reading.fleet;
    shared.sync_policies(fleet).await;
    let observed = shared
        .cluster
        .observe(&Scope {
            fleet: fleet.name.clone(),
            kinds: fleet.kinds(),
        })
        .await?;
    let state = shared.plan_state(fleet, &observed).await;
    let plan = herder_plan::plan(fleet, &observed, &state, shared.clock.now());
    let plan = herder_plan::check(plan)?;
    shared.record_plan(&plan).await;
    let outcomes = shared.cluster.apply(&plan).await;
    shared.record_outcomes(&plan, &outcomes).await;
    Ok(Pass { plan, outcomes })
}
