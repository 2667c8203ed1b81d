//! Plans and the ledger: what was decided is recorded before anything of it is done, and what became of it after. Owns
//! [`Recorded`], the only kind of plan that is carried out.
//!
//! A plan that was recorded and never ended is one whose outcomes nobody knows: the process was killed, or the ledger
//! did not take them. It is dropped, said and audited; what it left undone is in the next plan, because that is made
//! from what is there, not from what should have happened.

use super::outside::Outside;
use super::{Done, PassError};
use herder_ledger::{Actor, AuditEntry, NewPlan, PlanHead, PlanState, PlannedAction, SkippedKind};
use herder_plan::{Checked, Effect, Plan, What};
use std::ops::Deref;
use tracing::{debug, error, info, warn};

/// A checked plan that the ledger has taken as the next one.
#[derive(Debug)]
pub(super) struct Recorded(Checked);

impl Deref for Recorded {
    type Target = Checked;

    fn deref(&self) -> &Checked {
        &self.0
    }
}

/// The last plan, ended: one that was left open is dropped.
pub(super) async fn last(outside: &impl Outside) -> Result<Option<PlanHead>, PassError> {
    let Some(mut last) = outside.last_plan().await? else {
        return Ok(None);
    };
    if last.state != PlanState::Open {
        return Ok(Some(last));
    }
    let why = "it ended before its outcomes were recorded; what it left undone is planned anew";
    warn!(
        generation = last.generation,
        plan = last.id,
        "a plan is dropped: {why}"
    );
    // First said, then dropped: killed in between, it is said twice, never not at all.
    let entry = AuditEntry {
        at: outside.now(),
        actor: Actor::herder(),
        action: "plan.dropped".to_owned(),
        subject: format!("generation {}", last.generation),
        detail: format!("commit {}: {why}", last.commit),
    };
    outside.audit(&entry).await?;
    outside.drop_plan(last.generation, why).await?;
    last.state = PlanState::Dropped;
    Ok(Some(last))
}

/// Whether a plan writes nothing and says what the last one said.
pub(super) fn says_nothing_new(plan: &Plan, last: Option<&PlanHead>) -> bool {
    plan.is_empty()
        && last.is_some_and(|last| {
            last.id == plan.id
                && last.fleet == plan.fleet
                && last.unchanged == wide(plan.unchanged)
                && last.notes == notes(plan)
        })
}

/// Records a plan as the next one.
pub(super) async fn record(outside: &impl Outside, plan: Checked) -> Result<Recorded, PassError> {
    for action in plan.writes() {
        debug!(what = ?action.what, object = %action.key, reason = %action.reason, "plans");
    }
    for action in plan.part_writes() {
        debug!(what = ?action.what, part = %action, reason = %action.reason, "plans");
    }
    let new = NewPlan {
        generation: plan.generation,
        id: plan.id.clone(),
        parent: plan.parent.clone(),
        fleet: plan.fleet.clone(),
        commit: plan.commit.as_str().to_owned(),
        unchanged: wide(plan.unchanged),
        actions: actions(&plan, None),
        skipped: plan
            .skipped
            .iter()
            .map(|skipped| SkippedKind {
                kind: skipped.kind.clone(),
                count: wide(skipped.count),
                first: skipped.first.as_ref().map(ToString::to_string),
            })
            .collect(),
        notes: notes(&plan),
        at: outside.now(),
    };
    outside.record_plan(&new).await?;
    Ok(Recorded(plan))
}

/// Records what became of a plan, and says what was refused. Whether it is known now: otherwise the next pass drops it.
pub(super) async fn end(outside: &impl Outside, plan: Recorded, done: &Done) -> (Checked, bool) {
    let Recorded(plan) = plan;
    for outcome in &done.objects {
        // Said once for as long as it says the same; the board shows it all the time.
        if let Err(reason) = &outcome.result
            && !outcome.again
        {
            warn!(object = %outcome.key, %reason, "the cluster refused");
        }
    }
    for outcome in &done.parts {
        let (part, name) = (outcome.part.word(), &outcome.name);
        match &outcome.result {
            Ok(effect) => info!("{part} {name}: {}", effect.word()),
            Err(reason) => warn!(part, name, %reason, "refused"),
        }
    }
    let known = match outside
        .end_plan(plan.generation, &actions(&plan, Some(done)))
        .await
    {
        Ok(()) => true,
        Err(cause) => {
            error!(error = %herder_base::chain(&cause), "the ledger could not record what became of a plan");
            false
        }
    };
    if let Some(entry) = summary(outside, &plan, done)
        && let Err(cause) = outside.audit(&entry).await
    {
        error!(error = %herder_base::chain(&cause), "the ledger could not audit a plan");
    }
    (plan, known)
}

fn summary(outside: &impl Outside, plan: &Plan, done: &Done) -> Option<AuditEntry> {
    let did =
        |result: &Result<Effect, String>| result.as_ref().is_ok_and(|effect| *effect != Effect::Unchanged);
    let objects = |what: What| {
        let done = done.objects.iter();
        done.filter(|outcome| outcome.what == what && did(&outcome.result))
            .count()
    };
    let (written, deleted) = (objects(What::Apply), objects(What::Delete));
    let parts = done.parts.iter().filter(|outcome| did(&outcome.result)).count();
    if written + deleted + parts == 0 {
        return None;
    }
    let mut detail = format!(
        "generation {}, commit {}, wrote {written}, deleted {deleted}",
        plan.generation,
        plan.commit.short()
    );
    if parts > 0 {
        detail.push_str(&format!(", changed {parts} policies and roles"));
    }
    Some(AuditEntry {
        at: outside.now(),
        actor: Actor::herder(),
        action: "plan.applied".to_owned(),
        subject: plan.units().join(" "),
        detail,
    })
}

/// The actions as they are kept, without values, with their outcomes once those are known.
fn actions(plan: &Plan, done: Option<&Done>) -> Vec<PlannedAction> {
    let end = |action: &mut PlannedAction, result: Option<&Result<Effect, String>>| match result {
        Some(Ok(effect)) => action.outcome = Some(effect.word().to_owned()),
        Some(Err(why)) => action.refused = Some(why.clone()),
        None => {}
    };
    let mut outcomes = done
        .map(|done| done.objects.as_slice())
        .unwrap_or_default()
        .iter();
    let mut kept: Vec<PlannedAction> = Vec::with_capacity(plan.actions.len() + plan.parts.len());
    for action in &plan.actions {
        let mut planned = PlannedAction {
            part: "object".to_owned(),
            what: action.what.word().to_owned(),
            api_version: action.key.gvk.api_version(),
            kind: action.key.gvk.kind.clone(),
            namespace: action.key.namespace.clone(),
            name: action.key.name.clone(),
            unit: action.unit.clone(),
            application: action.application.clone(),
            reason: action.reason.clone(),
            source: action.source.as_ref().map(ToString::to_string),
            ..PlannedAction::default()
        };
        if action.what != What::Hold {
            // Mostly the next one: they are applied in the plan's order.
            let next = outcomes
                .clone()
                .next()
                .filter(|outcome| outcome.key == action.key);
            if next.is_some() {
                outcomes.next();
            }
            let found = next.or_else(|| {
                let mut all = done.into_iter().flat_map(|done| &done.objects);
                all.find(|outcome| outcome.key == action.key)
            });
            end(&mut planned, found.map(|outcome| &outcome.result));
        }
        kept.push(planned);
    }
    for action in &plan.parts {
        let mut planned = PlannedAction {
            part: action.part.word().to_owned(),
            what: action.what.word().to_owned(),
            kind: action.part.word().to_owned(),
            name: action.name.clone(),
            reason: action.reason.clone(),
            source: action.source.as_ref().map(ToString::to_string),
            ..PlannedAction::default()
        };
        let mut all = done.into_iter().flat_map(|done| &done.parts);
        let found = all.find(|outcome| {
            (outcome.part, &outcome.name, outcome.what) == (action.part, &action.name, action.what)
        });
        end(&mut planned, found.map(|outcome| &outcome.result));
        kept.push(planned);
    }
    kept
}

fn notes(plan: &Plan) -> Vec<String> {
    plan.notes.iter().map(ToString::to_string).collect()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
