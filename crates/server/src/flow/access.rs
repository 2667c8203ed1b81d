//! Vault's policies and roles as parts of a plan: what git wants and what Vault holds, in one shape; and writing what a
//! plan says. Owns what was seen of Vault last and what it refused; decides nothing.

use crate::state::Shared;
use herder_fleet::{Fleet, Role};
use herder_plan::{Effect, Inventory, Known, Part, PartAction, PartOutcome, Present, What, Wish};
use herder_vault::{Held, Introduced, KubernetesRole, Owned, Scope, Write};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{error, info, warn};

/// How long what was seen counts: passes that change nothing ask nothing, and what somebody else changed is seen.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// The same if nothing could be seen.
const ASK_SOON: SignedDuration = SignedDuration::from_secs(4);
/// How soon Vault is asked again for what it refused: a role's policy or a mount may come to be.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// What was seen of Vault last, and what it refused.
#[derive(Debug, Default)]
pub(crate) struct Access(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    seen: Option<Seen>,
    refused: BTreeMap<(Part, String), VaultRefusal>,
}

#[derive(Debug)]
struct Seen {
    scope: Scope,
    names: Owned,
    held: Known<Held>,
    at: Timestamp,
}

/// Something that Vault refused, and is to be so still.
#[derive(Debug, Clone)]
pub(crate) struct VaultRefusal {
    /// The text; none for a removal.
    text: Option<Arc<str>>,
    pub(crate) why: String,
    at: Timestamp,
}

/// Whether a moment is less than so long ago. What lies ahead, because the clock was set back, is not.
fn since(at: Timestamp, now: Timestamp, most: SignedDuration) -> bool {
    let ago = now.duration_since(at);
    !ago.is_negative() && ago < most
}

impl Access {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Vault would not hold: of which kind, its name, and why.
    pub(crate) fn refusals(&self) -> Vec<(Part, String, VaultRefusal)> {
        let memory = self.memory();
        let all = memory.refused.iter();
        all.map(|((part, name), refusal)| (*part, name.clone(), refusal.clone()))
            .collect()
    }

    /// What was seen of these names, if that is fresh.
    fn seen(&self, scope: &Scope, names: &Owned, now: Timestamp) -> Option<Known<Held>> {
        let memory = self.memory();
        let seen = memory.seen.as_ref()?;
        let fresh = match &seen.held {
            Known::Known(_) => FRESH,
            Known::Unknown(_) => ASK_SOON,
        };
        let same = seen.scope == *scope && seen.names == *names && since(seen.at, now, fresh);
        same.then(|| seen.held.clone())
    }
}

impl VaultRefusal {
    /// The change that was refused, for people.
    pub(crate) fn change(&self, part: Part, name: &str) -> String {
        let verb = if self.text.is_some() { "write" } else { "remove" };
        format!("{verb} {} `{name}`", part.word())
    }
}

fn scope(fleet: &Fleet) -> Scope {
    Scope {
        owner: fleet.name.to_ascii_lowercase(),
        mount: fleet.settings.vault_mount.clone(),
    }
}

fn wishes(fleet: &Fleet, scope: &Scope) -> (Vec<Wish>, Vec<Wish>) {
    let policies = fleet.policies.iter().map(|policy| Wish {
        name: policy.name.clone(),
        text: Arc::from(policy.text.trim()),
        source: policy.source.clone(),
        fault: scope.name_fault(&policy.name),
    });
    let roles = fleet.roles.iter().map(|wanted| Wish {
        name: wanted.name.clone(),
        text: Arc::from(role(wanted).text()),
        source: wanted.source.clone(),
        fault: scope.name_fault(&wanted.name),
    });
    (policies.collect(), roles.collect())
}

fn role(role: &Role) -> KubernetesRole {
    let Role {
        name,
        service_accounts,
        namespaces,
        policies,
        ttl,
        max_ttl,
        audience,
        source: _,
    } = role.clone();
    KubernetesRole {
        name,
        service_accounts,
        namespaces,
        policies,
        ttl,
        max_ttl,
        audience,
    }
}

impl Shared {
    /// Policies and roles: what git wants of them and what there is.
    pub(super) async fn access_parts(&self, fleet: &Fleet) -> BTreeMap<Part, Inventory> {
        let (scope, now) = (scope(fleet), self.clock.now());
        self.introduce(&scope.mount).await;
        let (policies, roles) = wishes(fleet, &scope);
        let names = |wishes: &[Wish]| {
            let good = wishes.iter().filter(|wish| wish.fault.is_none());
            good.map(|wish| wish.name.clone()).collect()
        };
        let names = Owned {
            policies: names(&policies),
            roles: names(&roles),
        };
        let held = match self.access.seen(&scope, &names, now) {
            Some(held) => held,
            None => {
                let held = Known::of(herder_vault::look(&self.vault, &scope, &names).await);
                self.access.memory().seen = Some(Seen {
                    scope,
                    names,
                    held: held.clone(),
                    at: now,
                });
                held
            }
        };
        let mut memory = self.access.memory();
        let mut inventory = |part: Part, wanted: Vec<Wish>, held_back: &Option<String>| {
            let present = held.clone().map(|held| {
                let (texts, owned) = match part {
                    Part::Role => (held.roles, held.owned.roles),
                    _ => (held.policies, held.owned.policies),
                };
                let all: Vec<String> = texts.keys().chain(&owned).cloned().collect();
                let present = all.into_iter().map(|name| {
                    let found = Present {
                        text: texts.get(&name).cloned(),
                        ours: owned.contains(&name),
                    };
                    (name, found)
                });
                present.collect::<BTreeMap<String, Present>>()
            });
            // What git no longer wants so, and what is gone, is no refusal any more.
            memory.refused.retain(|(of, name), refusal| {
                let wish = wanted.iter().find(|wish| wish.name == *name);
                let gone = matches!(&present, Known::Known(present) if !present.contains_key(name));
                *of != part
                    || (wish.map(|wish| &wish.text) == refusal.text.as_ref()
                        && !(gone && refusal.text.is_none()))
            });
            let refused = memory
                .refused
                .iter()
                .filter(|((of, _), refusal)| *of == part && since(refusal.at, now, ASK_AGAIN))
                .map(|((_, name), refusal)| (name.clone(), (refusal.text.clone(), refusal.why.clone())));
            Inventory {
                wanted,
                held: held_back.clone(),
                present,
                refused: refused.collect(),
            }
        };
        BTreeMap::from([
            (
                Part::Policy,
                inventory(Part::Policy, policies, &fleet.held.policies),
            ),
            (Part::Role, inventory(Part::Role, roles, &fleet.held.roles)),
        ])
    }

    /// Writes what a plan says, one by one: what Vault refuses keeps nothing else from being written.
    pub(super) async fn apply_access(&self, fleet: &Fleet, actions: &[PartAction]) -> Vec<PartOutcome> {
        if actions.is_empty() {
            return Vec::new();
        }
        let (scope, now) = (scope(fleet), self.clock.now());
        let outcome = |action: &PartAction, result: Result<Effect, String>| PartOutcome {
            part: action.part,
            name: action.name.clone(),
            what: action.what,
            result,
        };
        let all_failed = |error: &herder_vault::Error| {
            let why = herder_base::chain(error).to_string();
            let outcomes = actions.iter().map(|action| outcome(action, Err(why.clone())));
            outcomes.collect::<Vec<_>>()
        };
        // Whatever is seen next is seen anew, also if this is cut off.
        let seen = self.access.memory().seen.take();
        let owned = match seen.map(|seen| seen.held) {
            Some(Known::Known(held)) => Ok(held.owned),
            _ => herder_vault::look(&self.vault, &scope, &Owned::default())
                .await
                .map(|held| held.owned),
        };
        let mut owned = match owned {
            Ok(owned) => owned,
            Err(error) => return all_failed(&error),
        };
        let before = owned.clone();
        for action in actions.iter().filter(|action| action.what == What::Apply) {
            names_of(&mut owned, action.part).insert(action.name.clone());
        }
        if owned != before
            && let Err(error) = herder_vault::note(&self.vault, &scope, &owned).await
        {
            return all_failed(&error);
        }
        let noted = owned.clone();
        let mut outcomes = Vec::with_capacity(actions.len());
        for action in actions {
            let result = herder_vault::write(&self.vault, &scope, change(action)).await;
            let key = (action.part, action.name.clone());
            let result = match result {
                Ok(()) => {
                    self.access.memory().refused.remove(&key);
                    if action.what == What::Delete {
                        names_of(&mut owned, action.part).remove(&action.name);
                    }
                    Ok(match (action.what, action.ours) {
                        (What::Delete, _) => Effect::Deleted,
                        (_, true) => Effect::Changed,
                        (_, false) => Effect::Created,
                    })
                }
                Err(error) => {
                    let why = herder_base::chain(&error).to_string();
                    if error.is_refusal() {
                        let refusal = VaultRefusal {
                            text: action.text.clone(),
                            why: why.clone(),
                            at: now,
                        };
                        self.access.memory().refused.insert(key, refusal);
                    }
                    Err(why)
                }
            };
            outcomes.push(outcome(action, result));
        }
        if owned != noted
            && let Err(error) = herder_vault::note(&self.vault, &scope, &owned).await
        {
            // What is noted and gone is removed from the note by the next plan.
            warn!(error = %herder_base::chain(&error), "the note of what is the fleet's in Vault is longer than it need be");
        }
        outcomes
    }

    /// Tells a Vault that is not the platform's own about the cluster, once for each log in that the fleet names.
    async fn introduce(&self, mount: &str) {
        let Some(login) = &self.cluster_login else { return };
        if self
            .introduced
            .load()
            .as_deref()
            .is_some_and(|done| done == mount)
        {
            return;
        }
        match herder_vault::introduce(&self.vault, mount, login).await {
            Ok(Introduced::Foreign) => warn!(
                "auth/{mount} of Vault was set up by somebody else and stays as it is: if it serves another cluster, \
                 name another with vault.mount in fleet.yaml"
            ),
            Ok(Introduced::Made) => info!("vault: made auth/{mount} for this cluster"),
            Ok(Introduced::Renewed) => {}
            Err(error) => {
                error!(error = %herder_base::chain(&error), "Vault could not be told about the cluster at auth/{mount}; the next pass tries again");
                return;
            }
        }
        self.introduced.store(Some(Arc::new(mount.to_owned())));
    }
}

fn names_of(owned: &mut Owned, part: Part) -> &mut std::collections::BTreeSet<String> {
    match part {
        Part::Role => &mut owned.roles,
        _ => &mut owned.policies,
    }
}

fn change(action: &PartAction) -> Write<'_> {
    let name = &action.name;
    match (action.part, action.text.as_deref()) {
        (Part::Role, Some(text)) => Write::Role(name, text),
        (Part::Role, None) => Write::RemoveRole(name),
        (_, Some(text)) => Write::Policy(name, text),
        (_, None) => Write::RemovePolicy(name),
    }
}
