//! The jobs' memory is the ledger.

use futures::future::BoxFuture;
use herder_base::chain;
use herder_jobs::{
    Cause, Decision, Journal, NewRun, PortError, RunId, RunRecord, RunStatus, RunUpdate, SeenHead,
};
use herder_ledger::{Actor, AuditEntry, DecisionRecord, Head, Ledger, RunChange, RunFilter, RunRow};
use jiff::Timestamp;

/// Keeps runs, heads and decisions in the ledger.
#[derive(Debug, Clone)]
pub(crate) struct LedgerJournal(Ledger);

impl LedgerJournal {
    /// Uses this ledger.
    #[must_use]
    pub(crate) const fn new(ledger: Ledger) -> Self {
        Self(ledger)
    }
}

impl LedgerJournal {
    /// Writes down that a run began or ended.
    async fn audit(
        &self,
        at: Timestamp,
        action: &str,
        job: &str,
        number: u64,
        detail: String,
    ) -> Result<(), PortError> {
        let entry = AuditEntry {
            at,
            actor: Actor::herder(),
            action: action.to_owned(),
            subject: format!("{job} #{number}"),
            detail,
        };
        self.0.audit(&entry).await.map(drop).map_err(|error| port(&error))
    }
}

fn port(error: &herder_ledger::Error) -> PortError {
    PortError(chain(error).to_string())
}

fn causes_text(causes: &[Cause]) -> String {
    serde_json::to_string(causes).unwrap_or_else(|_| "[]".to_owned())
}

/// A run as the jobs know it.
///
/// # Errors
/// If the row holds a status or cause that this version does not know.
pub(crate) fn record(row: RunRow) -> Result<RunRecord, PortError> {
    let unknown = |what: &str| {
        PortError(format!(
            "run {} #{} has an unknown {what} in the ledger",
            row.job, row.number
        ))
    };
    Ok(RunRecord {
        status: RunStatus::parse(&row.status).ok_or_else(|| unknown("status"))?,
        causes: serde_json::from_str(&row.cause).map_err(|_| unknown("cause"))?,
        attempt: u32::try_from(row.attempt).map_err(|_| unknown("attempt"))?,
        id: RunId {
            job: row.job,
            number: row.number,
        },
        reason: row.reason,
        parameters: row.parameters,
        commits: row.commits,
        namespace: row.namespace,
        queued_at: row.queued_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

impl Journal for LedgerJournal {
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<RunRecord, PortError>> {
        Box::pin(async move {
            let row = herder_ledger::NewRun {
                status: RunStatus::Queued.as_str().to_owned(),
                cause: causes_text(&run.causes),
                parameters: run.parameters,
                commits: run.commits,
                namespace: run.namespace,
                queued_at: run.queued_at,
                log: format!("{}/{{n}}.log", run.job),
                job: run.job,
            };
            let row = self.0.create_run(&row).await.map_err(|e| port(&e))?;
            // Who starts one by hand is recorded with what was proved of him, where he asks.
            if !run
                .causes
                .iter()
                .any(|cause| matches!(cause, Cause::Manual { .. }))
            {
                let why: Vec<String> = run.causes.iter().map(ToString::to_string).collect();
                self.audit(run.queued_at, "run.start", &row.job, row.number, why.join("; "))
                    .await?;
            }
            record(row)
        })
    }

    fn update<'a>(&'a self, id: &'a RunId, update: RunUpdate) -> BoxFuture<'a, Result<(), PortError>> {
        Box::pin(async move {
            let change = RunChange {
                status: update.status.map(|status| status.as_str().to_owned()),
                reason: update.reason,
                cause: update.causes.as_deref().map(causes_text),
                commits: update.commits,
                attempt: update.attempt.map(u64::from),
                started_at: update.started_at,
                finished_at: update.finished_at,
            };
            let changed = self.0.change_run(&id.job, id.number, &change).await;
            changed.map_err(|e| port(&e))?;
            if let (Some(status), Some(at)) = (
                update.status.filter(|status| status.is_final()),
                change.finished_at,
            ) {
                let reason = change.reason.unwrap_or_default();
                let detail = format!("{} {reason}", status.as_str());
                self.audit(at, "run.end", &id.job, id.number, detail.trim().to_owned())
                    .await?;
            }
            Ok(())
        })
    }

    fn get<'a>(&'a self, id: &'a RunId) -> BoxFuture<'a, Result<Option<RunRecord>, PortError>> {
        Box::pin(async move {
            let row = self.0.run(&id.job, id.number).await.map_err(|e| port(&e))?;
            row.map(record).transpose()
        })
    }

    fn history<'a>(&'a self, job: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<RunRecord>, PortError>> {
        Box::pin(async move {
            let filter = RunFilter {
                job: Some(job.to_owned()),
                limit,
                ..RunFilter::default()
            };
            let rows = self.0.runs(&filter).await.map_err(|e| port(&e))?;
            rows.into_iter().map(record).collect()
        })
    }

    fn unfinished(&self) -> BoxFuture<'_, Result<Vec<RunRecord>, PortError>> {
        Box::pin(async move {
            let rows = self.0.unfinished_runs().await.map_err(|e| port(&e))?;
            rows.into_iter().map(record).collect()
        })
    }

    fn remove<'a>(&'a self, job: &'a str, numbers: &'a [u64]) -> BoxFuture<'a, Result<(), PortError>> {
        Box::pin(async move { self.0.delete_runs(job, numbers).await.map_err(|e| port(&e)) })
    }

    fn heads(&self) -> BoxFuture<'_, Result<Vec<SeenHead>, PortError>> {
        Box::pin(async move {
            let heads = self.0.heads().await.map_err(|e| port(&e))?;
            let seen = heads.into_iter().map(|head| SeenHead {
                job: head.job,
                remote: head.remote,
                branch: head.branch,
                commit: head.commit,
            });
            Ok(seen.collect())
        })
    }

    fn see(&self, head: SeenHead, at: Timestamp) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async move {
            let head = Head {
                job: head.job,
                remote: head.remote,
                branch: head.branch,
                commit: head.commit,
                at,
            };
            self.0.put_head(&head).await.map_err(|e| port(&e))
        })
    }

    fn decide(&self, decision: Decision) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async move {
            let decision = DecisionRecord {
                job: decision.job,
                at: decision.at,
                about: decision.about,
                ran: decision.ran,
                why: decision.why,
            };
            self.0.record_decision(&decision).await.map_err(|e| port(&e))
        })
    }

    fn decisions<'a>(&'a self, job: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<Decision>, PortError>> {
        Box::pin(async move {
            let rows = self.0.decisions(job, limit).await.map_err(|e| port(&e))?;
            let decisions = rows.into_iter().map(|row| Decision {
                job: row.job,
                at: row.at,
                about: row.about,
                ran: row.ran,
                why: row.why,
            });
            Ok(decisions.collect())
        })
    }

    fn forget<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<(), PortError>> {
        Box::pin(async move { self.0.forget_job(job).await.map_err(|e| port(&e)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn remembers_in_the_ledger() {
        let journal = LedgerJournal::new(Ledger::open("sqlite::memory:").await.unwrap());
        let at: Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
        let new = NewRun {
            job: "team/build".to_owned(),
            causes: vec![Cause::Manual { by: "ada".to_owned() }],
            parameters: [("P".to_owned(), "x".to_owned())].into(),
            commits: [("u#main".to_owned(), "c".to_owned())].into(),
            namespace: Some("staging".to_owned()),
            queued_at: at,
        };
        let begun = journal.begin(new).await.unwrap();
        assert_eq!(journal.get(&begun.id).await.unwrap(), Some(begun.clone()));
        assert_eq!(journal.unfinished().await.unwrap(), std::slice::from_ref(&begun));
        let update = RunUpdate {
            status: Some(RunStatus::TimedOut),
            causes: Some(vec![Cause::Cron {
                spec: "@daily".to_owned(),
            }]),
            ..RunUpdate::default()
        };
        journal.update(&begun.id, update).await.unwrap();
        let history = journal.history("team/build", 5).await.unwrap();
        assert_eq!(history[0].status, RunStatus::TimedOut);
        assert_eq!(
            history[0].causes,
            [Cause::Cron {
                spec: "@daily".to_owned()
            }]
        );
        assert!(journal.unfinished().await.unwrap().is_empty());
        let head = SeenHead {
            job: "team/build".to_owned(),
            remote: "u".to_owned(),
            branch: "main".to_owned(),
            commit: "c".to_owned(),
        };
        journal.see(head.clone(), at).await.unwrap();
        assert_eq!(journal.heads().await.unwrap(), [head]);
    }
}
