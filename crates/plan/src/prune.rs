//! What to delete: only what carries our labels, whose unit is readable and does not want it; never state; never much.

use crate::decide::{State, Wanted, named};
use crate::going::going;
use crate::observed::{ObservedObject, identity};
use crate::others::stays;
use crate::{Absent, Action, Observed, Phase, Plan, What};
use herder_base::{Diagnostic, Location};
use herder_fleet::{
    APPLICATION_LABEL, FLEET_LABEL, Fleet, HASH_ANNOTATION, STATE_LABEL, StateRule, UNIT_LABEL, Unit,
};
use herder_object::{Gvk, Key};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Fewer deletions than this are never too many.
const FEW: usize = 10;

/// Namespaces that no plan deletes.
pub(crate) const PROTECTED: [&str; 5] = [
    "default",
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "herder-system",
];

/// A deletion that is considered.
struct Candidate<'a> {
    live: &'a ObservedObject,
    unit: String,
    application: Option<String>,
    reason: String,
    /// The end of a lease or of everything: told, so that the guard does not count it.
    told: bool,
    rules: &'a [StateRule],
}

/// Adds the deletions to a plan.
pub(crate) fn prune(
    fleet: &Fleet,
    observed: &Observed,
    state: &State,
    now: Timestamp,
    wanted: &BTreeSet<Key>,
    plan: &mut Plan,
) {
    let mut ours = 0usize;
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    let mut candidates = Vec::new();
    for live in observed.objects().filter(|live| is_ours(fleet, live)) {
        ours += 1;
        if wanted.contains(&identity(&live.key)) {
            continue;
        }
        if let Some(going) = going(live, now) {
            if going.stuck {
                plan.absent.push(Absent {
                    key: live.key.clone(),
                    application: label(live, APPLICATION_LABEL).map(str::to_owned),
                    source: Location::default(),
                    why: format!("it does not go: {}", going.why),
                });
                plan.notes.push(
                    Diagnostic::warning("stuck", format!("{} does not go: {}", live.key, going.why)).hint(
                        "let what owns the finalizer do its work, or take the finalizer away if that is gone for good",
                    ),
                );
            }
            continue;
        }
        let id = label(live, UNIT_LABEL).unwrap_or_default().to_owned();
        let application = label(live, APPLICATION_LABEL).map(str::to_owned);
        match fleet.unit(&id) {
            Some(unit) => candidates.extend(known(live, unit, application, state, now)),
            None if state.everything_down => candidates.push(Candidate {
                live,
                unit: id,
                application,
                reason: "everything is to go".to_owned(),
                told: true,
                rules: &[],
            }),
            None if fleet.held.units.is_some() => *unknown.entry(id).or_default() += 1,
            None => candidates.push(Candidate {
                live,
                reason: format!("git no longer has {id}"),
                unit: id,
                application,
                told: false,
                rules: &[],
            }),
        }
    }
    if let (Some(why), false) = (&fleet.held.units, unknown.is_empty()) {
        let count: usize = unknown.values().sum();
        let names: Vec<&str> = unknown.keys().take(3).map(String::as_str).collect();
        let more = if unknown.len() > names.len() { ", …" } else { "" };
        let message = format!(
            "{count} objects of {}{more} are left as they are: {why}",
            names.join(", ")
        );
        plan.notes.push(Diagnostic::warning("held", message));
    }
    let gone: BTreeSet<String> = candidates
        .iter()
        .filter(|candidate| is_namespace(&candidate.live.key))
        .map(|candidate| candidate.live.key.name.clone())
        .collect();
    let kept = keep(observed, &gone, &candidates);
    let named = fleet.units.iter().flat_map(|unit| &unit.named);
    let grounds = Grounds {
        gone,
        kept,
        named: named.map(|(key, at)| (identity(key), at)).collect(),
    };
    decide(fleet, state, observed, ours, candidates, &grounds, plan);
}

fn known<'a>(
    live: &'a ObservedObject,
    unit: &'a Unit,
    application: Option<String>,
    state: &State,
    now: Timestamp,
) -> Option<Candidate<'a>> {
    let wanted = state.wants(unit, now);
    let (reason, told) = if state.everything_down {
        ("everything is to go".to_owned(), true)
    } else if matches!(wanted, Wanted::No) {
        // The lease is what ends it, whether or not its config can be read at the moment.
        (format!("{} has no lease any more", named(unit)), true)
    } else if matches!(wanted, Wanted::Unknown(_)) {
        // Said once, where its objects would have been applied.
        return None;
    } else if unit.held.is_some()
        || unit.incomplete.is_some()
        || application
            .as_ref()
            .is_some_and(|application| unit.held_applications.contains_key(application))
    {
        return None;
    } else {
        (format!("git no longer has it in {}", named(unit)), false)
    };
    Some(Candidate {
        live,
        unit: unit.id.clone(),
        application,
        reason,
        told,
        rules: &unit.state_rules,
    })
}

/// The namespaces among `gone` that hold state which would be lost with them, with the object that holds it.
fn keep(observed: &Observed, gone: &BTreeSet<String>, candidates: &[Candidate<'_>]) -> BTreeMap<String, Key> {
    let mut namespaces: BTreeMap<&str, &Candidate<'_>> = BTreeMap::new();
    for candidate in candidates
        .iter()
        .filter(|candidate| is_namespace(&candidate.live.key))
    {
        namespaces.insert(&candidate.live.key.name, candidate);
    }
    let mut kept = BTreeMap::new();
    for live in observed
        .objects()
        .filter(|live| gone.contains(&live.key.namespace))
    {
        let Some(namespace) = namespaces.get(live.key.namespace.as_str()) else {
            continue;
        };
        // Told to go, a namespace takes claims along whose data stays; vanished from git, it takes no state at all.
        let kept_by_others = !namespace.told && stays(&live.value).is_some();
        if kept_by_others || is_state(live, namespace.rules) && !(namespace.told && survives(observed, live))
        {
            kept.entry(live.key.namespace.clone())
                .or_insert_with(|| live.key.clone());
        }
    }
    kept
}

/// Whether a claim's data outlives the claim: unbound, or on a volume that is retained.
fn survives(observed: &Observed, live: &ObservedObject) -> bool {
    if live.key.gvk.kind != "PersistentVolumeClaim" {
        return false;
    }
    let volume = live
        .value
        .pointer("/spec/volumeName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if volume.is_empty() {
        return true;
    }
    let volume = Key {
        gvk: Gvk::new("v1", "PersistentVolume"),
        namespace: String::new(),
        name: volume.to_owned(),
    };
    observed.get(&volume).is_some_and(|volume| {
        let policy = volume.value.pointer("/spec/persistentVolumeReclaimPolicy");
        policy.and_then(Value::as_str) == Some("Retain") || marked(volume)
    })
}

/// What speaks for and against deletions.
struct Grounds<'a> {
    /// The namespaces that are to go.
    gone: BTreeSet<String>,
    /// Those among them that must not, with what is kept in them.
    kept: BTreeMap<String, Key>,
    /// What git names anywhere, whether or not it could be used, and where.
    named: BTreeMap<Key, &'a Location>,
}

fn decide(
    fleet: &Fleet,
    state: &State,
    observed: &Observed,
    ours: usize,
    candidates: Vec<Candidate<'_>>,
    grounds: &Grounds<'_>,
    plan: &mut Plan,
) {
    let Grounds { gone, kept, named } = grounds;
    let silent = observed.silent_group();
    let crowded = crowded(fleet, state, observed, ours, &candidates, plan);
    for candidate in candidates {
        let key = &candidate.live.key;
        let mut what = What::Delete;
        let mut reason = candidate.reason;
        // What lies in a namespace that goes as a whole goes with it.
        let with_namespace =
            gone.contains(&key.namespace) && !kept.contains_key(&key.namespace) && silent.is_none();
        let crowd = fleet.unit(&candidate.unit).map(|unit| unit.id.as_str());
        if !candidate.told && crowded.contains(&crowd) {
            what = What::Hold;
            reason = format!("{reason}, but that would delete too much at once");
        } else if is_namespace(key) && PROTECTED.contains(&key.name.as_str()) {
            what = What::Hold;
            reason = format!("{reason}, but this namespace is never deleted");
        } else if let Some((group, why)) = silent.filter(|_| is_namespace(key)) {
            // What cannot be seen may be state, and would go with its namespace.
            what = What::Hold;
            reason = format!("{reason}, but the cluster did not say what it holds of {group}: {why}");
        } else if let Some(state) = kept.get(&key.name).filter(|_| is_namespace(key)) {
            what = What::Hold;
            reason = format!("{reason}, but it holds {state}, which is state");
        } else if with_namespace {
            continue;
        } else if is_state(candidate.live, candidate.rules) {
            what = What::Hold;
            reason = format!("{reason}, but it is state and never deleted");
        } else if let Some(words) = stays(&candidate.live.value).filter(|_| !candidate.told) {
            what = What::Hold;
            reason = format!("{reason}, but {words} asks to keep it");
        } else if let Some(at) = named.get(&identity(key)).filter(|_| !candidate.told) {
            what = What::Hold;
            reason = format!("{reason}, but {at} names it and could not be used");
        } else if let Some(user) = observed.user_of(key).filter(|_| !candidate.told) {
            // A pod of the version before that starts again must find what it mounts.
            what = What::Hold;
            reason = format!("{reason}, but {user} still needs it; it goes when that is gone");
        } else if let Some(refusal) = observed
            .lessons()
            .refusal(key, None, Some(candidate.live))
            .filter(|refusal| plan.at < refusal.again)
        {
            what = What::Hold;
            reason = format!("{reason}, but the cluster refuses to delete it: {}", refusal.why);
        }
        plan.actions.push(Action {
            what,
            key: key.clone(),
            value: Some(candidate.live.value.clone()),
            unit: candidate.unit,
            application: candidate.application,
            phase: Phase::of_delete(&key.gvk),
            reason,
            source: None,
        });
    }
}

/// Of whom git suddenly has so much less that it looks like a mistake: units that shrink, each judged by its own objects
/// so that one team's commit holds up no other, and (`None`) all units that vanished together.
fn crowded<'a>(
    fleet: &'a Fleet,
    state: &State,
    observed: &Observed,
    ours: usize,
    candidates: &[Candidate<'_>],
    plan: &mut Plan,
) -> BTreeSet<Option<&'a str>> {
    let mut going: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for candidate in candidates.iter().filter(|candidate| !candidate.told) {
        let unit = fleet.unit(&candidate.unit).map(|unit| unit.id.as_str());
        *going.entry(unit).or_default() += 1;
    }
    let percent = usize::from(fleet.settings.prune_limit_percent);
    let mut crowded = BTreeSet::new();
    for (unit, count) in going {
        let of = match unit {
            None => ours,
            Some(unit) => observed
                .objects()
                .filter(|live| is_ours(fleet, live) && label(live, UNIT_LABEL) == Some(unit))
                .count(),
        };
        if state.allow_mass_delete || count <= FEW.max(of * percent / 100) {
            continue;
        }
        let whose = unit
            .and_then(|unit| fleet.unit(unit))
            .map_or_else(String::new, |unit| format!(" in {}", named(unit)));
        plan.notes.push(
            Diagnostic::error(
                "mass-delete",
                format!(
                    "git no longer has {count} of the {of} objects it had{whose}; none of them is deleted"
                ),
            )
            .hint("if that is meant, raise `pruneLimit` in fleet.yaml for as long as it takes"),
        );
        crowded.insert(unit);
    }
    crowded
}

fn label<'a>(live: &'a ObservedObject, name: &str) -> Option<&'a str> {
    herder_object::labels(&live.value)
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Whether this fleet made an object. Controllers copy labels (Endpoints) or annotations (ReplicaSets) to what they
/// make, but not both, and what they make mostly has an owner.
fn is_ours(fleet: &Fleet, live: &ObservedObject) -> bool {
    let owned = live
        .value
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    label(live, FLEET_LABEL) == Some(fleet.label().as_str())
        && herder_object::annotations(&live.value).any(|(name, _)| name == HASH_ANNOTATION)
        && owned.is_none_or(Vec::is_empty)
}

pub(crate) fn is_namespace(key: &Key) -> bool {
    key.gvk.group.is_empty() && key.gvk.kind == "Namespace"
}

pub(crate) fn is_state(live: &ObservedObject, rules: &[StateRule]) -> bool {
    marked(live) || rules.iter().any(|rule| rule.covers(&live.key))
}

fn marked(live: &ObservedObject) -> bool {
    label(live, STATE_LABEL) == Some("true")
        || herder_object::annotations(&live.value).any(|(name, value)| name == STATE_LABEL && value == "true")
}
