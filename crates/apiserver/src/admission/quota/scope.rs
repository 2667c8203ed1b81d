//! Which pods a quota is about: scopes and scope selectors. Pure.

use herder_object::field::{int, items, map, text};
use serde_json::Value;

/// Whether a quota is about an object. Quotas with scopes are about pods alone.
pub(crate) fn covers(quota: &Value, resource: &str, object: &Value) -> bool {
    let scopes = items(quota, "/spec/scopes");
    let selectors = items(quota, "/spec/scopeSelector/matchExpressions");
    if scopes.is_empty() && selectors.is_empty() {
        return true;
    }
    resource == "pods"
        && scopes
            .iter()
            .all(|scope| matches(scope.as_str().unwrap_or_default(), "Exists", &[], object))
        && selectors.iter().all(|selector| {
            matches(
                text(selector, "/scopeName"),
                text(selector, "/operator"),
                items(selector, "/values"),
                object,
            )
        })
}

fn matches(scope: &str, operator: &str, values: &[Value], pod: &Value) -> bool {
    match scope {
        "Terminating" => is_limited_in_time(pod),
        "NotTerminating" => !is_limited_in_time(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class = text(pod, "/spec/priorityClassName");
            let among = values.iter().any(|value| value.as_str() == Some(class));
            match operator {
                "Exists" => !class.is_empty(),
                "DoesNotExist" => class.is_empty(),
                "In" => !class.is_empty() && among,
                "NotIn" => class.is_empty() || !among,
                _ => false,
            }
        }
        "CrossNamespacePodAffinity" => reaches_other_namespaces(pod),
        _ => false,
    }
}

fn is_limited_in_time(pod: &Value) -> bool {
    int(pod, "/spec/activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0)
}

fn is_best_effort(pod: &Value) -> bool {
    let asks = |container: &Value| {
        ["/resources/requests", "/resources/limits"].iter().any(|list| {
            let amounts = map(container, list).into_iter().flatten();
            amounts
                .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"))
                .any(|(_, amount)| herder_object::quantity::milli(amount).is_some_and(|amount| amount > 0))
        })
    };
    !items(pod, "/spec/containers")
        .iter()
        .chain(items(pod, "/spec/initContainers"))
        .any(asks)
}

fn reaches_other_namespaces(pod: &Value) -> bool {
    let reaches = |term: &Value| {
        !items(term, "/namespaces").is_empty()
            || term
                .get("namespaceSelector")
                .is_some_and(|selector| !selector.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let base = format!("/spec/affinity/{kind}");
        let needed = items(
            pod,
            &format!("{base}/requiredDuringSchedulingIgnoredDuringExecution"),
        );
        let wished = items(
            pod,
            &format!("{base}/preferredDuringSchedulingIgnoredDuringExecution"),
        );
        needed.iter().any(reaches)
            || wished
                .iter()
                .any(|one| one.get("podAffinityTerm").is_some_and(reaches))
    })
}
