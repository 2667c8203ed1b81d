//! What must hold of every plan, whatever made it. Called before a plan is recorded and applied.

use crate::observed::identity;
use crate::prune::{PROTECTED, is_namespace};
use crate::{Plan, What};
use herder_base::Diagnostic;
use herder_fleet::{FLEET_LABEL, STATE_LABEL};
use herder_object::Key;
use std::collections::{BTreeMap, BTreeSet};

/// The rules a plan breaks; an empty answer means that it may be applied.
#[must_use]
pub fn check(plan: &Plan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut say = |code, message: String| found.push(Diagnostic::error(code, message));
    let mut seen: BTreeMap<Key, What> = BTreeMap::new();
    let mut last = None;
    let deleted: BTreeSet<&str> = plan
        .actions
        .iter()
        .filter(|action| action.what == What::Delete && is_namespace(&action.key))
        .map(|action| action.key.name.as_str())
        .collect();
    for action in &plan.actions {
        let key = &action.key;
        if last.is_some_and(|last| action.phase < last) {
            say("plan-order", format!("{key} comes after a later phase"));
        }
        last = Some(action.phase);
        if let Some(other) = seen.insert(identity(key), action.what) {
            say(
                "plan-twice",
                format!(
                    "{key} is in the plan twice, as {other:?} and as {:?}",
                    action.what
                ),
            );
        }
        if action.reason.is_empty() {
            say("plan-reason", format!("{:?} {key} has no reason", action.what));
        }
        let value = action.value.as_deref();
        if let Some(value) = value
            && Key::of(value).as_ref().map(identity) != Some(identity(key))
        {
            say("plan-value", format!("the value of {key} is another object"));
        }
        match action.what {
            What::Apply => {
                let labelled = value
                    .is_some_and(|value| herder_object::labels(value).any(|(name, _)| name == FLEET_LABEL));
                if !labelled {
                    say("plan-value", format!("{key} would be applied without its labels"));
                }
                if deleted.contains(key.namespace.as_str()) {
                    say(
                        "plan-namespace",
                        format!("{key} would be applied to a namespace that is deleted"),
                    );
                }
            }
            What::Delete => {
                let ours = value
                    .is_some_and(|value| herder_object::labels(value).any(|(name, _)| name == FLEET_LABEL));
                if !ours {
                    say(
                        "plan-foreign",
                        format!("{key} would be deleted although no fleet made it"),
                    );
                }
                let state = value.is_some_and(|value| {
                    herder_object::labels(value)
                        .chain(herder_object::annotations(value))
                        .any(|(name, text)| name == STATE_LABEL && text == "true")
                });
                if state {
                    say(
                        "plan-state",
                        format!("{key} would be deleted although it is state"),
                    );
                }
                if is_namespace(key) && PROTECTED.contains(&key.name.as_str()) {
                    say("plan-protected", format!("{key} would be deleted"));
                }
            }
            What::Hold => {}
        }
    }
    found
}
