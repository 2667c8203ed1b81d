//! Scene 9: a folder per namespace; unknown kinds are reported once per kind and hold up nothing; a second pass writes
//! nothing; a commit that changes one folder touches that namespace only.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::demo::context::Context;
use crate::demo::estate;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;

pub(crate) async fn play(context: &mut Context) -> Result<Value> {
    let files = match context.organisation.estate() {
        Some(dir) => estate::from_disk(dir)?,
        None => estate::built_in(),
    };
    let folders: BTreeSet<&str> = files
        .iter()
        .filter_map(|(path, _)| path.split('/').nth(1))
        .collect();
    let changes: Vec<(&str, Option<String>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.clone())))
        .collect();
    context
        .organisation
        .commit("fleet", &changes, "Add the estate")
        .await?;
    let began = Instant::now();
    let first = context.api.post("/api/v1/sync", &json!({})).await?;
    let cold = began.elapsed().as_secs_f64();
    let namespaces = context.cluster.list("v1", "Namespace", None, None).await?;
    let there: BTreeSet<&str> = namespaces
        .iter()
        .filter_map(|object| object.pointer("/metadata/name")?.as_str())
        .collect();
    let missing: Vec<_> = folders.difference(&there).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} namespaces are missing: {missing:?}; refused: {}",
        missing.len(),
        folders.len(),
        first["pass"]["failures"]
    );
    let failures = first
        .pointer("/pass/failures")
        .and_then(Value::as_array)
        .context("no failures listed")?;
    ensure!(failures.is_empty(), "the cluster refused: {failures:?}");

    let versions = versions(context).await?;
    let began = Instant::now();
    let second = context.api.post("/api/v1/sync", &json!({})).await?;
    let warm = began.elapsed().as_secs_f64();
    ensure!(
        second["pass"]["written"] == 0,
        "the second pass wrote {}",
        second["pass"]["written"]
    );

    let (path, text) = files
        .iter()
        .find(|(path, _)| path.ends_with("-namespace.yaml"))
        .context("no namespace file")?;
    let folder = path.split('/').nth(1).context("no folder")?;
    let changed = text.replacen(
        "  labels:\n",
        "  labels:\n    demo.herder.dev/touched: \"true\"\n",
        1,
    );
    if changed == *text {
        bail!("{path} has no labels to change");
    }
    context
        .organisation
        .commit("fleet", &[(path, Some(changed))], "Touch one namespace")
        .await?;
    let third = context.api.post("/api/v1/sync", &json!({})).await?;
    ensure!(
        third["pass"]["written"] == 1,
        "changing one file wrote {} objects",
        third["pass"]["written"]
    );
    let after = self::versions(context).await?;
    let touched: Vec<&String> = after
        .iter()
        .filter(|(name, version)| versions.get(*name) != Some(*version))
        .map(|(name, _)| name)
        .collect();
    ensure!(touched == [folder], "touched {touched:?} instead of {folder}");
    Ok(json!({
        "namespaces": folders.len(), "files": files.len(), "written": first["pass"]["written"], "left_out": first["pass"]["notes"],
        "first_pass_seconds": cold, "second_pass_seconds": warm, "second_pass_written": 0, "one_folder_touches": touched,
    }))
}

/// Each namespace's resource version.
async fn versions(context: &Context) -> Result<std::collections::BTreeMap<String, Value>> {
    let namespaces = context.cluster.list("v1", "Namespace", None, None).await?;
    let version = |object: Value| {
        Some((
            object.pointer("/metadata/name")?.as_str()?.to_owned(),
            object.pointer("/metadata/resourceVersion")?.clone(),
        ))
    };
    Ok(namespaces.into_iter().filter_map(version).collect())
}
