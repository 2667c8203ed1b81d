//! The real kubectl judges the API server, which runs alone, without nodes.

mod support;

use serde_json::Value;
use support::{Alone, Kubectl};

const SHOP: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: team, labels: {app: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - {name: main, image: host, command: [sleep, "1000"], ports: [{containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: team}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}
"#;

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.herder.dev}
spec:
  group: test.herder.dev
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1}
              colour: {type: string, default: red, enum: [red, blue]}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_finds_a_kubernetes() {
    let Some(kubectl) = Kubectl::find() else { return };
    let cluster = Alone::start().await;
    let k = kubectl.of(&cluster);

    // Reading and writing, by client and by server.
    k.says(&["create", "namespace", "team"], "namespace/team created")
        .await;
    k.fed(
        &["apply", "-f", "-"],
        SHOP,
        "deployment.apps/shop created\nservice/shop created",
    )
    .await;
    k.fed(
        &["apply", "-f", "-"],
        SHOP,
        "deployment.apps/shop unchanged\nservice/shop unchanged",
    )
    .await;
    k.fed(&["diff", "-f", "-"], SHOP, "").await;
    let changed = SHOP.replace("replicas: 2", "replicas: 4");
    k.fed(
        &["apply", "--dry-run=server", "-f", "-"],
        &changed,
        "deployment.apps/shop configured (server dry run)\nservice/shop unchanged (server dry run)",
    )
    .await;
    k.fed(
        &["apply", "-f", "-"],
        &changed,
        "deployment.apps/shop configured\nservice/shop unchanged",
    )
    .await;
    let before = k
        .json(&["get", "deploy", "shop", "-n", "team", "-o", "json"])
        .await;
    k.fed(
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &changed,
        "serverside-applied",
    )
    .await;
    let applied = k
        .json(&["get", "deploy", "shop", "-n", "team", "-o", "json"])
        .await;
    assert_eq!(
        before["metadata"]["generation"],
        applied["metadata"]["generation"]
    );
    k.fed(
        &["apply", "--server-side", "-f", "-"],
        &changed,
        "serverside-applied",
    )
    .await;
    let again = k
        .json(&["get", "deploy", "shop", "-n", "team", "-o", "json"])
        .await;
    assert_eq!(
        applied["metadata"]["resourceVersion"], again["metadata"]["resourceVersion"],
        "applying the same writes nothing"
    );

    // Looking.
    for (args, wanted) in [
        (vec!["get", "deploy", "-n", "team"], "shop   0/4"),
        (vec!["get", "svc", "shop", "-n", "team", "-o", "wide"], "app=shop"),
        (
            vec!["get", "deploy", "shop", "-n", "team", "-o", "yaml"],
            "kind: Deployment",
        ),
        (
            vec!["describe", "deploy", "shop", "-n", "team"],
            "RollingUpdateStrategy:  25% max unavailable, 25% max surge",
        ),
        (
            vec!["explain", "deployment.spec.replicas"],
            "FIELD: replicas <integer>",
        ),
        (vec!["api-resources"], "customresourcedefinitions"),
        (
            vec!["get", "pods", "-A", "-l", "app in (shop)", "-o", "name"],
            "pod/shop-",
        ),
        (
            vec!["get", "pods", "-A", "--field-selector", "status.phase=Running"],
            "",
        ),
        (vec!["get", "all", "-n", "team"], "replicaset.apps/shop-"),
    ] {
        k.says(&args, wanted).await;
    }

    // Changing.
    for (args, wanted) in [
        (
            vec!["scale", "deploy", "shop", "-n", "team", "--replicas=1"],
            "deployment.apps/shop scaled",
        ),
        (
            vec!["label", "deploy", "shop", "-n", "team", "tier=web"],
            "labeled",
        ),
        (
            vec!["annotate", "deploy", "shop", "-n", "team", "who=me"],
            "annotated",
        ),
        (
            vec![
                "patch",
                "deploy",
                "shop",
                "-n",
                "team",
                "-p",
                r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"host:2"}]}}}}"#,
            ],
            "patched",
        ),
        (
            vec![
                "patch",
                "deploy",
                "shop",
                "-n",
                "team",
                "--type=merge",
                "-p",
                r#"{"spec":{"replicas":3}}"#,
            ],
            "patched",
        ),
        (
            vec![
                "patch",
                "deploy",
                "shop",
                "-n",
                "team",
                "--type=json",
                "-p",
                r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#,
            ],
            "patched",
        ),
        (
            vec![
                "patch",
                "deploy",
                "shop",
                "-n",
                "team",
                "--type=merge",
                "-p",
                r#"{"spec":{"replicas":2}}"#,
            ],
            "patched (no change)",
        ),
        (
            vec!["rollout", "undo", "deploy/shop", "-n", "team"],
            "rolled back",
        ),
        (
            vec!["create", "deployment", "other", "--image=host", "-n", "team"],
            "deployment.apps/other created",
        ),
        (
            vec!["create", "configmap", "cm", "--from-literal=a=b", "-n", "team"],
            "configmap/cm created",
        ),
        (
            vec![
                "create",
                "job",
                "once",
                "--image=host",
                "-n",
                "team",
                "--",
                "true",
            ],
            "job.batch/once created",
        ),
        (
            vec!["create", "serviceaccount", "robot", "-n", "team"],
            "serviceaccount/robot created",
        ),
        (
            vec![
                "create",
                "role",
                "reader",
                "--verb=get,list",
                "--resource=pods",
                "-n",
                "team",
            ],
            "created",
        ),
        (
            vec![
                "create",
                "rolebinding",
                "reads",
                "--role=reader",
                "--serviceaccount=team:robot",
                "-n",
                "team",
            ],
            "created",
        ),
        (vec!["auth", "can-i", "create", "pods"], "yes"),
        (
            vec![
                "auth",
                "can-i",
                "get",
                "pods",
                "-n",
                "team",
                "--as=system:serviceaccount:team:robot",
            ],
            "yes",
        ),
        (vec!["auth", "whoami"], "kubernetes-admin"),
        (
            vec![
                "wait",
                "--for=jsonpath={.metadata.name}=shop",
                "deploy/shop",
                "-n",
                "team",
            ],
            "condition met",
        ),
    ] {
        k.says(&args, wanted).await;
    }

    // A service account's token, and what it may not do.
    let token = k.says(&["create", "token", "robot", "-n", "team"], "ey").await;
    let bare = k.bare(&token);
    bare.says(&["get", "pods", "-n", "team"], "shop").await;
    bare.refused(
        &["get", "secrets", "-n", "team"],
        "secrets is forbidden: User \"system:serviceaccount:team:robot\" cannot list resource \"secrets\"",
    )
    .await;
    k.bare("ey.not.one")
        .refused(&["get", "pods"], "Unauthorized")
        .await;

    // Refusals in Kubernetes' words.
    let typo = SHOP.replace("replicas: 2", "replcias: 2");
    k.fed_refused(
        &["apply", "-f", "-"],
        &typo,
        "strict decoding error: unknown field \"spec.replcias\"",
    )
    .await;
    let wrong = SHOP
        .replace("{matchLabels: {app: shop}}", "{matchLabels: {app: else}}")
        .replace("name: shop", "name: wrong");
    k.fed_refused(
        &["apply", "-f", "-"],
        &wrong,
        "`selector` does not match template `labels`",
    )
    .await;
    k.refused(
        &["create", "namespace", "Not_A_Name"],
        "a lowercase RFC 1123 label",
    )
    .await;
    k.refused(&["get", "pod", "none", "-n", "team"], "pods \"none\" not found")
        .await;
    k.refused(
        &["create", "configmap", "x", "-n", "nowhere"],
        "namespaces \"nowhere\" not found",
    )
    .await;

    // A kind of one's own.
    k.fed(&["apply", "-f", "-"], DEFINITION, "created").await;
    // In block style: older kubectls take what begins with a brace for JSON.
    let widget = "apiVersion: test.herder.dev/v1\nkind: Widget\nmetadata: {name: w, namespace: team}\nspec: {size: 3}\n";
    k.fed(&["apply", "-f", "-"], widget, "widget.test.herder.dev/w created")
        .await;
    k.says(&["get", "wd", "-n", "team"], "w      3").await;
    assert_eq!(
        k.json(&["get", "widget", "w", "-n", "team", "-o", "json"]).await["spec"]["colour"],
        "red"
    );
    k.fed_refused(
        &["apply", "-f", "-"],
        &widget.replace("size: 3", "size: 0"),
        "should be greater than or equal to 1",
    )
    .await;

    // And away with it all.
    k.says(&["delete", "deploy", "shop", "-n", "team", "--wait"], "deleted")
        .await;
    k.says(&["delete", "namespace", "team"], "deleted").await;
    k.refused(&["get", "namespace", "team"], "not found").await;
    let left = k
        .json(&["get", "pods,configmaps,widgets", "-n", "team", "-o", "json"])
        .await;
    assert_eq!(left["items"], Value::Array(Vec::new()));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_changes_and_objects_survive_a_restart() {
    let Some(kubectl) = Kubectl::find() else { return };
    let cluster = Alone::start().await;
    let k = kubectl.of(&cluster);
    let watching = k.watching(&[
        "get",
        "configmaps",
        "-n",
        "default",
        "-w",
        "-o",
        "name",
        "--field-selector=metadata.name=seen",
    ]);
    k.says(&["create", "configmap", "seen", "-n", "default"], "created")
        .await;
    watching.line("configmap/seen").await;
    let uid = k.json(&["get", "configmap", "seen", "-o", "json"]).await["metadata"]["uid"].clone();
    let cluster = cluster.restart().await;
    let k = kubectl.of(&cluster);
    assert_eq!(
        k.json(&["get", "configmap", "seen", "-o", "json"]).await["metadata"]["uid"],
        uid
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_objects_are_applied_and_the_second_time_nothing_is_written() {
    let cluster = Alone::start().await;
    let token = cluster.robot_token().await;
    let mut objects = Vec::new();
    for n in 0..150 {
        let namespace = format!("estate-{n:03}");
        let mut add = |group: &str, plural: &str, kind: &str, rest: Value| {
            let api = if group.is_empty() {
                "v1".to_owned()
            } else {
                format!("{group}/v1")
            };
            let root = if group.is_empty() {
                "/api/v1".to_owned()
            } else {
                format!("/apis/{api}")
            };
            let (path, name) = if plural == "namespaces" {
                (format!("{root}/namespaces/{namespace}"), namespace.clone())
            } else {
                (
                    format!("{root}/namespaces/{namespace}/{plural}/thing"),
                    "thing".to_owned(),
                )
            };
            let mut object = rest;
            object["apiVersion"] = api.into();
            object["kind"] = kind.into();
            object["metadata"] = serde_json::json!({"name": name});
            objects.push((path, object));
        };
        add("", "namespaces", "Namespace", serde_json::json!({}));
        add(
            "",
            "configmaps",
            "ConfigMap",
            serde_json::json!({"data": {"k": "v".repeat(500)}}),
        );
        add("", "serviceaccounts", "ServiceAccount", serde_json::json!({}));
        add(
            "",
            "resourcequotas",
            "ResourceQuota",
            serde_json::json!({"spec": {"hard": {"pods": "50"}}}),
        );
        add(
            "",
            "limitranges",
            "LimitRange",
            serde_json::json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}}),
        );
        add(
            "rbac.authorization.k8s.io",
            "roles",
            "Role",
            serde_json::json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        );
        add(
            "networking.k8s.io",
            "networkpolicies",
            "NetworkPolicy",
            serde_json::json!({"spec": {"podSelector": {}}}),
        );
    }
    let (namespaces, rest): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|(path, _)| path.matches('/').count() == 4);
    let began = std::time::Instant::now();
    cluster.apply_all(&token, namespaces.clone()).await;
    cluster.apply_all(&token, rest.clone()).await;
    println!(
        "{} objects in {:?}",
        namespaces.len() + rest.len(),
        began.elapsed()
    );
    cluster.settled().await;
    let version = |path: &str| cluster.version_of(path);
    let before: Vec<_> = rest.iter().map(|(path, _)| version(path)).collect();
    let began = std::time::Instant::now();
    cluster.apply_all(&token, namespaces).await;
    cluster.apply_all(&token, rest.clone()).await;
    println!("again in {:?}", began.elapsed());
    let after: Vec<_> = rest.iter().map(|(path, _)| version(path)).collect();
    assert_eq!(before, after);
    assert!(before.iter().all(Option::is_some));
    cluster.stop().await;
}
