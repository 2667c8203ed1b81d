//! Which namespace had a host of the edge first, so that a restart or a rebuilt cluster gives it to nobody else.

use crate::row::{get, millis};
use crate::{Error, Ledger};
use jiff::Timestamp;

/// A host and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOwner {
    /// The host, lower case; `*.` in front for a wildcard.
    pub host: String,
    /// The namespace.
    pub namespace: String,
    /// Whether git declares it there.
    pub declared: bool,
}

impl Ledger {
    /// All hosts that belong to somebody.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn host_owners(&self) -> Result<Vec<HostOwner>, Error> {
        let rows = sqlx::query("SELECT * FROM host_owners ORDER BY host")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("read the owners of hosts"))?;
        rows.iter()
            .map(|row| {
                let declared: i64 = get(row, "declared")?;
                Ok(HostOwner {
                    host: get(row, "host")?,
                    namespace: get(row, "namespace")?,
                    declared: declared != 0,
                })
            })
            .collect()
    }

    /// Records changes of ownership, all or none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn change_host_owners(
        &self,
        put: &[HostOwner],
        gone: &[String],
        now: Timestamp,
    ) -> Result<(), Error> {
        let fail = Error::database;
        let mut transaction = self.begin().await?;
        for host in gone {
            sqlx::query("DELETE FROM host_owners WHERE host = $1")
                .bind(host)
                .execute(&mut *transaction)
                .await
                .map_err(fail("record the owners of hosts"))?;
        }
        for owner in put {
            sqlx::query(
                "INSERT INTO host_owners (host, namespace, declared, since) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (host) DO UPDATE SET namespace = excluded.namespace, declared = excluded.declared, \
                 since = excluded.since",
            )
            .bind(&owner.host)
            .bind(&owner.namespace)
            .bind(i64::from(owner.declared))
            .bind(millis(now))
            .execute(&mut *transaction)
            .await
            .map_err(fail("record the owners of hosts"))?;
        }
        transaction
            .commit()
            .await
            .map_err(fail("record the owners of hosts"))
    }
}
