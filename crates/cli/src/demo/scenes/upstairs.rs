//! Scene 10: the page shows every rollout; a broken image, a crash loop and a missing secret each show their cause.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use anyhow::{Result, bail, ensure};
use http_body_util::BodyExt;
use serde_json::{Value, json};

/// What is done to the shop in staging, and what its explanation must name.
const FAULTS: [(&str, &str, &[&str]); 3] = [
    (
        "broken image",
        "- op: replace\n        path: /spec/template/spec/containers/0/image\n        value: registry.invalid/shop:broken",
        &["web", "registry.invalid/shop:broken"],
    ),
    (
        "crash loop",
        "- op: add\n        path: /spec/template/spec/containers/0/args/-\n        value: --crash=no such table orders",
        &["web", "3", "no such table orders"],
    ),
    (
        "missing secret",
        "- op: add\n        path: /spec/template/spec/containers/0/env/-\n        value:\n          name: API_KEY\n          valueFrom:\n            secretKeyRef:\n              name: no-such-secret\n              key: key",
        &["web", "no-such-secret"],
    ),
];

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let good = context
        .organisation
        .file("config-staging", "shop/kustomization.yaml")
        .await?;
    let mut shown = vec![];
    for (fault, patch, names) in FAULTS {
        let broken = format!(
            "{good}patches:\n  - target:\n      kind: Deployment\n      name: shop\n    patch: |\n      {patch}\n"
        );
        context
            .change(
                "config-staging",
                &[("shop/kustomization.yaml", Some(broken))],
                &format!("Break staging: {fault}"),
            )
            .await?;
        let why = context
            .until(&format!("the cause of the {fault}"), || async {
                let why = context.why("shop", "staging").await?;
                let told = format!("{} {} {}", why["cause"], why["chain"], why["log_tail"]);
                let missing: Vec<_> = names.iter().filter(|name| !told.contains(**name)).collect();
                if missing.is_empty() && why["healthy"] == false {
                    Ok(Some(why))
                } else {
                    bail!("the explanation lacks {missing:?}: {}", why["cause"])
                }
            })
            .await?;
        let page = html(context, "/apps/shop/staging/why").await?;
        for name in names {
            ensure!(
                page.contains(name),
                "the page does not show `{name}` for the {fault}"
            );
        }
        shown.push(json!({"fault": fault, "cause": why["cause"], "log": why["log_tail"]}));
    }
    context
        .change(
            "config-staging",
            &[("shop/kustomization.yaml", Some(good))],
            "Mend staging",
        )
        .await?;
    context.healthy("shop", "staging", None).await?;
    let overview = html(context, "/").await?;
    for text in ["shop", "testing", "production", "healthy"] {
        ensure!(overview.contains(text), "the overview does not show `{text}`");
    }
    let runs = html(context, "/runs").await?;
    ensure!(
        runs.contains("abc-application"),
        "the runs page does not show abc-application"
    );
    Ok(
        json!({"causes": shown, "pages": ["/", "/runs", "/apps/shop/staging/why"], "overview_bytes": overview.len()}),
    )
}

async fn html(context: &Context, path: &str) -> Result<String> {
    let body = context.api.stream(path).await?;
    Ok(String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned())
}
