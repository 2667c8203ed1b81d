//! Read git now; remove everything that git can bring back.

use super::limits;
use crate::api::{Failure, waits_for};
use crate::state::Shared;
use herder_jobs::Removed;
use herder_ledger::{Actor, AuditEntry};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::{info, warn};

/// The fact that everything was taken down on purpose: when, and by whom.
const DOWN: &str = "everything-down";

/// Whether everything is to be gone still, at a start: it is if that was said, and this start goes on where it ended.
pub(crate) async fn stays_down(shared: &Shared) -> Result<bool, herder_ledger::Error> {
    let Some(said) = shared.ledger.fact(DOWN).await? else {
        return Ok(false);
    };
    if shared.options.resume {
        warn!(
            "everything was taken down at {said} and stays so: `herder up` without --resume brings it back"
        );
        return Ok(true);
    }
    info!("everything was taken down at {said}; now it is to be up again");
    let entry = AuditEntry {
        at: shared.clock.now(),
        actor: Actor::herder(),
        action: "up".to_owned(),
        subject: String::new(),
        detail: format!("everything was down since {said}"),
    };
    shared.ledger.audit(&entry).await?;
    shared.ledger.drop_fact(DOWN).await?;
    Ok(false)
}

impl Shared {
    /// Reads git and makes it true; answers when that pass is over.
    pub(crate) async fn sync(&self) -> Result<Value, Failure> {
        self.pass_over(self.bell.read_again()).await?;
        Ok(json!({"pass": self.view().pass, "fleet": self.view().fleet}))
    }

    /// Removes all workloads, jobs, policies and namespaces, and waits until they are gone. State stays: Vault's data,
    /// volumes marked as state, the ledger.
    pub(crate) async fn down_everything(&self, who: &Actor) -> Result<Value, Failure> {
        let fleet = self.known().await?.fleet.name.clone();
        // What is acknowledged outlives a restart.
        let said = format!("{} by {}", self.clock.now(), who.name());
        self.ledger.put_fact(DOWN, &said).await?;
        self.audit(who, "down.everything", "", "").await?;
        self.everything_down.store(true, Ordering::SeqCst);
        self.jobs
            .reconcile(Vec::new(), Removed::Delete, true)
            .await
            .map_err(|error| Failure::upstream(&error))?;
        self.pass_over(self.bell.pass_again()).await?;
        let deadline = tokio::time::Instant::now() + limits::GONE;
        loop {
            let left = self
                .cluster
                .owned(&fleet)
                .await
                .map_err(|error| Failure::upstream(&error))?;
            if left.is_empty() {
                return Ok(
                    json!({"message": "everything is down; Vault's data, volumes marked as state and the ledger are kept. It stays so until `herder up` is said again; `herder up --resume`, which services say, leaves it down"}),
                );
            }
            let names = left.iter().take(5).map(ToString::to_string);
            let names = names.collect::<Vec<_>>().join(", ");
            waits_for(format!("{} objects to go: {names}", left.len()), limits::GONE);
            if tokio::time::Instant::now() > deadline {
                let limit = herder_base::format_duration(limits::GONE);
                return Err(Failure::conflict(format!(
                    "{} objects are still there after {limit}: {names}",
                    left.len()
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
