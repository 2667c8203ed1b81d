//! Signed-in browsers. Of a session only a digest of its id is kept: who reads the ledger cannot become anybody.

use crate::row::{get, millis, time};
use crate::{Error, Ledger};
use jiff::Timestamp;

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The digest of its id.
    pub id: String,
    /// Of the token it was opened with; another token ends it.
    pub fingerprint: String,
    /// From where it was opened.
    pub address: String,
    /// When it was opened.
    pub since: Timestamp,
    /// When it was used last, to the minute.
    pub seen: Timestamp,
}

impl Ledger {
    /// Records a session.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_session(&self, session: &Session) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO sessions (id, fingerprint, address, since, seen) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
        )
        .bind(&session.id)
        .bind(&session.fingerprint)
        .bind(&session.address)
        .bind(millis(session.since))
        .bind(millis(session.seen))
        .execute(&self.pool)
        .await
        .map_err(Error::database("record a session"))?;
        Ok(())
    }

    /// A session by the digest of its id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        let row = sqlx::query("SELECT * FROM sessions WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::database("read a session"))?;
        row.map(|row| {
            Ok(Session {
                id: get(&row, "id")?,
                fingerprint: get(&row, "fingerprint")?,
                address: get(&row, "address")?,
                since: time(&row, "since")?,
                seen: time(&row, "seen")?,
            })
        })
        .transpose()
    }

    /// Says that a session was used. Never makes one: one that was ended meanwhile stays ended.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn touch_session(&self, id: &str, seen: Timestamp) -> Result<(), Error> {
        sqlx::query("UPDATE sessions SET seen = $1 WHERE id = $2")
            .bind(millis(seen))
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(Error::database("record a session"))?;
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn end_session(&self, id: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM sessions WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(Error::database("end a session"))?;
        Ok(())
    }

    /// Forgets every session that was opened before a time, was not used since another, or was opened with another
    /// token.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sweep_sessions(
        &self,
        fingerprint: &str,
        opened_after: Timestamp,
        used_after: Timestamp,
    ) -> Result<(), Error> {
        sqlx::query("DELETE FROM sessions WHERE fingerprint <> $1 OR since <= $2 OR seen <= $3")
            .bind(fingerprint)
            .bind(millis(opened_after))
            .bind(millis(used_after))
            .execute(&self.pool)
            .await
            .map_err(Error::database("end a session"))?;
        Ok(())
    }
}
