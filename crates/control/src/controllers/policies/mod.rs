//! Tells the cluster network which NetworkPolicies hold for which pods. Owns when that is worked out; what they mean is
//! the compiler's business, a pure function, and enforcing it the fabric's.

mod cidr;
mod compile;
#[cfg(test)]
mod tests;

use super::context::{Context, Failure, Outcome};
use super::pod;
use herder_apiserver::registry::EventKind;
use herder_object::field::{deleting, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const POLICIES: &str = "networkpolicies.networking.k8s.io";
/// Changes that follow each other closely are worked out together.
const PAUSE: Duration = Duration::from_millis(25);

/// Works out what holds, and hands it over if it differs from the last.
pub(super) async fn publish(ctx: &Context) -> Outcome {
    let Some(fabric) = &ctx.fabric else {
        return Ok(None);
    };
    let since = {
        let last = ctx.policies.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(_, at)| at.elapsed())
    };
    if let Some(left) = since.and_then(|since| PAUSE.checked_sub(since)) {
        return Ok(Some(left));
    }
    // Only what concerns a pod that runs: an estate may have thousands of policies for pods of other machines.
    let mut pods = ctx.list_all("pods");
    pods.retain(|pod| compile::runs(pod));
    let names: BTreeSet<&str> = pods.iter().map(|pod| text(pod, "/metadata/namespace")).collect();
    let policies: Vec<_> = names.iter().flat_map(|name| ctx.list(POLICIES, name)).collect();
    // With the control plane's own, which policies see as pods.
    let namespaces = names.iter().copied().chain(compile::OWN_NAMESPACES);
    let namespaces: Vec<_> = namespaces
        .filter_map(|name| ctx.get("namespaces", "", name))
        .collect();
    let snapshot = compile::compile(&policies, &pods, &namespaces);
    let same = {
        let last = ctx.policies.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|(last, _)| *last == snapshot)
    };
    if !same {
        fabric
            .set_policies(snapshot.clone())
            .await
            .map_err(Failure::Publish)?;
        let told = (snapshot, Instant::now());
        *ctx.policies.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }
    Ok(None)
}

/// Whether a change may change what holds.
pub(super) fn matters(resource: &str, kind: EventKind, object: &Value, previous: Option<&Value>) -> bool {
    let differs = |of: fn(&Value) -> Concern<'_>| match previous {
        Some(before) if kind == EventKind::Modified => of(before) != of(object),
        _ => true,
    };
    match resource {
        POLICIES => true,
        "namespaces" => differs(|namespace| Concern {
            labels: namespace.pointer("/metadata/labels"),
            ..Concern::default()
        }),
        "pods" => differs(|one| Concern {
            labels: one.pointer("/metadata/labels"),
            address: text(one, "/status/podIP"),
            over: pod::ended(one),
            going: deleting(one),
        }),
        _ => false,
    }
}

/// What of an object policies depend on.
#[derive(Default, PartialEq)]
struct Concern<'a> {
    labels: Option<&'a Value>,
    address: &'a str,
    over: bool,
    going: bool,
}
