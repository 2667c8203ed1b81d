//! The flow, on one screen: git → Fleet → (observe) → Plan → check → record → apply → Outcomes; objects, policies and
//! roles alike.
//!
//! Each arrow is a named value. Deciding is `herder_plan::plan`; nothing here chooses anything. The outside is what
//! [`Outside`] says, so that the same flow runs against one that fails (see `simulation`).

mod access;
mod outside;
mod record;
#[cfg(test)]
mod simulation;

pub(crate) use access::{Access, VaultRefusal};

use crate::reading::{self, Reading};
use crate::state::Shared;
use herder_base::AllowedRemote;
use herder_fleet::Fleet;
use herder_plan::{Checked, Known, Outcome, Part, PartAction, PartOutcome, Refused, State, What};
use outside::{Fault, Outside};
use record::Recorded;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one pass did.
pub(crate) struct Pass {
    pub(crate) plan: Checked,
    /// That of the last recorded plan, which this one is unless it says nothing new.
    pub(crate) generation: u64,
    pub(crate) done: Done,
    /// Whether something could not be done or read, so that it is to be tried again soon.
    pub(crate) unsettled: bool,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) objects: Vec<Outcome>,
    pub(crate) parts: Vec<PartOutcome>,
}

/// Why a pass did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// Half an observation is none.
    #[error("the cluster could not be observed")]
    Observe(#[source] Fault),
    /// What is to stay as it is must be known before anything changes.
    #[error("it is not known what is suspended")]
    Suspensions(#[source] herder_ledger::Error),
    /// A plan that breaks a rule is not applied, not even in part.
    #[error(transparent)]
    Refused(#[from] Box<Refused>),
    /// What is not recorded is not applied: another plan may have been, or nobody would know what was done.
    #[error("the plan could not be recorded")]
    Record(#[from] herder_ledger::Error),
}

/// Git → Fleet, with its diagnostics recorded and the jobs it wants.
pub(crate) async fn read(shared: &Shared) -> Result<Arc<Reading>, herder_git::Error> {
    let options = &shared.options;
    // Whoever started Herder named it.
    let (fleet, branch) = (AllowedRemote::own(options.fleet.clone()), &options.branch);
    let mut reading =
        reading::read(&shared.git, &fleet, branch, shared.renders(), shared.clock.now()).await?;
    reading.look_back(shared.reading().as_deref());
    let reading = Arc::new(shared.with_name(reading).await);
    shared.allow(&reading.fleet);
    shared.record_reading(&reading).await;
    shared.record_commits(&reading).await;
    shared.reading.store(Some(Arc::clone(&reading)));
    crate::seed::seed(shared, &reading).await;
    Ok(reading)
}

/// (Fleet, Observed, now) → Plan → Outcomes.
pub(crate) async fn pass(outside: &impl Outside, fleet: &Fleet) -> Result<Pass, PassError> {
    let last = record::last(outside).await?;
    let observed = outside.observe(fleet).await.map_err(PassError::Observe)?;
    let down = outside.everything_down();
    let leases = Known::of(outside.leases().await).map(|leases| {
        let ends = leases.into_iter().map(|lease| (lease.environment, lease.until));
        ends.collect::<BTreeMap<_, _>>()
    });
    let state = State {
        leases,
        ended: outside.ended(fleet, &observed).await,
        everything_down: down,
        allow_mass_delete: down,
        parts: outside.parts(fleet).await,
        parent: last
            .as_ref()
            .filter(|last| last.fleet == fleet.name)
            .map(|last| last.id.clone()),
        generation: last.as_ref().map_or(0, |last| last.generation),
    };
    let plan = herder_plan::plan(fleet, &observed, &state, outside.now());
    let plan = herder_plan::check(plan)?;
    let unknown = state
        .parts
        .values()
        .any(|part| matches!(part.present, Known::Unknown(_)));
    if record::says_nothing_new(&plan, last.as_ref()) {
        return Ok(Pass {
            plan,
            generation: state.generation,
            done: Done::default(),
            unsettled: unknown,
        });
    }
    let recorded = record::record(outside, plan).await?;
    let done = apply(outside, fleet, &recorded).await;
    // When objects that were refused are tried again is what was learnt of them.
    let refused = done.parts.iter().any(|outcome| outcome.result.is_err());
    let (plan, known) = record::end(outside, recorded, &done).await;
    Ok(Pass {
        generation: plan.generation,
        plan,
        done,
        unsettled: unknown || refused || !known,
    })
}

/// Carries out a recorded plan: what pods need before the pods, what they may still need after them.
async fn apply(outside: &impl Outside, fleet: &Fleet, plan: &Recorded) -> Done {
    let writes = |parts: &[Part], what: What| -> Vec<PartAction> {
        let mut writes: Vec<_> = plan
            .part_writes()
            .filter(|action| action.what == what && parts.contains(&action.part))
            .cloned()
            .collect();
        if what == What::Delete {
            writes.reverse();
        }
        writes
    };
    let mut done = Done::default();
    let before = writes(&[Part::Policy, Part::Role], What::Apply);
    done.parts.extend(outside.apply_parts(fleet, &before).await);
    done.objects = outside.apply(plan).await;
    let after = writes(&Part::ALL, What::Delete);
    done.parts.extend(outside.apply_parts(fleet, &after).await);
    done
}
