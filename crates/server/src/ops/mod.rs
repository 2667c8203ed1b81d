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

    /// Waits until a pass of the flow that began after now is over.
    async fn next_pass(&self, wake: &tokio::sync::Notify) -> Result<(), Failure> {
        let mut passes = self.passes.subscribe();
        let before = *passes.borrow_and_update();
        wake.notify_one();
        // One pass may be under way with what was true before; the one after it is the one asked for.
        let over = passes.wait_for(|count| *count >= before + 2);
        match tokio::time::timeout(std::time::Duration::from_secs(120), over).await {
            Ok(Ok(_)) => Ok(()),
            _ => {
                Err(Failure::conflict("the flow did not finish a pass in 120 s").hint("see `herder status`"))
            }
        }
    }
}
