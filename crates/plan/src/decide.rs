//! The decision: what to apply, what to delete, what to leave alone although git says otherwise.

use crate::each::{Ground, absent, action, decide};
use crate::observed::identity;
use crate::parts::{self, Inventory, Part};
use crate::prune::prune;
use crate::turns::Turns;
use crate::{Absent, Ended, Known, Observed, Plan, Skipped, What};
use herder_base::Diagnostic;
use herder_fleet::{Fleet, Unit};
use herder_object::{Gvk, Key};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What planning must know besides git and the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Until when developer environments are up, by environment.
    pub leases: Known<BTreeMap<String, Timestamp>>,
    /// Jobs that have ended and went by their own rule.
    pub ended: Known<Ended>,
    /// Everything is to go (`herder down --everything`).
    pub everything_down: bool,
    /// Whether the guard against deleting too much is switched off for this plan.
    pub allow_mass_delete: bool,
    /// What there is besides objects, and what of it git wants. A part that is not named is not looked at.
    pub parts: BTreeMap<Part, Inventory>,
    /// The id of the plan before.
    pub parent: Option<String>,
    /// The generation of the plan before.
    pub generation: u64,
}

/// Whether a unit is to exist now.
pub(crate) enum Wanted {
    Yes,
    /// It has been told to go, or its lease has ended.
    No,
    /// That could not be read.
    Unknown(String),
}

impl State {
    /// With these leases, nothing taken down, and no plan before.
    #[must_use]
    pub fn new(leases: Known<BTreeMap<String, Timestamp>>) -> Self {
        Self {
            leases,
            ended: Known::Known(Ended::default()),
            everything_down: false,
            allow_mass_delete: false,
            parts: BTreeMap::new(),
            parent: None,
            generation: 0,
        }
    }

    pub(crate) fn ended(&self) -> Option<&Ended> {
        match &self.ended {
            Known::Known(ended) => Some(ended),
            Known::Unknown(_) => None,
        }
    }

    pub(crate) fn wants(&self, unit: &Unit, now: Timestamp) -> Wanted {
        if self.everything_down {
            return Wanted::No;
        }
        if !unit.leased {
            return Wanted::Yes;
        }
        let environment = unit.environment.as_deref().unwrap_or_default();
        match &self.leases {
            Known::Unknown(why) => {
                Wanted::Unknown(format!("whether it has a lease could not be read: {why}"))
            }
            Known::Known(leases) if leases.get(environment).is_some_and(|until| *until > now) => Wanted::Yes,
            Known::Known(_) => Wanted::No,
        }
    }
}

/// Decides what to change.
#[must_use]
pub fn plan(fleet: &Fleet, observed: &Observed, state: &State, now: Timestamp) -> Plan {
    let mut plan = Plan {
        fleet: fleet.name.clone(),
        commit: fleet.commit.clone(),
        at: now,
        generation: state.generation + 1,
        parent: state.parent.clone(),
        ..Plan::default()
    };
    if observed.kinds().next().is_none() {
        plan.notes.push(
            Diagnostic::error("not-observed", "the cluster has not said which kinds it serves")
                .hint("nothing is changed until it has; check that it can be reached"),
        );
        plan.id = id(&plan);
        return plan;
    }
    let mut wanted = BTreeSet::new();
    apply(fleet, observed, state, now, &mut plan, &mut wanted);
    prune(fleet, observed, state, now, &wanted, &mut plan);
    for (part, inventory) in &state.parts {
        let decided = parts::decide(*part, inventory, state.everything_down, &mut plan.notes);
        plan.parts.extend(decided);
    }
    plan.actions.sort_by_key(|action| action.phase);
    plan.id = id(&plan);
    plan
}

fn apply(
    fleet: &Fleet,
    observed: &Observed,
    state: &State,
    now: Timestamp,
    plan: &mut Plan,
    wanted: &mut BTreeSet<Key>,
) {
    let defined = definitions(fleet);
    let mut skipped: BTreeMap<Gvk, Skipped> = BTreeMap::new();
    for unit in &fleet.units {
        if let Some(why) = &unit.held {
            plan.notes.push(Diagnostic::note(
                "held",
                format!("{} is left as it is: {why}", named(unit)),
            ));
            continue;
        }
        for (application, why) in &unit.held_applications {
            let message = format!("{application} in {} is left as it is: {why}", named(unit));
            plan.notes.push(Diagnostic::note("held", message));
        }
        match state.wants(unit, now) {
            Wanted::Yes => {}
            Wanted::No => continue,
            Wanted::Unknown(why) => {
                let message = format!("{} is left as it is: {why}", named(unit));
                plan.notes.push(Diagnostic::warning("held", message));
                continue;
            }
        }
        if let Some(why) = &unit.incomplete {
            let message = format!("nothing of {} is deleted: {why}", named(unit));
            plan.notes.push(Diagnostic::note("held", message));
        }
        plan.absent.extend(unit.left_out.iter().map(|left| Absent {
            key: left.key.clone(),
            application: left.application.clone(),
            source: left.source.clone(),
            why: left.why.clone(),
        }));
        let turns = Turns::of(unit, observed, state);
        for object in &unit.objects {
            if !wanted.insert(identity(&object.key)) {
                let message = format!(
                    "{} is wanted by two units; {} is left out",
                    object.key, object.source
                );
                plan.notes
                    .push(Diagnostic::error("duplicate-object", message).at(object.source.clone()));
                continue;
            }
            let gvk = &object.key.gvk;
            match observed.served(gvk) {
                Some(served) if !served.namespaced && !object.key.namespace.is_empty() => {
                    let reason = format!(
                        "{} are cluster-level objects, but this one is in a namespace",
                        served.plural
                    );
                    plan.absent.push(absent(object, reason.clone()));
                    plan.actions.push(action(unit, object, What::Hold, reason));
                }
                None if !defined.contains(gvk) && observed.unanswered(&gvk.group).is_some() => {
                    let why = observed.unanswered(&gvk.group).unwrap_or_default();
                    let reason = format!("the cluster did not say what it serves of {}: {why}", gvk.group);
                    plan.actions.push(action(unit, object, What::Hold, reason));
                }
                None if !defined.contains(gvk) => {
                    let entry = skipped.entry(gvk.clone()).or_insert_with(|| Skipped {
                        kind: gvk.to_string(),
                        count: 0,
                        first: Some(object.source.clone()),
                    });
                    entry.count += 1;
                    plan.absent
                        .push(absent(object, format!("the cluster has no {gvk}")));
                }
                _ => decide(
                    &Ground {
                        observed,
                        state,
                        turns: &turns,
                        now,
                    },
                    unit,
                    object,
                    plan,
                ),
            }
        }
    }
    for (gvk, skipped) in skipped {
        let versions = observed.versions(&gvk).join(", ");
        let mut note = Diagnostic::note(
            "kind-not-served",
            format!(
                "the cluster has no {gvk}; {} of the fleet's objects are left out",
                skipped.count
            ),
        )
        .hint(if versions.is_empty() {
            "install what defines it, or remove them; nothing else waits for this".to_owned()
        } else {
            format!("it serves the versions {versions}")
        });
        note.at.clone_from(&skipped.first);
        plan.notes.push(note);
        plan.skipped.push(skipped);
    }
}

/// What people call a unit.
pub(crate) fn named(unit: &Unit) -> String {
    match &unit.environment {
        Some(environment) => format!("environment {environment}"),
        None if unit.namespace.is_empty() => unit.id.clone(),
        None => format!("namespace {}", unit.namespace),
    }
}

/// The kinds that definitions in the fleet itself will make the cluster serve.
fn definitions(fleet: &Fleet) -> BTreeSet<Gvk> {
    let mut kinds = BTreeSet::new();
    for (_, object) in fleet
        .objects()
        .filter(|(_, o)| o.key.gvk.kind == "CustomResourceDefinition")
    {
        let text = |pointer: &str| {
            object
                .value
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let versions = object.value.pointer("/spec/versions").and_then(Value::as_array);
        for version in versions.into_iter().flatten() {
            kinds.insert(Gvk {
                group: text("/spec/group"),
                version: version
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                kind: text("/spec/names/kind"),
            });
        }
    }
    kinds
}

/// A name for what the plan does: equal for equal plans.
fn id(plan: &Plan) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update(text.as_bytes());
        digest.update([0]);
    };
    add(&plan.fleet);
    add(plan.commit.as_str());
    for action in &plan.actions {
        add(action.what.word());
        add(&action.key.gvk.to_string());
        add(&action.key.namespace);
        add(&action.key.name);
        add(&action.reason);
        if let Some(value) = action.value.as_ref().filter(|_| action.what == What::Apply) {
            let hash =
                herder_object::annotations(value).find(|(name, _)| *name == herder_fleet::HASH_ANNOTATION);
            add(hash.map(|(_, hash)| hash).unwrap_or_default());
        }
    }
    for action in &plan.parts {
        add(action.what.word());
        add(action.part.word());
        add(&action.name);
        add(&action.reason);
        add(action.text.as_deref().unwrap_or_default());
    }
    let mut text = hex::encode(digest.finalize());
    text.truncate(16);
    text
}
