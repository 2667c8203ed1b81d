//! ControllerRevisions: the templates that StatefulSets and DaemonSets had, for updates and `kubectl rollout undo`.

use super::context::{Context, Failure};
use super::{pod, template};
use herder_object::field::{int, label, put, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const REVISIONS: &str = "controllerrevisions.apps";
const HASH: &str = "controller-revision-hash";

/// The revision of the present template.
#[derive(Debug)]
pub(super) struct Current {
    /// The revision object's name.
    pub(super) name: String,
    /// What pods of it carry as `controller-revision-hash`, without the set's name.
    pub(super) hash: String,
}

fn owned(ctx: &Context, set: &Value) -> Vec<Arc<Value>> {
    let uid = text(set, "/metadata/uid");
    let mut list = ctx.list(REVISIONS, text(set, "/metadata/namespace"));
    list.retain(|r| pod::controller_uid(r) == uid);
    list.sort_by_key(|r| int(r, "/revision").unwrap_or_default());
    list
}

/// Finds or makes the revision of a set's template, as the newest.
pub(super) async fn current(ctx: &Context, set: &Value, kind: &str) -> Result<Current, Failure> {
    let namespace = text(set, "/metadata/namespace");
    let mut wanted = set.pointer("/spec/template").cloned().unwrap_or_default();
    put(&mut wanted, &["$patch"], "replace");
    let data = json!({"spec": {"template": wanted}});
    let all = owned(ctx, set);
    let newest = all
        .iter()
        .filter_map(|r| int(r, "/revision"))
        .max()
        .unwrap_or_default();
    let equal = all.iter().rev().find(|r| {
        let theirs = r.pointer("/data/spec/template").unwrap_or(&Value::Null);
        template::same(theirs, &wanted)
    });
    if let Some(equal) = equal {
        let name = text(equal, "/metadata/name").to_owned();
        let hash = label(equal, HASH).to_owned();
        if int(equal, "/revision").unwrap_or_default() < newest {
            ctx.modify(REVISIONS, namespace, &name, |r| {
                put(r, &["revision"], newest + 1);
                true
            })
            .await?;
        }
        return Ok(Current { name, hash });
    }
    let hash = template::hash(&wanted, 0);
    let name = format!("{}-{hash}", text(set, "/metadata/name"));
    let mut labels = set
        .pointer("/spec/template/metadata/labels")
        .cloned()
        .unwrap_or_else(|| json!({}));
    put(&mut labels, &[HASH], hash.clone());
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name, "namespace": namespace, "labels": labels,
            "ownerReferences": [pod::controlled_by(set, "apps/v1", kind)],
        },
        "data": data,
        "revision": newest + 1,
    });
    match ctx.create(REVISIONS, object).await {
        Err(failure) if !failure.already_exists() => Err(failure),
        _ => Ok(Current { name, hash }),
    }
}

/// The pod template of a revision.
pub(super) fn template_of(ctx: &Context, namespace: &str, name: &str) -> Option<Value> {
    let revision = ctx.get(REVISIONS, namespace, name)?;
    let mut found = revision.pointer("/data/spec/template")?.clone();
    herder_object::field::remove(&mut found, &["$patch"]);
    Some(found)
}

/// Deletes the oldest revisions beyond the history limit that no pod uses.
pub(super) async fn trim(ctx: &Context, set: &Value, current: &Current) -> Result<(), Failure> {
    let limit = usize::try_from(int(set, "/spec/revisionHistoryLimit").unwrap_or(10)).unwrap_or(usize::MAX);
    let namespace = text(set, "/metadata/namespace");
    let uid = text(set, "/metadata/uid");
    let used: BTreeSet<String> = ctx
        .list("pods", namespace)
        .iter()
        .filter(|p| pod::controller_uid(p) == uid)
        .map(|p| label(p, HASH).to_owned())
        .chain([
            text(set, "/status/currentRevision").to_owned(),
            text(set, "/status/updateRevision").to_owned(),
        ])
        .collect();
    let idle: Vec<_> = owned(ctx, set)
        .into_iter()
        .filter(|r| {
            let name = text(r, "/metadata/name");
            name != current.name && !used.contains(name) && !used.contains(label(r, HASH))
        })
        .collect();
    let excess = idle.len().saturating_sub(limit);
    for revision in idle.iter().take(excess) {
        ctx.delete(REVISIONS, revision).await?;
    }
    Ok(())
}
