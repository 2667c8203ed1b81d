//! Rolling back: a commit in an environment's config repository that gives an application the pins it had there before.

use super::promote::with;
use crate::api::Failure;
use crate::state::Shared;
use herder_base::{AllowList, Namer};
use herder_ledger::Actor;
use herder_plan::{PromoteError, Promotion};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many earlier commits of the file are looked at.
const COMMITS: u32 = 100;

/// What to roll back, where, and how far.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RollbackRequest {
    pub(crate) application: String,
    /// The environment.
    pub(crate) environment: String,
    /// A version, or a commit of the config repository; what was there before if nothing is said.
    pub(crate) to: Option<String>,
    pub(crate) by: String,
    /// Say what would be committed, commit nothing.
    pub(crate) dry_run: bool,
    /// Answer when the version is healthy there, or is not.
    pub(crate) wait: bool,
}

impl Shared {
    /// Looks for what was there before, commits it, and wakes the flow.
    pub(crate) async fn rollback(&self, request: &RollbackRequest, who: &Actor) -> Result<Value, Failure> {
        // The pins may have moved since git was last read.
        self.pass_over(self.bell.read_again()).await?;
        let promotion = self.before(request).await?;
        let moves: Vec<String> = promotion.moves.iter().map(ToString::to_string).collect();
        let about = json!({"application": promotion.application, "from": promotion.from, "to": promotion.to, "repository": promotion.repository, "moves": moves});
        if request.dry_run {
            let message = format!(
                "would commit to {}:\n{}",
                promotion.repository,
                promotion.message()
            );
            return Ok(with(about, "message", message));
        }
        let commit = self.commit_pins(&promotion, None, "rollback", who).await?;
        self.pass_over(self.bell.read_again()).await?;
        let message = format!(
            "committed {} to {}: {}",
            commit.short(),
            promotion.repository,
            moves.join("; ")
        );
        let answer = with(with(about, "message", message), "commit", commit.to_string());
        if request.wait {
            self.wait_healthy(&promotion, answer).await
        } else {
            Ok(answer)
        }
    }

    /// The commit that brings back what was there before, or at the version or commit that was asked for.
    async fn before(&self, request: &RollbackRequest) -> Result<Promotion, Failure> {
        let reading = self.known().await?;
        let (fleet, inputs) = (&reading.fleet, &reading.inputs);
        let (application, to) = (request.application.as_str(), request.environment.as_str());
        let refused = |error: &PromoteError| Failure::invalid(herder_base::chain(error).to_string());
        let place = herder_plan::pinned(fleet, inputs, application, to).map_err(|error| refused(&error))?;
        // An environment's file in the fleet repository names it.
        let remote = AllowList::default()
            .admit(&place.repository, Namer::Fleet)
            .map_err(|refused| Failure::invalid(refused.to_string()))?;
        let history = self
            .git
            .history(&remote, &place.branch, &place.file, COMMITS)
            .await?;
        let mut seen = Vec::new();
        for earlier in history.iter().skip(1) {
            let past = self.git.fetch(&remote, earlier.commit.as_str()).await?;
            let asked = request
                .to
                .as_deref()
                .is_some_and(|wanted| wanted.len() >= 7 && earlier.commit.as_str().starts_with(wanted));
            let found = match herder_plan::rollback(fleet, inputs, application, to, &past) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                // What was pinned long ago may have no place now; what was asked for must have.
                Err(error) if asked || request.to.is_none() => return Err(refused(&error)),
                Err(_) => continue,
            };
            let versions = found.moves.iter().map(|step| step.to.as_str());
            let here = asked
                || request
                    .to
                    .as_deref()
                    .is_none_or(|wanted| versions.clone().any(|version| version == wanted));
            if here {
                return Ok(found);
            }
            seen.extend(versions.map(str::to_owned));
        }
        seen.dedup();
        let failure = match &request.to {
            Some(wanted) => Failure::not_found(format!(
                "`{application}` was never at `{wanted}` in `{to}`, as far as {} commits of {} tell",
                history.len(),
                place.file
            )),
            None => Failure::conflict(format!(
                "`{application}` has had no other pins in `{to}`, as far as {} commits of {} tell",
                history.len(),
                place.file
            )),
        };
        Err(if seen.is_empty() {
            failure.hint(format!(
                "`herder history {application} -n {to}` shows what was there"
            ))
        } else {
            failure.hint(format!("it was at {}", seen.join(", ")))
        })
    }
}
