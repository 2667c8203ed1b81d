//! Writes history: which version of which application stood how in which namespace, and what became of rollouts that runs
//! caused. Owns what was written last of each place. Shows nothing, and is told what to write by whoever watches.

use crate::state::Shared;
use crate::view::View;
use crate::wire::rollouts;
use herder_cluster::AppState;
use herder_ledger::NewDeployment;
use jiff::Timestamp;
use std::collections::BTreeMap;
use tokio::sync::Mutex;
use tracing::error;

/// An application and a namespace.
pub(crate) type Place = (String, String);

/// What was written last of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) version: String,
    pub(crate) health: String,
    pub(crate) at: Timestamp,
}

/// The last standing of every place; `None` until it has been read from the ledger.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Option<BTreeMap<Place, Standing>>>);

/// Which places stand otherwise than was written last. Pure.
pub(crate) fn changes<'a>(
    view: &'a View,
    written: &BTreeMap<Place, Standing>,
) -> Vec<(&'a str, &'a crate::view::Cell)> {
    let cells = view
        .applications
        .iter()
        .flat_map(|row| row.cells.iter().map(move |cell| (row.name.as_str(), cell)));
    cells
        .filter(|(application, cell)| {
            let place = ((*application).to_owned(), cell.namespace.clone());
            !cell.version.is_empty()
                && written.get(&place).is_none_or(|last| {
                    (last.version.as_str(), last.health.as_str())
                        != (cell.version.as_str(), cell.health.word())
                })
        })
        .collect()
}

impl Shared {
    /// What was written last of every place; why not, if the ledger cannot be read. Then nothing is written either,
    /// because everything would look new.
    pub(crate) async fn written(&self) -> Result<BTreeMap<Place, Standing>, herder_ledger::Error> {
        let mut written = self.history.0.lock().await;
        if let Some(written) = &*written {
            return Ok(written.clone());
        }
        let rows = self.ledger.latest_deployments().await?;
        let read = rows.into_iter().map(|row| {
            let standing = Standing {
                version: row.version,
                health: row.health,
                at: row.at,
            };
            ((row.application, row.namespace), standing)
        });
        Ok(written.insert(read.collect()).clone())
    }

    /// Writes down what changed according to a view, for the commit that git was read at.
    pub(crate) async fn write_history(&self, view: &View, written: &BTreeMap<Place, Standing>) {
        let changed: Vec<NewDeployment> = changes(view, written)
            .into_iter()
            .map(|(application, cell)| NewDeployment {
                application: application.to_owned(),
                namespace: cell.namespace.clone(),
                version: cell.version.clone(),
                health: cell.health.word().to_owned(),
                detail: cell.reason.clone(),
                commit: self.origin(&cell.namespace, &view.fleet.commit),
                run: None,
                at: self.clock.now(),
            })
            .collect();
        if changed.is_empty() {
            return;
        }
        if let Err(cause) = self.ledger.record_deployments(&changed).await {
            // Tried again at the next change, since it has not been noted as written.
            return error!(error = %herder_base::chain(&cause), "the ledger could not record deployments");
        }
        if let Some(written) = &mut *self.history.0.lock().await {
            written.extend(changed.into_iter().map(|deployment| {
                let standing = Standing {
                    version: deployment.version,
                    health: deployment.health,
                    at: deployment.at,
                };
                ((deployment.application, deployment.namespace), standing)
            }));
        }
    }

    /// Brings the recorded health of recent rollouts up to date.
    pub(crate) async fn write_rollouts(&self, states: &[AppState]) {
        let open = match self.ledger.open_rollouts().await {
            Ok(open) => open,
            Err(cause) => {
                return error!(error = %herder_base::chain(&cause), "rollouts could not be brought up to date");
            }
        };
        for mut rollout in open {
            let state = states.iter().find(|state| {
                state.namespace == rollout.namespace
                    && state
                        .workloads
                        .iter()
                        .any(|(kind, name, _)| *kind == rollout.kind && *name == rollout.name)
            });
            let (health, detail) = state.map_or((herder_cluster::Health::Missing, String::new()), |state| {
                (state.health, state.reason.clone())
            });
            let superseded = state.is_some_and(|state| {
                state.workloads.iter().any(|(kind, name, generation)| {
                    *kind == rollout.kind && *name == rollout.name && *generation > rollout.generation
                })
            });
            let word = if superseded {
                "superseded"
            } else {
                rollouts::word(health)
            };
            if rollout.health != word || rollout.detail != detail {
                word.clone_into(&mut rollout.health);
                rollout.detail = detail;
                rollout.at = self.clock.now();
                if let Err(cause) = self.ledger.record_rollout(&rollout).await {
                    error!(error = %herder_base::chain(&cause), "a rollout's health could not be recorded");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Cell, Health, Row};

    #[test]
    fn only_what_stands_otherwise_is_written() {
        let cell = |namespace: &str, version: &str, health| Cell {
            namespace: namespace.to_owned(),
            version: version.to_owned(),
            health,
            ..Cell::default()
        };
        let view = View {
            applications: vec![Row {
                name: "shop".to_owned(),
                cells: vec![
                    cell("same", "1", Health::Healthy),
                    cell("worse", "1", Health::Degraded),
                    cell("newer", "2", Health::Healthy),
                    cell("first", "1", Health::Progressing),
                    cell("nameless", "", Health::Healthy),
                ],
                ..Row::default()
            }],
            ..View::default()
        };
        let written = ["same", "worse", "newer"].map(|namespace| {
            let standing = Standing {
                version: "1".to_owned(),
                health: "healthy".to_owned(),
                at: Timestamp::UNIX_EPOCH,
            };
            (("shop".to_owned(), namespace.to_owned()), standing)
        });
        let changed = changes(&view, &BTreeMap::from(written));
        let places: Vec<&str> = changed.iter().map(|(_, cell)| cell.namespace.as_str()).collect();
        assert_eq!(places, ["worse", "newer", "first"]);
    }
}
