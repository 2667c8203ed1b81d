//! What an application was: which version stood how in which namespace since when, by which commit of whom.

use super::names;
use crate::api::Failure;
use crate::state::Shared;
use herder_base::{AllowedRemote, Commit};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// One line of an application's history.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Past {
    pub(crate) at: Timestamp,
    pub(crate) application: String,
    pub(crate) namespace: String,
    pub(crate) version: String,
    pub(crate) health: String,
    /// Why, in plain words.
    pub(crate) detail: String,
    /// The commit of the config repository that git was read at.
    pub(crate) commit: String,
    /// Who made it, empty if it cannot be had any more.
    pub(crate) author: String,
    /// The first line of what it says.
    pub(crate) subject: String,
    /// The run that caused it, `job/number`; empty if none did.
    pub(crate) run: String,
}

impl Past {
    /// The commit as people say it.
    pub(crate) fn short(&self) -> &str {
        self.commit.get(..12).unwrap_or(&self.commit)
    }
}

impl Shared {
    /// The history of an application, newest first, in one namespace if named.
    pub(crate) async fn deployments(
        &self,
        application: &str,
        namespace: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Past>, Failure> {
        let place = namespace.map(|asked| self.namespace(asked));
        let rows = self
            .ledger
            .deployments(Some(application), place.as_deref(), limit)
            .await?;
        let view = self.view();
        let known = view.applications.iter().any(|row| {
            row.name == application
                && place
                    .as_ref()
                    .is_none_or(|place| row.cells.iter().any(|cell| cell.namespace == *place))
        });
        if rows.is_empty() && !known {
            let asked = namespace.unwrap_or("the fleet");
            let namespace = place.unwrap_or_default();
            return Err(names::no_application(&view, application, asked, &namespace));
        }
        let mut said: BTreeMap<String, (String, String)> = BTreeMap::new();
        for row in &rows {
            if !said.contains_key(&row.commit) {
                let found = self.who_committed(&row.namespace, &row.commit).await;
                said.insert(row.commit.clone(), found);
            }
        }
        Ok(rows
            .into_iter()
            .map(|row| {
                let (author, subject) = said.get(&row.commit).cloned().unwrap_or_default();
                Past {
                    at: row.at,
                    application: row.application,
                    namespace: row.namespace,
                    version: row.version,
                    health: row.health,
                    detail: row.detail,
                    commit: row.commit,
                    author,
                    subject,
                    run: row
                        .run
                        .map(|(job, number)| format!("{job}/{number}"))
                        .unwrap_or_default(),
                }
            })
            .collect())
    }

    /// Where a namespace's config comes from: its environment's repository, or the fleet's own.
    fn config_of(&self, namespace: &str) -> Option<(AllowedRemote, String)> {
        let reading = self.reading()?;
        let mut environments = reading.fleet.environments.iter();
        let config = environments
            .find(|environment| environment.namespace == namespace)
            .and_then(|environment| environment.config.as_ref());
        let (url, branch) = match config {
            Some(config) => (&config.repository, config.branch.as_str()),
            None => (&self.options.fleet, self.options.branch.as_str()),
        };
        let mut places = reading.commits.keys();
        places
            .find(|(remote, reference)| remote.url() == url && reference == branch)
            .cloned()
    }

    /// The commit that a namespace's config was read at; `otherwise` where it has none of its own.
    pub(crate) fn origin(&self, namespace: &str, otherwise: &str) -> String {
        let place = self.config_of(namespace);
        let reading = self.reading();
        let commit = place.and_then(|place| Some(reading?.commits.get(&place)?.to_string()));
        commit.unwrap_or_else(|| otherwise.to_owned())
    }

    /// Author and subject of a commit, as far as its repository still has it.
    async fn who_committed(&self, namespace: &str, commit: &str) -> (String, String) {
        let mut remotes: Vec<AllowedRemote> = self
            .config_of(namespace)
            .map(|(remote, _)| remote)
            .into_iter()
            .collect();
        let fleet = AllowedRemote::own(self.options.fleet.clone());
        if !remotes.contains(&fleet) {
            remotes.push(fleet);
        }
        for remote in remotes {
            if let Ok(info) = self.git.describe(&remote, &Commit::new(commit)).await {
                return (info.author, info.subject);
            }
        }
        (String::new(), String::new())
    }
}
