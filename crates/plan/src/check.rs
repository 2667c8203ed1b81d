//! What must hold of every plan, whatever made it. Owns the only way to a plan that can be applied.

use crate::observed::identity;
use crate::prune::{PROTECTED, is_namespace};
use crate::{Plan, What, parts};
use herder_base::Diagnostic;
use herder_fleet::{FLEET_LABEL, STATE_LABEL};
use herder_object::Key;
use std::collections::{BTreeMap, BTreeSet};

/// A plan that breaks no rule: the only kind that can be applied. Made by [`check`] alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked(Plan);

impl std::ops::Deref for Checked {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.0
    }
}

/// A plan that breaks rules, none of which may ever be broken: none of it is applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The plan.
    pub plan: Plan,
    /// The rules it breaks, at least one.
    pub faults: Vec<Diagnostic>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "plan {} breaks {} rules and is not applied",
            self.plan.id,
            self.faults.len()
        )
    }
}

impl std::error::Error for Refused {}

/// Holds a plan to the rules.
///
/// # Errors
/// The plan with the rules it breaks.
pub fn check(plan: Plan) -> Result<Checked, Box<Refused>> {
    let faults = faults(&plan);
    if faults.is_empty() {
        Ok(Checked(plan))
    } else {
        Err(Box::new(Refused { plan, faults }))
    }
}

fn faults(plan: &Plan) -> Vec<Diagnostic> {
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
    parts::faults(&plan.parts, &mut say);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Phase};
    use herder_object::Gvk;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn action(what: What, kind: &str, namespace: &str, name: &str, more: Value) -> Action {
        let mut value = json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "labels": {FLEET_LABEL: "f"}}});
        if !namespace.is_empty() {
            value["metadata"]["namespace"] = json!(namespace);
        }
        if let (Some(labels), Some(more)) = (value["metadata"]["labels"].as_object_mut(), more.as_object()) {
            labels.extend(more.clone());
            labels.retain(|_, text| !text.is_null());
        }
        let gvk = Gvk::new("v1", kind);
        Action {
            what,
            phase: if what == What::Delete {
                Phase::of_delete(&gvk)
            } else {
                Phase::of_apply(&gvk)
            },
            key: Key {
                gvk,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            value: Some(Arc::new(value)),
            unit: "u".to_owned(),
            application: None,
            reason: "because".to_owned(),
            source: None,
        }
    }

    fn refused(actions: Vec<Action>) -> Vec<&'static str> {
        let plan = Plan {
            actions,
            ..Plan::default()
        };
        check(plan).map_or_else(
            |refused| refused.faults.iter().map(|fault| fault.code).collect(),
            |_| Vec::new(),
        )
    }

    #[test]
    fn every_rule_refuses_a_plan() {
        let none = || json!({});
        let apply = |namespace, name| action(What::Apply, "ConfigMap", namespace, name, none());
        let delete = |kind, namespace, name, more| action(What::Delete, kind, namespace, name, more);
        assert_eq!(
            refused(vec![apply("a", "x"), delete("ConfigMap", "a", "y", none())]),
            [""; 0]
        );
        let with = |mut action: Action, change: &dyn Fn(&mut Action)| {
            change(&mut action);
            vec![action]
        };
        for (rule, actions) in [
            (
                "plan-order",
                vec![delete("ConfigMap", "a", "y", none()), apply("a", "x")],
            ),
            ("plan-twice", vec![apply("a", "x"), apply("a", "x")]),
            (
                "plan-reason",
                with(apply("a", "x"), &|action| action.reason.clear()),
            ),
            (
                "plan-value",
                with(apply("a", "x"), &|action| action.key.name = "other".to_owned()),
            ),
            (
                "plan-value",
                vec![action(
                    What::Apply,
                    "ConfigMap",
                    "a",
                    "x",
                    json!({FLEET_LABEL: null}),
                )],
            ),
            ("plan-value", with(apply("a", "x"), &|action| action.value = None)),
            (
                "plan-namespace",
                vec![apply("a", "x"), delete("Namespace", "", "a", none())],
            ),
            (
                "plan-foreign",
                vec![delete("ConfigMap", "a", "y", json!({FLEET_LABEL: null}))],
            ),
            (
                "plan-state",
                vec![delete("ConfigMap", "a", "y", json!({STATE_LABEL: "true"}))],
            ),
            (
                "plan-protected",
                vec![delete("Namespace", "", "kube-system", none())],
            ),
        ] {
            assert_eq!(refused(actions), [rule]);
        }
    }
}
