//! What polling saw last, and why jobs did or did not run.

use crate::row::{get, millis, signed, time};
use crate::{Error, Ledger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

/// The commit a job last saw on a branch of a remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The job.
    pub job: String,
    /// The remote's URL.
    pub remote: String,
    /// The branch.
    pub branch: String,
    /// The commit.
    pub commit: String,
    /// When it was seen.
    pub at: Timestamp,
}

/// A trigger's decision about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The job.
    pub job: String,
    /// When.
    pub at: Timestamp,
    /// The trigger, for people.
    pub about: String,
    /// Whether it led to a run.
    pub ran: bool,
    /// Why.
    pub why: String,
}

/// How many decisions of one job are kept.
const KEPT: u64 = 200;

impl Ledger {
    /// Records what a job saw.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_head(&self, head: &Head) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO heads (job, remote, branch, commit_id, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (job, remote, branch) DO UPDATE SET commit_id = excluded.commit_id, at = excluded.at",
        )
        .bind(&head.job)
        .bind(&head.remote)
        .bind(&head.branch)
        .bind(&head.commit)
        .bind(millis(head.at))
        .execute(&self.pool)
        .await
        .map_err(Error::database("record a head"))?;
        Ok(())
    }

    /// What every job saw last.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn heads(&self) -> Result<Vec<Head>, Error> {
        sqlx::query("SELECT job, remote, branch, commit_id, at FROM heads ORDER BY job, remote, branch")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("list heads"))?
            .iter()
            .map(read_head)
            .collect()
    }

    /// Forgets what a removed job saw, its decisions included. Its runs stay.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_job(&self, job: &str) -> Result<(), Error> {
        for statement in [
            "DELETE FROM heads WHERE job = $1",
            "DELETE FROM decisions WHERE job = $1",
        ] {
            sqlx::query(statement)
                .bind(job)
                .execute(&self.pool)
                .await
                .map_err(Error::database("forget a job"))?;
        }
        Ok(())
    }

    /// Records a decision; of each job the newest 200 are kept.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_decision(&self, decision: &DecisionRecord) -> Result<(), Error> {
        let fail = Error::database;
        let mut transaction = self.begin().await?;
        let id = Self::next(&mut transaction, "decisions").await?;
        sqlx::query("INSERT INTO decisions (id, job, at, about, ran, why) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(id)
            .bind(&decision.job)
            .bind(millis(decision.at))
            .bind(&decision.about)
            .bind(i64::from(decision.ran))
            .bind(&decision.why)
            .execute(&mut *transaction)
            .await
            .map_err(fail("record a decision"))?;
        sqlx::query(
            "DELETE FROM decisions WHERE job = $1 AND id <= \
             (SELECT id FROM decisions WHERE job = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
        )
        .bind(&decision.job)
        .bind(signed(KEPT))
        .execute(&mut *transaction)
        .await
        .map_err(fail("record a decision"))?;
        transaction.commit().await.map_err(fail("record a decision"))
    }

    /// A job's decisions, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn decisions(&self, job: &str, limit: u32) -> Result<Vec<DecisionRecord>, Error> {
        sqlx::query("SELECT * FROM decisions WHERE job = $1 ORDER BY id DESC LIMIT $2")
            .bind(job)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("list decisions"))?
            .iter()
            .map(read_decision)
            .collect()
    }
}

fn read_head(row: &AnyRow) -> Result<Head, Error> {
    Ok(Head {
        job: get(row, "job")?,
        remote: get(row, "remote")?,
        branch: get(row, "branch")?,
        commit: get(row, "commit_id")?,
        at: time(row, "at")?,
    })
}

fn read_decision(row: &AnyRow) -> Result<DecisionRecord, Error> {
    Ok(DecisionRecord {
        job: get(row, "job")?,
        at: time(row, "at")?,
        about: get(row, "about")?,
        ran: get::<i64>(row, "ran")? != 0,
        why: get(row, "why")?,
    })
}
