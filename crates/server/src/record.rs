//! Writes down what the flow read, decided and did: the ledger, the log, the last plan.
//!
//! A ledger that fails must not stop what keeps services running: failures are logged and the flow goes on.

use crate::reading::Reading;
use crate::state::Shared;
use herder_base::Severity;
use herder_fleet::Fleet;
use herder_ledger::{Actor, AuditEntry};
use herder_plan::{Effect, Ended, Known, Observed, Outcome, Plan, State, What};
use herder_vault::{Change, Introduced, KubernetesRole, Policy, Scope, Wanted};
use serde_json::Value;
use std::collections::BTreeMap;
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

    /// Records what the readers found, and says it once in the log.
    pub(crate) async fn record_reading(&self, reading: &Reading) {
        let last = self.reading();
        let before = last.as_ref().map(|last| last.diagnostics.as_slice());
        if before == Some(reading.diagnostics.as_slice()) {
            return;
        }
        // What the reading before said has been said.
        let before = before.unwrap_or_default();
        for diagnostic in reading.diagnostics.iter().filter(|found| !before.contains(found)) {
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
    pub(crate) async fn plan_state(&self, fleet: &Fleet, observed: &Observed) -> State {
        let leases = Known::of(self.ledger.leases().await).map(|leases| {
            let ends = leases.into_iter().map(|lease| (lease.environment, lease.until));
            ends.collect::<BTreeMap<_, _>>()
        });
        let last = self.last_plan.load();
        State {
            leases,
            ended: self.ended(fleet, observed).await,
            everything_down: self.everything_down.load(Ordering::SeqCst),
            allow_mass_delete: self.everything_down.load(Ordering::SeqCst),
            parent: last
                .get("id")
                .and_then(Value::as_str)
                .filter(|_| last.get("fleet").and_then(Value::as_str) == Some(fleet.name.as_str()))
                .map(str::to_owned),
            generation: last.get("generation").and_then(Value::as_u64).unwrap_or_default(),
        }
    }

    /// The Jobs that have ended and went by their own rule; what is new among them is written down first.
    async fn ended(&self, fleet: &Fleet, observed: &Observed) -> Known<Ended> {
        let name = format!("ended.{}", fleet.name);
        let read = match self.ledger.fact(&name).await {
            Ok(text) => text,
            Err(error) => return Known::Unknown(herder_base::chain(&error).to_string()),
        };
        // What cannot be read was written by another version: what it remembered has to be learnt anew.
        let before = read
            .and_then(|text| Ended::from_text(&text).ok())
            .unwrap_or_default();
        let now = before.seen(fleet, observed);
        if now != before
            && let Err(error) = self.ledger.put_fact(&name, &now.to_text()).await
        {
            error!(error = %herder_base::chain(&error), "the ledger could not remember which Jobs have ended");
        }
        Known::Known(now)
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
            // Said once for as long as it says the same; the board shows it all the time.
            if let Err(reason) = &outcome.result
                && !outcome.again
            {
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
