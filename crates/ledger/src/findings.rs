//! The findings of the last read of git, replaced as a whole by the next read.

use crate::row::{get, number};
use crate::{Error, Ledger};
use herder_base::{Diagnostic, Location};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

/// A diagnostic as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// The stable code.
    pub code: String,
    /// The repository, empty for the fleet's own.
    pub repository: String,
    /// The file, empty if it is about no place.
    pub path: String,
    /// One-based line, zero if unknown.
    pub line: u64,
    /// One-based column, zero if unknown.
    pub column: u64,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Ledger {
    /// Replaces all findings.
    ///
    /// # Errors
    /// If the database fails; then the former findings stay.
    pub async fn replace_findings(&self, found: &[Diagnostic]) -> Result<(), Error> {
        let fail = Error::database;
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM findings")
            .execute(&mut *transaction)
            .await
            .map_err(fail("replace the findings"))?;
        let nowhere = Location::default();
        for (position, finding) in (0i64..).zip(found) {
            let at = finding.at.as_ref().unwrap_or(&nowhere);
            sqlx::query(
                "INSERT INTO findings (position, severity, code, repository, path, line, col, message, hint) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(position)
            .bind(finding.severity.to_string())
            .bind(finding.code)
            .bind(&at.repository)
            .bind(&at.path)
            .bind(i64::from(at.line))
            .bind(i64::from(at.column))
            .bind(&finding.message)
            .bind(finding.hint.as_deref())
            .execute(&mut *transaction)
            .await
            .map_err(fail("replace the findings"))?;
        }
        transaction.commit().await.map_err(fail("replace the findings"))
    }

    /// The findings of the last read, in its order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn findings(&self) -> Result<Vec<Finding>, Error> {
        sqlx::query("SELECT * FROM findings ORDER BY position")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("list the findings"))?
            .iter()
            .map(read)
            .collect()
    }
}

fn read(row: &AnyRow) -> Result<Finding, Error> {
    Ok(Finding {
        severity: get(row, "severity")?,
        code: get(row, "code")?,
        repository: get(row, "repository")?,
        path: get(row, "path")?,
        line: number(row, "line")?,
        column: number(row, "col")?,
        message: get(row, "message")?,
        hint: get(row, "hint")?,
    })
}
