//! Promotions: which version of an application was moved to which environment, by which commit of whom.

use crate::row::{get, millis, number, time};
use crate::{Error, Ledger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

/// A promotion about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPromotion {
    /// What was moved.
    pub application: String,
    /// The environment it came from, if any.
    pub from: Option<String>,
    /// The environment it went to.
    pub to: String,
    /// The version, for people.
    pub version: String,
    /// The commit in the target environment's repository.
    pub commit: String,
    /// Who asked.
    pub author: String,
    /// What changed, for people.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// A promotion as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Its number.
    pub id: u64,
    /// What was moved.
    pub application: String,
    /// The environment it came from, if any.
    pub from: Option<String>,
    /// The environment it went to.
    pub to: String,
    /// The version, for people.
    pub version: String,
    /// The commit in the target environment's repository.
    pub commit: String,
    /// Who asked.
    pub author: String,
    /// What changed, for people.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

impl Ledger {
    /// Records a promotion and returns its number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_promotion(&self, promotion: &NewPromotion) -> Result<u64, Error> {
        let fail = Error::database;
        let mut transaction = self.begin().await?;
        let id = Self::next(&mut transaction, "promotions").await?;
        sqlx::query(
            "INSERT INTO promotions (id, application, source, target, version, commit_id, author, detail, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(&promotion.application)
        .bind(promotion.from.as_deref())
        .bind(&promotion.to)
        .bind(&promotion.version)
        .bind(&promotion.commit)
        .bind(&promotion.author)
        .bind(&promotion.detail)
        .bind(millis(promotion.at))
        .execute(&mut *transaction)
        .await
        .map_err(fail("record a promotion"))?;
        transaction.commit().await.map_err(fail("record a promotion"))?;
        Ok(u64::try_from(id).unwrap_or_default())
    }

    /// Promotions, newest first; of one application if named.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn promotions(&self, application: Option<&str>, limit: u32) -> Result<Vec<Promotion>, Error> {
        sqlx::query("SELECT * FROM promotions WHERE ($1 = '' OR application = $1) ORDER BY id DESC LIMIT $2")
            .bind(application.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("list promotions"))?
            .iter()
            .map(read)
            .collect()
    }
}

fn read(row: &AnyRow) -> Result<Promotion, Error> {
    Ok(Promotion {
        id: number(row, "id")?,
        application: get(row, "application")?,
        from: get(row, "source")?,
        to: get(row, "target")?,
        version: get(row, "version")?,
        commit: get(row, "commit_id")?,
        author: get(row, "author")?,
        detail: get(row, "detail")?,
        at: time(row, "at")?,
    })
}
