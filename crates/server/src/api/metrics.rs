//! `/metrics` in OpenMetrics text, for whoever has the token; `/readyz` for whoever starts and watches Herder.

use super::Failure;
use crate::state::Shared;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use herder_edge::RouteMetrics;
use http::{StatusCode, header};
use std::fmt::Write;

/// What scrapers know it by.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text as it grows: families with their samples.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a family.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _written = write!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}\n");
    }

    /// One sample. `name` is the family's, with `_total` for counters and `_info` for infos.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _written = write!(self.0, "{name}");
        for (at, (label, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _written = write!(self.0, "{before}{label}=\"{value}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _written = writeln!(self.0, "{end} {value}");
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(State(shared): State<Shared>) -> Result<Response, Failure> {
    let mut text = Text::default();
    fleet(&mut text, &shared);
    let jobs = shared
        .jobs
        .list()
        .await
        .map_err(|error| Failure::upstream(&error))?;
    text.family(
        "herder_job_runs_active",
        "gauge",
        "Runs of a job that go on or wait.",
    );
    for job in &jobs {
        let name = [("job", job.definition.name.as_str())];
        let state = |word| [name[..].to_vec(), vec![("state", word)]].concat();
        text.sample("herder_job_runs_active", &state("running"), job.running.len());
        text.sample("herder_job_runs_active", &state("queued"), job.queued.len());
    }
    text.family(
        "herder_job_last_run",
        "gauge",
        "1 for the status of a job's latest run.",
    );
    for run in shared.ledger.latest_runs().await? {
        let labels = [("job", run.job.as_str()), ("status", run.status.as_str())];
        text.sample("herder_job_last_run", &labels, 1);
    }
    if let Some(edge) = shared.edge.get() {
        routes(&mut text, &edge.metrics());
    }
    text.0.push_str("# EOF\n");
    Ok(([(header::CONTENT_TYPE, KIND)], text.0).into_response())
}

fn fleet(text: &mut Text, shared: &Shared) {
    let view = shared.view();
    text.family("herder_build", "info", "This program.");
    text.sample("herder_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("herder_fleet", "info", "The fleet and the commit that was read.");
    let labels = [("fleet", &*view.fleet.name), ("commit", &*view.fleet.commit)];
    text.sample("herder_fleet_info", &labels, 1);
    let seconds = |at: &str| {
        at.parse::<jiff::Timestamp>()
            .map(|at| at.as_second())
            .unwrap_or_default()
    };
    text.family(
        "herder_git_read_timestamp_seconds",
        "gauge",
        "When git was last read; 0 before.",
    );
    text.sample(
        "herder_git_read_timestamp_seconds",
        &[],
        seconds(&view.fleet.read_at),
    );
    text.family(
        "herder_git_looked_timestamp_seconds",
        "gauge",
        "When git was last looked at; 0 before.",
    );
    let looked = seconds(&shared.looked.text());
    text.sample("herder_git_looked_timestamp_seconds", &[], looked);
    text.family(
        "herder_findings",
        "gauge",
        "What is wrong with what git says, by severity.",
    );
    for severity in ["error", "warning"] {
        let found = view
            .diagnostics
            .iter()
            .filter(|finding| finding.severity == severity);
        let count: usize = found.map(|finding| finding.times).sum();
        text.sample("herder_findings", &[("severity", severity)], count);
    }
    text.family("herder_passes", "counter", "Passes that made git true.");
    text.sample("herder_passes_total", &[], view.pass.generation);
    text.family(
        "herder_pass_duration_milliseconds",
        "gauge",
        "How long the last pass took.",
    );
    text.sample("herder_pass_duration_milliseconds", &[], view.pass.milliseconds);
    text.family(
        "herder_pass_refused",
        "gauge",
        "Changes that the cluster refused in the last pass.",
    );
    text.sample("herder_pass_refused", &[], view.pass.failures.len());
    text.family(
        "herder_nodes",
        "gauge",
        "Machines of the cluster, by whether they take pods.",
    );
    for (word, ready) in [("true", true), ("false", false)] {
        let nodes = view.nodes.iter().filter(|node| node.ready == ready).count();
        text.sample("herder_nodes", &[("ready", word)], nodes);
    }
    text.family(
        "herder_application_health",
        "gauge",
        "1 for how an application is in a namespace.",
    );
    let cells = || {
        view.applications
            .iter()
            .flat_map(|row| row.cells.iter().map(move |cell| (row, cell)))
    };
    for (row, cell) in cells() {
        let labels = [
            ("application", &*row.name),
            ("namespace", &*cell.namespace),
            ("version", &*cell.version),
            ("health", cell.health.word()),
        ];
        text.sample("herder_application_health", &labels, 1);
    }
    for (name, help, value) in [
        ("herder_application_pods_ready", "Pods that are ready.", 0),
        ("herder_application_pods_wanted", "Pods that are wanted.", 1),
    ] {
        text.family(name, "gauge", help);
        for (row, cell) in cells() {
            let labels = [("application", &*row.name), ("namespace", &*cell.namespace)];
            text.sample(name, &labels, if value == 0 { cell.ready } else { cell.desired });
        }
    }
}

fn routes(text: &mut Text, all: &[RouteMetrics]) {
    text.family(
        "herder_edge_requests",
        "counter",
        "Requests that the edge received.",
    );
    for route in all {
        text.sample(
            "herder_edge_requests_total",
            &[("route", &route.route)],
            route.requests,
        );
    }
    text.family(
        "herder_edge_answers",
        "counter",
        "Answers that the edge passed on, by class.",
    );
    for route in all {
        for (class, number) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(route.statuses) {
            let labels = [("route", route.route.as_str()), ("class", *class)];
            text.sample("herder_edge_answers_total", &labels, number);
        }
    }
    text.family(
        "herder_edge_errors",
        "counter",
        "Requests that the edge had to answer with an error of its own.",
    );
    for route in all {
        text.sample(
            "herder_edge_errors_total",
            &[("route", &route.route)],
            route.errors,
        );
    }
    text.family("herder_edge_active", "gauge", "Requests in flight.");
    for route in all {
        text.sample("herder_edge_active", &[("route", &route.route)], route.active);
    }
}

/// `GET /readyz`: whether git has been read and a first pass made, with a line for each part.
pub(crate) async fn ready(State(shared): State<Shared>) -> Response {
    let git = match (shared.reading(), shared.unreadable.load_full()) {
        (Some(_), _) => Ok(()),
        (None, Some(why)) => Err((*why).clone()),
        (None, None) => Err("not read yet".to_owned()),
    };
    let pass = if shared.view().pass.generation > 0 {
        Ok(())
    } else {
        Err("no pass was made yet".to_owned())
    };
    let ledger = shared.ledger.leases().await.map(drop);
    let ledger = ledger.map_err(|error| herder_base::chain(&error).to_string());
    let mut text = String::new();
    let mut status = StatusCode::OK;
    for (part, is) in [("git", git), ("pass", pass), ("ledger", ledger)] {
        match is {
            Ok(()) => text.push_str(&format!("[+]{part} ok\n")),
            // What is wrong may name what only who is signed in may know.
            Err(why) => {
                tracing::debug!(part, %why, "not ready");
                status = StatusCode::SERVICE_UNAVAILABLE;
                text.push_str(&format!("[-]{part} not ready\n"));
            }
        }
    }
    let end = if status == StatusCode::OK {
        "readyz check passed\n"
    } else {
        "readyz check failed\n"
    };
    (status, text + end).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_hostile_and_families_whole() {
        let mut text = Text::default();
        text.family("herder_x", "gauge", "X.");
        text.sample("herder_x", &[("a", "q\"\\\nz"), ("b", "")], 3);
        text.sample("herder_y_total", &[], 0.5);
        let wanted = "# TYPE herder_x gauge\n# HELP herder_x X.\nherder_x{a=\"q\\\"\\\\\\nz\",b=\"\"} 3\nherder_y_total 0.5\n";
        assert_eq!(text.0, wanted);
    }
}
