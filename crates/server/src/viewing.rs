//! Fleet + what the cluster shows + the ledger → the view: pure functions of a [`Seen`]. Writes nothing, decides nothing,
//! and knows nothing of the view before.

use crate::findings;
use crate::flow::VaultRefusal;
use crate::history::{Place, Standing};
use crate::ops::Suspension;
use crate::reading::{self, Reading};
use crate::standing::standing;
use crate::state::Shared;
use crate::view::{
    Cell, DownView, EnvironmentView, Finding, FleetView, Health, Looked, NodeView, PassView, PodView, Row,
    View,
};
use herder_base::{Diagnostic, Severity, Url};
use herder_cluster::{AppState, NodeState};
use herder_fleet::{EnvironmentKind, Fleet, UnitOrigin};
use herder_ledger::{Lease, Rollout};
use herder_plan::{Effect, Known, Outcome, Part, Plan, What};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Everything a view is made from, as it was at one moment.
struct Seen<'a> {
    reading: Option<&'a Reading>,
    fleet_url: &'a Url,
    unreadable: Option<&'a str>,
    everything_down: bool,
    leases: Known<Vec<Lease>>,
    suspensions: Known<Vec<Suspension>>,
    states: Vec<AppState>,
    nodes: Vec<NodeState>,
    namespaces: BTreeSet<String>,
    written: Known<BTreeMap<Place, Standing>>,
    rollouts: Known<Vec<Rollout>>,
    /// What Vault refused, and why.
    refused: Vec<(Part, String, VaultRefusal)>,
    /// Hosts that the edge refuses, and a fault of the audit chain.
    alarms: Vec<Finding>,
    pass: PassView,
    edge_port: u16,
    looked: Looked,
    down: Option<DownView>,
    now: Timestamp,
}

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
        let told = standing(plan, &self.cluster.lessons());
        PassView {
            generation: plan.generation,
            at: self.clock.now().to_string(),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            written: wrote(What::Apply),
            deleted: wrote(What::Delete),
            failures: told.refusals.iter().map(|refusal| refusal.text.clone()).collect(),
            refusals: told.refusals,
            absent: told.absent,
            ended: told.ended,
            findings: told.findings,
            // What asks something of somebody is a finding.
            notes: plan
                .notes
                .iter()
                .filter(|note| note.severity == Severity::Note)
                .map(ToString::to_string)
                .collect(),
        }
    }

    /// Looks at everything, shows it, and has what changed written down.
    pub(crate) async fn refresh_view(&self, pass: Option<PassView>) {
        let reading = self.reading();
        let unreadable = self.unreadable.load_full();
        let seen = Seen {
            reading: reading.as_deref(),
            fleet_url: &self.options.fleet,
            unreadable: unreadable.as_deref().map(String::as_str),
            everything_down: self.everything_down.load(Ordering::SeqCst),
            leases: Known::of(self.ledger.leases().await),
            suspensions: Known::of(self.suspensions().await),
            states: self.cluster.applications(),
            nodes: self.cluster.nodes(),
            namespaces: self.cluster.namespaces().into_iter().collect(),
            written: Known::of(self.written().await),
            rollouts: Known::of(self.ledger.latest_rollouts().await),
            refused: self.access.refusals(),
            alarms: self.alarms(),
            pass: pass.unwrap_or_else(|| self.view().pass.clone()),
            edge_port: self.edge_http.port(),
            looked: self.looked.clone(),
            down: self.left(reading.as_deref()).await,
            now: self.clock.now(),
        };
        let view = view(&seen);
        self.write_rollouts(&seen.states).await;
        if let Known::Known(written) = &seen.written {
            self.write_history(&view, written).await;
        }
        self.view.store(Arc::new(view));
        self.live.ring();
    }
}

impl Shared {
    /// What is still in the cluster although everything was taken down.
    async fn left(&self, reading: Option<&Reading>) -> Option<DownView> {
        let fleet = &reading?.fleet.name;
        if !self.everything_down.load(Ordering::SeqCst) {
            return None;
        }
        Some(match self.cluster.owned(fleet).await {
            Ok(left) => DownView {
                left: Some(left.len()),
                names: left.iter().take(20).map(ToString::to_string).collect(),
            },
            Err(_) => DownView::default(),
        })
    }

    /// Hosts that the edge refuses, as findings; and a fault in the audit chain, which nobody may overlook.
    fn alarms(&self) -> Vec<Finding> {
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
}

fn view(seen: &Seen<'_>) -> View {
    let mut view = View {
        pass: seen.pass.clone(),
        down: seen.down.clone(),
        ..View::default()
    };
    if let Some(reading) = seen.reading {
        view.fleet = fleet_view(seen, reading);
        view.stages = stages(&reading.fleet);
        let told = findings::tell(&reading.diagnostics, &reading.fleet.acknowledged, seen.now);
        (view.diagnostics, view.acknowledged) = (told.news, told.known);
        view.diagnostics.extend(refusals(seen, &reading.fleet));
        view.diagnostics.extend(seen.pass.findings.iter().cloned());
        view.diagnostics.extend(seen.alarms.iter().cloned());
        view.applications = rows(seen, &reading.fleet);
        view.environments = environments(seen, &reading.fleet);
    }
    let finding = |code: &str, message: String, hint: &str| Finding {
        severity: "error".to_owned(),
        code: code.to_owned(),
        message,
        hint: hint.to_owned(),
        times: 1,
        ..Finding::default()
    };
    let ledger = [
        unknown(&seen.leases),
        unknown(&seen.suspensions),
        unknown(&seen.written),
        unknown(&seen.rollouts),
    ];
    if let Some(why) = ledger.into_iter().flatten().next() {
        let hint = "leases and history are unknown until it answers: developer environments stay as they are";
        view.diagnostics
            .insert(0, finding("ledger-unreadable", why.to_owned(), hint));
    }
    if let Some(reason) = seen.unreadable {
        let hint = "what runs stays as it is until the repository can be read again";
        let mut finding = finding("fleet-unreadable", reason.to_owned(), hint);
        finding.at = seen.fleet_url.to_string();
        view.diagnostics.insert(0, finding);
    }
    let nodes = seen.nodes.iter().map(|node| NodeView {
        name: node.name.clone(),
        ready: node.ready,
        pods: node.pods,
        remarks: node.remarks.clone(),
    });
    view.nodes = nodes.collect();
    view
}

/// What Vault would not take, at the place in git it comes from.
fn refusals(seen: &Seen<'_>, fleet: &Fleet) -> Vec<Finding> {
    let place = |part: Part, name: &str| {
        let policy = fleet.policies.iter().find(|policy| policy.name == name);
        let role = fleet.roles.iter().find(|role| role.name == name);
        match part {
            Part::Role => role.map(|role| role.source.to_string()),
            _ => policy.map(|policy| policy.source.to_string()),
        }
    };
    let found = seen.refused.iter().map(|(part, name, refusal)| Finding {
        severity: "error".to_owned(),
        code: "vault-refused".to_owned(),
        at: place(*part, name).unwrap_or_default(),
        message: format!(
            "Vault refused to {}: {}",
            refusal.change(*part, name),
            refusal.why
        ),
        hint: "what Vault holds of it stays in force; every other policy and role is as git says".to_owned(),
        times: 1,
        also: Vec::new(),
    });
    found.collect()
}

fn unknown<T>(input: &Known<T>) -> Option<&str> {
    match input {
        Known::Known(_) => None,
        Known::Unknown(why) => Some(why),
    }
}

fn rows(seen: &Seen<'_>, fleet: &Fleet) -> Vec<Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let wanted = wanted(seen, fleet);
    let states: BTreeMap<(&str, &str), &AppState> = seen
        .states
        .iter()
        .map(|state| ((state.application.as_str(), state.namespace.as_str()), state))
        .collect();
    let mut places: Vec<(&str, &str)> = wanted.keys().copied().collect();
    places.extend(states.keys().filter(|place| !wanted.contains_key(*place)));
    for (application, namespace) in places {
        let want = wanted.get(&(application, namespace));
        let state = states.get(&(application, namespace)).copied();
        // A Job that has ended and went is nothing that is missing.
        let ended = || {
            let place = (application.to_owned(), namespace.to_owned());
            seen.pass.ended.contains(&place)
        };
        if state.is_none() && (want.is_none_or(|want| want.is_empty()) || ended()) {
            continue;
        }
        let cell = cell(
            seen,
            fleet,
            application,
            namespace,
            want.map(String::as_str),
            state,
        );
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

fn cell(
    seen: &Seen<'_>,
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
    let held = held.or_else(|| suspended(seen, application, namespace));
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
        if !state.serving.is_empty() && state.serving != cell.version {
            cell.serving.clone_from(&state.serving);
            let how = match cell.health {
                Health::Degraded | Health::Missing => "fails",
                _ => "is on its way",
            };
            cell.reason = format!("{} serves, {} {how}: {}", cell.serving, cell.version, cell.reason);
        }
    }
    // What is left out is no part of what runs: it is never all as it should be.
    let absent = seen
        .pass
        .absent
        .iter()
        .find(|absent| absent.is_about(application, namespace));
    if let Some(absent) = absent.filter(|_| cell.health >= Health::Progressing) {
        cell.health = Health::Incomplete;
        cell.reason.clone_from(&absent.text);
    }
    if let Some(reason) = held {
        cell.health = Health::Held;
        cell.reason = reason;
    }
    remember(seen, application, &mut cell, state);
    cell
}

/// Why an application is left as it is on purpose, if it is.
fn suspended(seen: &Seen<'_>, application: &str, namespace: &str) -> Option<String> {
    let Known::Known(all) = &seen.suspensions else {
        return None;
    };
    let mut all = all.iter();
    let one = all.find(|one| (one.application.as_str(), one.namespace.as_str()) == (application, namespace));
    one.map(Suspension::why)
}

/// Since when it stands so, and which run caused it.
fn remember(seen: &Seen<'_>, application: &str, cell: &mut Cell, state: Option<&AppState>) {
    let workloads = state.map(|state| state.workloads.as_slice()).unwrap_or_default();
    if let Known::Known(rollouts) = &seen.rollouts {
        let caused = workloads.iter().find_map(|(kind, name, _)| {
            rollouts.iter().find(|rollout| {
                (&rollout.namespace, &rollout.kind, &rollout.name) == (&cell.namespace, kind, name)
            })
        });
        if let Some(rollout) = caused {
            cell.run = format!("{}/{}", rollout.job, rollout.number);
        }
    }
    if cell.version.is_empty() {
        return;
    }
    let Known::Known(written) = &seen.written else {
        return;
    };
    let last = written.get(&(application.to_owned(), cell.namespace.clone()));
    let since = last
        .filter(|last| (last.version.as_str(), last.health.as_str()) == (&*cell.version, cell.health.word()))
        .map_or(seen.now, |last| last.at);
    cell.since = since.to_string();
}

fn environments(seen: &Seen<'_>, fleet: &Fleet) -> Vec<EnvironmentView> {
    let mut shown = Vec::new();
    for unit in fleet
        .units
        .iter()
        .filter(|unit| unit.origin != UnitOrigin::Manifests)
    {
        let environment = unit
            .environment
            .as_deref()
            .and_then(|name| fleet.environment(name));
        let developer =
            environment.is_some_and(|environment| matches!(environment.kind, EnvironmentKind::Developer(_)));
        let lease = environment.and_then(|environment| lease(seen, &environment.name));
        let mine: Vec<&AppState> = seen
            .states
            .iter()
            .filter(|state| state.namespace == unit.namespace)
            .collect();
        let wanted: std::collections::BTreeSet<&str> = unit
            .objects
            .iter()
            .filter(|object| object.version.is_some())
            .filter_map(|object| object.application.as_deref())
            .collect();
        let up = !seen.everything_down && (!developer || lease.is_some());
        let whole = unit.left_out.is_empty()
            && unit.incomplete.is_none()
            && !seen
                .pass
                .absent
                .iter()
                .any(|absent| absent.namespace == unit.namespace);
        let all = whole
            && wanted.iter().all(|name| {
                mine.iter().any(|state| {
                    state.application == *name && state.health == herder_cluster::Health::Healthy
                })
            });
        shown.push(EnvironmentView {
            name: environment.map_or_else(|| unit.namespace.clone(), |environment| environment.name.clone()),
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
            present: !mine.is_empty() || seen.namespaces.contains(&unit.namespace),
            until: lease.map(|lease| lease.until.to_string()).unwrap_or_default(),
            by: lease.map(|lease| lease.by.clone()).unwrap_or_default(),
            urls: if up {
                urls(seen.edge_port, unit)
            } else {
                Vec::new()
            },
            held: unit.held.clone().unwrap_or_default(),
        });
    }
    shown
}

/// Where a unit's ingresses answer, through this platform's edge.
fn urls(port: u16, unit: &herder_fleet::Unit) -> Vec<String> {
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

/// The lease of an environment that has not ended; none while leases are unknown.
fn lease<'a>(seen: &'a Seen<'_>, environment: &str) -> Option<&'a Lease> {
    let Known::Known(leases) = &seen.leases else {
        return None;
    };
    leases
        .iter()
        .find(|lease| lease.environment == environment && lease.until > seen.now)
}

/// Which version of which application git wants where; the empty string where it names none.
fn wanted<'a>(seen: &Seen<'_>, fleet: &'a Fleet) -> BTreeMap<(&'a str, &'a str), String> {
    let mut wanted: BTreeMap<(&str, &str), String> = BTreeMap::new();
    if seen.everything_down {
        return wanted;
    }
    let up = |unit: &herder_fleet::Unit| {
        !unit.leased
            || unit
                .environment
                .as_deref()
                .is_some_and(|name| lease(seen, name).is_some())
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

fn fleet_view(seen: &Seen<'_>, reading: &Reading) -> FleetView {
    FleetView {
        name: reading.fleet.name.clone(),
        url: seen.fleet_url.to_string(),
        commit: reading::commit(reading).to_string(),
        read_at: reading.at.to_string(),
        looked_at: seen.looked.clone(),
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
