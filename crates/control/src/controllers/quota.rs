//! ResourceQuota status: how much of what is used. Refusing what exceeds a quota is admission's business, which counts for
//! itself; both count by the same rules.

use super::context::{Context, Outcome};
use herder_apiserver::admission::quota;
use herder_object::field::{map, put, text};
use herder_object::quantity::print;
use serde_json::{Map, Value, json};

const QUOTAS: &str = "resourcequotas";

/// Counts the use of all quotas of a namespace.
pub(super) async fn reconcile(ctx: &Context, namespace: &str) -> Outcome {
    let catalog = ctx.registry.catalog();
    let stored = || {
        let resources = catalog.resources().iter();
        resources
            .filter(|resource| !resource.answered && !resource.alias)
            .map(|resource| &**resource)
    };
    for found in ctx.list(QUOTAS, namespace) {
        let hard = map(&found, "/spec/hard").cloned().unwrap_or_default();
        let used = quota::used(&found, stored(), |resource| ctx.list(resource, namespace));
        let used: Map<String, Value> = used
            .into_iter()
            .map(|(what, amount)| {
                let shown = json!(print(amount, &what));
                (what, shown)
            })
            .collect();
        ctx.modify_status(QUOTAS, namespace, text(&found, "/metadata/name"), |q| {
            put(q, &["status"], json!({"hard": hard, "used": used}));
            true
        })
        .await?;
    }
    Ok(None)
}
