//! Promotion: a commit in the target environment's config repository that moves exactly an application's pins.

use super::limits;
use crate::api::{Failure, waits_for};
use crate::state::Shared;
use herder_base::{AllowList, Commit, Namer};
use herder_git::{Change, Signature};
use herder_ledger::{Actor, NewPromotion};
use herder_plan::Promotion;
use serde::Deserialize;
use serde_json::{Value, json};

/// What to promote, where to, and from where.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PromoteRequest {
    pub(crate) application: String,
    pub(crate) to: String,
    /// The environment to take the pins from; the stage before if nothing is said.
    pub(crate) from: Option<String>,
    /// Pin this version, built from `reference`, instead of another stage's.
    pub(crate) version: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) by: String,
    /// Say what would be committed, commit nothing.
    pub(crate) dry_run: bool,
    /// Answer when the version is healthy there, or is not.
    pub(crate) wait: bool,
}

impl Shared {
    /// Decides the commit, makes it, and wakes the flow.
    pub(crate) async fn promote(&self, request: &PromoteRequest, who: &Actor) -> Result<Value, Failure> {
        // The pins may have moved since git was last read.
        if !request.dry_run {
            self.pass_over(self.bell.read_again()).await?;
        }
        let promotion = self.decide(request).await?;
        let moves: Vec<String> = promotion.moves.iter().map(ToString::to_string).collect();
        let about = json!({"application": promotion.application, "from": promotion.from, "to": promotion.to, "repository": promotion.repository, "moves": moves});
        if promotion.files.is_empty() {
            return Ok(with(
                about,
                "message",
                format!(
                    "{} already has what {} has: nothing to commit",
                    promotion.to, promotion.from
                ),
            ));
        }
        if request.dry_run {
            return Ok(with(
                about,
                "message",
                format!(
                    "would commit to {}:\n{}",
                    promotion.repository,
                    promotion.message()
                ),
            ));
        }
        let commit = self
            .commit_pins(&promotion, request.version.clone(), "promote", who)
            .await?;
        self.pass_over(self.bell.read_again()).await?;
        let answer = with(
            about,
            "message",
            format!("committed {} to {}", commit.short(), promotion.repository),
        );
        let answer = with(answer, "commit", commit.to_string());
        if request.wait {
            self.wait_healthy(&promotion, answer).await
        } else {
            Ok(answer)
        }
    }

    /// Makes a decided commit, and writes down who did.
    pub(super) async fn commit_pins(
        &self,
        promotion: &Promotion,
        version: Option<String>,
        action: &str,
        who: &Actor,
    ) -> Result<Commit, Failure> {
        let moves: Vec<String> = promotion.moves.iter().map(ToString::to_string).collect();
        let by = who.name();
        let author = Signature {
            name: by.clone(),
            email: "herder@localhost".to_owned(),
            time: self.clock.now(),
        };
        let changes: Vec<Change> = promotion
            .files
            .iter()
            .map(|(path, text)| Change {
                path: path.clone(),
                content: Some(text.clone().into_bytes()),
            })
            .collect();
        // An environment's file in the fleet repository names it.
        let remote = AllowList::default()
            .admit(&promotion.repository, Namer::Fleet)
            .map_err(|refused| Failure::invalid(refused.to_string()))?;
        let commit = self
            .git
            .commit(
                &remote,
                &promotion.branch,
                &promotion.parent,
                &changes,
                &promotion.message(),
                &author,
            )
            .await?;
        let record = NewPromotion {
            application: promotion.application.clone(),
            from: Some(promotion.from.clone()),
            to: promotion.to.clone(),
            version: version.unwrap_or_else(|| {
                promotion
                    .moves
                    .last()
                    .map(|step| step.to.clone())
                    .unwrap_or_default()
            }),
            commit: commit.to_string(),
            author: by,
            detail: moves.join("; "),
            at: self.clock.now(),
        };
        self.ledger.record_promotion(&record).await?;
        self.audit(
            who,
            action,
            &format!("{} to {}", promotion.application, promotion.to),
            &format!("commit {}", commit.short()),
        )
        .await?;
        Ok(commit)
    }

    async fn decide(&self, request: &PromoteRequest) -> Result<Promotion, Failure> {
        let reading = self.known().await?;
        let (fleet, inputs) = (&reading.fleet, &reading.inputs);
        let decided = match (&request.version, &request.reference) {
            (Some(version), Some(reference)) => herder_plan::release(
                fleet,
                inputs,
                &request.application,
                &request.to,
                version,
                reference,
            ),
            (None, None) => herder_plan::promote(
                fleet,
                inputs,
                &request.application,
                request.from.as_deref(),
                &request.to,
            ),
            _ => return Err(Failure::invalid("`version` and `reference` go together")),
        };
        decided.map_err(|error| Failure::invalid(herder_base::chain(&error).to_string()))
    }

    /// Waits until the promoted application is healthy or has failed.
    pub(super) async fn wait_healthy(&self, promotion: &Promotion, answer: Value) -> Result<Value, Failure> {
        let mut bell = self.live.listen();
        let deadline = tokio::time::Instant::now() + limits::HEALTHY;
        loop {
            let view = self.view();
            let row = view
                .applications
                .iter()
                .find(|row| row.name == promotion.application);
            if let Some(cell) = row.and_then(|row| row.cells.iter().find(|cell| cell.stage == promotion.to)) {
                match cell.health {
                    crate::view::Health::Healthy => return Ok(with(answer, "health", "healthy".to_owned())),
                    health if health.needs_attention() => {
                        return Err(Failure::not_healthy(format!(
                            "{} is {} in {}: {}",
                            promotion.application,
                            health.word(),
                            promotion.to,
                            cell.reason
                        ))
                        .hint(format!(
                            "`herder why {} -n {}` tells why",
                            promotion.application, promotion.to
                        )));
                    }
                    health => waits_for(
                        format!(
                            "{} in {}: {} {}",
                            promotion.application,
                            promotion.to,
                            health.word(),
                            cell.reason
                        ),
                        limits::HEALTHY,
                    ),
                }
            }
            if tokio::time::timeout_at(deadline, bell.changed()).await.is_err() {
                return Err(Failure::not_healthy(format!(
                    "{} is not healthy in {} after {}",
                    promotion.application,
                    promotion.to,
                    herder_base::format_duration(limits::HEALTHY)
                )));
            }
        }
    }
}

pub(super) fn with(mut value: Value, field: &str, text: String) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert(field.to_owned(), Value::from(text));
    }
    value
}
