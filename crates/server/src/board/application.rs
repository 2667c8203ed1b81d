//! One application `/apps/NAME` and why it is as it is `/apps/NAME/NAMESPACE/why`.

use super::frame::{Frame, age, page, span};
use crate::api::Failure;
use crate::state::Shared;
use crate::view::{Cell, Health, PodView, Row, WhyView};
use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use herder_ledger::Actor;
use serde::Deserialize;

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
