//! The history of what ran where: one row per change of an application's version or health in a namespace.

use crate::row::{get, millis, number, signed, time};
use crate::{Error, Ledger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

/// A deployment about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// The application.
    pub application: String,
    /// Where.
    pub namespace: String,
    /// The version, for people.
    pub version: String,
    /// The commit it was rendered from.
    pub commit: String,
    /// The run that caused it, if one did.
    pub run: Option<(String, u64)>,
    /// How it stands.
    pub health: String,
    /// The cause in plain words, empty if there is nothing to say.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// A deployment as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its number.
    pub id: u64,
    /// The application.
    pub application: String,
    /// Where.
    pub namespace: String,
    /// The version, for people.
    pub version: String,
    /// The commit it was rendered from.
    pub commit: String,
    /// The run that caused it, if one did.
    pub run: Option<(String, u64)>,
    /// How it stood.
    pub health: String,
    /// The cause in plain words.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

impl Ledger {
    /// Appends to the history what does not say the same as the last row of its application and namespace; all at once,
    /// so that the disk is waited for once. Says how many rows are new.
    ///
    /// # Errors
    /// If the database fails; then nothing was appended.
    pub async fn record_deployments(&self, all: &[NewDeployment]) -> Result<usize, Error> {
        let mut transaction = self.begin().await?;
        let mut appended = 0;
        for new in all {
            appended += usize::from(append(&mut transaction, new).await?);
        }
        transaction
            .commit()
            .await
            .map_err(Error::database("record deployments"))?;
        Ok(appended)
    }

    /// The history, newest first, of one application and one namespace where named.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn deployments(
        &self,
        application: Option<&str>,
        namespace: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Deployment>, Error> {
        sqlx::query(
            "SELECT * FROM deployments WHERE ($1 = '' OR application = $1) AND ($2 = '' OR namespace = $2) \
             ORDER BY id DESC LIMIT $3",
        )
        .bind(application.unwrap_or_default())
        .bind(namespace.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(Error::database("list deployments"))?
        .iter()
        .map(read)
        .collect()
    }

    /// The newest row of every application and namespace.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn latest_deployments(&self) -> Result<Vec<Deployment>, Error> {
        sqlx::query(
            "SELECT * FROM deployments WHERE id IN (SELECT MAX(id) FROM deployments GROUP BY application, namespace)",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::database("list deployments"))?
        .iter()
        .map(read)
        .collect()
    }
}

async fn append(transaction: &mut Transaction<'_, Any>, new: &NewDeployment) -> Result<bool, Error> {
    let fail = Error::database;
    // The counter first: it serialises writers, so the comparison below cannot race.
    let id = Ledger::next(transaction, "deployments").await?;
    let last = sqlx::query(
        "SELECT * FROM deployments WHERE application = $1 AND namespace = $2 ORDER BY id DESC LIMIT 1",
    )
    .bind(&new.application)
    .bind(&new.namespace)
    .fetch_optional(&mut **transaction)
    .await
    .map_err(fail("read the deployment history"))?
    .map(|row| read(&row))
    .transpose()?;
    let same = last.is_some_and(|last| {
        (&last.version, &last.commit, &last.health, &last.detail)
            == (&new.version, &new.commit, &new.health, &new.detail)
    });
    if same {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO deployments (id, application, namespace, version, commit_id, job, number, health, detail, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id)
    .bind(&new.application)
    .bind(&new.namespace)
    .bind(&new.version)
    .bind(&new.commit)
    .bind(new.run.as_ref().map(|(job, _)| job.as_str()))
    .bind(new.run.as_ref().map(|(_, n)| signed(*n)))
    .bind(&new.health)
    .bind(&new.detail)
    .bind(millis(new.at))
    .execute(&mut **transaction)
    .await
    .map_err(fail("record a deployment"))?;
    Ok(true)
}

fn read(row: &AnyRow) -> Result<Deployment, Error> {
    let job: Option<String> = get(row, "job")?;
    let run: Option<i64> = get(row, "number")?;
    Ok(Deployment {
        id: number(row, "id")?,
        application: get(row, "application")?,
        namespace: get(row, "namespace")?,
        version: get(row, "version")?,
        commit: get(row, "commit_id")?,
        run: job.zip(run.and_then(|n| u64::try_from(n).ok())),
        health: get(row, "health")?,
        detail: get(row, "detail")?,
        at: time(row, "at")?,
    })
}
