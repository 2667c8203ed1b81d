//! Writes down what the flow read, and takes the audit chain's seal up. What it decided and did is `flow/record.rs`'s.

use crate::reading::Reading;
use crate::state::Shared;
use herder_base::Severity;
use herder_ledger::{Actor, AuditEntry};
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
        // Findings are shown from the reading itself: a ledger that does not keep them stops nothing.
        if let Err(cause) = self.ledger.replace_findings(&reading.diagnostics).await {
            error!(error = %herder_base::chain(&cause), "the ledger could not record findings");
        }
    }
}
