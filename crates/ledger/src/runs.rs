//! Runs of jobs. Numbers of one job begin at 1 and have no gaps, whoever asks at the same time.

use crate::row::{from_json, get, json, millis, number, optional_time, signed, time};
use crate::{Error, Ledger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// A run about to be recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRun {
    /// The job's full name.
    pub job: String,
    /// The first status, such as `queued`.
    pub status: String,
    /// Why it runs, as JSON or plain text.
    pub cause: String,
    /// Parameters, already masked.
    pub parameters: BTreeMap<String, String>,
    /// Commit per remote, as far as known.
    pub commits: BTreeMap<String, String>,
    /// The namespace it deploys to.
    pub namespace: Option<String>,
    /// When it was asked for.
    pub queued_at: Timestamp,
    /// Log path below the log directory; `{n}` stands for the number.
    pub log: String,
}

/// A run as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// The job's full name.
    pub job: String,
    /// Its number within the job.
    pub number: u64,
    /// Its status.
    pub status: String,
    /// Why it has that status, where that needs saying.
    pub reason: Option<String>,
    /// Why it runs.
    pub cause: String,
    /// Parameters, masked.
    pub parameters: BTreeMap<String, String>,
    /// Commit per remote.
    pub commits: BTreeMap<String, String>,
    /// The namespace it deploys to.
    pub namespace: Option<String>,
    /// How many times it has been started.
    pub attempt: u64,
    /// When it was asked for.
    pub queued_at: Timestamp,
    /// When it first started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Log path below the log directory.
    pub log: String,
}

/// What changes about a run; `None` leaves a column as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunChange {
    /// New status.
    pub status: Option<String>,
    /// New reason.
    pub reason: Option<String>,
    /// All causes, after more triggers coalesced into it.
    pub cause: Option<String>,
    /// Commits now known.
    pub commits: Option<BTreeMap<String, String>>,
    /// The attempt under way.
    pub attempt: Option<u64>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only this job's.
    pub job: Option<String>,
    /// Only those deploying to this namespace.
    pub namespace: Option<String>,
    /// Only with this status.
    pub status: Option<String>,
    /// Only numbers below this one (for paging within a job).
    pub before: Option<u64>,
    /// At most so many; zero means 100.
    pub limit: u32,
}

const COLUMNS: &str = "SELECT job, number, status, reason, cause, parameters, commits, namespace, attempt, \
     queued_at, started_at, finished_at, log FROM runs";

impl Ledger {
    /// Records a run and gives it the job's next number.
    ///
    /// # Errors
    /// If the database fails; then no number is used up.
    pub async fn create_run(&self, run: &NewRun) -> Result<RunRow, Error> {
        let fail = Error::database;
        let mut transaction = self.begin().await?;
        let next = Self::next(&mut transaction, &format!("run:{}", run.job)).await?;
        let log = run.log.replace("{n}", &next.to_string());
        sqlx::query(
            "INSERT INTO runs (job, number, status, cause, parameters, commits, namespace, attempt, queued_at, log) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9)",
        )
        .bind(&run.job)
        .bind(next)
        .bind(&run.status)
        .bind(&run.cause)
        .bind(json(&run.parameters))
        .bind(json(&run.commits))
        .bind(run.namespace.as_deref())
        .bind(millis(run.queued_at))
        .bind(&log)
        .execute(&mut *transaction)
        .await
        .map_err(fail("record a run"))?;
        transaction.commit().await.map_err(fail("record a run"))?;
        Ok(RunRow {
            job: run.job.clone(),
            number: u64::try_from(next).unwrap_or_default(),
            status: run.status.clone(),
            reason: None,
            cause: run.cause.clone(),
            parameters: run.parameters.clone(),
            commits: run.commits.clone(),
            namespace: run.namespace.clone(),
            attempt: 0,
            queued_at: run.queued_at,
            started_at: None,
            finished_at: None,
            log,
        })
    }

    /// Changes a run.
    ///
    /// # Errors
    /// If there is no such run or the database fails.
    pub async fn change_run(&self, job: &str, number: u64, change: &RunChange) -> Result<(), Error> {
        let done = sqlx::query(
            "UPDATE runs SET status = COALESCE($1, status), reason = COALESCE($2, reason), \
             commits = COALESCE($3, commits), attempt = COALESCE($4, attempt), \
             started_at = COALESCE(started_at, $5), finished_at = COALESCE($6, finished_at), \
             cause = COALESCE($7, cause) WHERE job = $8 AND number = $9",
        )
        .bind(change.status.as_deref())
        .bind(change.reason.as_deref())
        .bind(change.commits.as_ref().map(json))
        .bind(change.attempt.map(signed))
        .bind(change.started_at.map(millis))
        .bind(change.finished_at.map(millis))
        .bind(change.cause.as_deref())
        .bind(job)
        .bind(signed(number))
        .execute(&self.pool)
        .await
        .map_err(Error::database("change a run"))?;
        if done.rows_affected() == 0 {
            return Err(Error::NoRun {
                job: job.to_owned(),
                number,
            });
        }
        Ok(())
    }

    /// One run.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn run(&self, job: &str, number: u64) -> Result<Option<RunRow>, Error> {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE job = $1 AND number = $2"
        )))
        .bind(job)
        .bind(signed(number))
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::database("read a run"))?
        .map(|row| read(&row))
        .transpose()
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, Error> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        // Empty strings stand for "any": no job, namespace or status is empty.
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE ($1 = '' OR job = $1) AND ($2 = '' OR namespace = $2) AND ($3 = '' OR status = $3) \
             AND number < $4 ORDER BY queued_at DESC, number DESC LIMIT $5"
        )))
        .bind(text(&filter.job))
        .bind(text(&filter.namespace))
        .bind(text(&filter.status))
        .bind(filter.before.map_or(i64::MAX, signed))
        .bind(i64::from(if filter.limit == 0 { 100 } else { filter.limit }))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::database("list runs"))?
        .iter()
        .map(read)
        .collect()
    }

    /// The newest run of each job that has one, by job name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn latest_runs(&self) -> Result<Vec<RunRow>, Error> {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} r WHERE number = (SELECT MAX(number) FROM runs m WHERE m.job = r.job) ORDER BY job"
        )))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::database("list the latest runs"))?
        .iter()
        .map(read)
        .collect()
    }

    /// Runs that are `queued` or `running`, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunRow>, Error> {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE status IN ('queued', 'running') ORDER BY queued_at, job, number"
        )))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::database("list unfinished runs"))?
        .iter()
        .map(read)
        .collect()
    }

    /// Removes finished runs of a job, with what is tied to them. Numbers are never used again.
    ///
    /// # Errors
    /// If the database fails; then all of them stay.
    pub async fn delete_runs(&self, job: &str, numbers: &[u64]) -> Result<(), Error> {
        let fail = Error::database;
        let mut transaction = self.begin().await?;
        for n in numbers {
            for statement in [
                "DELETE FROM run_rollouts WHERE job = $1 AND number = $2",
                "DELETE FROM runs WHERE job = $1 AND number = $2",
            ] {
                sqlx::query(statement)
                    .bind(job)
                    .bind(signed(*n))
                    .execute(&mut *transaction)
                    .await
                    .map_err(fail("delete runs"))?;
            }
        }
        transaction.commit().await.map_err(fail("delete runs"))
    }
}

fn read(row: &AnyRow) -> Result<RunRow, Error> {
    Ok(RunRow {
        job: get(row, "job")?,
        number: number(row, "number")?,
        status: get(row, "status")?,
        reason: get(row, "reason")?,
        cause: get(row, "cause")?,
        parameters: from_json(row, "parameters")?,
        commits: from_json(row, "commits")?,
        namespace: get(row, "namespace")?,
        attempt: number(row, "attempt")?,
        queued_at: time(row, "queued_at")?,
        started_at: optional_time(row, "started_at")?,
        finished_at: optional_time(row, "finished_at")?,
        log: get(row, "log")?,
    })
}
