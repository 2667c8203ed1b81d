//! What every namespace gets (default ServiceAccount, root certificate) and how it ends: all in it is deleted first.

use super::condition::{self, Condition};
use super::context::{Context, Failure, Outcome};
use herder_object::field::{deleting, put, remove, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The ConfigMap that holds the cluster's root certificate.
const ROOT_CA: &str = "kube-root-ca.crt";

/// Furnishes a namespace, or empties one that is ending.
pub(super) async fn reconcile(ctx: &Context, name: &str) -> Outcome {
    let Some(namespace) = ctx.get("namespaces", "", name) else {
        return Ok(None);
    };
    if deleting(&namespace) {
        return empty(ctx, &namespace).await;
    }
    // What keeps a deleted namespace until it is empty.
    ctx.modify("namespaces", "", name, |n| {
        let held = !herder_object::field::items(n, "/spec/finalizers").is_empty();
        if !held && !deleting(n) {
            put(n, &["spec", "finalizers"], json!(["kubernetes"]));
        }
        !held
    })
    .await?;
    let account = async {
        if ctx.get("serviceaccounts", name, "default").is_none() {
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": name}});
            exists_is_fine(ctx.create("serviceaccounts", account).await)?;
        }
        Ok::<_, Failure>(())
    };
    let certificate = async {
        let data = json!({"ca.crt": ctx.root_ca});
        match ctx.get("configmaps", name, ROOT_CA) {
            Some(there) if there.get("data") == Some(&data) => Ok(()),
            Some(_) => {
                ctx.modify("configmaps", name, ROOT_CA, |c| {
                    put(c, &["data"], data.clone());
                    true
                })
                .await
            }
            None => {
                let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
                    "metadata": {"name": ROOT_CA, "namespace": name, "annotations": {
                        "kubernetes.io/description": "Contains a CA bundle that can be used to verify the \
                            kube-apiserver when using internal endpoints such as the internal service IP or \
                            kubernetes.default.svc. No other usage is guaranteed across distributions of \
                            Kubernetes clusters."}}});
                exists_is_fine(ctx.create("configmaps", map).await)
            }
        }
    };
    let (a, b) = futures::future::join(account, certificate).await;
    a.and(b)?;
    Ok(None)
}

fn exists_is_fine<T>(result: Result<T, Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if !failure.already_exists() => Err(failure),
        _ => Ok(()),
    }
}

/// Deletes the content; when none is left, lets the namespace go. Each deletion is an event that leads back here.
async fn empty(ctx: &Context, namespace: &Value) -> Outcome {
    let name = text(namespace, "/metadata/name");
    let catalog = ctx.registry.catalog();
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    let mut deletions = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for resource in catalog.resources().iter().filter(|r| r.namespaced && !r.answered) {
        if !seen.insert(resource.storage_name.clone()) {
            continue;
        }
        for object in ctx.list(&resource.storage_name, name) {
            *left.entry(resource.name.clone()).or_default() += 1;
            for finalizer in herder_object::field::items(&object, "/metadata/finalizers") {
                *held
                    .entry(finalizer.as_str().unwrap_or_default().to_owned())
                    .or_default() += 1;
            }
            if !deleting(&object) {
                let resource = resource.storage_name.clone();
                deletions.push(async move { ctx.delete(&resource, &object).await });
            }
        }
    }
    if left.is_empty() {
        return ctx
            .modify("namespaces", "", name, |n| {
                remove(n, &["spec", "finalizers"]);
                true
            })
            .await
            .map(|()| None);
    }
    if deletions.is_empty() {
        report(ctx, name, &left, &held).await?;
        // Progress is an event; this is only against what no event tells.
        return Ok(Some(Duration::from_secs(15)));
    }
    futures::future::join_all(deletions)
        .await
        .into_iter()
        .collect::<Result<(), _>>()?;
    Ok(Some(Duration::ZERO))
}

/// Says in the namespace's conditions what it waits for.
async fn report(
    ctx: &Context,
    name: &str,
    left: &BTreeMap<String, usize>,
    held: &BTreeMap<String, usize>,
) -> Result<(), Failure> {
    let list = |of: &BTreeMap<String, usize>, unit: &str| {
        of.iter()
            .map(|(what, count)| format!("{what} has {count} {unit}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let remaining = format!(
        "Some resources are remaining: {}",
        list(left, "resource instances")
    );
    let finalizers = format!(
        "Some content in the namespace has finalizers remaining: {}",
        list(held, "resource instances").replace(" has ", " in ")
    );
    let now = ctx.now();
    ctx.modify_status("namespaces", "", name, |n| {
        let mut status = n.get("status").cloned().unwrap_or_else(|| json!({}));
        put(&mut status, &["phase"], "Terminating");
        let mut set = |kind, status_, reason, message| {
            condition::set(
                &mut status,
                &Condition {
                    kind,
                    status: status_,
                    reason,
                    message,
                },
                now,
            );
        };
        set(
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            &remaining,
        );
        if !held.is_empty() {
            set(
                "NamespaceFinalizersRemaining",
                "True",
                "SomeFinalizersRemain",
                &finalizers,
            );
        }
        put(n, &["status"], status);
        true
    })
    .await
}
