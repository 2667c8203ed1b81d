//! ResourceQuota status: how much of what is used. Refusing what exceeds a quota is the registry's business.

use super::context::{Context, Outcome};
use super::field::{map, put, text};
use super::quantity::{Amounts, add, milli, of_pod, print};
use serde_json::{Map, Value, json};

const QUOTAS: &str = "resourcequotas";

/// Counts the use of all quotas of a namespace.
pub(super) async fn reconcile(ctx: &Context, namespace: &str) -> Outcome {
    for quota in ctx.list(QUOTAS, namespace) {
        let hard = map(&quota, "/spec/hard").cloned().unwrap_or_default();
        let used: Map<String, Value> = hard
            .keys()
            .filter_map(|what| Some((what.clone(), json!(print(used(ctx, namespace, what)?, what)))))
            .collect();
        ctx.modify_status(QUOTAS, namespace, text(&quota, "/metadata/name"), |q| {
            put(q, &["status"], json!({"hard": hard, "used": used}));
            true
        })
        .await?;
    }
    Ok(None)
}

/// The use of one quota resource, in thousandths; `None` for what is not known.
fn used(ctx: &Context, namespace: &str, what: &str) -> Option<i128> {
    let count =
        |resource: &str| Some(1000 * i128::try_from(ctx.list(resource, namespace).len()).unwrap_or_default());
    if let Some(resource) = what.strip_prefix("count/") {
        return count(resource);
    }
    let services_of = |kind: &str| {
        let services = ctx.list("services", namespace);
        let found = services.iter().filter(|s| text(s, "/spec/type") == kind).count();
        Some(1000 * i128::try_from(found).unwrap_or_default())
    };
    match what {
        "pods" => Some(1000 * i128::try_from(live_pods(ctx, namespace).len()).unwrap_or_default()),
        "configmaps"
        | "secrets"
        | "services"
        | "persistentvolumeclaims"
        | "replicationcontrollers"
        | "resourcequotas" => count(what),
        "services.loadbalancers" => services_of("LoadBalancer"),
        "services.nodeports" => services_of("NodePort"),
        "requests.storage" => Some(
            ctx.list("persistentvolumeclaims", namespace)
                .iter()
                .filter_map(|c| c.pointer("/spec/resources/requests/storage").and_then(milli))
                .sum(),
        ),
        _ => {
            let (side, resource) = match what.split_once('.') {
                Some(("limits", resource)) => ("limits", resource),
                Some(("requests", resource)) => ("requests", resource),
                None if matches!(what, "cpu" | "memory" | "ephemeral-storage") => ("requests", what),
                _ => return None,
            };
            let mut sum = Amounts::new();
            for pod in live_pods(ctx, namespace) {
                add(&mut sum, &of_pod(pod.get("spec").unwrap_or(&Value::Null), side));
            }
            Some(sum.get(resource).copied().unwrap_or_default())
        }
    }
}

fn live_pods(ctx: &Context, namespace: &str) -> Vec<std::sync::Arc<Value>> {
    let mut pods = ctx.list("pods", namespace);
    pods.retain(|p| !super::pod::ended(p));
    pods
}
