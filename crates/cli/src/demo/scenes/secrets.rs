//! Scene 4: the pod has what git only names; its token is renewed; a pod whose role may not read a path does not start.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

const INTRUDER: &str = "apiVersion: v1
kind: ServiceAccount
metadata:
  name: intruder
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: intruder
spec:
  replicas: 1
  selector:
    matchLabels:
      app: intruder
  template:
    metadata:
      labels:
        app: intruder
      annotations:
        herder.dev/vault-role: intruder
        herder.dev/file.password: secret/data/shop/db#password
    spec:
      serviceAccountName: intruder
      containers:
        - name: web
          image: host
          command: [herder, demo-app, web]
";

const KUSTOMIZATION: &str = "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: testing
resources:
  - intruder.yaml
";

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let page = context.page("production").await?;
    let fingerprint = page["secret"]
        .as_str()
        .with_context(|| format!("the pod shows no secret: {}", page["secret"]))?
        .to_owned();
    ensure!(page["certificate"] == true, "the pod has no certificate");
    let in_git = context
        .organisation
        .file("shop", "deploy/deployment.yaml")
        .await?;
    ensure!(
        in_git.contains("secret/data/shop/db#password"),
        "git does not name the path"
    );
    let renewed = renewed(context).await?;
    let denied = denied(context).await?;
    Ok(json!({"fingerprint": fingerprint, "certificate": true, "renewed": renewed, "denied": denied}))
}

/// Some token of the role `shop` has been renewed since it was issued.
async fn renewed(context: &Context) -> Result<Value> {
    let vault = context.vault()?;
    context
        .until("a pod's token to be renewed", || async {
            for accessor in vault.list("auth/token/accessors").await? {
                let token = vault
                    .write("auth/token/lookup-accessor", &json!({"accessor": accessor}))
                    .await;
                // A token may have ended since the list was made.
                let Ok(token) = token else { continue };
                if token["data"]["meta"]["role"] == "shop"
                    && token["data"]["last_renewal_time"]
                        .as_i64()
                        .is_some_and(|time| time > 0)
                {
                    return Ok(Some(
                        json!({"ttl": token["data"]["ttl"], "last_renewal": token["data"]["last_renewal"]}),
                    ));
                }
            }
            bail!("no token of the role shop was renewed yet")
        })
        .await
}

/// A pod that asks for another's secret does not start, and the reason names the path and the policy.
async fn denied(context: &Context) -> Result<Value> {
    let files = [
        ("intruder/kustomization.yaml", Some(KUSTOMIZATION.to_owned())),
        ("intruder/intruder.yaml", Some(INTRUDER.to_owned())),
    ];
    context
        .change("config-testing", &files, "Try to read the shop's secret")
        .await?;
    let cause = context
        .until("the denied pod's reason", || async {
            let why = context.why("intruder", "testing").await?;
            let cause = why["cause"].as_str().unwrap_or_default().to_owned();
            let told = cause.contains("secret/data/shop/db")
                && cause.contains("intruder")
                && cause.contains("policy");
            if told {
                Ok(Some(cause))
            } else {
                bail!("the reason given is: {cause}")
            }
        })
        .await?;
    let cell = context
        .cell("intruder", "testing")
        .await?
        .context("the intruder is not shown")?;
    ensure!(cell["ready"] == 0, "the intruder's pod is ready");
    let files = [
        ("intruder/kustomization.yaml", None),
        ("intruder/intruder.yaml", None),
    ];
    context
        .change("config-testing", &files, "Remove the intruder")
        .await?;
    context
        .until("the intruder to be gone", || async {
            Ok(context.cell("intruder", "testing").await?.is_none().then_some(()))
        })
        .await?;
    Ok(json!(cause))
}
