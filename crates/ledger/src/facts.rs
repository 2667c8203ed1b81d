//! Named facts that must outlive a restart and are neither desired state (git) nor history: such as "everything was
//! taken down on purpose", or the generation of the last plan.

use crate::row::get;
use crate::{Error, Ledger};

impl Ledger {
    /// Records a fact.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_fact(&self, name: &str, value: &str) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(&self.pool)
        .await
        .map_err(Error::database("record a fact"))?;
        Ok(())
    }

    /// A fact, if it was recorded.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn fact(&self, name: &str) -> Result<Option<String>, Error> {
        sqlx::query("SELECT value FROM facts WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::database("read a fact"))?
            .map(|row| get(&row, "value"))
            .transpose()
    }

    /// All facts whose names begin so, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn facts(&self, prefix: &str) -> Result<Vec<(String, String)>, Error> {
        // Compared by length, because LIKE would read the prefix as a pattern.
        let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        sqlx::query("SELECT name, value FROM facts WHERE substr(name, 1, $1) = $2 ORDER BY name")
            .bind(length)
            .bind(prefix)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("read facts"))?
            .iter()
            .map(|row| Ok((get(row, "name")?, get(row, "value")?)))
            .collect()
    }

    /// Forgets a fact.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn drop_fact(&self, name: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM facts WHERE name = $1")
            .bind(name)
            .execute(&self.pool)
            .await
            .map_err(Error::database("forget a fact"))?;
        Ok(())
    }
}
