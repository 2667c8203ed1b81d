//! What people and jobs ask the platform to do. The API, the board and the command line end here.
//!
//! Each operation changes one thing in its only place (a commit, a lease, a flag), audits it and wakes the flow; none
//! of them touches the cluster itself.

mod environments;
mod everything;
mod limits;
mod logs;
pub(crate) mod names;
mod past;
mod promote;
mod remotes;
mod rollback;
mod suspend;
mod why;

pub(crate) use everything::stays_down;
pub(crate) use logs::LogsRequest;
pub(crate) use past::Past;
pub(crate) use promote::PromoteRequest;
pub(crate) use rollback::RollbackRequest;
pub(crate) use suspend::{SuspendRequest, Suspension};

use crate::api::{Failure, waits_for};
use crate::reading::Reading;
use crate::state::Shared;
use herder_ledger::{Actor, AuditEntry};
use std::sync::Arc;

impl Shared {
    /// Records who did what to what.
    pub(crate) async fn audit(
        &self,
        who: &Actor,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<(), Failure> {
        let entry = AuditEntry {
            at: self.clock.now(),
            actor: who.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
        };
        self.ledger.audit(&entry).await?;
        Ok(())
    }

    /// What git says; just after a start, once it has been read.
    pub(crate) async fn known(&self) -> Result<Arc<Reading>, Failure> {
        if self.reading().is_none() {
            self.pass_over(self.bell.pass_again()).await?;
        }
        self.reading().ok_or_else(|| {
            let why = self.unreadable.load_full();
            let why = why.map_or_else(|| "not yet".to_owned(), |why| (*why).clone());
            Failure::conflict(format!("git has not been read: {why}"))
        })
    }

    /// Waits until the pass of the flow that answers a request is over.
    async fn pass_over(&self, request: u64) -> Result<(), Failure> {
        waits_for("a pass of the flow", limits::PASS);
        let over = tokio::time::timeout(limits::PASS, self.bell.answered(request)).await;
        over.map_err(|_| {
            let limit = herder_base::format_duration(limits::PASS);
            Failure::conflict(format!("the flow did not finish a pass in {limit}"))
                .hint("see `herder status`")
        })
    }
}
