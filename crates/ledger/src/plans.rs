//! Plans: what was decided, from which commit and after which plan, and what became of each action. Owns the order of
//! plans: one follows exactly the one before, and only after that one has ended.

use crate::row::{from_json, get, json, millis, number, optional_time, signed, time};
use crate::{Error, Ledger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

/// How many plans are kept, the newest.
const KEPT: u64 = 300;

/// One action of a plan, without the value that it writes, which may be secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedAction {
    /// Of what it is: `object`, `policy` or `role`.
    pub part: String,
    /// `apply`, `delete` or `hold`.
    pub what: String,
    /// The object's `apiVersion`, empty for what is no object.
    #[serde(rename = "apiVersion", default)]
    pub api_version: String,
    /// The object's kind, or the part's name.
    pub kind: String,
    /// The object's namespace, if it has one.
    #[serde(default)]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The unit it belongs to.
    #[serde(default)]
    pub unit: String,
    /// The application it belongs to.
    #[serde(default)]
    pub application: Option<String>,
    /// Why, for people.
    pub reason: String,
    /// The place in git it comes from.
    #[serde(default)]
    pub source: Option<String>,
    /// What it did: `created`, `changed`, `deleted`, …; none until it is known, and none for what is held.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Why it was refused, if it was.
    #[serde(default)]
    pub refused: Option<String>,
}

/// Objects of a kind that the cluster does not serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedKind {
    /// The kind with its version.
    pub kind: String,
    /// How many objects.
    pub count: u64,
    /// The first place in git that has one.
    pub first: Option<String>,
}

/// A plan about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlan {
    /// Counts plans: the last one's plus one.
    pub generation: u64,
    /// Hash of what it says.
    pub id: String,
    /// The plan it follows, if that was of the same fleet.
    pub parent: Option<String>,
    /// The fleet's name.
    pub fleet: String,
    /// The fleet repository's commit.
    pub commit: String,
    /// How many objects already were as git says.
    pub unchanged: u64,
    /// What it does, in order.
    pub actions: Vec<PlannedAction>,
    /// What the cluster does not serve.
    pub skipped: Vec<SkippedKind>,
    /// What people should know.
    pub notes: Vec<String>,
    /// When it was decided.
    pub at: Timestamp,
}

/// How far a plan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanState {
    /// Recorded; whether it was carried out is not known (yet).
    Open,
    /// Carried out; each write has an outcome.
    Applied,
    /// It ended without outcomes, see [`PlanRow::why`].
    Dropped,
}

impl PlanState {
    const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Applied => "applied",
            Self::Dropped => "dropped",
        }
    }
}

/// The last plan, as far as deciding the next one needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanHead {
    /// Its generation.
    pub generation: u64,
    /// Its id.
    pub id: String,
    /// Its fleet.
    pub fleet: String,
    /// The commit it was decided at.
    pub commit: String,
    /// How far it has come.
    pub state: PlanState,
    /// How many objects were as git says.
    pub unchanged: u64,
    /// What people should know.
    pub notes: Vec<String>,
}

/// A plan as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRow {
    /// Its generation.
    pub generation: u64,
    /// Hash of what it says.
    pub id: String,
    /// The plan it follows.
    pub parent: Option<String>,
    /// The fleet's name.
    pub fleet: String,
    /// The fleet repository's commit.
    pub commit: String,
    /// How far it has come.
    pub state: PlanState,
    /// Why it was dropped, if it was.
    pub why: String,
    /// How many of its writes were refused.
    pub refused: u64,
    /// How many objects already were as git says.
    pub unchanged: u64,
    /// What it does, in order, with the outcomes.
    pub actions: Vec<PlannedAction>,
    /// What the cluster does not serve.
    pub skipped: Vec<SkippedKind>,
    /// What people should know.
    pub notes: Vec<String>,
    /// How often the same was planned right before.
    pub repeats: u64,
    /// When the first of these was recorded.
    pub since: Timestamp,
    /// When this one was.
    pub recorded_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Ledger {
    /// Records a plan as the next one. The same plan again takes the place of the one before and counts it.
    ///
    /// # Errors
    /// [`Error::Stale`] if it does not follow the last plan; [`Error::PlanOpen`] if the last one has not ended; if the
    /// database fails. Nothing is recorded then, and nothing may be carried out.
    pub async fn record_plan(&self, plan: &NewPlan) -> Result<(), Error> {
        let fail = || Error::database("record a plan");
        let mut transaction = self.begin().await?;
        let before = plan.generation.saturating_sub(1);
        // The update locks the head until the commit: of two plans that follow the same one, one is recorded.
        let moved = sqlx::query(
            "UPDATE plan_head SET generation = $1, plan = $2 WHERE id = 1 AND generation = $3 AND ($4 = '' OR plan = $4)",
        )
        .bind(signed(plan.generation))
        .bind(&plan.id)
        .bind(signed(before))
        .bind(plan.parent.as_deref().unwrap_or_default())
        .execute(&mut *transaction)
        .await
        .map_err(fail())?;
        if moved.rows_affected() == 0 {
            let last = sqlx::query("SELECT generation FROM plan_head WHERE id = 1")
                .fetch_one(&mut *transaction)
                .await
                .map_err(fail())?;
            return Err(Error::Stale {
                generation: plan.generation,
                last: number(&last, "generation")?,
            });
        }
        let last = sqlx::query("SELECT id, state, repeats, since FROM plans WHERE generation = $1")
            .bind(signed(before))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(fail())?;
        let (mut repeats, mut since) = (0, plan.at);
        if let Some(last) = last {
            if state(&last)? == PlanState::Open {
                return Err(Error::PlanOpen(before));
            }
            if get::<String>(&last, "id")? == plan.id {
                (repeats, since) = (number(&last, "repeats")? + 1, time(&last, "since")?);
                sqlx::query("DELETE FROM plans WHERE generation = $1")
                    .bind(signed(before))
                    .execute(&mut *transaction)
                    .await
                    .map_err(fail())?;
            }
        }
        insert(&mut transaction, plan, repeats, since).await?;
        transaction.commit().await.map_err(fail())
    }

    /// Records what became of the last plan: its actions with their outcomes.
    ///
    /// # Errors
    /// [`Error::Stale`] if it is not the last one, or has ended already; if the database fails.
    pub async fn end_plan(
        &self,
        generation: u64,
        actions: &[PlannedAction],
        at: Timestamp,
    ) -> Result<(), Error> {
        let refused = actions.iter().filter(|action| action.refused.is_some()).count();
        let done = sqlx::query(
            "UPDATE plans SET state = 'applied', actions = $1, refused = $2, ended_at = $3 \
             WHERE generation = $4 AND state = 'open'",
        )
        .bind(json(&actions))
        .bind(signed(u64::try_from(refused).unwrap_or(u64::MAX)))
        .bind(millis(at))
        .bind(signed(generation))
        .execute(&self.pool)
        .await
        .map_err(Error::database("record the outcomes of a plan"))?;
        self.ended(generation, done.rows_affected()).await
    }

    /// Gives up the last plan, whose outcomes nobody knows.
    ///
    /// # Errors
    /// As [`Ledger::end_plan`].
    pub async fn drop_plan(&self, generation: u64, why: &str, at: Timestamp) -> Result<(), Error> {
        let done = sqlx::query(
            "UPDATE plans SET state = 'dropped', why = $1, ended_at = $2 WHERE generation = $3 AND state = 'open'",
        )
        .bind(why)
        .bind(millis(at))
        .bind(signed(generation))
        .execute(&self.pool)
        .await
        .map_err(Error::database("drop a plan"))?;
        self.ended(generation, done.rows_affected()).await
    }

    async fn ended(&self, generation: u64, rows: u64) -> Result<(), Error> {
        if rows > 0 {
            return Ok(());
        }
        let last = self.plan_head().await?.map_or(0, |head| head.generation);
        Err(Error::Stale { generation, last })
    }

    /// The last plan in short; none before the first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn plan_head(&self) -> Result<Option<PlanHead>, Error> {
        sqlx::query(
            "SELECT p.generation, p.id, p.fleet, p.commit_id, p.state, p.unchanged, p.notes \
             FROM plan_head h JOIN plans p ON p.generation = h.generation WHERE h.id = 1",
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::database("read the last plan"))?
        .map(|row| {
            Ok(PlanHead {
                generation: number(&row, "generation")?,
                id: get(&row, "id")?,
                fleet: get(&row, "fleet")?,
                commit: get(&row, "commit_id")?,
                state: state(&row)?,
                unchanged: number(&row, "unchanged")?,
                notes: from_json(&row, "notes")?,
            })
        })
        .transpose()
    }

    /// Plans, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn plans(&self, limit: u32) -> Result<Vec<PlanRow>, Error> {
        sqlx::query("SELECT * FROM plans ORDER BY generation DESC LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database("list plans"))?
            .iter()
            .map(read)
            .collect()
    }
}

async fn insert(
    transaction: &mut Transaction<'_, Any>,
    plan: &NewPlan,
    repeats: u64,
    since: Timestamp,
) -> Result<(), Error> {
    let writes = plan.actions.iter().filter(|action| action.what != "hold").count();
    sqlx::query(
        "INSERT INTO plans (generation, id, parent, fleet, commit_id, state, writes, unchanged, actions, skipped, notes, \
         repeats, since, recorded_at) VALUES ($1, $2, $3, $4, $5, 'open', $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(signed(plan.generation))
    .bind(&plan.id)
    .bind(plan.parent.as_deref())
    .bind(&plan.fleet)
    .bind(&plan.commit)
    .bind(signed(u64::try_from(writes).unwrap_or(u64::MAX)))
    .bind(signed(plan.unchanged))
    .bind(json(&plan.actions))
    .bind(json(&plan.skipped))
    .bind(json(&plan.notes))
    .bind(signed(repeats))
    .bind(millis(since))
    .bind(millis(plan.at))
    .execute(&mut **transaction)
    .await
    .map_err(Error::database("record a plan"))?;
    sqlx::query("DELETE FROM plans WHERE generation <= (SELECT generation FROM plans ORDER BY generation DESC LIMIT 1 OFFSET $1)")
        .bind(signed(KEPT))
        .execute(&mut **transaction)
        .await
        .map_err(Error::database("record a plan"))?;
    Ok(())
}

fn state(row: &AnyRow) -> Result<PlanState, Error> {
    let word: String = get(row, "state")?;
    let known = [PlanState::Open, PlanState::Applied, PlanState::Dropped];
    known
        .into_iter()
        .find(|state| state.word() == word)
        .ok_or(Error::Column {
            column: "state",
            value: word,
        })
}

fn read(row: &AnyRow) -> Result<PlanRow, Error> {
    Ok(PlanRow {
        generation: number(row, "generation")?,
        id: get(row, "id")?,
        parent: get(row, "parent")?,
        fleet: get(row, "fleet")?,
        commit: get(row, "commit_id")?,
        state: state(row)?,
        why: get(row, "why")?,
        refused: number(row, "refused")?,
        unchanged: number(row, "unchanged")?,
        actions: from_json(row, "actions")?,
        skipped: from_json(row, "skipped")?,
        notes: from_json(row, "notes")?,
        repeats: number(row, "repeats")?,
        since: time(row, "since")?,
        recorded_at: time(row, "recorded_at")?,
        ended_at: optional_time(row, "ended_at")?,
    })
}
