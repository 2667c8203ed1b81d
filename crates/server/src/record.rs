//! Writes down what the flow read, decided and did: the ledger, the log, the last plan.
//!
//! A ledger that fails must not stop what keeps services running: failures are logged and the flow goes on.

use crate::reading::Reading;
use crate::state::Shared;
use herder_base::{Severity, Url};
use herder_fleet::Fleet;
use herder_ledger::{Actor, AuditEntry};
use herder_plan::{Effect, Known, Outcome, Plan, State, What};
use herder_vault::{Change, Introduced, KubernetesRole, Policy, Scope, Wanted};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::{debug, error, info, warn};

/// Takes the audit chain's seal up and says if the chain was tampered with. What runs goes on: it is what the chain
/// says that is not to be believed.
pub(crate) async fn take_up_seal(shared: &Shared) -> Result<(), herder_ledger::Error> {
    let head = shared.options.dir.join("state/audit.head");
    let began = !head.exists();
    let report = shared.ledger.take_up_seal().await?;
    if let Some(fault) = &report.fault {
        let reason = format!("the audit chain cannot be believed: {fault}");
        error!("{reason}; `herder audit verify` checks it again");
        shared.audit_fault.store(Some(Arc::new(reason)));
    }
    if began && let Some(head) = &report.head {
        let entry = AuditEntry {
            at: shared.clock.now(),
            actor: Actor::herder(),
            action: "audit.sealed".to_owned(),
            subject: format!("from entry {}", head.seq + 1),
            detail: format!("public key {}", head.key),
        };
        shared.ledger.audit(&entry).await?;
    }
    Ok(())
}

impl Shared {
    fn note<T>(&self, what: &str, result: Result<T, herder_ledger::Error>) -> Option<T> {
        result
            .inspect_err(|cause| error!(error = %herder_base::chain(cause), "the ledger could not {what}"))
            .ok()
    }

    /// While fleet.yaml cannot be read, the fleet is called as it was: under another name nothing of it would be seen.
    pub(crate) async fn with_name(&self, mut reading: Reading) -> Reading {
        const FACT: &str = "fleet.name";
        if reading.fleet.held.fleet.is_none() {
            if self
                .reading()
                .is_none_or(|last| last.fleet.name != reading.fleet.name)
            {
                self.note(
                    "keep the fleet's name",
                    self.ledger.put_fact(FACT, &reading.fleet.name).await,
                );
            }
            return reading;
        }
        let known = self
            .note("tell the fleet's name", self.ledger.fact(FACT).await)
            .flatten();
        let last = self.reading().map(|last| last.fleet.name.clone());
        if let Some(name) = last.or(known) {
            Arc::make_mut(&mut reading.fleet).name = name;
        }
        reading
    }

    /// Writes down what Herder itself did or saw.
    async fn say(&self, action: &str, subject: &str, detail: &str) {
        let entry = AuditEntry {
            at: self.clock.now(),
            actor: Actor::herder(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
        };
        self.note("audit", self.ledger.audit(&entry).await);
    }

    /// Writes down which commits of the fleet's and its environments' repositories are new, and who made them.
    pub(crate) async fn record_commits(&self, reading: &Reading) {
        let configs = reading.fleet.environments.iter();
        let mut places: BTreeSet<(&Url, &str)> = configs
            .filter_map(|environment| environment.config.as_ref())
            .map(|config| (&config.repository, config.branch.as_str()))
            .collect();
        places.insert((&self.options.fleet, &self.options.branch));
        for ((remote, reference), commit) in &reading.commits {
            if !places.contains(&(remote.url(), reference.as_str())) {
                continue;
            }
            let subject = format!("{} {reference}", remote.url());
            let fact = format!("commit/{subject}");
            let known = self
                .note("tell what was read", self.ledger.fact(&fact).await)
                .flatten();
            if known.as_deref() == Some(commit.as_str()) {
                continue;
            }
            let detail = match self.git.describe(remote, commit).await {
                Ok(info) => format!(
                    "{} by {} <{}>: {}",
                    commit.short(),
                    info.author,
                    info.email,
                    info.subject
                ),
                Err(_) => commit.short().to_owned(),
            };
            self.say("config.commit", subject.trim(), &detail).await;
            self.note(
                "keep what was read",
                self.ledger.put_fact(&fact, commit.as_str()).await,
            );
        }
    }

    /// Records what the readers found, and says it once in the log.
    pub(crate) async fn record_reading(&self, reading: &Reading) {
        let known = self
            .reading()
            .is_some_and(|last| last.diagnostics == reading.diagnostics);
        if known {
            return;
        }
        for diagnostic in &reading.diagnostics {
            match diagnostic.severity {
                Severity::Note => info!("{diagnostic}"),
                _ => warn!("{diagnostic}"),
            }
        }
        self.note(
            "record findings",
            self.ledger.replace_findings(&reading.diagnostics).await,
        );
    }

    /// What planning must know besides git and the cluster.
    pub(crate) async fn plan_state(&self, fleet: &str) -> State {
        let leases = Known::of(self.ledger.leases().await).map(|leases| {
            let ends = leases.into_iter().map(|lease| (lease.environment, lease.until));
            ends.collect::<BTreeMap<_, _>>()
        });
        let last = self.last_plan.load();
        State {
            leases,
            everything_down: self.everything_down.load(Ordering::SeqCst),
            allow_mass_delete: self.everything_down.load(Ordering::SeqCst),
            parent: last
                .get("id")
                .and_then(Value::as_str)
                .filter(|_| last.get("fleet").and_then(Value::as_str) == Some(fleet))
                .map(str::to_owned),
            generation: last.get("generation").and_then(Value::as_u64).unwrap_or_default(),
        }
    }

    /// Records a plan before it is applied.
    pub(crate) async fn record_plan(&self, plan: &Plan) {
        self.last_plan.store(Arc::new(plan.to_json()));
        for action in plan.writes() {
            debug!(what = ?action.what, object = %action.key, reason = %action.reason, "plans");
        }
    }

    /// Records what became of a plan.
    pub(crate) async fn record_outcomes(&self, plan: &Plan, outcomes: &[Outcome]) {
        for outcome in outcomes {
            if let Err(reason) = &outcome.result {
                warn!(object = %outcome.key, %reason, "the cluster refused");
            }
        }
        let done = |what: What| {
            outcomes
                .iter()
                .filter(|outcome| {
                    outcome.what == what
                        && outcome
                            .result
                            .as_ref()
                            .is_ok_and(|effect| *effect != Effect::Unchanged)
                })
                .count()
        };
        let (written, deleted) = (done(What::Apply), done(What::Delete));
        if written + deleted == 0 {
            return;
        }
        let entry = AuditEntry {
            at: self.clock.now(),
            actor: Actor::herder(),
            action: "plan.applied".to_owned(),
            subject: plan.units().join(" "),
            detail: format!(
                "generation {}, commit {}, wrote {written}, deleted {deleted}",
                plan.generation,
                plan.commit.short()
            ),
        };
        self.note("audit a plan", self.ledger.audit(&entry).await);
    }

    /// Makes Vault's policies and roles those of the fleet, each on its own. While some of them cannot be read none is
    /// removed, because a missing one would be taken for removed.
    pub(crate) async fn sync_policies(&self, fleet: &Fleet) {
        let down = self.everything_down.load(Ordering::SeqCst);
        let scope = Scope {
            owner: fleet.name.to_ascii_lowercase(),
            mount: fleet.settings.vault_mount.clone(),
        };
        let policies = fleet.policies.iter().filter(|_| !down).map(|policy| Policy {
            name: policy.name.clone(),
            text: policy.text.clone(),
        });
        let wanted = Wanted {
            policies: policies.collect(),
            roles: fleet.roles.iter().filter(|_| !down).map(role).collect(),
            keep_policies: !down && fleet.held.policies.is_some(),
            keep_roles: !down && fleet.held.roles.is_some(),
        };
        self.introduce(&scope.mount).await;
        let (last, now) = (self.policies.load_full(), self.clock.now());
        let same = last
            .as_ref()
            .filter(|last| last.scope == scope && last.wanted == wanted);
        // What was refused may be taken later (a role's policy, a mount): asked again, but not at every pass.
        if same.is_some_and(|last| last.refused.is_empty() || now.duration_since(last.at) < ASK_AGAIN) {
            return;
        }
        match herder_vault::sync_with(&self.vault, &scope, &wanted).await {
            Ok(synced) => {
                for change in &synced.changes {
                    info!("vault: {change}");
                }
                if !synced.changes.is_empty() {
                    let changes: Vec<String> = synced.changes.iter().map(ToString::to_string).collect();
                    self.say("policies.synced", &scope.owner, &changes.join("; "))
                        .await;
                }
                // Said once for as long as it stays so; the board shows it all the time.
                if same.is_none_or(|last| last.refused != synced.refused) {
                    for (change, why) in &synced.refused {
                        warn!("Vault refused to {change}: {why}");
                    }
                }
                self.policies.store(Some(Arc::new(Policies {
                    scope,
                    wanted,
                    refused: synced.refused,
                    at: now,
                })));
            }
            Err(error) => {
                error!(error = %herder_base::chain(&error), "policies and roles could not be synced to Vault; the next pass tries again");
            }
        }
    }
}

/// How soon Vault is asked again for what it refused.
const ASK_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

impl Shared {
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

/// What Vault has been made to hold, so that passes that change nothing ask nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Policies {
    scope: Scope,
    wanted: Wanted,
    /// What it would not hold, and why.
    pub(crate) refused: Vec<(Change, String)>,
    at: jiff::Timestamp,
}

fn role(role: &herder_fleet::Role) -> KubernetesRole {
    KubernetesRole {
        name: role.name.clone(),
        service_accounts: role.service_accounts.clone(),
        namespaces: role.namespaces.clone(),
        policies: role.policies.clone(),
        ttl: role.ttl,
        max_ttl: role.max_ttl,
        audience: role.audience.clone(),
    }
}
