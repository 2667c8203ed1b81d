//! Scene 2: a commit to the application's repository is noticed, built in a pod with rights in its target namespace
//! only, rolled out, and the rollout is tied to the run.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use crate::demo::http;
use crate::demo::organisation::Organisation;
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

const JOB: &str = "abc-application";

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let kustomization = context
        .organisation
        .file(JOB, "someApp/kustomization.yaml")
        .await?;
    let changed = kustomization.replace("REVISION=1", "REVISION=2");
    let commit = context
        .change(
            JOB,
            &[("someApp/kustomization.yaml", Some(changed))],
            "Set revision 2",
        )
        .await?;
    let run = built(context, &commit).await?;
    ensure!(
        run["status"] == "succeeded",
        "{JOB} #{} ended as {}: {}\n{}",
        run["number"],
        run["status"],
        run["reason"],
        log(context, &run).await?
    );
    let log = log(context, &run).await?;
    ensure!(
        log.contains("kustomize build"),
        "the log does not show the deploy step:\n{log}"
    );
    let (edge, host) = (context.edge()?, Organisation::host("staging"));
    let page = context
        .until("the new revision to answer", || async {
            let answer = http::get(edge, &host, "/abc").await?;
            ensure!(answer.status.is_success(), "{host}/abc answers {}", answer.status);
            let page = answer.json()?;
            Ok((page["config"]["REVISION"] == "2").then_some(page))
        })
        .await?;
    let rollouts = tied(context, &run).await?;
    let elsewhere = forbidden_elsewhere(context).await?;
    Ok(
        json!({"run": run["number"], "commit": commit, "cause": run["cause"], "rollouts": rollouts, "revision": page["config"]["REVISION"], "may_deploy": elsewhere}),
    )
}

/// The run that built a commit. A run that was still waiting when the commit came takes it along, so the number says
/// nothing.
async fn built(context: &Context, commit: &str) -> Result<Value> {
    let path = format!("/api/v1/runs?job={JOB}");
    context
        .until(&format!("a run of {JOB} with {commit}"), || async {
            let runs = context.api.get(&path).await?;
            let of = |run: &&Value| {
                run["commits"]
                    .as_object()
                    .is_some_and(|commits| commits.values().any(|built| built == commit))
            };
            let run = runs.as_array().into_iter().flatten().find(of).cloned();
            Ok(run.filter(|run| run["finished"] == true))
        })
        .await
}

async fn log(context: &Context, run: &Value) -> Result<String> {
    use http_body_util::BodyExt;
    let body = context
        .api
        .stream(&format!("/api/v1/runs/log?job={JOB}&number={}", run["number"]))
        .await?;
    Ok(String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned())
}

/// The rollouts recorded for the run.
async fn tied(context: &Context, run: &Value) -> Result<Value> {
    let path = format!("/api/v1/runs/one?job={JOB}&number={}", run["number"]);
    context
        .until("the rollout to be tied to the run", || async {
            let run = context.api.get(&path).await?;
            let rollouts = run["rollouts"].as_array().cloned().unwrap_or_default();
            if rollouts
                .iter()
                .any(|rollout| rollout["name"] == JOB && rollout["namespace"] == "staging")
            {
                return Ok(Some(json!(rollouts)));
            }
            bail!("the run has {} rollouts", rollouts.len())
        })
        .await
}

/// The deployer's rights end at its namespace.
async fn forbidden_elsewhere(context: &Context) -> Result<Value> {
    let may = |namespace: &'static str| async move {
        context
            .cluster
            .may(
                "system:serviceaccount:staging:herder-deployer",
                namespace,
                "apps",
                "deployments",
                "create",
            )
            .await
    };
    let (here, there) = (may("staging").await?, may("production").await?);
    ensure!(
        here && !there,
        "the deployer of staging may deploy to staging: {here}, to production: {there}"
    );
    Ok(json!({"staging": here, "production": there}))
}
