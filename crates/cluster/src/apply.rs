//! Applying a plan: chooses nothing, tells what became of each action.

use crate::{Cluster, Error, MANAGER};
use futures::StreamExt;
use herder_object::Gvk;
use herder_plan::{Action, Checked, Effect, Outcome, Phase, What};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Requests at a time.
const AT_ONCE: usize = 32;
/// Tries of one action when the server is busy or away.
const TRIES: u32 = 4;
/// How long a new kind may take to be served.
const PATIENCE: Duration = Duration::from_secs(10);
/// The annotation that lets an object have fields that the cluster does not know, if it is `"false"`.
const STRICT: &str = "herder.dev/strict";

impl Cluster {
    /// Carries out a plan, phase by phase, many actions of a phase at a time. Held actions have no outcome.
    pub async fn apply(&self, plan: &Checked) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(plan.actions.len());
        let mut phases: Vec<Phase> = plan.writes().map(|a| a.phase).collect();
        phases.sort_unstable();
        phases.dedup();
        for phase in phases {
            let actions: Vec<&Action> = plan.writes().filter(|a| a.phase == phase).collect();
            // Collected first: a closure over borrowed actions inside the stream would not be Send for every lifetime.
            let work: Vec<_> = actions.iter().map(|action| self.act(action)).collect();
            let done: Vec<Outcome> = futures::stream::iter(work).buffered(AT_ONCE).collect().await;
            if phase == Phase::Definitions {
                let kinds = actions.iter().filter(|a| a.what == What::Apply);
                self.await_kinds(
                    kinds
                        .filter_map(|a| a.value.as_deref())
                        .flat_map(defined)
                        .collect(),
                )
                .await;
            }
            outcomes.extend(done);
        }
        self.memory.learn(plan, &|key| self.cache.get(key), &mut outcomes);
        outcomes
    }

    async fn act(&self, action: &Action) -> Outcome {
        let mut wait = Duration::from_millis(100);
        let mut tried = 1;
        let result = loop {
            let result = match action.what {
                What::Apply => self.make(action).await,
                What::Delete => self.remove(action).await,
                What::Hold => Ok(Effect::Unchanged),
            };
            match result {
                Err(error) if error.is_transient() && tried < TRIES => {
                    tried += 1;
                    tokio::time::sleep(wait).await;
                    wait *= 3;
                }
                other => break other,
            }
        };
        let result = match result {
            // Not served any more, or refused as a whole: the plan's notes say so once per kind.
            Err(Error::Unserved { .. }) => Ok(Effect::Skipped),
            other => other.map_err(|error| herder_base::chain(&error).to_string()),
        };
        Outcome {
            key: action.key.clone(),
            what: action.what,
            unit: action.unit.clone(),
            application: action.application.clone(),
            result,
            again: false,
        }
    }

    async fn make(&self, action: &Action) -> Result<Effect, Error> {
        let value = action.value.as_deref().ok_or(Error::Nameless)?;
        let before = self.cache.version_of(&action.key);
        let (status, answer) = self.apply_object(value, MANAGER, is_strict(value)).await?;
        self.cache.written(&answer);
        self.memory.taken(&action.key, value, &answer);
        let after = answer
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str);
        Ok(if status == http::StatusCode::CREATED {
            Effect::Created
        } else if before.is_some() && before.as_deref() == after {
            Effect::Unchanged
        } else {
            Effect::Changed
        })
    }

    async fn remove(&self, action: &Action) -> Result<Effect, Error> {
        let uid = action
            .value
            .as_deref()
            .map(herder_object::uid)
            .filter(|uid| !uid.is_empty());
        let there = self.delete_exactly(&action.key, uid).await?;
        Ok(if there { Effect::Deleted } else { Effect::Absent })
    }

    /// Waits until new kinds are served, so that their objects may follow.
    async fn await_kinds(&self, kinds: BTreeSet<Gvk>) {
        let served = async {
            loop {
                if let Ok(known) = self.refresh().await
                    && kinds.iter().all(|gvk| known.get(gvk).is_some())
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        // Late kinds are told by the outcomes of their objects.
        let _late = tokio::time::timeout(PATIENCE, served).await;
    }
}

/// Whether fields that the cluster does not know are refused rather than dropped.
fn is_strict(value: &Value) -> bool {
    !herder_object::annotations(value).any(|(name, value)| name == STRICT && value == "false")
}

/// The kinds that a CustomResourceDefinition brings.
fn defined(definition: &Value) -> Vec<Gvk> {
    let text = |p: &str| {
        definition
            .pointer(p)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    versions
        .into_iter()
        .flatten()
        .filter(|v| v.get("served").and_then(Value::as_bool).unwrap_or_default())
        .filter_map(|v| {
            Some(Gvk {
                group: text("/spec/group"),
                version: v.get("name")?.as_str()?.to_owned(),
                kind: text("/spec/names/kind"),
            })
        })
        .collect()
}
