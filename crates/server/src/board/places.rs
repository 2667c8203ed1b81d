//! Environments, the cluster's nodes and the audit log.

use super::frame::{Frame, page, span};
use crate::api::Failure;
use crate::state::Shared;
use crate::view::{EnvironmentView, NodeView, PassView};
use askama::Template;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use herder_ledger::Actor;

#[derive(Template)]
#[template(path = "environments.html")]
struct EnvironmentsPage {
    frame: Frame,
    environments: Vec<EnvironmentView>,
}

#[derive(Template)]
#[template(path = "cluster.html")]
struct ClusterPage {
    frame: Frame,
    nodes: Vec<NodeView>,
    pass: PassView,
}

struct Entry {
    at: String,
    shown: String,
    age: String,
    who: String,
    what: String,
    subject: String,
    rest: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    verdict: String,
    entries: Vec<Entry>,
}

/// `GET /environments`
pub(crate) async fn environments(State(shared): State<Shared>) -> Response {
    let view = shared.view();
    let frame = Frame::new(&view, shared.clock.now(), false);
    page(&EnvironmentsPage {
        frame,
        environments: view.environments.clone(),
    })
}

/// `POST /environments/NAME/up`
pub(crate) async fn up(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    shared.environment_up(&name, None, &who).await?;
    Ok(Redirect::to("/environments").into_response())
}

/// `POST /environments/NAME/down`
pub(crate) async fn down(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    shared.environment_down(&name, &who).await?;
    Ok(Redirect::to("/environments").into_response())
}

/// `GET /cluster`
pub(crate) async fn cluster(State(shared): State<Shared>) -> Response {
    let view = shared.view();
    let frame = Frame::new(&view, shared.clock.now(), false);
    page(&ClusterPage {
        frame,
        nodes: view.nodes.clone(),
        pass: view.pass.clone(),
    })
}

/// `GET /audit`
pub(crate) async fn audit(State(shared): State<Shared>) -> Result<Response, Failure> {
    let now = shared.clock.now();
    let report = shared.ledger.verify().await?;
    let verdict = match report.fault {
        None => format!("The chain of {} entries is whole and sealed.", report.checked),
        Some(fault) => format!("The chain is broken: {fault}."),
    };
    let entries = shared.ledger.audit_log(None, 200).await?;
    let entries = entries.into_iter().map(|entry| {
        let (subject, rest) = fold(&entry.subject);
        Entry {
            age: span(entry.at, now),
            at: entry.at.to_string(),
            shown: entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            who: entry.actor,
            what: entry.action,
            subject,
            rest,
            detail: entry.detail,
        }
    });
    Ok(page(&AuditPage {
        frame: Frame::new(&shared.view(), now, false),
        verdict,
        entries: entries.collect(),
    }))
}

/// A long list of names as its first few and the rest, which the page keeps folded.
fn fold(names: &str) -> (String, String) {
    const SHOWN: usize = 3;
    let all: Vec<&str> = names.split(' ').collect();
    match all.split_at_checked(SHOWN) {
        Some((first, rest)) if rest.len() > 1 => (
            format!("{} and {} more", first.join(" "), rest.len()),
            rest.join(" "),
        ),
        _ => (names.to_owned(), String::new()),
    }
}
