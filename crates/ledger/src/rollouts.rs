//! Which rollouts a run caused, and how they ended.

use crate::row::{get, millis, number, signed, time};
use crate::{Error, Ledger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

/// One generation of one object that a run rolled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The run's job.
    pub job: String,
    /// The run's number.
    pub number: u64,
    /// The object's namespace.
    pub namespace: String,
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The generation the run caused.
    pub generation: u64,
    /// How it stands: `progressing`, `healthy`, `failed`, …
    pub health: String,
    /// The cause in plain words, empty if there is nothing to say.
    pub detail: String,
    /// When this was last known.
    pub at: Timestamp,
}

impl Ledger {
    /// Records a rollout or its new health.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_rollout(&self, rollout: &Rollout) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO run_rollouts (job, number, namespace, kind, name, generation, health, detail, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (job, number, namespace, kind, name, generation) \
             DO UPDATE SET health = excluded.health, detail = excluded.detail, at = excluded.at",
        )
        .bind(&rollout.job)
        .bind(signed(rollout.number))
        .bind(&rollout.namespace)
        .bind(&rollout.kind)
        .bind(&rollout.name)
        .bind(signed(rollout.generation))
        .bind(&rollout.health)
        .bind(&rollout.detail)
        .bind(millis(rollout.at))
        .execute(&self.pool)
        .await
        .map_err(Error::database("record a rollout"))?;
        Ok(())
    }

    /// The rollouts of one run, in the order they were seen.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rollouts_of(&self, job: &str, run: u64) -> Result<Vec<Rollout>, Error> {
        sqlx::query("SELECT * FROM run_rollouts WHERE job = $1 AND number = $2 ORDER BY namespace, kind, name, generation")
            .bind(job)
            .bind(signed(run))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("list rollouts"))?
            .iter()
            .map(read)
            .collect()
    }

    /// The rollouts that are not over, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn open_rollouts(&self) -> Result<Vec<Rollout>, Error> {
        sqlx::query(
            "SELECT * FROM run_rollouts WHERE health IN ('progressing', 'failed') ORDER BY at LIMIT 1000",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::database("list rollouts that are not over"))?
        .iter()
        .map(read)
        .collect()
    }

    /// The newest rollout of every object that a run ever rolled out: which run caused what it is now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn latest_rollouts(&self) -> Result<Vec<Rollout>, Error> {
        sqlx::query(
            "SELECT * FROM (SELECT r.*, ROW_NUMBER() OVER (PARTITION BY namespace, kind, name \
             ORDER BY generation DESC, at DESC) AS place FROM run_rollouts r) ranked WHERE place = 1",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::database("list rollouts"))?
        .iter()
        .map(read)
        .collect()
    }
}

fn read(row: &AnyRow) -> Result<Rollout, Error> {
    Ok(Rollout {
        job: get(row, "job")?,
        number: number(row, "number")?,
        namespace: get(row, "namespace")?,
        kind: get(row, "kind")?,
        name: get(row, "name")?,
        generation: number(row, "generation")?,
        health: get(row, "health")?,
        detail: get(row, "detail")?,
        at: time(row, "at")?,
    })
}
