//! Scene 3: the same version moves through five environments; only the config differs.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use crate::demo::organisation::STAGES;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let before = context.newest_run("shop-release").await?;
    let version = next(&context.organisation.file("shop", "VERSION").await?)?;
    let files = [
        ("VERSION", Some(format!("{version}\n"))),
        ("deploy/release.env", Some(format!("VERSION={version}\n"))),
    ];
    let commit = context
        .change("shop", &files, &format!("Release {version}"))
        .await?;
    let run = context.run_after("shop-release", before).await?;
    ensure!(
        run["status"] == "succeeded",
        "shop-release #{} ended as {}: {}",
        run["number"],
        run["status"],
        run["reason"]
    );
    context.healthy("shop", "testing", Some(version.as_str())).await?;
    let mut commits = vec![];
    for (stage, _) in STAGES.iter().skip(1) {
        let answer = context
            .api
            .post(
                "/api/v1/promote",
                &json!({"application": "shop", "to": stage, "by": "demo"}),
            )
            .await?;
        let made = answer["commit"]
            .as_str()
            .context("the promotion made no commit")?
            .to_owned();
        let head = context
            .organisation
            .file(&format!("config-{stage}"), "shop/kustomization.yaml")
            .await?;
        ensure!(
            head.contains(&commit) && head.contains(&version),
            "config-{stage} does not pin {version}:\n{head}"
        );
        commits.push(json!({"stage": stage, "commit": made}));
        context.healthy("shop", stage, Some(version.as_str())).await?;
    }
    let mut shown = vec![];
    for (stage, greeting) in STAGES {
        let page = context
            .until(&format!("{stage} to show {version}"), || async {
                let page = context.page(stage).await?;
                Ok((page["version"] == version.as_str()).then_some(page))
            })
            .await?;
        ensure!(
            page["config"]["GREETING"] == greeting,
            "{stage} shows {}",
            page["config"]
        );
        shown.push(
            json!({"stage": stage, "version": page["version"], "greeting": page["config"]["GREETING"]}),
        );
    }
    Ok(json!({"built_by": run["number"], "promotions": commits, "shown": shown}))
}

/// The version after the one that is there: a demo that goes on after an interruption plays this scene again.
fn next(version: &str) -> Result<String> {
    let mut parts = version.trim().split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let minor: u32 = minor
        .parse()
        .with_context(|| format!("`{}` is no version", version.trim()))?;
    Ok(format!("{major}.{}.0", minor + 1))
}
