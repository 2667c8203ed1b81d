//! LimitRanges: what containers get that say nothing, and how much one container, pod or claim may ask for. Pure.

use herder_object::field::{items, map, put, text};
use herder_object::quantity::{milli, print};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

type Amounts = Map<String, Value>;

/// Fills in what a LimitRange leaves out, as Kubernetes does: a maximum is a default limit, a default limit a default
/// request, and so is a minimum.
pub(super) fn complete(range: &mut Value) {
    let limits = range.pointer_mut("/spec/limits").and_then(Value::as_array_mut);
    for item in limits.into_iter().flatten() {
        if text(item, "/type") != "Container" {
            continue;
        }
        for (to, from) in [
            ("default", "max"),
            ("defaultRequest", "default"),
            ("defaultRequest", "min"),
        ] {
            let source = map(item, &format!("/{from}")).cloned().unwrap_or_default();
            if source.is_empty() {
                continue;
            }
            let mut target = map(item, &format!("/{to}")).cloned().unwrap_or_default();
            for (name, amount) in source {
                target.entry(name).or_insert(amount);
            }
            put(item, &[to], target);
        }
    }
}

/// All items of a kind in all ranges.
fn of_kind<'a>(ranges: &'a [Arc<Value>], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    ranges
        .iter()
        .flat_map(|range| items(range, "/spec/limits"))
        .filter(move |item| text(item, "/type") == kind)
}

/// Gives the containers of a new pod what they do not ask for themselves.
pub(super) fn fill(ranges: &[Arc<Value>], pod: &mut Value) {
    let (mut limits, mut requests) = (Amounts::new(), Amounts::new());
    for item in of_kind(ranges, "Container") {
        // The first range that says something counts.
        for (into, list) in [(&mut limits, "/default"), (&mut requests, "/defaultRequest")] {
            for (name, amount) in map(item, list).into_iter().flatten() {
                into.entry(name).or_insert_with(|| amount.clone());
            }
        }
    }
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    let mut notes = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = pod
            .get_mut("spec")
            .and_then(|spec| spec.get_mut(list))
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            give(container, &limits, &requests, list, &mut notes);
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        put(pod, &["metadata", "annotations", ANNOTATION], note);
    }
}

fn give(container: &mut Value, limits: &Amounts, requests: &Amounts, list: &str, notes: &mut Vec<String>) {
    let own = |field: &str| {
        map(container, &format!("/resources/{field}"))
            .cloned()
            .unwrap_or_default()
    };
    let (mut limit, mut request) = (own("limits"), own("requests"));
    let (mut set_requests, mut set_limits) = (Vec::new(), Vec::new());
    for (name, amount) in requests {
        // A limit of the container's own is its request as well.
        if !request.contains_key(name) && !limit.contains_key(name) {
            request.insert(name.clone(), amount.clone());
            set_requests.push(name.as_str());
        }
    }
    for (name, amount) in limits {
        if !limit.contains_key(name) {
            limit.insert(name.clone(), amount.clone());
            set_limits.push(name.as_str());
        }
    }
    let kind = if list == "containers" {
        "container"
    } else {
        "init container"
    };
    let name = text(container, "/name").to_owned();
    for (mut set, what) in [(set_requests, "request"), (set_limits, "limit")] {
        if !set.is_empty() {
            set.sort_unstable();
            notes.push(format!("{} {what} for {kind} {name}", set.join(", ")));
        }
    }
    for (field, amounts) in [("limits", limit), ("requests", request)] {
        if !amounts.is_empty() {
            put(container, &["resources", field], amounts);
        }
    }
}

/// Why a pod or claim is refused.
pub(super) fn check(ranges: &[Arc<Value>], resource: &str, object: &Value) -> Option<String> {
    let mut errors = Vec::new();
    match resource {
        "pods" => {
            let empty = Amounts::new();
            let containers = || {
                items(object, "/spec/containers")
                    .iter()
                    .chain(items(object, "/spec/initContainers"))
            };
            for item in of_kind(ranges, "Container") {
                for container in containers() {
                    let requests = map(container, "/resources/requests").unwrap_or(&empty);
                    let limits = map(container, "/resources/limits").unwrap_or(&empty);
                    constrain(item, "Container", requests, limits, &mut errors);
                }
            }
            for item in of_kind(ranges, "Pod") {
                let (requests, limits) = (of_pod(object, "requests"), of_pod(object, "limits"));
                constrain(item, "Pod", &requests, &limits, &mut errors);
            }
        }
        "persistentvolumeclaims" => {
            let empty = Amounts::new();
            let requests = map(object, "/spec/resources/requests").unwrap_or(&empty);
            for item in of_kind(ranges, "PersistentVolumeClaim") {
                of_claim(item, requests, &mut errors);
            }
        }
        _ => {}
    }
    match errors.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// What all containers of a pod ask for together; only what each of them says something about.
fn of_pod(pod: &Value, field: &str) -> Amounts {
    let list = |name: &str| -> Vec<Amounts> {
        items(pod, &format!("/spec/{name}"))
            .iter()
            .map(|container| {
                map(container, &format!("/resources/{field}"))
                    .cloned()
                    .unwrap_or_default()
            })
            .collect()
    };
    let mains = list("containers");
    let mut sum = Amounts::new();
    for name in mains.iter().flat_map(|amounts| amounts.keys()) {
        let all: Option<i128> = mains.iter().map(|amounts| milli(amounts.get(name)?)).sum();
        if let Some(all) = all {
            sum.insert(name.clone(), json!(print(all, name)));
        }
    }
    for init in list("initContainers") {
        for (name, amount) in init {
            let before = sum.get(&name).and_then(milli).unwrap_or_default();
            if milli(&amount).is_some_and(|amount| amount > before) {
                sum.insert(name, amount);
            }
        }
    }
    sum
}

fn shown(amount: &Value) -> String {
    amount.as_str().map_or_else(|| amount.to_string(), str::to_owned)
}

fn constrain(item: &Value, kind: &str, requests: &Amounts, limits: &Amounts, errors: &mut Vec<String>) {
    let less = |a: &Value, b: &Value| milli(a) < milli(b);
    for (name, least) in map(item, "/min").into_iter().flatten() {
        let begin = format!("minimum {name} usage per {kind} is {}", shown(least));
        match (requests.get(name), limits.get(name)) {
            (None, _) => errors.push(format!("{begin}.  No request is specified")),
            (Some(request), _) if less(request, least) => {
                errors.push(format!("{begin}, but request is {}", shown(request)));
            }
            (_, Some(limit)) if less(limit, least) => {
                errors.push(format!("{begin}, but limit is {}", shown(limit)));
            }
            _ => {}
        }
    }
    for (name, most) in map(item, "/max").into_iter().flatten() {
        let begin = format!("maximum {name} usage per {kind} is {}", shown(most));
        match (limits.get(name), requests.get(name)) {
            (None, _) => errors.push(format!("{begin}.  No limit is specified")),
            (Some(limit), _) if less(most, limit) => {
                errors.push(format!("{begin}, but limit is {}", shown(limit)));
            }
            (_, Some(request)) if less(most, request) => {
                errors.push(format!("{begin}, but request is {}", shown(request)));
            }
            _ => {}
        }
    }
    for (name, ratio) in map(item, "/maxLimitRequestRatio").into_iter().flatten() {
        let begin = format!("{name} max limit to request ratio per {kind} is {}", shown(ratio));
        let amount = |of: &Amounts| of.get(name).and_then(milli).filter(|amount| *amount > 0);
        match (amount(requests), amount(limits)) {
            (None, _) => errors.push(format!("{begin}, but no request is specified or request is 0")),
            (_, None) => errors.push(format!("{begin}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let most = milli(ratio).unwrap_or_default();
                if limit.saturating_mul(1000) > request.saturating_mul(most) {
                    // Shown to six places, as Kubernetes does; the comparison above is exact.
                    let actual = limit as f64 / request as f64;
                    errors.push(format!("{begin}, but provided ratio is {actual:.6}"));
                }
            }
        }
    }
}

fn of_claim(item: &Value, requests: &Amounts, errors: &mut Vec<String>) {
    const KIND: &str = "PersistentVolumeClaim";
    for (name, least) in map(item, "/min").into_iter().flatten() {
        let begin = format!("minimum {name} usage per {KIND} is {}", shown(least));
        match requests.get(name) {
            None => errors.push(format!("{begin}.  No request is specified")),
            Some(request) if milli(request) < milli(least) => {
                errors.push(format!("{begin}, but request is {}", shown(request)));
            }
            Some(_) => {}
        }
    }
    for (name, most) in map(item, "/max").into_iter().flatten() {
        let begin = format!("maximum {name} usage per {KIND} is {}", shown(most));
        match requests.get(name) {
            None => errors.push(format!("{begin}.  No request is specified")),
            Some(request) if milli(request) > milli(most) => {
                errors.push(format!("{begin}, but request is {}", shown(request)));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(limits: Value) -> Vec<Arc<Value>> {
        let mut range = json!({"metadata": {"name": "r"}, "spec": {"limits": limits}});
        complete(&mut range);
        vec![Arc::new(range)]
    }

    fn pod(resources: Value) -> Value {
        json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    #[test]
    fn fills_in_what_is_missing() {
        let ranges = range(
            json!([{"type": "Container", "default": {"memory": "512Mi"}, "max": {"cpu": "2"},
                                   "defaultRequest": {"memory": "256Mi"}}]),
        );
        let mut empty = pod(json!({}));
        fill(&ranges, &mut empty);
        assert_eq!(
            empty,
            json!({"metadata": {"annotations": {ANNOTATION:
                    "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"}},
                "spec": {"containers": [{"name": "c", "resources": {
                    "limits": {"cpu": "2", "memory": "512Mi"}, "requests": {"cpu": "2", "memory": "256Mi"}}}]}})
        );
        let mut own = pod(json!({"limits": {"memory": "64Mi", "cpu": "1"}}));
        fill(&ranges, &mut own);
        assert_eq!(own, pod(json!({"limits": {"memory": "64Mi", "cpu": "1"}})));
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        let ranges = range(json!([
            {"type": "Container", "min": {"memory": "100Mi"}, "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"memory": "2"}},
            {"type": "Pod", "max": {"cpu": "2"}},
            {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}},
        ]));
        let of = |limit: &str, request: &str| {
            let amounts =
                json!({"limits": {"memory": limit, "cpu": "1"}, "requests": {"memory": request, "cpu": "1"}});
            check(&ranges, "pods", &pod(amounts))
        };
        assert_eq!(of("200Mi", "100Mi"), None);
        assert_eq!(
            of("1536Mi", "1Gi").unwrap(),
            "maximum memory usage per Container is 1Gi, but limit is 1536Mi"
        );
        assert_eq!(
            of("100Mi", "50Mi").unwrap(),
            "minimum memory usage per Container is 100Mi, but request is 50Mi"
        );
        assert_eq!(
            of("300Mi", "100Mi").unwrap(),
            "memory max limit to request ratio per Container is 2, but provided ratio is 3.000000"
        );
        let two = json!({"spec": {"containers": [
            {"name": "a", "resources": {"limits": {"cpu": "1500m", "memory": "100Mi"}, "requests": {"memory": "100Mi"}}},
            {"name": "b", "resources": {"limits": {"cpu": "1", "memory": "100Mi"}, "requests": {"memory": "100Mi"}}}]}});
        assert_eq!(
            check(&ranges, "pods", &two).unwrap(),
            "maximum cpu usage per Pod is 2, but limit is 2500m"
        );
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert_eq!(check(&ranges, "persistentvolumeclaims", &claim("1Gi")), None);
        assert_eq!(
            check(&ranges, "persistentvolumeclaims", &claim("3Gi")).unwrap(),
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
        );
        assert!(
            check(&ranges, "pods", &pod(json!({})))
                .unwrap()
                .contains("No request is specified")
        );
    }
}
