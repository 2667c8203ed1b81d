//! Scene 7: a developer's environment with a database comes up, works, and goes without a trace; a lease ends by itself.

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
    Ok(
        json!({"until": up["until"], "endpoint": format!("http://{host}/"), "order": page["database"], "gone": true, "lease_ended_by_itself": true}),
    )
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
