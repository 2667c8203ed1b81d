//! The overview `/`: applications × stages, what needs attention first.

use super::frame::{Frame, age, page, span};
use crate::api::Failure;
use crate::state::Shared;
use crate::view::{Cell, Health, Row, View};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows shown at once; the rest is a page further.
const PAGE: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    q: String,
    page: usize,
    wall: Option<String>,
}

struct ShownCell {
    namespace: String,
    version: String,
    health: Health,
    reason: String,
    ready: u64,
    desired: u64,
    since: String,
    age: String,
    drifted: u64,
}

struct ShownRow {
    name: String,
    team: String,
    slots: Vec<Option<ShownCell>>,
}

struct Quiet {
    name: String,
    count: usize,
    names: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    view: Arc<View>,
    query: String,
    columns: Vec<String>,
    rows: Vec<ShownRow>,
    quiet: Vec<Quiet>,
    failing: usize,
    rolling: usize,
    healthy: usize,
    more: usize,
    next_page: usize,
    builds: Vec<Build>,
}

/// A job whose latest run failed.
struct Build {
    job: String,
    number: u64,
    status: String,
    namespace: String,
    reason: String,
    at: String,
    age: String,
}

/// `GET /`
pub(crate) async fn overview(
    State(shared): State<Shared>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let (view, now) = (shared.view(), shared.clock.now());
    let failed = shared.failed_builds().await?;
    let builds = failed.into_iter().map(|run| {
        let at = run.finished_at.unwrap_or(run.queued_at);
        Build {
            job: run.job,
            number: run.number,
            status: run.status,
            namespace: run.namespace.unwrap_or_default(),
            reason: run.reason.unwrap_or_default(),
            at: at.to_string(),
            age: span(at, now),
        }
    });
    let columns = columns(&view);
    let count = |health: fn(Health) -> bool| {
        view.applications
            .iter()
            .flat_map(|row| &row.cells)
            .filter(|cell| health(cell.health))
            .count()
    };
    let mut matching: Vec<&Row> = view
        .applications
        .iter()
        .filter(|row| row.name.contains(&wanted.q) || row.team.contains(&wanted.q))
        .collect();
    matching.sort_by(|a, b| (a.health, &a.team, &a.name).cmp(&(b.health, &b.team, &b.name)));
    // A fleet small enough to be seen whole is shown whole; a large one folds what is healthy.
    let fold = matching.len() > 25 && wanted.q.is_empty();
    let (shown, folded): (Vec<&Row>, Vec<&Row>) = matching
        .into_iter()
        .partition(|row| !fold || row.health != Health::Healthy);
    let skip = wanted.page * PAGE;
    let more = shown.len().saturating_sub(skip + PAGE);
    let row = |row: &&Row| ShownRow {
        name: row.name.clone(),
        team: row.team.clone(),
        slots: columns
            .iter()
            .map(|stage| {
                row.cells
                    .iter()
                    .find(|cell| &cell.stage == stage)
                    .map(|cell| show(cell, now))
            })
            .collect(),
    };
    Ok(page(&Overview {
        builds: builds.collect(),
        frame: Frame::new(&view, now, wanted.wall.is_some()),
        rows: shown.iter().skip(skip).take(PAGE).map(row).collect(),
        quiet: by_team(&folded),
        failing: count(Health::needs_attention),
        rolling: count(|health| health == Health::Progressing),
        healthy: count(|health| health == Health::Healthy),
        query: wanted.q,
        next_page: wanted.page + 1,
        more,
        columns,
        view,
    }))
}

/// Stages in promotion order, then every other environment that runs an application.
fn columns(view: &View) -> Vec<String> {
    let mut columns = view.stages.clone();
    for cell in view.applications.iter().flat_map(|row| &row.cells) {
        if !columns.contains(&cell.stage) {
            columns.push(cell.stage.clone());
        }
    }
    columns
}

fn show(cell: &Cell, now: jiff::Timestamp) -> ShownCell {
    ShownCell {
        namespace: cell.namespace.clone(),
        version: cell.version.clone(),
        health: cell.health,
        reason: cell.reason.clone(),
        ready: cell.ready,
        desired: cell.desired,
        age: age(&cell.since, now),
        since: cell.since.clone(),
        drifted: cell.drifted,
    }
}

fn by_team(rows: &[&Row]) -> Vec<Quiet> {
    let mut teams: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        teams
            .entry(if row.team.is_empty() { "no team" } else { &row.team })
            .or_default()
            .push(&row.name);
    }
    teams
        .into_iter()
        .map(|(name, names)| Quiet {
            name: name.to_owned(),
            count: names.len(),
            names: names.join(", "),
        })
        .collect()
}
