//! The cluster crate against a real API server in this process, with a stand-in for the node agents.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop where it stands"
)]

use futures::StreamExt;
use herder_base::SystemClock;
use herder_cluster::{Cluster, Health, Scope};

use herder_apiserver::registry::{DeleteOptions, EventKind, Registry};
use herder_kubelite::{Config, Kubelite};
use herder_object::{Gvk, Key};
use herder_plan::{Action, Checked, Effect, Phase, Plan, What};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct World {
    registry: Registry,
    cluster: Cluster,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    _dir: tempfile::TempDir,
}

fn text<'a>(v: &'a Value, p: &str) -> &'a str {
    v.pointer(p).and_then(Value::as_str).unwrap_or_default()
}

/// Says of every bound pod what its image asks for, and lets deleted pods go.
async fn agent(registry: Registry, cancel: CancellationToken) {
    let mut events = registry.subscribe();
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
            let ready = |ok: bool| json!([{"type": "Ready", "status": if ok { "True" } else { "False" }}]);
            let status = match text(pod, "/spec/containers/0/image") {
                "missing" => {
                    json!({"phase": "Pending", "podIP": "10.42.1.9", "conditions": ready(false), "containerStatuses": [
                    {"name": "web", "image": "missing", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]})
                }
                _ => json!({"phase": "Running", "podIP": "10.42.1.8", "conditions": ready(true)}),
            };
            let change = |p: &mut Value| {
                p["status"] = status.clone();
                true
            };
            let _gone = registry.modify_status("pods", ns, name, change).await;
        }
    }
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            dir: dir.path().to_owned(),
            nodes: 0,
            listen: "127.0.0.1:0".parse().unwrap(),
            exe: "/nonexistent".into(),
            ingress: Vec::new(),
        };
        let kubelite = Kubelite::start(config, Arc::new(SystemClock)).await.unwrap();
        let (registry, kubeconfig) = (kubelite.registry(), kubelite.kubeconfig());
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(kubelite.run(cancel.clone()));
        tasks.spawn(agent(registry.clone(), cancel.clone()));
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
        registry.create("nodes", node).await.unwrap();
        let ready = |n: &mut Value| {
            n["status"] = json!({"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2999-01-01T00:00:00Z"}]});
            true
        };
        registry.modify_status("nodes", "", "n1", ready).await.unwrap();
        let cluster = Cluster::connect(&kubeconfig, None).await.unwrap();
        tasks.spawn(cluster.clone().run(cancel.clone()));
        Self {
            registry,
            cluster,
            cancel,
            tasks,
            _dir: dir,
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.cluster.changes();
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !holds(self) {
                let _woken = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
            }
        });
        if waited.await.is_err() {
            panic!("waited too long for {what}: {:#?}", self.cluster.applications());
        }
    }

    fn health(&self, namespace: &str) -> Option<Health> {
        let apps = self.cluster.applications();
        apps.iter().find(|a| a.namespace == namespace).map(|a| a.health)
    }

    async fn end(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn action(what: What, value: Value) -> Action {
    let key = Key::of(&value).unwrap();
    let phase = match what {
        What::Delete => Phase::of_delete(&key.gvk),
        _ => Phase::of_apply(&key.gvk),
    };
    Action {
        what,
        key,
        value: Some(Arc::new(value)),
        unit: "u".to_owned(),
        application: None,
        phase,
        reason: "test".to_owned(),
        source: None,
    }
}

fn plan(what: What, objects: Vec<Value>) -> Checked {
    let mut actions: Vec<Action> = objects.into_iter().map(|o| action(what, o)).collect();
    actions.sort_by_key(|a| a.phase);
    let plan = Plan {
        fleet: "f".to_owned(),
        actions,
        ..Plan::default()
    };
    herder_plan::check(plan).unwrap()
}

fn object(api: &str, kind: &str, namespace: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name,
        "labels": {"herder.dev/fleet": "f", "herder.dev/application": "shop"}}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn estate(image: &str) -> Vec<Value> {
    let names = json!({"plural": "toys", "singular": "toy", "kind": "Toy", "listKind": "ToyList"});
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": schema}]);
    let template = json!({"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "web", "image": image}]}});
    vec![
        object(
            "apps/v1",
            "Deployment",
            "shop",
            "shop",
            json!({"spec": {"replicas": 2,
            "selector": {"matchLabels": {"app": "shop"}}, "template": template}}),
        ),
        object("v1", "Namespace", "", "shop", json!({})),
        object(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "",
            "toys.example.com",
            json!({"spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions}}),
        ),
        object(
            "example.com/v1",
            "Toy",
            "shop",
            "bear",
            json!({"spec": {"soft": true}}),
        ),
        object("v1", "ConfigMap", "shop", "shop", json!({"data": {"a": "b"}})),
    ]
}

fn scope() -> Scope {
    let kinds = estate("x").iter().filter_map(Gvk::of).collect();
    Scope {
        fleet: "f".to_owned(),
        kinds,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applies_observes_judges_and_deletes() {
    let world = World::new().await;
    let cluster = &world.cluster;
    assert!(cluster.observe(&scope()).await.unwrap().is_empty());

    let outcomes = cluster.apply(&plan(What::Apply, estate("good"))).await;
    for outcome in &outcomes {
        assert_eq!(outcome.result, Ok(Effect::Created), "{}", outcome.key);
    }
    let observed = cluster.observe(&scope()).await.unwrap();
    assert_eq!(observed.len(), 5, "what was just written is observed");
    let again = cluster
        .apply(&plan(What::Apply, vec![estate("good").remove(4)]))
        .await;
    assert_eq!(again[0].result, Ok(Effect::Unchanged));
    world
        .until("health", |w| w.health("shop") == Some(Health::Healthy))
        .await;
    let app = || {
        let mut all = cluster.applications().into_iter();
        all.find(|a| a.namespace == "shop").unwrap()
    };
    // Health is the Deployment's word and the count the pods': two watches, of which one may be a moment behind.
    world.until("both pods", |_| app().ready == 2).await;
    assert_eq!((app().desired, app().owned), (2, true));
    assert!(cluster.nodes()[0].ready);
    assert!(cluster.diagnose("shop", "shop").await.unwrap().healthy);

    cluster
        .apply(&plan(What::Apply, vec![estate("missing").remove(0)]))
        .await;
    world
        .until("trouble", |w| w.health("shop") == Some(Health::Degraded))
        .await;
    let why = cluster.diagnose("shop", "shop").await.unwrap();
    assert!(
        why.cause
            .contains("image \"missing\" cannot be pulled: no such image"),
        "{why:?}"
    );

    // A handle without watches sees the same.
    let plain = Cluster::connect(&world._dir.path().join("kubeconfig"), None)
        .await
        .unwrap();
    assert_eq!(plain.observe(&scope()).await.unwrap().len(), 5);
    assert_eq!(plain.diagnose("shop", "shop").await.unwrap().cause, why.cause);
    assert_eq!(plain.owned("f").await.unwrap().len(), 5);

    // Refusals carry the server's words; unknown kinds are no failures.
    let mut broken = estate("x").remove(4);
    broken["metadata"]["name"] = json!("Not A Name");
    let unknown = object("cert-manager.io/v1", "Certificate", "shop", "c", json!({}));
    let outcomes = cluster.apply(&plan(What::Apply, vec![broken, unknown])).await;
    let of = |kind: &str| &outcomes.iter().find(|o| o.key.gvk.kind == kind).unwrap().result;
    assert!(
        of("ConfigMap").as_ref().is_err_and(|e| e.contains("Not A Name")),
        "{outcomes:?}"
    );
    assert_eq!(of("Certificate"), &Ok(Effect::Skipped));

    let outcomes = cluster.apply(&plan(What::Delete, estate("x"))).await;
    assert!(outcomes.iter().all(|o| o.result.is_ok()), "{outcomes:?}");
    assert_eq!(outcomes.last().unwrap().key.gvk.kind, "Namespace");
    world
        .until("nothing", |w| w.registry.get("namespaces", "", "shop").is_none())
        .await;
    world
        .until("no applications", |w| w.health("shop").is_none())
        .await;
    assert!(plain.owned("f").await.unwrap().is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_and_permissions_for_jobs() {
    let world = World::new().await;
    let cluster = &world.cluster;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "run-1", "namespace": "default"},
        "spec": {"containers": [{"name": "step", "image": "host"}]}});
    cluster.create(pod.clone()).await.unwrap();
    assert!(cluster.create(pod).await.unwrap_err().is_already_exists());
    let mut watch = cluster.watch_pod("default", "run-1");
    let mut seen = Vec::new();
    let key = Key {
        gvk: Gvk::new("v1", "Pod"),
        namespace: "default".to_owned(),
        name: "run-1".to_owned(),
    };
    let follow = async {
        while let Some(pod) = watch.next().await {
            let phase = text(&pod.unwrap(), "/status/phase").to_owned();
            if phase == "Running" && seen.last() != Some(&phase) {
                assert!(cluster.delete(&key).await.unwrap());
            }
            seen.push(phase);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), follow)
        .await
        .unwrap();
    assert!(seen.contains(&"Running".to_owned()), "{seen:?}");
    assert!(!cluster.delete(&key).await.unwrap());
    assert_eq!(cluster.get("v1", "Pod", "default", "run-1").await.unwrap(), None);

    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": "default"}});
    cluster.server_apply(&account, "herder").await.unwrap();
    let user = "system:serviceaccount:default:deployer";
    assert!(
        !cluster
            .may(user, "default", "apps", "deployments", "update")
            .await
            .unwrap()
    );
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "deployer", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "default"}]});
    cluster.create(binding).await.unwrap();
    assert!(
        cluster
            .may(user, "default", "apps", "deployments", "update")
            .await
            .unwrap()
    );
    assert!(
        !cluster
            .may(user, "kube-system", "apps", "deployments", "update")
            .await
            .unwrap()
    );
    cluster
        .token("default", "deployer", &[], Duration::from_secs(3600))
        .await
        .unwrap();
    world.end().await;
}
