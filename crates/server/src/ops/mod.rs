//! What people and jobs ask the platform to do. The API, the board and the command line end here.
//!
//! Each operation changes one thing in its only place (a commit, a lease, a flag), audits it and wakes the flow; none
//! of them touches the cluster itself.

mod environments;
mod everything;
mod promote;
mod remotes;
mod why;

pub(crate) use promote::PromoteRequest;

use crate::api::Failure;
use crate::state::Shared;
use herder_ledger::AuditEntry;

impl Shared {
    /// Records who did what to what.
    async fn audit(&self, actor: &str, action: &str, subject: &str, detail: &str) -> Result<(), Failure> {
        let entry = AuditEntry {
            at: self.clock.now(),
            actor: if actor.is_empty() {
                "somebody".to_owned()
            } else {
                actor.to_owned()
            },
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
        };
        self.ledger.audit(&entry).await?;
        Ok(())
    }

    /// Waits until the pass of the flow that answers a request is over.
    async fn pass_over(&self, request: u64) -> Result<(), Failure> {
        let over =
            tokio::time::timeout(std::time::Duration::from_secs(120), self.bell.answered(request)).await;
        over.map_err(|_| {
            Failure::conflict("the flow did not finish a pass in 120 s").hint("see `herder status`")
        })
    }
}
