//! A journal that forgets when the process ends, for trying things out; platforms keep theirs in the ledger.

use crate::ports::{Decision, Journal, NewRun, PortError, RunUpdate, SeenHead};
use crate::run::{RunId, RunRecord, RunStatus};
use futures::future::{BoxFuture, ready};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    last: BTreeMap<String, u64>,
    runs: BTreeMap<RunId, RunRecord>,
    heads: Vec<SeenHead>,
    decisions: Vec<Decision>,
}

/// Remembers in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<State>);

impl MemoryJournal {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, Result<T, PortError>> {
    Box::pin(ready(Ok(value)))
}

impl Journal for MemoryJournal {
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<RunRecord, PortError>> {
        let mut state = self.lock();
        let last = state.last.entry(run.job.clone()).or_default();
        *last += 1;
        let record = RunRecord {
            id: RunId {
                job: run.job,
                number: *last,
            },
            status: RunStatus::Queued,
            reason: None,
            causes: run.causes,
            parameters: run.parameters,
            commits: run.commits,
            namespace: run.namespace,
            attempt: 0,
            queued_at: run.queued_at,
            started_at: None,
            finished_at: None,
        };
        state.runs.insert(record.id.clone(), record.clone());
        done(record)
    }

    fn update<'a>(&'a self, id: &'a RunId, update: RunUpdate) -> BoxFuture<'a, Result<(), PortError>> {
        let mut state = self.lock();
        let Some(run) = state.runs.get_mut(id) else {
            return Box::pin(ready(Err(PortError(format!("there is no {id}")))));
        };
        run.status = update.status.unwrap_or(run.status);
        run.reason = update.reason.or(run.reason.take());
        run.causes = update.causes.unwrap_or(std::mem::take(&mut run.causes));
        run.commits = update.commits.unwrap_or(std::mem::take(&mut run.commits));
        run.attempt = update.attempt.unwrap_or(run.attempt);
        run.started_at = run.started_at.or(update.started_at);
        run.finished_at = update.finished_at.or(run.finished_at);
        done(())
    }

    fn get<'a>(&'a self, id: &'a RunId) -> BoxFuture<'a, Result<Option<RunRecord>, PortError>> {
        done(self.lock().runs.get(id).cloned())
    }

    fn history<'a>(&'a self, job: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<RunRecord>, PortError>> {
        let state = self.lock();
        let runs = state.runs.values().rev().filter(|run| run.id.job == job);
        done(
            runs.take(usize::try_from(limit).unwrap_or(usize::MAX))
                .cloned()
                .collect(),
        )
    }

    fn unfinished(&self) -> BoxFuture<'_, Result<Vec<RunRecord>, PortError>> {
        let state = self.lock();
        done(
            state
                .runs
                .values()
                .filter(|run| !run.status.is_final())
                .cloned()
                .collect(),
        )
    }

    fn remove<'a>(&'a self, job: &'a str, numbers: &'a [u64]) -> BoxFuture<'a, Result<(), PortError>> {
        let mut state = self.lock();
        state
            .runs
            .retain(|id, _| id.job != job || !numbers.contains(&id.number));
        done(())
    }

    fn heads(&self) -> BoxFuture<'_, Result<Vec<SeenHead>, PortError>> {
        done(self.lock().heads.clone())
    }

    fn see(&self, head: SeenHead, _at: Timestamp) -> BoxFuture<'_, Result<(), PortError>> {
        let mut state = self.lock();
        state.heads.retain(|known| {
            (&known.job, &known.remote, &known.branch) != (&head.job, &head.remote, &head.branch)
        });
        state.heads.push(head);
        done(())
    }

    fn decide(&self, decision: Decision) -> BoxFuture<'_, Result<(), PortError>> {
        self.lock().decisions.push(decision);
        done(())
    }

    fn decisions<'a>(&'a self, job: &'a str, limit: u32) -> BoxFuture<'a, Result<Vec<Decision>, PortError>> {
        let state = self.lock();
        let decisions = state
            .decisions
            .iter()
            .rev()
            .filter(|decision| decision.job == job);
        done(
            decisions
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .cloned()
                .collect(),
        )
    }

    fn forget<'a>(&'a self, job: &'a str) -> BoxFuture<'a, Result<(), PortError>> {
        let mut state = self.lock();
        state.heads.retain(|head| head.job != job);
        state.decisions.retain(|decision| decision.job != job);
        done(())
    }
}
