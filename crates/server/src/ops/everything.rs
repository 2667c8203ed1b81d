//! Read git now; remove everything that git can bring back.

use crate::api::Failure;
use crate::state::Shared;
use herder_jobs::Removed;
use herder_ledger::Actor;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

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
        self.everything_down.store(true, Ordering::SeqCst);
        self.audit(who, "down.everything", "", "").await?;
        self.jobs
            .reconcile(Vec::new(), Removed::Delete, true)
            .await
            .map_err(|error| Failure::upstream(&error))?;
        self.pass_over(self.bell.pass_again()).await?;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        loop {
            let left = self
                .cluster
                .owned(&fleet)
                .await
                .map_err(|error| Failure::upstream(&error))?;
            if left.is_empty() {
                return Ok(
                    json!({"message": "everything is down; Vault's data, volumes marked as state and the ledger are kept"}),
                );
            }
            if tokio::time::Instant::now() > deadline {
                let names = left
                    .iter()
                    .take(5)
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                return Err(Failure::conflict(format!(
                    "{} objects are still there after 120 s: {names}",
                    left.len()
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
