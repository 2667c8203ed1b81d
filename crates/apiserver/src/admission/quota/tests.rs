//! What quotas count, and in which words they refuse.

use super::*;
use crate::registry::Catalog;
use serde_json::json;

fn resource(name: &str) -> Arc<Resource> {
    let catalog = Catalog::new(std::iter::empty());
    Arc::clone(catalog.stored(name).unwrap())
}

fn quota(spec: Value) -> Vec<Arc<Value>> {
    vec![Arc::new(json!({"metadata": {"name": "q"}, "spec": spec}))]
}

fn pod(resources: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})
}

fn ask(
    quotas: &[Arc<Value>],
    kind: &str,
    before: Option<&Value>,
    object: &Value,
    there: &[Value],
) -> Option<String> {
    let there: Vec<Arc<Value>> = there.iter().cloned().map(Arc::new).collect();
    check(quotas, &resource(kind), before, object, || Box::new(there.iter()))
}

#[test]
fn counts_and_refuses_in_kubernetes_words() {
    let plain = pod(json!({}));
    let two = quota(json!({"hard": {"pods": "2"}}));
    let there = [plain.clone(), plain.clone()];
    assert_eq!(ask(&two, "pods", None, &plain, &there[..1]), None);
    assert_eq!(
        ask(&two, "pods", None, &plain, &there).unwrap(),
        "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    );
    // What is there may be changed, and what has ended is not used.
    assert_eq!(ask(&two, "pods", Some(&plain), &plain, &there), None);
    let over = json!({"spec": plain["spec"], "status": {"phase": "Succeeded"}});
    assert_eq!(
        ask(&two, "pods", None, &plain, &[over.clone(), plain.clone()]),
        None
    );
    let objects = quota(json!({"hard": {"count/pods": "2"}}));
    assert!(ask(&objects, "pods", None, &plain, &[over, plain.clone()]).is_some());
}

#[test]
fn amounts_must_be_named_and_fit() {
    let quotas = quota(json!({"hard": {"limits.memory": "1Gi", "requests.cpu": "1"}}));
    assert_eq!(
        ask(&quotas, "pods", None, &pod(json!({})), &[]).unwrap(),
        "failed quota: q: must specify limits.memory for: c; requests.cpu for: c"
    );
    let half = pod(json!({"limits": {"memory": "600Mi"}, "requests": {"cpu": "100m"}}));
    assert_eq!(ask(&quotas, "pods", None, &half, &[]), None);
    assert_eq!(
        ask(&quotas, "pods", None, &half, std::slice::from_ref(&half)).unwrap(),
        "exceeded quota: q, requested: limits.memory=600Mi, used: limits.memory=600Mi, limited: limits.memory=1Gi"
    );
    // Growing counts as well, shrinking does not.
    let more = pod(json!({"limits": {"memory": "2Gi"}, "requests": {"cpu": "100m"}}));
    assert!(ask(&quotas, "pods", Some(&half), &more, std::slice::from_ref(&half)).is_some());
    assert_eq!(
        ask(&quotas, "pods", Some(&more), &half, std::slice::from_ref(&more)),
        None
    );
}

#[test]
fn services_and_claims() {
    let service =
        |kind: &str| json!({"spec": {"type": kind, "ports": [{"port": 1, "nodePort": 30000}, {"port": 2}]}});
    let none = quota(json!({"hard": {"services.nodeports": "0"}}));
    assert_eq!(ask(&none, "services", None, &service("ClusterIP"), &[]), None);
    assert!(
        ask(&none, "services", None, &service("NodePort"), &[])
            .unwrap()
            .contains("services.nodeports=2")
    );
    // A change of type is no way round.
    assert!(
        ask(
            &none,
            "services",
            Some(&service("ClusterIP")),
            &service("LoadBalancer"),
            &[]
        )
        .is_some()
    );
    let claim = |size: &str| json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": size}}}});
    let quotas = quota(
        json!({"hard": {"requests.storage": "10Gi", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"}}),
    );
    assert_eq!(
        ask(&quotas, "persistentvolumeclaims", None, &claim("1Gi"), &[]),
        None
    );
    assert_eq!(
        ask(&quotas, "persistentvolumeclaims", None, &claim("2Gi"), &[]).unwrap(),
        "exceeded quota: q, requested: gold.storageclass.storage.k8s.io/requests.storage=2Gi, \
         used: gold.storageclass.storage.k8s.io/requests.storage=0, \
         limited: gold.storageclass.storage.k8s.io/requests.storage=1Gi"
    );
    let deployments = quota(json!({"hard": {"count/deployments.apps": "0"}}));
    assert!(ask(&deployments, "deployments.apps", None, &json!({}), &[]).is_some());
}

#[test]
fn scopes_choose_pods() {
    let asks = pod(json!({"requests": {"cpu": "1"}}));
    let mut short = asks.clone();
    short["spec"]["activeDeadlineSeconds"] = json!(5);
    short["spec"]["priorityClassName"] = json!("high");
    let scoped = |scope: &str| quota(json!({"hard": {"pods": "0"}, "scopes": [scope]}));
    let cases = [
        ("BestEffort", [true, false, false]),
        ("NotBestEffort", [false, true, true]),
        ("Terminating", [false, false, true]),
        ("NotTerminating", [true, true, false]),
    ];
    for (scope, expected) in cases {
        let found = [pod(json!({})), asks.clone(), short.clone()]
            .map(|pod| ask(&scoped(scope), "pods", None, &pod, &[]).is_some());
        assert_eq!(found, expected, "{scope}");
    }
    for (operator, values, expected) in [
        ("In", json!(["high"]), [false, true]),
        ("NotIn", json!(["high"]), [true, false]),
        ("Exists", json!([]), [false, true]),
        ("DoesNotExist", json!([]), [true, false]),
    ] {
        let quotas = quota(
            json!({"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": operator, "values": values}]}}),
        );
        let found = [&asks, &short].map(|pod| ask(&quotas, "pods", None, pod, &[]).is_some());
        assert_eq!(found, expected, "{operator}");
    }
    assert_eq!(
        ask(&scoped("BestEffort"), "configmaps", None, &json!({}), &[]),
        None
    );
}

#[test]
fn the_status_counts_the_same() {
    let quotas = quota(
        json!({"hard": {"pods": "5", "limits.memory": "1Gi", "count/jobs.batch": "3", "secrets": "1"}}),
    );
    let catalog = Catalog::new(std::iter::empty());
    let pod = Arc::new(pod(json!({"limits": {"memory": "64Mi"}})));
    let pods = vec![Arc::clone(&pod), pod];
    let used = used(
        &quotas[0],
        catalog.resources().iter().map(|r| &**r),
        |kind| match kind {
            "pods" => pods.clone(),
            "jobs.batch" => vec![Arc::new(json!({}))],
            _ => Vec::new(),
        },
    );
    let shown: Vec<String> = used
        .iter()
        .map(|(what, amount)| format!("{what}={}", print(*amount, what)))
        .collect();
    assert_eq!(
        shown,
        ["count/jobs.batch=1", "limits.memory=128Mi", "pods=2", "secrets=0"]
    );
}
