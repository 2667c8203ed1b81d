//! The controllers and the scheduler against a real registry, with a stand-in for the node agents: it says of every
//! bound pod that it runs, and lets deleted pods go.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test may stop where it stands"
)]

use herder_apiserver::registry::{DeleteOptions, EventKind, Propagation, Registry};
use herder_base::{Clock, SystemClock};
use herder_control::controllers::{Deps, run};
use herder_store::Store;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct World {
    registry: Registry,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    dir: tempfile::TempDir,
}

fn text<'a>(v: &'a Value, p: &str) -> &'a str {
    v.pointer(p).and_then(Value::as_str).unwrap_or_default()
}

fn int(v: &Value, p: &str) -> i64 {
    v.pointer(p).and_then(Value::as_i64).unwrap_or_default()
}

fn now() -> String {
    format!("{:.0}", SystemClock.now())
}

/// What becomes of a pod, by its image.
fn outcome(pod: &Value, ip: &str) -> Value {
    let ready = |ok: bool| json!([{"type": "Ready", "status": if ok { "True" } else { "False" }, "lastTransitionTime": now()}]);
    let (phase, ok) = match text(pod, "/spec/containers/0/image") {
        "succeeds" => ("Succeeded", false),
        "fails" => ("Failed", false),
        "broken" => ("Running", false),
        _ => ("Running", true),
    };
    json!({"phase": phase, "podIP": ip, "conditions": ready(ok)})
}

async fn agent(registry: Registry, cancel: CancellationToken) {
    let mut events = registry.subscribe();
    let mut next = 10_u32;
    loop {
        let event = tokio::select! { () = cancel.cancelled() => return, e = events.next() => e.unwrap() };
        let pod = &event.object;
        if &*event.resource != "pods"
            || event.kind == EventKind::Deleted
            || text(pod, "/spec/nodeName").is_empty()
        {
            continue;
        }
        let (ns, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        if !text(pod, "/metadata/deletionTimestamp").is_empty() {
            let _gone = registry.delete("pods", ns, name, DeleteOptions::now()).await;
        } else if text(pod, "/status/podIP").is_empty() {
            next += 1;
            let status = outcome(pod, &format!("10.42.1.{next}"));
            let change = |p: &mut Value| {
                p["status"] = status.clone();
                true
            };
            let _gone = registry.modify_status("pods", ns, name, change).await;
        }
    }
}

impl World {
    async fn new(nodes: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(Store::in_memory(), Arc::new(SystemClock)).unwrap();
        let cancel = CancellationToken::new();
        for ns in ["default", "kube-system", "kube-node-lease", "shop"] {
            let ns = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}});
            registry.create("namespaces", ns).await.unwrap();
        }
        for node in nodes {
            let labels = json!({"kubernetes.io/hostname": node});
            let object =
                json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}});
            registry.create("nodes", object).await.unwrap();
            let status = json!({"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": now()}]});
            let change = |n: &mut Value| {
                n["status"] = status.clone();
                true
            };
            registry.modify_status("nodes", "", node, change).await.unwrap();
        }
        let deps = Deps {
            registry: registry.clone(),
            fabric: None,
            clock: Arc::new(SystemClock),
            volumes: dir.path().join("volumes"),
            root_ca: "PEM".to_owned(),
            ingress: vec!["127.0.0.1".parse().unwrap()],
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(run(deps, cancel.clone()));
        tasks.spawn(agent(registry.clone(), cancel.clone()));
        Self {
            registry,
            cancel,
            tasks,
            dir,
        }
    }

    async fn create(&self, resource: &str, object: Value) {
        self.registry.create(resource, object).await.unwrap();
    }

    async fn change(&self, resource: &str, name: &str, pointer: &str, to: Value) {
        let change = |object: &mut Value| {
            *object.pointer_mut(pointer).unwrap() = to.clone();
            true
        };
        self.registry
            .modify(resource, "shop", name, change)
            .await
            .unwrap();
    }

    fn get(&self, resource: &str, name: &str) -> Arc<Value> {
        self.registry.get(resource, "shop", name).unwrap_or_default()
    }

    fn list(&self, resource: &str) -> Vec<Arc<Value>> {
        self.registry.list(resource, Some("shop")).0
    }

    /// Waits until a state holds, checking after every event. The limit is only against hanging.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut events = self.registry.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while !holds(self) {
                let _woken = tokio::time::timeout(Duration::from_millis(100), events.next()).await;
            }
        });
        if waited.await.is_err() {
            for resource in [
                "deployments.apps",
                "replicasets.apps",
                "statefulsets.apps",
                "pods",
                "jobs.batch",
                "events",
            ] {
                for object in self.list(resource) {
                    let name = text(&object, "/metadata/name");
                    eprintln!(
                        "{resource} {name} {} {}",
                        object["status"],
                        text(&object, "/message")
                    );
                }
            }
            for volume in self.registry.list("persistentvolumes", None).0 {
                eprintln!("{volume}");
            }
            panic!("waited too long for: {what}");
        }
    }

    async fn end(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn template(image: &str) -> Value {
    let ports = json!([{"name": "http", "containerPort": 8080}]);
    json!({"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [
        {"name": "web", "image": image, "ports": ports}]}})
}

fn deployment(image: &str, replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"replicas": replicas, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "shop"}},
            "template": template(image)}})
}

async fn image(world: &World, image: &str) {
    let pointer = "/spec/template/spec/containers/0/image";
    world
        .change("deployments.apps", "shop", pointer, json!(image))
        .await;
}

fn revision(world: &World) -> String {
    let d = world.get("deployments.apps", "shop");
    text(&d, "/metadata/annotations/deployment.kubernetes.io~1revision").to_owned()
}

fn has_condition(object: &Value, kind: &str, field: &str, value: &str) -> bool {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.is_some_and(|c| c.iter().any(|c| c["type"] == kind && c[field] == value))
}

fn rolled_out(world: &World, replicas: i64) -> bool {
    let d = world.get("deployments.apps", "shop");
    int(&d, "/status/observedGeneration") == int(&d, "/metadata/generation")
        && ["updatedReplicas", "replicas", "availableReplicas"]
            .iter()
            .all(|f| int(&d, &format!("/status/{f}")) == replicas)
        && has_condition(&d, "Progressing", "reason", "NewReplicaSetAvailable")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_rolls_serves_undoes_and_goes() {
    let world = World::new(&["n1", "n2", "n3"]).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80, "targetPort": "http"}]}});
    world.create("services", service).await;
    world.create("deployments.apps", deployment("v1", 3)).await;
    world.until("the first rollout", |w| rolled_out(w, 3)).await;
    let mut nodes: Vec<_> = world
        .list("pods")
        .iter()
        .map(|p| text(p, "/spec/nodeName").to_owned())
        .collect();
    nodes.sort();
    assert_eq!(nodes, ["n1", "n2", "n3"], "replicas are spread");
    let ready = |w: &World| {
        let slices = w.list("endpointslices.discovery.k8s.io");
        let endpoints = slices
            .iter()
            .flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default());
        endpoints.filter(|e| e["conditions"]["ready"] == true).count()
    };
    world.until("three endpoints", |w| ready(w) == 3).await;

    image(&world, "v2").await;
    world.until("the second rollout", |w| rolled_out(w, 3)).await;
    assert_eq!(world.list("replicasets.apps").len(), 2);
    assert_eq!(revision(&world), "2");

    // A broken version never takes away more than maxUnavailable.
    image(&world, "broken").await;
    let runs = |p: &Arc<Value>| {
        text(p, "/spec/containers/0/image") == "broken" && !text(p, "/status/podIP").is_empty()
    };
    world
        .until("the surge of the broken version", |w| {
            w.list("pods").iter().any(runs)
        })
        .await;
    assert!(
        int(
            &world.get("deployments.apps", "shop"),
            "/status/availableReplicas"
        ) >= 3
    );

    // Undo: the old template again is the old ReplicaSet with a new revision.
    image(&world, "v1").await;
    world
        .until("the undo", |w| rolled_out(w, 3) && revision(w) == "4")
        .await;
    assert_eq!(world.list("replicasets.apps").len(), 3);

    world
        .change("deployments.apps", "shop", "/spec/replicas", json!(5))
        .await;
    world.until("five replicas", |w| rolled_out(w, 5)).await;

    let options = DeleteOptions {
        propagation: Some(Propagation::Foreground),
        ..DeleteOptions::default()
    };
    world
        .registry
        .delete("deployments.apps", "shop", "shop", options)
        .await
        .unwrap();
    let kinds = ["deployments.apps", "replicasets.apps", "pods"];
    world
        .until("all gone", |w| kinds.iter().all(|k| w.list(k).is_empty()))
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_node_loses_its_pods_to_others() {
    let world = World::new(&["n1", "n2"]).await;
    world.create("deployments.apps", deployment("v1", 4)).await;
    world.until("the rollout", |w| rolled_out(w, 4)).await;
    world
        .registry
        .modify("nodes", "", "n1", |n| {
            n["spec"]["taints"] = json!([{"key": "maintenance", "effect": "NoExecute"}]);
            true
        })
        .await
        .unwrap();
    world
        .registry
        .modify_status("nodes", "", "n1", |n| {
            n["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
            true
        })
        .await
        .unwrap();
    let on_n2 = |p: &Arc<Value>| text(p, "/spec/nodeName") == "n2";
    world
        .until("all pods on n2", |w| {
            rolled_out(w, 4) && w.list("pods").iter().all(on_n2)
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateful_pods_keep_name_and_volume() {
    let world = World::new(&["n1"]).await;
    let claim = json!({"metadata": {"name": "data", "annotations": {"herder.dev/state": "true"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "shop"}},
            "template": template("v1"), "volumeClaimTemplates": [claim]}});
    world.create("statefulsets.apps", set).await;
    let two = |w: &World| int(&w.get("statefulsets.apps", "db"), "/status/readyReplicas") == 2;
    world.until("two pods", two).await;
    let directory = world.dir.path().join("volumes/shop/data-db-0");
    std::fs::write(directory.join("kept"), "x").unwrap();
    let path = "/spec/volumes/0/persistentVolumeClaim/claimName";
    assert_eq!(text(&world.get("pods", "db-0"), path), "data-db-0");

    let pointer = "/spec/template/spec/containers/0/image";
    world
        .change("statefulsets.apps", "db", pointer, json!("v2"))
        .await;
    let updated = |w: &World| {
        let set = w.get("statefulsets.apps", "db");
        int(&set, "/status/updatedReplicas") == 2
            && text(&set, "/status/currentRevision") == text(&set, "/status/updateRevision")
    };
    world.until("the update", updated).await;

    world
        .registry
        .delete("namespaces", "", "shop", DeleteOptions::default())
        .await
        .unwrap();
    world
        .until("the namespace gone", |w| {
            w.registry.get("namespaces", "", "shop").is_none()
        })
        .await;
    world
        .until("the volumes gone", |w| {
            w.registry.list("persistentvolumes", None).0.is_empty()
        })
        .await;
    assert!(directory.join("kept").exists(), "state survives");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_and_daemons() {
    let world = World::new(&["n1", "n2"]).await;
    for (name, image, backoff) in [("good", "succeeds", 6), ("bad", "fails", 0)] {
        let mut template = template(image);
        template["spec"]["restartPolicy"] = json!("Never");
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"completions": 2, "parallelism": 2, "backoffLimit": backoff, "template": template}});
        world.create("jobs.batch", job).await;
    }
    let is =
        |w: &World, name: &str, kind: &str| has_condition(&w.get("jobs.batch", name), kind, "status", "True");
    world.until("the good job", |w| is(w, "good", "Complete")).await;
    world.until("the bad job", |w| is(w, "bad", "Failed")).await;
    assert_eq!(int(&world.get("jobs.batch", "good"), "/status/succeeded"), 2);
    let reason = |e: &Arc<Value>| text(e, "/reason") == "BackoffLimitExceeded";
    world
        .until("the event", |w| w.list("events").iter().any(reason))
        .await;
    let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": template("v1")}});
    world.create("daemonsets.apps", set).await;
    world
        .until("a pod per node", |w| {
            int(&w.get("daemonsets.apps", "d"), "/status/numberAvailable") == 2
        })
        .await;
    assert_eq!(
        text(&world.get("configmaps", "kube-root-ca.crt"), "/data/ca.crt"),
        "PEM"
    );
    assert!(world.registry.get("serviceaccounts", "shop", "default").is_some());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unschedulable_pod_says_why() {
    let world = World::new(&["n1", "n2"]).await;
    let container = json!({"name": "c", "image": "x", "resources": {"requests": {"cpu": "64"}}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big", "namespace": "shop"},
        "spec": {"containers": [container]}});
    world.create("pods", pod).await;
    let why = "0/2 nodes are available: 2 Insufficient cpu.";
    let said = |e: &Arc<Value>| text(e, "/reason") == "FailedScheduling" && text(e, "/message") == why;
    world
        .until("the event", |w| w.list("events").iter().any(said))
        .await;
    assert!(has_condition(
        &world.get("pods", "big"),
        "PodScheduled",
        "reason",
        "Unschedulable"
    ));
    world.end().await;
}
