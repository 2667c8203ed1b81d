//! Scene 8: `down --everything` removes all that git can bring back, `up` brings back the same; state survives.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use crate::demo::organisation::STAGES;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let order = context.dir().join("volumes/production/orders/audit-trail");
    if let Some(dir) = order.parent() {
        ensure!(dir.is_dir(), "the database's volume is not at {}", dir.display());
    }
    std::fs::write(&order, "kept").with_context(|| format!("cannot write {}", order.display()))?;
    let before = inventory(context).await?;
    let jobs = context.api.get("/api/v1/jobs").await?;
    let jobs_before = jobs.as_array().map_or(0, Vec::len);
    let runs = context.newest_run("abc-application").await?;
    let down = context
        .api
        .post("/api/v1/down", &json!({"everything": true}))
        .await?;
    let left = inventory(context).await?;
    ensure!(
        left.is_empty(),
        "{} objects are left: {:?}",
        left.len(),
        left.iter().take(5).collect::<Vec<_>>()
    );
    let jobs = context.api.get("/api/v1/jobs").await?;
    let jobs_left = jobs.as_array().map_or(0, Vec::len);
    ensure!(
        jobs_left == 1,
        "{jobs_left} jobs are left instead of update-jobs alone"
    );
    let policies = context.vault()?.list("sys/policies/acl").await?;
    ensure!(
        !policies.iter().any(|name| name == "shop"),
        "the policy `shop` is left"
    );

    context.restart().await?;
    for (stage, _) in STAGES {
        context.healthy("shop", stage, None).await?;
    }
    context.healthy("database", "production", None).await?;
    let after = context
        .until("the same objects as before", || async {
            let after = inventory(context).await?;
            let missing: Vec<_> = before.difference(&after).take(5).collect();
            ensure!(missing.is_empty(), "missing: {missing:?}");
            Ok(Some(after))
        })
        .await?;
    context
        .until("the same jobs as before", || async {
            let jobs = context.api.get("/api/v1/jobs").await?;
            let now = jobs.as_array().map_or(0, Vec::len);
            ensure!(now == jobs_before, "{now} of {jobs_before} jobs are back");
            Ok(Some(()))
        })
        .await?;
    let secret = context.vault()?.read("secret/data/shop/db").await?;
    ensure!(
        secret.pointer("/data/data/password").is_some(),
        "Vault's data did not survive"
    );
    let kept = std::fs::read_to_string(context.dir().join("volumes/production/orders/audit-trail"))
        .unwrap_or_default();
    ensure!(kept == "kept", "the volume marked as state did not survive");
    let runs_after = context.newest_run("abc-application").await?;
    ensure!(
        runs_after >= runs && runs > 0,
        "the ledger forgot: {runs_after} runs after, {runs} before"
    );
    Ok(
        json!({"removed": before.len(), "message": down["message"], "recreated": after.len(), "survived": ["secret/data/shop/db", "volumes/production/orders", "the ledger"]}),
    )
}

/// Everything the fleet owns in the cluster, by name; not what controllers derive from it.
async fn inventory(context: &Context) -> Result<BTreeSet<String>> {
    let owned = context.cluster.owned("demo").await?;
    Ok(owned.iter().map(ToString::to_string).collect())
}
