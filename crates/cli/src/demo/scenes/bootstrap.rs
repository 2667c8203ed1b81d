//! Scene 1: `update-jobs`, the only hardcoded job, checks out the fleet repository and creates all jobs.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let run = context.run_after("update-jobs", 0).await?;
    ensure!(
        run["status"] == "succeeded",
        "update-jobs ended as {}: {}",
        run["status"],
        run["reason"]
    );
    let jobs = context.api.get("/api/v1/jobs").await?;
    let origin = |name: &str| {
        let job = jobs
            .as_array()
            .into_iter()
            .flatten()
            .find(|job| job["name"] == name);
        job.and_then(|job| job["origin"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let (dsl, native) = (origin("abc-application"), origin("shop-release"));
    if !dsl.starts_with("job-dsl") || native != "native" {
        bail!("abc-application comes from `{dsl}` and shop-release from `{native}`");
    }
    let vault = context.vault()?;
    let policies = vault.list("sys/policies/acl").await?;
    ensure!(
        policies.iter().any(|name| name == "shop"),
        "the policy `shop` was not synced: {policies:?}"
    );
    Ok(
        json!({"run": run["number"], "jobs": jobs.as_array().map(Vec::len), "abc-application": dsl, "shop-release": native, "policies": policies}),
    )
}
