//! Fleet + what the cluster shows + the ledger → the view. Reads only; decides nothing.

use crate::reading::{self, Reading};
use crate::state::Shared;
use crate::view::{
    Cell, EnvironmentView, Finding, FleetView, Health, NodeView, PassView, PodView, Row, View,
};
use crate::wire::rollouts;
use herder_base::Diagnostic;
use herder_cluster::AppState;
use herder_fleet::{EnvironmentKind, Fleet, UnitOrigin};
use herder_ledger::{Lease, NewDeployment};
use herder_plan::{Effect, Outcome, Plan, What};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Shared {
    /// What a pass did, for the view.
    pub(crate) fn pass_view(&self, plan: &Plan, outcomes: &[Outcome], took: std::time::Duration) -> PassView {
        let wrote = |what: What| {
            outcomes
                .iter()
                .filter(|outcome| {
                    outcome.what == what
                        && matches!(
                            outcome.result,
                            Ok(Effect::Created | Effect::Changed | Effect::Deleted)
                        )
                })
                .count()
        };
        let refused = outcomes
            .iter()
            .filter_map(|outcome| Some(format!("{}: {}", outcome.key, outcome.result.as_ref().err()?)));
        PassView {
            generation: plan.generation,
            at: self.clock.now().to_string(),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            written: wrote(What::Apply),
            deleted: wrote(What::Delete),
            failures: refused.collect(),
            notes: plan.notes.iter().map(ToString::to_string).collect(),
        }
    }

    /// Builds the view anew and rings if it differs.
    pub(crate) async fn refresh_view(&self, pass: Option<PassView>) {
        let last = self.view();
        let leases = self.ledger.leases().await.unwrap_or_default();
        let states = self.cluster.applications();
        let mut view = View {
            pass: pass.unwrap_or_else(|| last.pass.clone()),
            ..View::default()
        };
        if let Some(reading) = self.reading() {
            view.fleet = fleet_view(&self.options.fleet, &reading);
            view.stages = stages(&reading.fleet);
            view.diagnostics = reading.findings();
            view.diagnostics.extend(self.findings_of_hosts());
            view.applications = self.rows(&reading.fleet, &states).await;
            view.environments = self.environments(&reading.fleet, &leases, &states).await;
        }
        if let Some(reason) = self.unreadable.load_full() {
            let finding = crate::view::Finding {
                severity: "error".to_owned(),
                code: "fleet-unreadable".to_owned(),
                at: self.options.fleet.clone(),
                message: reason.to_string(),
                hint: "what runs stays as it is until the repository can be read again".to_owned(),
            };
            view.diagnostics.insert(0, finding);
        }
        view.nodes = self
            .cluster
            .nodes()
            .into_iter()
            .map(|node| NodeView {
                name: node.name,
                ready: node.ready,
                pods: node.pods,
                remarks: node.remarks,
            })
            .collect();
        self.update_rollouts(&states).await;
        self.view.store(Arc::new(view));
        self.live.ring();
    }

    async fn rows(&self, fleet: &Fleet, states: &[AppState]) -> Vec<Row> {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        let wanted = wanted(fleet, self);
        let states: BTreeMap<(&str, &str), &AppState> = states
            .iter()
            .map(|state| ((state.application.as_str(), state.namespace.as_str()), state))
            .collect();
        let mut places: Vec<(&str, &str)> = wanted.keys().copied().collect();
        places.extend(states.keys().filter(|place| !wanted.contains_key(*place)));
        for (application, namespace) in places {
            let want = wanted.get(&(application, namespace));
            let state = states.get(&(application, namespace)).copied();
            if state.is_none() && want.is_none_or(|want| want.is_empty()) {
                continue;
            }
            let cell = self
                .cell(fleet, application, namespace, want.map(String::as_str), state)
                .await;
            let team = fleet
                .application(application)
                .and_then(|found| found.team.clone())
                .unwrap_or_default();
            let row = rows.entry(application.to_owned()).or_insert_with(|| Row {
                name: application.to_owned(),
                team,
                ..Row::default()
            });
            row.cells.push(cell);
        }
        let order = stages(fleet);
        let place = |cell: &Cell| {
            order
                .iter()
                .position(|stage| *stage == cell.stage)
                .unwrap_or(usize::MAX)
        };
        for row in rows.values_mut() {
            row.cells
                .sort_by(|a, b| (place(a), &a.namespace).cmp(&(place(b), &b.namespace)));
            row.health = row.cells.iter().map(|cell| cell.health).min().unwrap_or_default();
        }
        rows.into_values().collect()
    }

    async fn cell(
        &self,
        fleet: &Fleet,
        application: &str,
        namespace: &str,
        want: Option<&str>,
        state: Option<&AppState>,
    ) -> Cell {
        let environment = fleet
            .environments
            .iter()
            .find(|environment| environment.namespace == namespace);
        let unit = fleet.units.iter().find(|unit| unit.namespace == namespace);
        let held = unit.and_then(|unit| {
            unit.held
                .clone()
                .or_else(|| unit.held_applications.get(application).cloned())
        });
        let mut cell = Cell {
            stage: environment.map_or_else(|| namespace.to_owned(), |environment| environment.name.clone()),
            namespace: namespace.to_owned(),
            version: want.unwrap_or_default().to_owned(),
            health: Health::Missing,
            reason: "git has it, the cluster does not (yet)".to_owned(),
            ..Cell::default()
        };
        if let Some(state) = state {
            cell.health = match state.health {
                herder_cluster::Health::Degraded => Health::Degraded,
                herder_cluster::Health::Missing => Health::Missing,
                herder_cluster::Health::Progressing => Health::Progressing,
                herder_cluster::Health::Healthy => Health::Healthy,
            };
            cell.reason.clone_from(&state.reason);
            (cell.ready, cell.desired) = (state.ready, state.desired);
            cell.pods = state.pods.iter().map(pod).collect();
            // Until the cluster has what git wants, it is not healthy whatever its pods say.
            if want.is_some_and(|want| !want.is_empty() && want != state.version)
                && cell.health == Health::Healthy
            {
                cell.health = Health::Progressing;
                cell.reason = format!("{} is running, {} is wanted", state.version, cell.version);
            }
            if cell.version.is_empty() {
                cell.version.clone_from(&state.version);
            }
        }
        if let Some(reason) = held {
            cell.health = Health::Held;
            cell.reason = reason;
        }
        self.remember(application, &mut cell, state).await;
        cell
    }

    /// Since when this version is here, and which run caused it.
    async fn remember(&self, application: &str, cell: &mut Cell, state: Option<&AppState>) {
        let mut rollouts = Vec::new();
        for (kind, name, _) in state.map(|state| state.workloads.as_slice()).unwrap_or_default() {
            rollouts.extend(
                self.ledger
                    .rollouts_to(&cell.namespace, kind, name, 1)
                    .await
                    .unwrap_or_default(),
            );
        }
        if let Some(rollout) = rollouts.first() {
            cell.run = format!("{}/{}", rollout.job, rollout.number);
        }
        if cell.version.is_empty() {
            return;
        }
        // Most cells are as they were a moment ago; only what changed is written down.
        let last = self.view();
        let last = last
            .applications
            .iter()
            .find(|row| row.name == application)
            .and_then(|row| row.cells.iter().find(|last| last.namespace == cell.namespace));
        if let Some(last) = last.filter(|last| {
            (&last.version, last.health) == (&cell.version, cell.health) && !last.since.is_empty()
        }) {
            cell.since.clone_from(&last.since);
            return;
        }
        let deployment = NewDeployment {
            application: application.to_owned(),
            namespace: cell.namespace.clone(),
            version: cell.version.clone(),
            health: cell.health.word().to_owned(),
            detail: cell.reason.clone(),
            commit: self
                .reading()
                .map(|reading| reading::commit(&reading).to_string())
                .unwrap_or_default(),
            run: None,
            at: self.clock.now(),
        };
        self.record_deployment(deployment).await;
        let history = self
            .ledger
            .deployments(Some(application), Some(&cell.namespace), 1)
            .await
            .unwrap_or_default();
        if let Some(last) = history.first() {
            cell.since = last.at.to_string();
        }
    }

    async fn environments(
        &self,
        fleet: &Fleet,
        leases: &[Lease],
        states: &[AppState],
    ) -> Vec<EnvironmentView> {
        let down = self.everything_down.load(Ordering::SeqCst);
        let mut shown = Vec::new();
        let namespaces = self.cluster.namespaces();
        for unit in fleet
            .units
            .iter()
            .filter(|unit| unit.origin != UnitOrigin::Manifests)
        {
            let environment = unit
                .environment
                .as_deref()
                .and_then(|name| fleet.environment(name));
            let developer = environment
                .is_some_and(|environment| matches!(environment.kind, EnvironmentKind::Developer(_)));
            let lease = environment
                .and_then(|environment| leases.iter().find(|lease| lease.environment == environment.name));
            let lease = lease.filter(|lease| lease.until > self.clock.now());
            let mine: Vec<&AppState> = states
                .iter()
                .filter(|state| state.namespace == unit.namespace)
                .collect();
            let wanted: std::collections::BTreeSet<&str> = unit
                .objects
                .iter()
                .filter(|object| object.version.is_some())
                .filter_map(|object| object.application.as_deref())
                .collect();
            let up = !down && (!developer || lease.is_some());
            let all = wanted.iter().all(|name| {
                mine.iter().any(|state| {
                    state.application == *name && state.health == herder_cluster::Health::Healthy
                })
            });
            shown.push(EnvironmentView {
                name: environment
                    .map_or_else(|| unit.namespace.clone(), |environment| environment.name.clone()),
                namespace: unit.namespace.clone(),
                kind: if developer {
                    "developer"
                } else if environment.is_some() {
                    "permanent"
                } else {
                    "discovered"
                }
                .to_owned(),
                up,
                healthy: up && all,
                present: !mine.is_empty() || namespaces.contains(&unit.namespace),
                until: lease.map(|lease| lease.until.to_string()).unwrap_or_default(),
                by: lease.map(|lease| lease.by.clone()).unwrap_or_default(),
                urls: if up { self.urls(unit) } else { Vec::new() },
                held: unit.held.clone().unwrap_or_default(),
            });
        }
        shown
    }

    /// Hosts that the edge refuses, as findings; and a fault in the audit chain, which nobody may overlook.
    fn findings_of_hosts(&self) -> Vec<Finding> {
        let refused = self.refused_hosts.load();
        let hosts = refused.iter().flat_map(|((namespace, name), refusal)| {
            refusal.reasons.iter().map(move |reason| {
                let message = format!("Ingress {namespace}/{name}: {reason}");
                Finding::from(&Diagnostic::error("host-refused", message))
            })
        });
        let fault = self.audit_fault.load_full();
        let fault = fault.map(|reason| Finding::from(&Diagnostic::error("audit", (*reason).clone())));
        fault.into_iter().chain(hosts).collect()
    }

    /// Where a unit's ingresses answer, through this platform's edge.
    fn urls(&self, unit: &herder_fleet::Unit) -> Vec<String> {
        let port = self.edge_http.port();
        let ingresses = unit
            .objects
            .iter()
            .filter(|object| object.key.gvk.kind == "Ingress");
        let rules = ingresses.flat_map(|object| {
            object
                .value
                .pointer("/spec/rules")
                .and_then(|rules| rules.as_array())
                .cloned()
                .unwrap_or_default()
        });
        rules
            .filter_map(|rule| {
                rule.get("host").and_then(Value::as_str).map(|host| {
                    if port == 80 {
                        format!("http://{host}/")
                    } else {
                        format!("http://{host}:{port}/")
                    }
                })
            })
            .collect()
    }

    /// Brings the recorded health of recent rollouts up to date.
    async fn update_rollouts(&self, states: &[AppState]) {
        let open = self.ledger.open_rollouts().await.unwrap_or_default();
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
                if let Err(error) = self.ledger.record_rollout(&rollout).await {
                    tracing::error!(error = %herder_base::chain(&error), "a rollout's health could not be recorded");
                }
            }
        }
    }
}

/// Which version of which application git wants where; the empty string where it names none.
fn wanted<'a>(fleet: &'a Fleet, shared: &Shared) -> BTreeMap<(&'a str, &'a str), String> {
    let mut wanted: BTreeMap<(&str, &str), String> = BTreeMap::new();
    if shared.everything_down.load(Ordering::SeqCst) {
        return wanted;
    }
    let view = shared.view();
    let up = |unit: &herder_fleet::Unit| {
        !unit.leased
            || view
                .environments
                .iter()
                .any(|environment| environment.namespace == unit.namespace && environment.up)
    };
    for (unit, object) in fleet.objects().filter(|(unit, _)| up(unit)) {
        if let Some(application) = object.application.as_deref() {
            let version = wanted.entry((application, unit.namespace.as_str())).or_default();
            if let Some(found) = &object.version {
                version.clone_from(found);
            }
        }
    }
    wanted
}

fn stages(fleet: &Fleet) -> Vec<String> {
    fleet
        .environments
        .iter()
        .filter(|environment| environment.stage.is_some())
        .map(|environment| environment.name.clone())
        .collect()
}

fn fleet_view(url: &str, reading: &Reading) -> FleetView {
    FleetView {
        name: reading.fleet.name.clone(),
        url: url.to_owned(),
        commit: reading::commit(reading).to_string(),
        read_at: reading.at.to_string(),
        namespaces: reading
            .fleet
            .units
            .iter()
            .filter(|unit| !unit.namespace.is_empty())
            .count(),
        objects: reading.fleet.objects().count(),
    }
}

fn pod(pod: &herder_cluster::PodState) -> PodView {
    let state = if pod.ready {
        "ready"
    } else if pod.failing {
        "failing"
    } else {
        "starting"
    };
    PodView {
        name: pod.name.clone(),
        node: pod.node.clone(),
        state,
        reason: pod.reason.clone(),
    }
}
