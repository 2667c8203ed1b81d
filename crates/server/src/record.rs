//! Writes down what the flow read, and takes the audit chain's seal up. What it decided and did is `flow/record.rs`'s.

use crate::reading::Reading;
use crate::state::Shared;
use herder_base::{Severity, Url};
use herder_fleet::Fleet;
use herder_ledger::{Actor, AuditEntry};
use herder_plan::{Ended, Known, Observed};
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::{error, info, warn};

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
        // Findings are shown from the reading itself: a ledger that does not keep them stops nothing.
        if let Err(cause) = self.ledger.replace_findings(&reading.diagnostics).await {
            error!(error = %herder_base::chain(&cause), "the ledger could not record findings");
        }
    }

    /// The Jobs that have ended and went by their own rule; what is new among them is written down first.
    pub(crate) async fn ended(&self, fleet: &Fleet, observed: &Observed) -> Known<Ended> {
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
}
