//! Status of Services of type LoadBalancer: the edge's address. The Ingresses' status is the edge's own to write, which
//! knows what it serves.

use super::context::{Context, Outcome};
use herder_object::field::{put, text};
use serde_json::{Value, json};

fn addresses(ctx: &Context) -> Vec<Value> {
    ctx.ingress
        .iter()
        .map(|ip| json!({"ip": ip.to_string()}))
        .collect()
}

/// Writes the edge's address into a Service of type LoadBalancer.
pub(super) async fn reconcile_service(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let addresses = addresses(ctx);
    let balanced = ctx
        .get("services", namespace, name)
        .is_some_and(|s| text(&s, "/spec/type") == "LoadBalancer");
    if balanced && !addresses.is_empty() {
        ctx.modify_status("services", namespace, name, |service| {
            put(service, &["status", "loadBalancer", "ingress"], addresses.clone());
            true
        })
        .await?;
    }
    Ok(None)
}
