//! Requests that only look: status, plan, why, logs, audit.

use super::Failure;
use crate::ops::LogsRequest;
use crate::state::Shared;
use crate::view::View;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use herder_ledger::Actor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `GET /api/v1/status`
pub(crate) async fn status(State(shared): State<Shared>) -> Result<Response, Failure> {
    /// The view, and what changes without it.
    #[derive(Serialize)]
    struct Status<'a> {
        #[serde(flatten)]
        view: &'a View,
        /// The latest runs that failed, of jobs that are still there.
        builds: Vec<Value>,
    }
    let failed = shared.failed_builds().await?;
    let builds = failed.iter().map(crate::runs::to_json).collect();
    let view = &*shared.view();
    Ok(Json(Status { view, builds }).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PlansQuery {
    limit: Option<u32>,
}

/// `GET /api/v1/plan`: the last plan as it is recorded, with what became of it; `null` before the first.
pub(crate) async fn plan(State(shared): State<Shared>) -> Result<Response, Failure> {
    let plan = shared.ledger.plans(1).await?.into_iter().next();
    Ok(Json(plan).into_response())
}

/// `GET /api/v1/plans`: recorded plans, newest first.
pub(crate) async fn plans(
    State(shared): State<Shared>,
    Query(query): Query<PlansQuery>,
) -> Result<Response, Failure> {
    let limit = query.limit.unwrap_or(20).min(300);
    Ok(Json(shared.ledger.plans(limit).await?).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhyQuery {
    application: String,
    namespace: String,
}

/// `GET /api/v1/why`
pub(crate) async fn why(
    State(shared): State<Shared>,
    Query(query): Query<WhyQuery>,
) -> Result<Response, Failure> {
    Ok(Json(shared.why(&query.application, &query.namespace).await?).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogsQuery {
    application: String,
    namespace: String,
    #[serde(default)]
    container: Option<String>,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    previous: bool,
    #[serde(default)]
    tail: Option<i64>,
    #[serde(default)]
    json: bool,
}

/// `GET /api/v1/logs`: the logs of an application's pods as plain text, `POD/CONTAINER: LINE`, or as JSON lines.
pub(crate) async fn logs(
    State(shared): State<Shared>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Failure> {
    let kind = if query.json {
        "application/jsonl"
    } else {
        "text/plain; charset=utf-8"
    };
    let lines = shared
        .logs(&LogsRequest {
            application: query.application,
            namespace: query.namespace,
            container: query.container,
            follow: query.follow,
            previous: query.previous,
            tail: query.tail,
            json: query.json,
        })
        .await?;
    let body = Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>));
    Ok(([(http::header::CONTENT_TYPE, kind)], body).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    application: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// `GET /api/v1/history`: what stood where since when, by which commit of whom.
pub(crate) async fn history(
    State(shared): State<Shared>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Value>, Failure> {
    let limit = query.limit.unwrap_or(50).min(500);
    let all = shared
        .deployments(&query.application, query.namespace.as_deref(), limit)
        .await?;
    Ok(Json(json!(all)))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditQuery {
    before: Option<u64>,
    limit: Option<u32>,
}

/// `GET /api/v1/audit`
pub(crate) async fn audit(
    State(shared): State<Shared>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Value>, Failure> {
    let report = shared.ledger.verify().await?;
    let entries = shared
        .ledger
        .audit_log(query.before, query.limit.unwrap_or(100).min(1000))
        .await?;
    let entries: Vec<Value> = entries
        .into_iter()
        .map(|entry| json!({"seq": entry.seq, "at": entry.at, "actor": entry.actor, "who": Actor::parse(&entry.actor), "action": entry.action, "subject": entry.subject, "detail": entry.detail, "hash": entry.hash}))
        .collect();
    Ok(Json(
        json!({"checked": report.checked, "whole": report.fault.is_none(), "fault": report.fault.map(|fault| fault.to_string()), "head": report.head, "entries": entries}),
    ))
}

/// `GET /api/v1/audit/export`: the whole chain as JSON lines, oldest first, and in the end its sealed head.
pub(crate) async fn export(State(shared): State<Shared>) -> Result<Response, Failure> {
    // The head before the links, so that it is the head of what follows.
    let report = shared.ledger.verify().await?;
    let end = report.head.as_ref().map_or(report.checked, |head| head.seq);
    let last = match (report.head, report.fault) {
        (Some(head), _) => json!({ "head": head }),
        (None, fault) => json!({"head": null, "fault": fault.map(|fault| fault.to_string())}),
    };
    let ledger = shared.ledger.clone();
    let pages = futures::stream::unfold(Some(0), move |after| {
        let (ledger, last) = (ledger.clone(), last.clone());
        async move {
            let after = after?;
            let records = match ledger.audit_after(after, 500).await {
                Ok(records) => records,
                Err(error) => return Some((Err(error), None)),
            };
            let mut text = String::new();
            let mut next = None;
            for record in records.iter().filter(|record| record.seq <= end) {
                next = Some(record.seq);
                // Plain data always is JSON.
                text.push_str(&serde_json::to_string(record).unwrap_or_default());
                text.push('\n');
            }
            if next.is_none() {
                text = format!("{last}\n");
            }
            Some((Ok(text), next))
        }
    });
    let kind = [(http::header::CONTENT_TYPE, "application/jsonl")];
    Ok((kind, Body::from_stream(pages)).into_response())
}
