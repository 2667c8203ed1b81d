//! Status of what the edge serves: Ingresses and Services of type LoadBalancer get its address.

use super::context::{Context, Outcome};
use super::field::{put, text};
use serde_json::{Value, json};

const INGRESSES: &str = "ingresses.networking.k8s.io";

fn addresses(ctx: &Context) -> Vec<Value> {
    ctx.ingress
        .iter()
        .map(|ip| json!({"ip": ip.to_string()}))
        .collect()
}

/// Writes the edge's address into an Ingress.
pub(super) async fn reconcile(ctx: &Context, namespace: &str, name: &str) -> Outcome {
    let addresses = addresses(ctx);
    if addresses.is_empty() {
        return Ok(None);
    }
    ctx.modify_status(INGRESSES, namespace, name, |ingress| {
        put(ingress, &["status", "loadBalancer", "ingress"], addresses.clone());
        true
    })
    .await?;
    Ok(None)
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
