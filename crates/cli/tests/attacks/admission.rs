//! Pod Security: what a deployer may not put into a pod.

use crate::attacked::{Cluster, Dir, Platform, Said, Who, as_both, as_root, commit, merge, until};
use serde_json::{Value, json};

const SHOP: &str = "shop";

fn pod(name: &str, more: &Value) -> String {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": SHOP},
        "spec": {"containers": [{"name": "c", "image": "host", "command": ["/bin/sleep", "60"]}]},
    });
    merge(&mut pod, &json!({"spec": more}));
    pod.to_string()
}

/// What a pod asks for, and the words that refuse it.
fn reaching() -> Vec<(Value, &'static str)> {
    let container = |more: Value| json!({"containers": [more]});
    let security = |more: Value| json!({"containers": [{"securityContext": more}]});
    vec![
        (
            json!({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}),
            "hostPath volumes (volume \"x\")",
        ),
        (
            security(json!({"privileged": true})),
            "securityContext.privileged=true",
        ),
        (
            security(json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
            "non-default capabilities (container \"c\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            security(json!({"capabilities": {"add": ["NET_RAW"]}})),
            "\"NET_RAW\"",
        ),
        (security(json!({"capabilities": {"add": ["all"]}})), "\"all\""),
        (json!({"hostNetwork": true}), "host namespaces (hostNetwork=true)"),
        (json!({"hostPID": true}), "host namespaces (hostPID=true)"),
        (json!({"hostIPC": true}), "host namespaces (hostIPC=true)"),
        (json!({"hostUsers": true}), "host namespaces (hostUsers=true)"),
        (
            container(json!({"ports": [{"containerPort": 80, "hostPort": 80}]})),
            "hostPort (container \"c\" uses hostPort 80)",
        ),
        (security(json!({"procMount": "Unmasked"})), "procMount"),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            "seccompProfile (pod must not set",
        ),
        (
            security(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile",
        ),
        (
            security(json!({"seLinuxOptions": {"type": "spc_t"}})),
            "seLinuxOptions",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
            "forbidden sysctl",
        ),
        (
            security(json!({"windowsOptions": {"hostProcess": true}})),
            "hostProcess",
        ),
        (
            container(json!({"livenessProbe": {"httpGet": {"port": 80, "host": "169.254.169.254"}}})),
            "probe or lifecycle host",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "host", "securityContext": {"privileged": true}}]}),
            "privileged (container \"i\"",
        ),
    ]
}

fn refused(said: &Said, words: &[&str]) {
    assert!(!said.ok, "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "not said: {word}\n{}", said.err);
    }
}

#[test]
fn a_pod_asks_for_no_more_than_its_namespace_allows() {
    as_both(|who| {
        let dir = Dir::new("admission");
        let cluster = Cluster::start(who, &dir, 1);
        let token = cluster.deployer(SHOP);
        let as_deployer = |args: &[&str], input: &str| cluster.kubectl_with(&token, args, input);
        pods(&as_deployer);
        templates(&cluster, &as_deployer);
        namespaces(&cluster, &as_deployer);
        rights(&cluster, &as_deployer);
        the_agent(&cluster);
    });
}

type Kubectl<'a> = &'a dyn Fn(&[&str], &str) -> Said;

fn pods(kubectl: Kubectl<'_>) {
    for (index, (more, words)) in reaching().into_iter().enumerate() {
        let said = kubectl(
            &["create", "--dry-run=server", "-f", "-"],
            &pod(&format!("p{index}"), &more),
        );
        refused(
            &said,
            &["is forbidden: violates PodSecurity \"baseline:latest\": ", words],
        );
    }
    // By server-side apply as well, and by changing one that is there.
    let (bad, words) = reaching().swap_remove(0);
    let applied = kubectl(&["apply", "--server-side", "-f", "-"], &pod("applied", &bad));
    refused(&applied, &["violates PodSecurity", words]);
    let made = kubectl(
        &["create", "-f", "-"],
        &pod("good", &json!({"nodeSelector": {"no": "where"}})),
    );
    assert!(made.ok, "{made:?}");
    assert!(
        made.err.contains(
            "Warning: would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false"
        ),
        "{made:?}"
    );
    let ephemeral = json!({"spec": {"ephemeralContainers": [
        {"name": "e", "image": "host", "securityContext": {"privileged": true}}]}});
    for kind in ["merge", "strategic"] {
        let patch = ephemeral.to_string();
        let args = ["-n", SHOP, "patch", "pod", "good", "--type", kind, "-p", &patch];
        refused(
            &kubectl(&args, ""),
            &["violates PodSecurity", "privileged (container \"e\""],
        );
    }
}

fn templates(cluster: &Cluster, kubectl: Kubectl<'_>) {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": SHOP},
        "spec": {"selector": {"matchLabels": {"a": "d"}}, "template": {"metadata": {"labels": {"a": "d"}},
            "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "host"}]}}},
    });
    let made = kubectl(&["create", "-f", "-"], &deployment.to_string());
    assert!(made.ok, "{made:?}");
    assert!(
        made.err
            .contains("would violate PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true)"),
        "{made:?}"
    );
    until("event of the refused pod", || {
        let events = cluster.kubectl(&["-n", SHOP, "get", "events", "-o", "json"], "");
        events
            .out
            .contains("violates PodSecurity \\\"baseline:latest\\\": host namespaces (hostNetwork=true)")
            .then_some(())
    });
    let pods = cluster.kubectl(&["-n", SHOP, "get", "pods", "-l", "a=d", "-o", "name"], "");
    assert_eq!(pods.out, "", "{pods:?}");
    cluster.kubectl(&["-n", SHOP, "delete", "deployment", "d"], "");
}

fn namespaces(cluster: &Cluster, kubectl: Kubectl<'_>) {
    let open = "pod-security.kubernetes.io/enforce=privileged";
    let said = kubectl(&["label", "namespace", SHOP, open], "");
    refused(&said, &["forbidden"]);
    let said = cluster.kubectl(
        &[
            "label",
            "namespace",
            SHOP,
            "pod-security.kubernetes.io/enforce=none",
        ],
        "",
    );
    refused(&said, &["must be one of privileged, baseline, restricted"]);
    // Who is given everything in a namespace still does not open it.
    let bound = cluster.kubectl(
        &[
            "-n",
            SHOP,
            "create",
            "rolebinding",
            "all",
            "--clusterrole=cluster-admin",
            "--serviceaccount=shop:herder-deployer",
        ],
        "",
    );
    assert!(bound.ok, "{bound:?}");
    let said = kubectl(&["label", "namespace", SHOP, open], "");
    refused(
        &said,
        &[
            "may not lower",
            "\"baseline:latest\" to \"privileged:latest\"",
            "fleet repository",
        ],
    );
    let old = "pod-security.kubernetes.io/enforce-version=v1.0";
    refused(
        &kubectl(&["label", "namespace", SHOP, old], ""),
        &["may not lower"],
    );
    let finalized = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP, "labels":
        {"pod-security.kubernetes.io/enforce": "privileged"}}});
    let path = format!("/api/v1/namespaces/{SHOP}/finalize");
    let said = kubectl(&["replace", "--raw", &path, "-f", "-"], &finalized.to_string());
    refused(&said, &["may not lower"]);
    let stricter = kubectl(
        &[
            "label",
            "namespace",
            SHOP,
            "pod-security.kubernetes.io/enforce=restricted",
        ],
        "",
    );
    assert!(stricter.ok, "{stricter:?}");
    let back = kubectl(
        &["label", "namespace", SHOP, "pod-security.kubernetes.io/enforce-"],
        "",
    );
    refused(
        &back,
        &["may not lower", "\"restricted:latest\" to \"baseline:latest\""],
    );
    for args in [
        &["label", "namespace", SHOP, "pod-security.kubernetes.io/enforce-"][..],
        &["-n", SHOP, "delete", "rolebinding", "all"],
    ] {
        let said = cluster.kubectl(args, "");
        assert!(said.ok, "{said:?}");
    }
}

/// Rights cannot be given that one does not have.
fn rights(cluster: &Cluster, kubectl: Kubectl<'_>) {
    let bound = cluster.kubectl(
        &[
            "-n",
            SHOP,
            "create",
            "rolebinding",
            "some",
            "--clusterrole=admin",
            "--serviceaccount=shop:herder-deployer",
        ],
        "",
    );
    assert!(bound.ok, "{bound:?}");
    let wider = kubectl(
        &[
            "-n",
            SHOP,
            "create",
            "rolebinding",
            "wider",
            "--clusterrole=cluster-admin",
            "--serviceaccount=shop:herder-deployer",
        ],
        "",
    );
    refused(
        &wider,
        &["is attempting to grant RBAC permissions not currently held"],
    );
    let role = kubectl(
        &[
            "-n",
            SHOP,
            "create",
            "role",
            "wider",
            "--verb=*",
            "--resource=resourcequotas",
        ],
        "",
    );
    refused(
        &role,
        &[
            "is attempting to grant RBAC permissions not currently held",
            "resourcequotas",
        ],
    );
    let own = kubectl(
        &[
            "-n",
            SHOP,
            "create",
            "role",
            "own",
            "--verb=get",
            "--resource=pods",
        ],
        "",
    );
    assert!(own.ok, "{own:?}");
    let quota = kubectl(&["-n", SHOP, "delete", "resourcequota", "any"], "");
    refused(&quota, &["forbidden"]);
    cluster.kubectl(&["-n", SHOP, "delete", "rolebinding", "some"], "");
}

/// A pod that was let in while its namespace was open is not started by the agent once it is not.
fn the_agent(cluster: &Cluster) {
    let label = |to: &str| {
        let said = cluster.kubectl(&["label", "--overwrite", "namespace", SHOP, to], "");
        assert!(said.ok, "{said:?}");
        said
    };
    label("pod-security.kubernetes.io/enforce=privileged");
    let reaching = json!({"nodeSelector": {"open": "yes"}, "volumes": [{"name": "x", "hostPath": {"path": "/"}}],
        "containers": [{"volumeMounts": [{"name": "x", "mountPath": "/machine"}]}]});
    let made = cluster.kubectl(&["create", "-f", "-"], &pod("reaching", &reaching));
    assert!(made.ok, "{made:?}");
    let closed = label("pod-security.kubernetes.io/enforce=baseline");
    assert!(
        closed.err.contains("existing pods in namespace \"shop\" violate the new PodSecurity enforce level \"baseline:latest\"")
            && closed.err.contains("reaching: hostPath volumes"),
        "{closed:?}"
    );
    let said = cluster.kubectl(&["label", "nodes", "--all", "open=yes"], "");
    assert!(said.ok, "{said:?}");
    let status = until("end of the refused pod", || {
        let status = cluster.pod(SHOP, "reaching")["status"].clone();
        matches!(status["phase"].as_str(), Some("Failed" | "Running")).then_some(status)
    });
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("PodSecurity")),
        "{status:#}"
    );
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("violates PodSecurity \"baseline:latest\": hostPath volumes (volume \"x\")"),
        "{message}"
    );
}

const CONFIG: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels:
    pod-security.kubernetes.io/enforce: privileged
---
apiVersion: v1
kind: ConfigMap
metadata: {name: first}
";

/// A config repository does not open its namespace; the fleet repository does.
#[test]
fn a_config_repository_does_not_open_its_namespace() {
    as_root(|who: Who| {
        let dir = Dir::new("opened");
        let (fleet, config) = (dir.path().join("fleet"), dir.path().join("config"));
        commit(&config, &[("web/all.yaml", CONFIG)]);
        commit(
            &fleet,
            &[
                ("fleet.yaml", "name: test\n"),
                ("environments/shop.yaml", "config: ../config\n"),
                ("environments/lab.yaml", "podSecurity: privileged\n"),
            ],
        );
        let platform = Platform::start(who, &dir, fleet.to_str().unwrap(), &[]);
        let level = |namespace: &str| {
            let said = platform.kubectl(&["get", "namespace", namespace, "-o", "json"], "");
            let found: Value = serde_json::from_str(&said.out).ok()?;
            found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
                .as_str()
                .map(str::to_owned)
        };
        assert_eq!(
            until("namespace of the laboratory", || level("lab")),
            "privileged"
        );
        assert_eq!(until("namespace of the shop", || level("shop")), "baseline");
        let status = platform.herder(&["status"]);
        for words in [
            "web/all.yaml:6",
            "only the fleet repository may lower what pods must keep",
            "`podSecurity` in environments/shop.yaml",
        ] {
            assert!(
                format!("{}{}", status.out, status.err).contains(words),
                "not said: {words}\n{status:?}"
            );
        }
    });
}
