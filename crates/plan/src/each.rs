//! The decision on one object: to apply it, to delete it so that it can be made anew, or to leave it alone.

use crate::compare::difference;
use crate::decide::State;
use crate::going::going;
use crate::observed::ObservedObject;
use crate::others::{anew, untouched};
use crate::prune::is_state;
use crate::turns::Turns;
use crate::{Absent, Action, Known, Observed, Phase, Plan, What};
use herder_base::Diagnostic;
use herder_fleet::{Desired, FLEET_LABEL, RECREATE_ANNOTATION, Unit};
use herder_object::{Gvk, Key};
use jiff::Timestamp;

/// What one object is decided by.
pub(crate) struct Ground<'a> {
    pub(crate) observed: &'a Observed,
    pub(crate) state: &'a State,
    pub(crate) turns: &'a Turns<'a>,
    pub(crate) now: Timestamp,
}

pub(crate) fn decide(ground: &Ground<'_>, unit: &Unit, object: &Desired, plan: &mut Plan) {
    let (observed, now) = (ground.observed, ground.now);
    let namespace = Key {
        gvk: Gvk::new("v1", "Namespace"),
        namespace: String::new(),
        name: object.key.namespace.clone(),
    };
    let namespace = observed
        .get(&namespace)
        .filter(|_| !object.key.namespace.is_empty());
    if namespace.is_some_and(|namespace| going(namespace, now).is_some()) {
        let reason = "its namespace is still being deleted; it comes back when that is done".to_owned();
        plan.actions.push(action(unit, object, What::Hold, reason));
        return;
    }
    let live = observed.get(&object.key);
    if let Some(going) = live.and_then(|live| going(live, now)) {
        let reason = format!(
            "it is still being deleted; it comes back when that is done: {}",
            going.why
        );
        if going.stuck {
            plan.absent.push(absent(object, going.why.clone()));
            plan.notes.push(
                Diagnostic::warning("stuck", format!("{} is wanted again, but {}", object.key, going.why))
                    .at(object.source.clone())
                    .hint("let what owns the finalizer do its work, or take the finalizer away if that is gone for good"),
            );
        }
        plan.actions.push(action(unit, object, What::Hold, reason));
        return;
    }
    if live.is_some()
        && let Some(words) = untouched(&object.value)
    {
        let reason = format!("it is there, and {words} asks to leave it as it is");
        plan.actions.push(action(unit, object, What::Hold, reason));
        return;
    }
    let (what, reason) = match live {
        None => match &ground.state.ended {
            Known::Known(ended) if ended.has(observed, &object.key, &object.value) => {
                plan.unchanged += 1;
                plan.ended.push((object.key.clone(), object.application.clone()));
                return;
            }
            Known::Unknown(why) if may_end(object) => (
                What::Hold,
                format!("whether it has run already could not be read: {why}"),
            ),
            _ => (What::Apply, "it does not exist".to_owned()),
        },
        Some(live) => {
            let kept = observed.lessons().kept(&object.key, &object.value);
            match difference(&object.value, &live.value, kept) {
                None => return done(ground, unit, object, live, plan),
                Some(_) if object.hook.is_some() && is_ours(live) => (
                    What::Delete,
                    "it runs again: what it runs for has changed".to_owned(),
                ),
                Some(difference) => (What::Apply, difference),
            }
        }
    };
    if what == What::Apply
        && let Some(why) = ground.turns.before(object)
    {
        let reason = format!("it waits for its turn: {why}");
        plan.actions.push(action(unit, object, What::Hold, reason));
        return;
    }
    let (what, reason) = match observed.lessons().refusal(&object.key, Some(&object.value), live) {
        Some(refusal) if refusal.is_immutable() && wants_anew(object) => match live {
            Some(live) if may_be_anew(unit, live) => (
                What::Delete,
                format!("it is made anew, as it asks for: {}", refusal.why),
            ),
            _ => (
                What::Hold,
                format!("{}; it is not made anew, because it holds state", refusal.why),
            ),
        },
        None if what == What::Apply && live.is_some() => {
            match observed
                .lessons()
                .contest(&object.key, &object.value, &reason, now)
            {
                Some(contest) => {
                    let why = format!(
                        "something keeps changing {} of {} back: written {} times since {}",
                        contest.field, object.key, contest.writes, contest.since
                    );
                    plan.notes.push(
                    Diagnostic::warning("contested", why.clone())
                        .at(object.source.clone())
                        .hint("leave the field out of git if a controller (an autoscaler, say) is to set it"),
                );
                    (What::Hold, why)
                }
                None => (what, reason),
            }
        }
        Some(refusal) if now < refusal.again => {
            (What::Hold, format!("the cluster refused it: {}", refusal.why))
        }
        _ => (what, reason),
    };
    let mut action = action(unit, object, what, reason);
    if what == What::Delete {
        action.phase = Phase::of_delete(&object.key.gvk);
        action.value = live.map(|live| live.value.clone());
    }
    plan.actions.push(action);
}

/// An object that is as git says: a hook that has done its work goes, if it says so.
fn done(ground: &Ground<'_>, unit: &Unit, object: &Desired, live: &ObservedObject, plan: &mut Plan) {
    let gone = match (object.hook, crate::ended::finished(&live.value)) {
        (Some(hook), Some(true)) => hook.gone_after_success,
        (Some(hook), Some(false)) => hook.gone_after_failure,
        _ => false,
    };
    // Only once that is remembered: it would be made again otherwise.
    let remembered = || {
        let ended = ground.state.ended();
        ended.is_some_and(|ended| ended.has(ground.observed, &object.key, &object.value))
    };
    if gone && is_ours(live) && remembered() {
        let mut action = action(
            unit,
            object,
            What::Delete,
            "its work is done, and it says that it goes then".to_owned(),
        );
        action.phase = Phase::of_delete(&object.key.gvk);
        action.value = Some(live.value.clone());
        plan.actions.push(action);
        return;
    }
    plan.unchanged += 1;
}

fn is_ours(live: &ObservedObject) -> bool {
    herder_object::labels(&live.value).any(|(name, _)| name == FLEET_LABEL)
}

/// Whether an object is gone when it has done its work.
fn may_end(object: &Desired) -> bool {
    object.value.pointer("/spec/ttlSecondsAfterFinished").is_some()
        || object
            .hook
            .is_some_and(|hook| hook.gone_after_success || hook.gone_after_failure)
}

fn wants_anew(object: &Desired) -> bool {
    anew(&object.value)
        || herder_object::annotations(&object.value)
            .any(|(name, value)| name == RECREATE_ANNOTATION && value == "true")
}

/// Whether deleting an object loses nothing that git cannot bring back.
fn may_be_anew(unit: &Unit, live: &ObservedObject) -> bool {
    let holds = matches!(
        live.key.gvk.kind.as_str(),
        "Namespace" | "PersistentVolumeClaim" | "PersistentVolume" | "CustomResourceDefinition"
    );
    !holds && is_ours(live) && !is_state(live, &unit.state_rules)
}

pub(crate) fn action(unit: &Unit, object: &Desired, what: What, reason: String) -> Action {
    Action {
        what,
        key: object.key.clone(),
        value: Some(object.value.clone()),
        unit: unit.id.clone(),
        application: object.application.clone(),
        phase: Phase::of_apply(&object.key.gvk),
        reason,
        source: Some(object.source.clone()),
    }
}

pub(crate) fn absent(object: &Desired, why: String) -> Absent {
    Absent {
        key: object.key.clone(),
        application: object.application.clone(),
        source: object.source.clone(),
        why,
    }
}
