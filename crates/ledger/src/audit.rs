//! The audit chain: append only, each row holding the hash of the one before, the last hash kept beside the chain so
//! that cutting its end off shows as well.

use crate::row::{get, millis, number, signed, time};
use crate::{Error, Ledger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;

/// Something somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What, a stable word such as `promote`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The rest, for people or as JSON.
    pub detail: String,
}

/// A link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its place, from one.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The rest.
    pub detail: String,
    /// The hash of the link before, empty for the first.
    pub previous: String,
    /// The hash of all of the above.
    pub hash: String,
}

/// What checking the chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// How many links were checked.
    pub checked: u64,
    /// The first fault, if any.
    pub fault: Option<AuditFault>,
}

/// How a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditFault {
    /// A link's content does not match its hash.
    Changed(u64),
    /// A link does not follow from the one before.
    Unlinked(u64),
    /// A link is missing here.
    Missing(u64),
    /// The chain ends before the recorded end.
    Shortened {
        /// The recorded end.
        recorded: u64,
        /// The end found.
        found: u64,
    },
}

impl Ledger {
    /// Appends to the chain.
    ///
    /// # Errors
    /// If the database fails; then nothing was appended.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<AuditRecord, Error> {
        let fail = Error::database;
        let mut transaction = self.begin().await?;
        // The update locks the head until the commit: one writer at a time, in both databases.
        let head = sqlx::query("UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash")
            .fetch_one(&mut *transaction)
            .await
            .map_err(fail("extend the audit chain"))?;
        let mut record = AuditRecord {
            seq: number(&head, "seq")?,
            at: entry.at,
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            subject: entry.subject.clone(),
            detail: entry.detail.clone(),
            previous: get(&head, "hash")?,
            hash: String::new(),
        };
        record.hash = digest(&record);
        sqlx::query(
            "INSERT INTO audit (seq, at, actor, action, subject, detail, previous, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(signed(record.seq))
        .bind(millis(record.at))
        .bind(&record.actor)
        .bind(&record.action)
        .bind(&record.subject)
        .bind(&record.detail)
        .bind(&record.previous)
        .bind(&record.hash)
        .execute(&mut *transaction)
        .await
        .map_err(fail("extend the audit chain"))?;
        sqlx::query("UPDATE audit_head SET hash = $1 WHERE id = 1")
            .bind(&record.hash)
            .execute(&mut *transaction)
            .await
            .map_err(fail("extend the audit chain"))?;
        transaction
            .commit()
            .await
            .map_err(fail("extend the audit chain"))?;
        Ok(record)
    }

    /// The newest links, newest first, before a place if given.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn audit_log(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditRecord>, Error> {
        sqlx::query("SELECT * FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2")
            .bind(before.map_or(i64::MAX, signed))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("read the audit chain"))?
            .iter()
            .map(read)
            .collect()
    }

    /// Checks the whole chain, a thousand links at a time.
    ///
    /// # Errors
    /// If the database fails; a broken chain is a result, not an error.
    pub async fn verify(&self) -> Result<AuditReport, Error> {
        let fail = Error::database;
        // The head before the links: rows appended meanwhile only make the chain longer.
        let head = sqlx::query("SELECT seq, hash FROM audit_head WHERE id = 1")
            .fetch_one(&self.pool)
            .await
            .map_err(fail("read the audit chain"))?;
        let (end, end_hash): (u64, String) = (number(&head, "seq")?, get(&head, "hash")?);
        let broken = |checked, fault| {
            Ok(AuditReport {
                checked,
                fault: Some(fault),
            })
        };
        let (mut last, mut previous) = (0u64, String::new());
        loop {
            let rows = sqlx::query("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT 1000")
                .bind(signed(last))
                .fetch_all(&self.pool)
                .await
                .map_err(fail("read the audit chain"))?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let record = read(row)?;
                if record.seq != last + 1 {
                    return broken(last, AuditFault::Missing(last + 1));
                }
                if record.previous != previous {
                    return broken(last, AuditFault::Unlinked(record.seq));
                }
                if digest(&record) != record.hash || (record.seq == end && record.hash != end_hash) {
                    return broken(last, AuditFault::Changed(record.seq));
                }
                last = record.seq;
                previous = record.hash;
            }
        }
        if last < end {
            return broken(
                last,
                AuditFault::Shortened {
                    recorded: end,
                    found: last,
                },
            );
        }
        Ok(AuditReport {
            checked: last,
            fault: None,
        })
    }
}

/// SHA-256 over the fields, each preceded by its length so that no two contents run together the same way.
fn digest(record: &AuditRecord) -> String {
    let mut hash = Sha256::new();
    for field in [
        record.previous.as_str(),
        &record.seq.to_string(),
        &millis(record.at).to_string(),
        &record.actor,
        &record.action,
        &record.subject,
        &record.detail,
    ] {
        hash.update(field.len().to_be_bytes());
        hash.update(field);
    }
    hex::encode(hash.finalize())
}

fn read(row: &AnyRow) -> Result<AuditRecord, Error> {
    Ok(AuditRecord {
        seq: number(row, "seq")?,
        at: time(row, "at")?,
        actor: get(row, "actor")?,
        action: get(row, "action")?,
        subject: get(row, "subject")?,
        detail: get(row, "detail")?,
        previous: get(row, "previous")?,
        hash: get(row, "hash")?,
    })
}
