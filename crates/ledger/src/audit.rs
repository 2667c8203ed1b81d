//! The audit chain: append only, each row holding the hash of the one before, the last hash kept beside the chain and
//! sealed (see [`crate::SealedHead`]), so that cutting its end off and writing it anew show as well.

use crate::row::{get, millis, number, signed, time};
use crate::seal::Sealer;
use crate::{Actor, Error, Ledger, SealedHead};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use std::fmt;
use std::sync::Arc;

/// Something somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
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
    /// The sealed end, if it is sealed.
    pub head: Option<SealedHead>,
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
    /// The end bears no seal of this key: who wrote it had the ledger but not the key.
    Unsealed(u64),
    /// The ledger is an older one than was sealed last.
    PutBack {
        /// The newest sealed end.
        sealed: u64,
        /// The end found.
        found: u64,
    },
    /// The link that was sealed last is another one now.
    Rewritten(u64),
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(seq) => write!(f, "entry {seq} was changed after it was written"),
            Self::Unlinked(seq) => write!(f, "entry {seq} does not follow from the one before"),
            Self::Missing(seq) => write!(f, "entry {seq} is missing"),
            Self::Shortened { recorded, found } => {
                write!(f, "the chain ends at entry {found}, but {recorded} were recorded")
            }
            Self::Unsealed(seq) => write!(
                f,
                "the end, entry {seq}, is not sealed by this platform's key: it was written by something else"
            ),
            Self::PutBack { sealed, found } => write!(
                f,
                "the chain ends at entry {found}, but entry {sealed} was sealed: the ledger was cut or put back"
            ),
            Self::Rewritten(seq) => write!(
                f,
                "entry {seq} is not the one that was sealed: the chain was written anew"
            ),
        }
    }
}

impl Ledger {
    /// Appends to the chain and seals its new end.
    ///
    /// # Errors
    /// If the database fails; then nothing was appended. If the new end cannot be kept outside; then it was.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<AuditRecord, Error> {
        let Some(sealer) = &self.sealer else {
            return self.append(entry, None).await;
        };
        // One at a time, so that the end outside never goes back.
        let mut newest = sealer.newest.lock().await;
        let record = self.append(entry, Some((sealer, newest.as_ref()))).await?;
        // What does not follow from what was sealed is recorded but not sealed: a seal must not hide a fault.
        if !follows(newest.as_ref(), &record) {
            return Ok(record);
        }
        let (keeper, head) = (Arc::clone(sealer), sealer.seal(record.seq, &record.hash));
        *newest = Some(head.clone());
        // Not answered only if the runtime ends: the next start takes the seal up again.
        if let Ok(kept) = tokio::task::spawn_blocking(move || keeper.keep(&head)).await {
            kept?;
        }
        Ok(record)
    }

    async fn append(
        &self,
        entry: &AuditEntry,
        seal: Option<(&Sealer, Option<&SealedHead>)>,
    ) -> Result<AuditRecord, Error> {
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
            actor: entry.actor.to_string(),
            action: entry.action.clone(),
            subject: entry.subject.clone(),
            detail: entry.detail.clone(),
            previous: get(&head, "hash")?,
            hash: String::new(),
        };
        record.hash = digest(&record);
        let seal = match seal {
            Some((sealer, newest)) if follows(newest, &record) => sealer.seal(record.seq, &record.hash).seal,
            _ => String::new(),
        };
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
        sqlx::query("UPDATE audit_head SET hash = $1, seal = $2 WHERE id = 1")
            .bind(&record.hash)
            .bind(&seal)
            .execute(&mut *transaction)
            .await
            .map_err(fail("extend the audit chain"))?;
        transaction
            .commit()
            .await
            .map_err(fail("extend the audit chain"))?;
        Ok(record)
    }

    /// Takes up the seal after a start: a chain without one is sealed as it is found, whole or not; an end that was
    /// sealed but could not be kept outside before a crash is kept now. Answers what checking the chain found.
    ///
    /// # Errors
    /// If the database or a file fails.
    pub async fn take_up_seal(&self) -> Result<AuditReport, Error> {
        let report = self.verify().await?;
        let Some(sealer) = &self.sealer else {
            return Ok(report);
        };
        let mut newest = sealer.newest.lock().await;
        let end = match (&*newest, &report.fault, &report.head) {
            // Sealed after the end that is kept outside, and the chain holds.
            (Some(kept), None, Some(head)) if head.seq > kept.seq => head.clone(),
            // The first start with a seal: what is there is what is sealed.
            (None, _, _) => {
                let (seq, hash, _) = self.head().await?;
                let head = sealer.seal(seq, &hash);
                sqlx::query("UPDATE audit_head SET seal = $1 WHERE id = 1 AND hash = $2")
                    .bind(&head.seal)
                    .bind(&hash)
                    .execute(&self.pool)
                    .await
                    .map_err(Error::database("seal the audit chain"))?;
                head
            }
            _ => return Ok(report),
        };
        sealer.keep(&end)?;
        *newest = Some(end);
        drop(newest);
        self.verify().await
    }

    async fn head(&self) -> Result<(u64, String, String), Error> {
        let head = sqlx::query("SELECT seq, hash, seal FROM audit_head WHERE id = 1")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::database("read the audit chain"))?;
        Ok((number(&head, "seq")?, get(&head, "hash")?, get(&head, "seal")?))
    }

    /// Links in their order, after a place, for exports.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, Error> {
        sqlx::query("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(signed(after))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("read the audit chain"))?
            .iter()
            .map(read)
            .collect()
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

    /// Checks the whole chain, a thousand links at a time, and its seal if it has one.
    ///
    /// # Errors
    /// If the database fails; a broken chain is a result, not an error.
    pub async fn verify(&self) -> Result<AuditReport, Error> {
        let kept = match &self.sealer {
            Some(sealer) => sealer.newest.lock().await.clone(),
            None => None,
        };
        // The head before the links: rows appended meanwhile only make the chain longer.
        let (end, end_hash, seal) = self.head().await?;
        let mut chain = Chain::default();
        let mut sealed_hash = None;
        loop {
            let records = self.audit_after(chain.last, 1000).await?;
            if records.is_empty() {
                break;
            }
            for record in records {
                let found = chain.next(&record).or_else(|| {
                    (record.seq == end && record.hash != end_hash).then_some(AuditFault::Changed(record.seq))
                });
                if let Some(fault) = found {
                    let checked = record.seq.min(chain.last + 1).saturating_sub(1);
                    return Ok(AuditReport {
                        checked,
                        fault: Some(fault),
                        head: None,
                    });
                }
                if kept.as_ref().is_some_and(|kept| kept.seq == record.seq) {
                    sealed_hash = Some(record.hash);
                }
            }
        }
        let mut report = AuditReport {
            checked: chain.last,
            fault: (chain.last < end).then_some(AuditFault::Shortened {
                recorded: end,
                found: chain.last,
            }),
            head: None,
        };
        if let (None, Some(sealer), Some(kept)) = (&report.fault, &self.sealer, kept) {
            let head = SealedHead {
                seq: end,
                hash: end_hash,
                seal,
                key: sealer.key(),
            };
            report.fault = if kept.seq > end {
                Some(AuditFault::PutBack {
                    sealed: kept.seq,
                    found: end,
                })
            } else if kept.seq > 0 && sealed_hash.as_deref() != Some(&kept.hash) {
                Some(AuditFault::Rewritten(kept.seq))
            } else if !sealer.is_ours(&head) || !sealer.is_ours(&kept) {
                Some(AuditFault::Unsealed(end))
            } else {
                report.head = Some(head);
                None
            };
        }
        Ok(report)
    }
}

/// Whether a new link continues what was sealed last.
fn follows(newest: Option<&SealedHead>, record: &AuditRecord) -> bool {
    newest.is_some_and(|newest| newest.seq + 1 == record.seq && newest.hash == record.previous)
}

/// Walks a chain from its beginning.
#[derive(Debug, Default)]
struct Chain {
    last: u64,
    previous: String,
}

impl Chain {
    /// What is wrong with the next link, if anything.
    fn next(&mut self, record: &AuditRecord) -> Option<AuditFault> {
        if record.seq != self.last + 1 {
            return Some(AuditFault::Missing(self.last + 1));
        }
        if record.previous != self.previous {
            return Some(AuditFault::Unlinked(record.seq));
        }
        if digest(record) != record.hash {
            return Some(AuditFault::Changed(record.seq));
        }
        self.last = record.seq;
        self.previous.clone_from(&record.hash);
        None
    }
}

/// Checks a chain that was exported, with nothing but its text: the links, and the sealed head it ends with.
#[must_use]
pub fn check(records: &[AuditRecord], head: &SealedHead) -> AuditReport {
    let mut chain = Chain::default();
    let mut fault = records.iter().find_map(|record| chain.next(record));
    if fault.is_none() {
        if chain.last != head.seq {
            fault = Some(AuditFault::Shortened {
                recorded: head.seq,
                found: chain.last,
            });
        } else if chain.previous != head.hash {
            fault = Some(AuditFault::Rewritten(head.seq));
        } else if !head.is_genuine() {
            fault = Some(AuditFault::Unsealed(head.seq));
        }
    }
    AuditReport {
        checked: chain.last,
        head: fault.is_none().then(|| head.clone()),
        fault,
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
