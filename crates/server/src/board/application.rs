//! One application `/apps/NAME` and why it is as it is `/apps/NAME/NAMESPACE/why`.

use super::frame::{Frame, age, page, span};
use crate::api::Failure;
use crate::ops::{LogsRequest, Past, RollbackRequest, SuspendRequest, Suspension};
use crate::state::Shared;
use crate::view::{Cell, Health, PodView, Row, WhyView};
use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use futures::StreamExt;
use herder_ledger::Actor;
use serde::Deserialize;

/// Events shown on an application's page.
const EVENTS: usize = 30;
/// Lines of each container shown on a page of logs.
const LINES: i64 = 200;

struct From {
    stage: String,
    version: String,
    /// Whether that is older than what is there.
    downgrade: bool,
}

struct Stage {
    stage: String,
    namespace: String,
    version: String,
    health: Health,
    reason: String,
    ready: u64,
    desired: u64,
    since: String,
    age: String,
    run: String,
    pods: Vec<PodView>,
    promote_from: Option<From>,
    /// Until when it is suspended, and by whom.
    suspended: String,
}

struct EventLine {
    at: String,
    age: String,
    class: &'static str,
    stage: String,
    object: String,
    reason: String,
    message: String,
    count: u64,
}

struct LogLine {
    place: String,
    text: String,
}

struct PromotionLine {
    at: String,
    age: String,
    version: String,
    from: String,
    to: String,
    by: String,
    commit: String,
}

#[derive(Template)]
#[template(path = "application.html")]
struct ApplicationPage {
    frame: Frame,
    row: Row,
    cells: Vec<Stage>,
    promotions: Vec<PromotionLine>,
    history: Vec<Past>,
    events: Vec<EventLine>,
}

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage {
    frame: Frame,
    application: String,
    namespace: String,
    lines: Vec<LogLine>,
    empty: String,
}

#[derive(Template)]
#[template(path = "why.html")]
struct WhyPage {
    frame: Frame,
    application: String,
    namespace: String,
    why: WhyView,
}

/// `GET /apps/NAME`
pub(crate) async fn application(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let (view, now) = (shared.view(), shared.clock.now());
    let row = view.applications.iter().find(|row| row.name == name);
    let row = row
        .cloned()
        .ok_or_else(|| Failure::not_found(format!("no application `{name}`")))?;
    let promotions = shared.ledger.promotions(Some(&name), 20).await?;
    let promotions = promotions.into_iter().map(|item| PromotionLine {
        age: span(item.at, now),
        at: item.at.to_string(),
        version: item.version,
        from: item.from.unwrap_or_else(|| "a build".to_owned()),
        to: item.to,
        by: item.author,
        commit: item.commit.get(..12).unwrap_or(&item.commit).to_owned(),
    });
    let history = shared.deployments(&name, None, 30).await?;
    let suspensions = shared.suspensions().await?;
    let mut events: Vec<(Option<jiff::Timestamp>, EventLine)> = Vec::new();
    for cell in &row.cells {
        for event in shared.cluster.events(&cell.namespace, &name, EVENTS) {
            let line = EventLine {
                at: event.at.map(|at| at.to_string()).unwrap_or_default(),
                age: event.at.map(|at| span(at, now)).unwrap_or_default(),
                class: if event.kind == "Warning" { "degraded" } else { "" },
                stage: cell.stage.clone(),
                object: event.object,
                reason: event.reason,
                message: event.message,
                count: event.count,
            };
            events.push((event.at, line));
        }
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.0));
    events.truncate(EVENTS);
    let mut cells = Vec::new();
    let mut before: Option<&Cell> = None;
    for cell in &row.cells {
        let staged = view.stages.contains(&cell.stage);
        let ahead = before
            .filter(|before| staged && before.version != cell.version && before.health == Health::Healthy);
        cells.push(Stage {
            stage: cell.stage.clone(),
            namespace: cell.namespace.clone(),
            version: cell.version.clone(),
            health: cell.health,
            reason: cell.reason.clone(),
            ready: cell.ready,
            desired: cell.desired,
            since: cell.since.clone(),
            age: age(&cell.since, now),
            run: cell.run.clone(),
            pods: cell.pods.clone(),
            suspended: suspensions
                .iter()
                .find(|one| one.application == name && one.namespace == cell.namespace)
                .map(Suspension::why)
                .unwrap_or_default(),
            promote_from: ahead.map(|ahead| From {
                stage: ahead.stage.clone(),
                downgrade: herder_fleet::is_older(&ahead.version, &cell.version),
                version: ahead.version.clone(),
            }),
        });
        if staged {
            before = Some(cell);
        }
    }
    Ok(page(&ApplicationPage {
        frame: Frame::new(&view, now, false),
        cells,
        promotions: promotions.collect(),
        history,
        events: events.into_iter().map(|(_, line)| line).collect(),
        row,
    }))
}

/// `GET /apps/NAME/NAMESPACE/why`
pub(crate) async fn why(
    State(shared): State<Shared>,
    Path((application, namespace)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let why = shared.why(&application, &namespace).await?;
    let frame = Frame::new(&shared.view(), shared.clock.now(), false);
    Ok(page(&WhyPage {
        frame,
        application,
        namespace,
        why,
    }))
}

#[derive(Debug, Deserialize)]
pub(crate) struct PromoteForm {
    to: String,
}

/// `POST /apps/NAME/promote`
pub(crate) async fn promote(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Path(name): Path<String>,
    Form(form): Form<PromoteForm>,
) -> Result<Response, Failure> {
    shared
        .promote(
            &crate::ops::PromoteRequest {
                application: name.clone(),
                to: form.to,
                ..Default::default()
            },
            &who,
        )
        .await?;
    Ok(Redirect::to(&format!("/apps/{name}")).into_response())
}

/// `GET /apps/NAME/NAMESPACE/logs`: the last lines of every container, of those that start a pod as well.
pub(crate) async fn logs(
    State(shared): State<Shared>,
    Path((application, namespace)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let request = LogsRequest {
        application: application.clone(),
        namespace: namespace.clone(),
        tail: Some(LINES),
        ..LogsRequest::default()
    };
    let (mut lines, mut empty) = (Vec::new(), String::new());
    match shared.logs(&request).await {
        Ok(mut log) => {
            while let Some(portion) = log.next().await {
                let portion = String::from_utf8_lossy(&portion);
                lines.extend(portion.lines().map(|line| {
                    let (place, text) = line.split_once(": ").unwrap_or(("", line));
                    LogLine {
                        place: place.to_owned(),
                        text: text.to_owned(),
                    }
                }));
            }
        }
        // That there is none yet is worth a page, not a failure.
        Err(failure) if failure.is_conflict() => failure.for_people().0.clone_into(&mut empty),
        Err(failure) => return Err(failure),
    }
    Ok(page(&LogsPage {
        frame: Frame::new(&shared.view(), shared.clock.now(), false),
        application,
        namespace,
        lines,
        empty,
    }))
}

/// `POST /apps/NAME/NAMESPACE/rollback`
pub(crate) async fn rollback(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Path((application, environment)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let to = format!("/apps/{application}");
    let request = RollbackRequest {
        application,
        environment,
        ..RollbackRequest::default()
    };
    shared.rollback(&request, &who).await?;
    Ok(Redirect::to(&to).into_response())
}

/// `POST /apps/NAME/NAMESPACE/suspend`
pub(crate) async fn suspend(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Path(place): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (to, request) = at(place);
    shared.suspend(&request, &who).await?;
    Ok(Redirect::to(&to).into_response())
}

/// `POST /apps/NAME/NAMESPACE/resume`
pub(crate) async fn resume(
    State(shared): State<Shared>,
    Extension(who): Extension<Actor>,
    Path(place): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (to, request) = at(place);
    shared.resume(&request, &who).await?;
    Ok(Redirect::to(&to).into_response())
}

fn at((application, namespace): (String, String)) -> (String, SuspendRequest) {
    let to = format!("/apps/{application}");
    let request = SuspendRequest {
        application,
        namespace,
        ..SuspendRequest::default()
    };
    (to, request)
}
