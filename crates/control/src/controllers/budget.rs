//! PodDisruptionBudget status: how many pods may be evicted now.

use super::context::{Context, Outcome};
use super::{condition, pod, select};
use herder_object::field::{int, map, put, text};
use serde_json::{Value, json};

const BUDGETS: &str = "poddisruptionbudgets.policy";

/// Counts for every budget of a namespace.
pub(super) async fn reconcile(ctx: &Context, namespace: &str) -> Outcome {
    let now = ctx.now();
    for budget in ctx.list(BUDGETS, namespace) {
        let pods: Vec<_> = ctx
            .list("pods", namespace)
            .into_iter()
            .filter(|p| {
                pod::active(p)
                    && select::matches(budget.pointer("/spec/selector"), map(p, "/metadata/labels"))
            })
            .collect();
        let total = i64::try_from(pods.len()).unwrap_or_default();
        let healthy = i64::try_from(pods.iter().filter(|p| pod::ready(p)).count()).unwrap_or_default();
        let field = |name: &str| budget.pointer(&format!("/spec/{name}")).filter(|v| !v.is_null());
        let wanted = match (field("minAvailable"), field("maxUnavailable")) {
            (Some(least), _) => super::deployment::resolve(Some(least), total, true),
            (None, Some(most)) => total - super::deployment::resolve(Some(most), total, true),
            (None, None) => 0,
        };
        let allowed = (healthy - wanted).max(0);
        ctx.modify_status(BUDGETS, namespace, text(&budget, "/metadata/name"), |b| {
            let mut status = b.get("status").cloned().unwrap_or_else(|| json!({}));
            for (name, value) in [
                ("expectedPods", total),
                ("currentHealthy", healthy),
                ("desiredHealthy", wanted.max(0)),
                ("disruptionsAllowed", allowed),
                (
                    "observedGeneration",
                    int(b, "/metadata/generation").unwrap_or_default(),
                ),
            ] {
                put(&mut status, &[name], value);
            }
            let (state, reason) = if allowed > 0 {
                ("True", "SufficientPods")
            } else {
                ("False", "InsufficientPods")
            };
            let c = condition::Condition {
                kind: "DisruptionAllowed",
                status: state,
                reason,
                message: "",
            };
            condition::set(&mut status, &c, now);
            put(b, &["status"], status);
            true
        })
        .await?;
    }
    Ok(None)
}

/// Whether a namespace has any budget, so that others cost nothing.
pub(super) fn any(ctx: &Context, namespace: &str) -> bool {
    let budgets: Vec<std::sync::Arc<Value>> = ctx.list(BUDGETS, namespace);
    !budgets.is_empty()
}
