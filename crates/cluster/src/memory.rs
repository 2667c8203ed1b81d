//! What applying has taught, for the next plan. Kept for as long as the process lives: whoever starts anew tries once.

use crate::Cluster;
use herder_object::Key;
use herder_plan::{Action, Checked, Difference, Effect, Lessons, Outcome, What};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lessons, shared by clones of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    lessons: Mutex<Lessons>,
}

impl Memory {
    fn lessons(&self) -> MutexGuard<'_, Lessons> {
        // Whatever is in there was put there whole.
        self.lessons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Lessons {
        self.lessons().clone()
    }

    /// The cluster answered a change; what it keeps otherwise is said once.
    pub(crate) fn taken(&self, key: &Key, desired: &Value, answer: &Value) {
        let kept = self.lessons().taken(key, desired, answer);
        for Difference { path, .. } in kept {
            tracing::warn!(object = %key, field = path, "the cluster keeps this field otherwise than git says; it is not written again");
        }
    }

    /// Takes in what became of a plan; says of each refusal whether it was known.
    pub(crate) fn learn(
        &self,
        plan: &Checked,
        live: &dyn Fn(&Key) -> Option<Arc<Value>>,
        outcomes: &mut [Outcome],
    ) {
        let actions: BTreeMap<&Key, &Action> = plan.writes().map(|action| (&action.key, action)).collect();
        let mut lessons = self.lessons();
        for outcome in outcomes {
            match &outcome.result {
                Err(why) => {
                    let action = actions.get(&outcome.key);
                    let desired = action
                        .filter(|_| outcome.what == What::Apply)
                        .and_then(|action| action.value.as_deref());
                    let live = live(&outcome.key);
                    outcome.again = lessons.refused(&outcome.key, desired, live.as_deref(), why, plan.at);
                }
                Ok(Effect::Deleted | Effect::Absent | Effect::Skipped) => lessons.forget(&outcome.key),
                Ok(Effect::Changed) => {
                    let action = actions.get(&outcome.key);
                    if let Some((action, desired)) =
                        action.and_then(|action| Some((action, action.value.as_deref()?)))
                    {
                        lessons.wrote(&outcome.key, desired, &action.reason, plan.at);
                    }
                }
                Ok(_) => {}
            }
        }
        let place = |key: &Key| (key.gvk.kind.clone(), key.namespace.clone(), key.name.clone());
        let acted: BTreeSet<_> = plan.actions.iter().map(|action| place(&action.key)).collect();
        lessons.retain(|key| acted.contains(&place(key)));
    }
}

impl Cluster {
    /// What the cluster refuses at present, and since when.
    #[must_use]
    pub fn lessons(&self) -> Lessons {
        self.memory.all()
    }
}
