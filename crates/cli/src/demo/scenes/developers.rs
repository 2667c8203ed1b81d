//! Scene 7: a developer's environment with a database comes up, works, and goes without a trace; a lease ends by itself; and two jobs do
//! the same by the clock.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use crate::demo::http;
use crate::demo::organisation::Organisation;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

const NAME: &str = "dev-payments";

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let up = context
        .api
        .post(&format!("/api/v1/environments/{NAME}/up"), &json!({"by": "demo"}))
        .await?;
    for application in ["shop", "database"] {
        context.healthy(application, NAME, None).await?;
    }
    let (edge, host) = (context.edge()?, Organisation::host(NAME));
    let stored = http::post(edge, &host, "/orders", "\"one coffee\"").await?;
    ensure!(
        stored.status.is_success(),
        "storing an order answers {}: {}",
        stored.status,
        stored.text()
    );
    let page = context.page(NAME).await?;
    ensure!(
        page["database"] == "\"one coffee\"",
        "the database holds {}",
        page["database"]
    );
    context
        .api
        .post(
            &format!("/api/v1/environments/{NAME}/down"),
            &json!({"by": "demo"}),
        )
        .await?;
    gone(context).await?;
    context
        .api
        .post(
            &format!("/api/v1/environments/{NAME}/up"),
            &json!({"by": "demo", "lease": "3s"}),
        )
        .await?;
    context
        .until("the namespace to come", || async {
            context
                .cluster
                .get("v1", "Namespace", "", NAME)
                .await
                .map_err(Into::into)
        })
        .await?;
    gone(context).await?;
    let office_hours = office_hours(context).await?;
    Ok(
        json!({"until": up["until"], "endpoint": format!("http://{host}/"), "order": page["database"], "gone": true, "lease_ended_by_itself": true, "office_hours": office_hours}),
    )
}

/// Two jobs on a schedule bring it up in the morning and take it away in the evening; here somebody is early. A job may do
/// so because its file says it.
async fn office_hours(context: &Context) -> Result<Value> {
    let morning = run_now(context, "morning").await?;
    for application in ["shop", "database"] {
        context.healthy(application, NAME, None).await?;
    }
    let status = context.api.get("/api/v1/status").await?;
    let environment = status["environments"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|environment| environment["name"] == NAME)
        .cloned()
        .unwrap_or_default();
    let by = format!("run morning #{}", morning["number"]);
    ensure!(
        environment["by"] == by,
        "it was brought up by {}",
        environment["by"]
    );
    let evening = run_now(context, "evening").await?;
    gone(context).await?;
    let jobs = context.api.get("/api/v1/jobs").await?;
    let next = |name: &str| {
        let job = jobs
            .as_array()
            .into_iter()
            .flatten()
            .find(|job| job["name"] == name);
        job.map(|job| job["next"].clone()).unwrap_or_default()
    };
    Ok(
        json!({"morning": {"run": morning["number"], "next": next("morning")}, "evening": {"run": evening["number"], "next": next("evening")}, "by": by}),
    )
}

/// Starts a job by hand, before its time, and waits for its end.
async fn run_now(context: &Context, job: &str) -> Result<Value> {
    let run = context
        .api
        .post("/api/v1/runs", &json!({"job": job, "by": "demo"}))
        .await?;
    let number = run["number"].as_u64().unwrap_or_default();
    let run = context.run_after(job, number.saturating_sub(1)).await?;
    ensure!(
        run["status"] == "succeeded",
        "{job} #{number} ended as {}: {}",
        run["status"],
        run["reason"]
    );
    Ok(run)
}

/// No namespace, no volume, no route.
async fn gone(context: &Context) -> Result<()> {
    context
        .until("the environment to be gone", || async {
            Ok(context
                .cluster
                .get("v1", "Namespace", "", NAME)
                .await?
                .is_none()
                .then_some(()))
        })
        .await?;
    let volume = context.dir().join("volumes").join(NAME);
    context
        .until("its volumes to be gone", || async {
            let empty = std::fs::read_dir(&volume).map_or(true, |mut entries| entries.next().is_none());
            Ok(empty.then_some(()))
        })
        .await?;
    let edge = context.edge()?;
    context
        .until("its route to be gone", || async {
            Ok((http::get(edge, &Organisation::host(NAME), "/").await?.status == 404).then_some(()))
        })
        .await
}
