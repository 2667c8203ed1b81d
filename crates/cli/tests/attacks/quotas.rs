//! ResourceQuota, LimitRange and the defaults of a pod without limits.

use crate::attacked::{Cluster, Dir, Said, as_both, merge, until};
use serde_json::{Value, json};

const SHOP: &str = "shop";

/// A pod that no node takes, so that nothing runs.
fn pod(name: &str, more: &Value) -> String {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": SHOP},
        "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "host"}]},
    });
    merge(&mut pod, &json!({"spec": more}));
    pod.to_string()
}

fn asking(amounts: &Value) -> Value {
    json!({"containers": [{"resources": amounts}]})
}

fn refused(said: &Said, words: &[&str]) {
    assert!(!said.ok, "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "not said: {word}\n{}", said.err);
    }
}

fn fine(said: &Said) {
    assert!(said.ok, "{said:?}");
}

#[test]
fn a_namespace_takes_no_more_than_its_quota() {
    as_both(|who| {
        let dir = Dir::new("quotas");
        let cluster = Cluster::start(who, &dir, 1);
        let token = cluster.deployer(SHOP);
        // Written once: many ask at the same time below.
        fine(&cluster.kubectl_with(&token, &["-n", SHOP, "get", "pods"], ""));
        counted(&cluster, &token);
        amounts(&cluster, &token);
        ranges(&cluster, &token);
    });
}

fn quota(cluster: &Cluster, name: &str, spec: &Value) {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": SHOP}, "spec": spec});
    fine(&cluster.kubectl(&["apply", "-f", "-"], &quota.to_string()));
}

fn used(cluster: &Cluster, name: &str, what: &str) -> String {
    let said = cluster.kubectl(&["-n", SHOP, "get", "resourcequota", name, "-o", "json"], "");
    let quota: Value = serde_json::from_str(&said.out).unwrap();
    quota["status"]["used"][what]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn counted(cluster: &Cluster, token: &str) {
    quota(
        cluster,
        "q",
        &json!({"hard": {"pods": "10", "services.nodeports": "0", "count/deployments.apps": "0"}}),
    );
    // Fifty at once, none of which waits for the others.
    let config = dir_of(cluster).join("attacker.kubeconfig");
    let said: Vec<Said> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..50)
            .map(|index| {
                let config = &config;
                scope.spawn(move || {
                    let mut kubectl = std::process::Command::new("kubectl");
                    kubectl
                        .arg("--kubeconfig")
                        .arg(config)
                        .args(["create", "--validate=ignore", "-f", "-"]);
                    crate::attacked::run(&mut kubectl, &pod(&format!("p{index}"), &json!({})))
                })
            })
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let made = said.iter().filter(|said| said.ok).count();
    assert_eq!(made, 10, "{said:#?}");
    let words = "exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10";
    let no = said.iter().find(|said| !said.ok).unwrap();
    refused(no, &["is forbidden: ", words]);
    until("count in the status", || {
        (used(cluster, "q", "pods") == "10").then_some(())
    });

    let kubectl = |args: &[&str], input: &str| cluster.kubectl_with(token, args, input);
    // A Deployment's controller is refused as everybody is, and so is a type changed later.
    refused(
        &kubectl(&["-n", SHOP, "create", "deployment", "d", "--image=host"], ""),
        &["exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=0"],
    );
    fine(&kubectl(
        &["-n", SHOP, "create", "service", "clusterip", "s", "--tcp=80"],
        "",
    ));
    let patch = r#"{"spec": {"type": "NodePort"}}"#;
    refused(
        &kubectl(&["-n", SHOP, "patch", "service", "s", "-p", patch], ""),
        &[
            "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=0, limited: services.nodeports=0",
        ],
    );
    refused(
        &kubectl(&["-n", SHOP, "delete", "resourcequota", "q"], ""),
        &["forbidden"],
    );

    // What goes is free again.
    fine(&kubectl(&["-n", SHOP, "delete", "pods", "--all", "--now"], ""));
    until("the pods' end", || {
        (used(cluster, "q", "pods") == "0").then_some(())
    });
    fine(&kubectl(&["create", "-f", "-"], &pod("again", &json!({}))));
    fine(&kubectl(&["-n", SHOP, "delete", "pod", "again", "--now"], ""));
    fine(&cluster.kubectl(&["-n", SHOP, "delete", "resourcequota", "q"], ""));
}

fn amounts(cluster: &Cluster, token: &str) {
    let kubectl = |args: &[&str], input: &str| cluster.kubectl_with(token, args, input);
    quota(
        cluster,
        "m",
        &json!({"hard": {"limits.memory": "1Gi", "requests.storage": "1Gi"}}),
    );
    quota(
        cluster,
        "b",
        &json!({"hard": {"pods": "0"}, "scopes": ["BestEffort"]}),
    );
    refused(
        &kubectl(&["create", "-f", "-"], &pod("silent", &json!({}))),
        &["exceeded quota: b, requested: pods=1, used: pods=0, limited: pods=0"],
    );
    fine(&cluster.kubectl(&["-n", SHOP, "delete", "resourcequota", "b"], ""));
    refused(
        &kubectl(&["create", "-f", "-"], &pod("silent", &json!({}))),
        &["failed quota: m: must specify limits.memory for: c"],
    );
    for (amounts, words) in [
        (
            json!({"limits": {"memory": "2Gi"}}),
            "exceeded quota: m, requested: limits.memory=2Gi, used: limits.memory=0, limited: limits.memory=1Gi",
        ),
        (
            json!({"limits": {"memory": "-1Gi"}}),
            "must be greater than or equal to 0",
        ),
        (
            json!({"limits": {"memory": "much"}}),
            "quantities must match the regular expression",
        ),
        (
            json!({"limits": {"memory": "1Mi"}, "requests": {"memory": "1Gi"}}),
            "must be less than or equal to memory limit of 1Mi",
        ),
    ] {
        refused(
            &kubectl(&["create", "-f", "-"], &pod("amounts", &asking(&amounts))),
            &[words],
        );
    }
    let small = pod("small", &asking(&json!({"limits": {"memory": "600Mi"}})));
    fine(&kubectl(&["create", "-f", "-"], &small));
    let grow = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "2Gi"}}}]}})
        .to_string();
    refused(
        &kubectl(&["-n", SHOP, "patch", "pod", "small", "-p", &grow], ""),
        &[
            "exceeded quota: m, requested: limits.memory=1448Mi, used: limits.memory=600Mi, limited: limits.memory=1Gi",
        ],
    );
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": SHOP},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
    refused(
        &kubectl(&["create", "-f", "-"], &claim.to_string()),
        &[
            "exceeded quota: m, requested: requests.storage=2Gi, used: requests.storage=0, limited: requests.storage=1Gi",
        ],
    );
    fine(&kubectl(&["-n", SHOP, "delete", "pod", "small", "--now"], ""));
    fine(&cluster.kubectl(&["-n", SHOP, "delete", "resourcequota", "m"], ""));
}

fn ranges(cluster: &Cluster, token: &str) {
    let kubectl = |args: &[&str], input: &str| cluster.kubectl_with(token, args, input);
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r", "namespace": SHOP},
    "spec": {"limits": [
        {"type": "Container", "default": {"memory": "256Mi"}, "defaultRequest": {"memory": "64Mi"}, "max": {"memory": "1Gi"},
         "min": {"memory": "16Mi"}, "maxLimitRequestRatio": {"memory": "4"}},
        {"type": "Pod", "max": {"memory": "1Gi"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
    ]}});
    fine(&cluster.kubectl(&["create", "-f", "-"], &range.to_string()));
    fine(&kubectl(&["create", "-f", "-"], &pod("silent", &json!({}))));
    let silent = cluster.pod(SHOP, "silent");
    assert_eq!(
        silent["spec"]["containers"][0]["resources"],
        json!({"limits": {"memory": "256Mi"}, "requests": {"memory": "64Mi"}})
    );
    assert_eq!(
        (
            &silent["status"]["qosClass"],
            &silent["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
        ),
        (
            &json!("Burstable"),
            &json!("LimitRanger plugin set: memory request for container c; memory limit for container c")
        )
    );
    for (amounts, words) in [
        (
            json!({"limits": {"memory": "1536Mi"}}),
            "maximum memory usage per Container is 1Gi, but limit is 1536Mi",
        ),
        (
            json!({"limits": {"memory": "1Mi"}}),
            "minimum memory usage per Container is 16Mi, but request is 1Mi",
        ),
        (
            json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "16Mi"}}),
            "memory max limit to request ratio per Container is 4, but provided ratio is 64.000000",
        ),
    ] {
        refused(
            &kubectl(&["create", "-f", "-"], &pod("amounts", &asking(&amounts))),
            &[words],
        );
    }
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": SHOP},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
    refused(
        &kubectl(&["create", "-f", "-"], &claim.to_string()),
        &["maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"],
    );
}

fn dir_of(cluster: &Cluster) -> &std::path::Path {
    cluster.dir.parent().unwrap()
}
