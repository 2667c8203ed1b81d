//! Leases: an environment that exists until a moment, for somebody.

use crate::row::{get, millis, time};
use crate::{Error, Ledger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

/// Who has an environment, until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The environment.
    pub environment: String,
    /// Who took it.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Ledger {
    /// Takes or extends a lease; whoever extends becomes its holder, its beginning stays.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_lease(&self, lease: &Lease) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO leases (environment, holder, since, until) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (environment) DO UPDATE SET holder = excluded.holder, until = excluded.until",
        )
        .bind(&lease.environment)
        .bind(&lease.by)
        .bind(millis(lease.since))
        .bind(millis(lease.until))
        .execute(&self.pool)
        .await
        .map_err(Error::database("record a lease"))?;
        Ok(())
    }

    /// Ends a lease; says whether there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_lease(&self, environment: &str) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM leases WHERE environment = $1")
            .bind(environment)
            .execute(&self.pool)
            .await
            .map_err(Error::database("end a lease"))?;
        Ok(done.rows_affected() > 0)
    }

    /// All leases, those that end first in front. Ended ones stay until [`Ledger::end_lease`].
    ///
    /// # Errors
    /// If the database fails.
    pub async fn leases(&self) -> Result<Vec<Lease>, Error> {
        sqlx::query("SELECT environment, holder, since, until FROM leases ORDER BY until, environment")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("list leases"))?
            .iter()
            .map(read)
            .collect()
    }
}

fn read(row: &AnyRow) -> Result<Lease, Error> {
    Ok(Lease {
        environment: get(row, "environment")?,
        by: get(row, "holder")?,
        since: time(row, "since")?,
        until: time(row, "until")?,
    })
}
