//! Who is a node, and what a node may do: tokens with a node's audience, agents that ask for more than their pods use,
//! and other ways from rights in one namespace to rights in all.

use crate::attacked::{Cluster, Dir, Said, Who, as_both, until};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::Duration;

/// `kubectl` as the agent of a node, which is what whoever took a node over could say.
fn as_node(cluster: &Cluster, node: &str, args: &[&str], input: &str) -> Said {
    let user = format!("--as=system:node:{node}");
    let mut all = vec![user.as_str(), "--as-group=system:nodes"];
    all.extend(args);
    cluster.kubectl(&all, input)
}

fn refused(said: &Said, words: &[&str]) {
    assert!(!said.ok, "not refused: {said:?}");
    for word in words {
        assert!(said.err.contains(word), "no {word:?} in {said:?}");
    }
}

fn made(said: &Said) {
    assert!(said.ok, "{said:?}");
}

fn apply(cluster: &Cluster, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    made(&cluster.kubectl(&["apply", "-f", "-"], &list.to_string()));
}

fn secret(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
        "stringData": {"key": format!("{name} of {namespace}")}})
}

#[test]
fn rights_end_where_they_were_given() {
    as_both(|who: Who| {
        let dir = Dir::new("node-tokens");
        let cluster = Cluster::start(who, &dir, 2);
        let attacker = cluster.deployer("attacker");
        cluster.deployer("victim");
        apply(&cluster, &[secret("victim", "jewel"), secret("attacker", "own")]);

        an_audience_makes_no_node(&cluster, &attacker);
        nodes_have_what_their_pods_use(&cluster);
        nodes_change_their_own(&cluster);
        tokens_for_pods_of_the_node(&cluster);
        a_namespace_is_not_the_cluster(&cluster);
        services_lead_to_pods(&cluster, &attacker);
        nobody_grants_what_they_have_not(&cluster);
        only_nodes_say_where_pods_are(&cluster);
        streams_end_with_their_token(&cluster);
        tokens_are_short(&cluster, &attacker);
        nothing_is_read_from_strangers(&cluster);
    });
}

fn an_audience_makes_no_node(cluster: &Cluster, attacker: &str) {
    // With a token asked for by name.
    let args = [
        "-n",
        "attacker",
        "create",
        "token",
        "herder-deployer",
        "--audience",
        "herder:node",
    ];
    let token = cluster.kubectl_with(attacker, &args, "");
    if token.ok {
        let read = ["-n", "victim", "get", "secret", "jewel"];
        refused(&cluster.kubectl_with(token.out.trim(), &read, ""), &[]);
    }
    refused(&token, &["reserved for Herder itself"]);

    // With one that a pod projects.
    let read = "kubectl --server https://10.96.0.1 --insecure-skip-tls-verify --token \"$(cat /t/token)\" \
                -n victim get secret jewel";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node", "namespace": "attacker"}, "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "c", "image": "host", "command": ["/bin/sh", "-c", read],
            "volumeMounts": [{"name": "t", "mountPath": "/t"}]}],
        "volumes": [{"name": "t", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "audience": "herder:node"}}]}}]}});
    made(&cluster.kubectl_with(attacker, &["create", "-f", "-"], &pod.to_string()));
    let status = until("end of the pod", || {
        let status = cluster.pod("attacker", "node")["status"].clone();
        let text = status.to_string();
        (text.contains("reserved") || status["phase"] == "Succeeded" || status["phase"] == "Failed")
            .then_some(status)
    });
    assert_ne!(status["phase"], "Succeeded", "the pod read the secret as a node");
    assert!(
        status.to_string().contains("reserved for Herder itself"),
        "{status}"
    );
    made(&cluster.kubectl(
        &[
            "-n",
            "attacker",
            "delete",
            "pod",
            "node",
            "--grace-period=0",
            "--force",
        ],
        "",
    ));

    // Any other string stays what it is: an audience for somebody else.
    for audience in ["system:nodes", "system:masters", "*", "herder-node.x"] {
        let args = [
            "-n",
            "attacker",
            "create",
            "token",
            "herder-deployer",
            "--audience",
            audience,
        ];
        let token = cluster.kubectl_with(attacker, &args, "");
        made(&token);
        let said = cluster.kubectl_with(token.out.trim(), &["-n", "attacker", "get", "pods"], "");
        refused(&said, &["must be logged in"]);
    }
    let made_up = cluster.kubectl_with("herder-node.AAAA", &["get", "secrets", "-A"], "");
    refused(&made_up, &["must be logged in"]);

    // A token ends with its account, though another of that name comes.
    let account = ["-n", "attacker", "create", "serviceaccount", "passing"];
    made(&cluster.kubectl(&account, ""));
    let token = cluster.kubectl_with(attacker, &["-n", "attacker", "create", "token", "passing"], "");
    made(&token);
    made(&cluster.kubectl(&["-n", "attacker", "delete", "serviceaccount", "passing"], ""));
    made(&cluster.kubectl(&account, ""));
    let said = cluster.kubectl_with(token.out.trim(), &["auth", "whoami"], "");
    refused(&said, &["must be logged in"]);
}

fn nodes_have_what_their_pods_use(cluster: &Cluster) {
    let words = ["no relationship found between node 'n1' and this object"];
    refused(
        &as_node(cluster, "n1", &["-n", "victim", "get", "secret", "jewel"], ""),
        &words,
    );
    refused(
        &as_node(
            cluster,
            "n1",
            &["-n", "victim", "get", "configmap", "kube-root-ca.crt"],
            "",
        ),
        &words,
    );
    let all = as_node(
        cluster,
        "n1",
        &["get", "secrets,configmaps", "-A", "-o", "name"],
        "",
    );
    made(&all);
    assert_eq!(all.out, "", "shown to a node without pods");
    for kind in [
        "persistentvolumes",
        "persistentvolumeclaims",
        "serviceaccounts",
        "roles",
        "nodes",
    ] {
        refused(
            &as_node(cluster, "n1", &["get", kind, "-A"], ""),
            &["cannot list resource"],
        );
    }

    // What a pod uses, its node sees, with every change: the pod waits for one.
    let script = "until grep -q new /s/key; do sleep 0.1; done; echo heard; sleep 60";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user", "namespace": "victim"}, "spec": {
        "nodeName": "n1", "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "host", "command": ["/bin/sh", "-c", script],
            "volumeMounts": [{"name": "s", "mountPath": "/s"}]}],
        "volumes": [{"name": "s", "secret": {"secretName": "jewel"}}]}});
    apply(cluster, &[pod]);
    until("running pod", || {
        (cluster.pod("victim", "user")["status"]["phase"] == "Running").then_some(())
    });
    made(&as_node(
        cluster,
        "n1",
        &["-n", "victim", "get", "secret", "jewel"],
        "",
    ));
    refused(
        &as_node(cluster, "n2", &["-n", "victim", "get", "secret", "jewel"], ""),
        &["node 'n2'"],
    );
    refused(
        &as_node(cluster, "n1", &["-n", "attacker", "get", "secret", "own"], ""),
        &words,
    );
    let all = as_node(cluster, "n1", &["get", "secrets,pods", "-A", "-o", "name"], "");
    assert_eq!(all.out, "secret/jewel\npod/user\n", "{all:?}");
    let all = as_node(cluster, "n2", &["get", "secrets,pods", "-A", "-o", "name"], "");
    assert_eq!(all.out, "", "{all:?}");
    let mut changed = secret("victim", "jewel");
    changed["stringData"]["key"] = json!("new");
    apply(cluster, &[changed]);
    until("the change in the pod", || {
        cluster
            .kubectl(&["-n", "victim", "logs", "user"], "")
            .out
            .contains("heard")
            .then_some(())
    });
}

fn nodes_change_their_own(cluster: &Cluster) {
    let node = |args: &[&str]| as_node(cluster, "n1", args, "");
    refused(
        &node(&["label", "node", "n2", "a=b"]),
        &["node 'n1' may do this to its own object only"],
    );
    refused(&node(&["delete", "node", "n2"]), &["cannot delete resource"]);
    made(&node(&["label", "node", "n1", "disk=fast"]));
    for label in [
        "node-restriction.kubernetes.io/tenant=a",
        "node-role.kubernetes.io/control-plane=",
    ] {
        refused(
            &node(&["label", "node", "n1", label]),
            &["is not allowed to modify labels"],
        );
    }
    let taint = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}).to_string();
    let patch = ["patch", "node", "n1", "--type=merge", "-p", &taint];
    refused(&node(&patch), &["is not allowed to modify taints"]);
    let other = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n9"}}).to_string();
    refused(
        &as_node(cluster, "n1", &["create", "-f", "-"], &other),
        &["not allowed to modify node \"n9\""],
    );

    refused(
        &as_node(cluster, "n2", &["-n", "victim", "delete", "pod", "user"], ""),
        &["no relationship"],
    );
    let status = json!({"status": {"phase": "Failed"}}).to_string();
    let patch = [
        "-n",
        "victim",
        "patch",
        "pod",
        "user",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    refused(&as_node(cluster, "n2", &patch, ""), &["no relationship"]);
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "mirror", "namespace": "victim", "annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "host"}]}});
    refused(
        &as_node(cluster, "n1", &["create", "-f", "-"], &pod.to_string()),
        &["cannot create resource \"pods\""],
    );
    refused(
        &node(&["-n", "kube-node-lease", "get", "lease", "n2"]),
        &["its own object only"],
    );
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "n7", "namespace": "kube-node-lease"}});
    refused(
        &as_node(cluster, "n1", &["create", "-f", "-"], &lease.to_string()),
        &["has one lease, its own"],
    );
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "victim"},
        "involvedObject": {"kind": "Pod", "namespace": "victim", "name": "x"}, "source": {"host": "n2"}});
    refused(
        &as_node(cluster, "n1", &["create", "-f", "-"], &event.to_string()),
        &["that say they are from it"],
    );
}

fn tokens_for_pods_of_the_node(cluster: &Cluster) {
    let token = |node: &str, account: &str, more: &[&str]| {
        let mut args = vec!["-n", "victim", "create", "token", account];
        args.extend(more);
        as_node(cluster, node, &args, "")
    };
    refused(&token("n1", "herder-deployer", &[]), &["no relationship"]);
    refused(&token("n1", "default", &[]), &["token not bound to a pod"]);
    let bound = ["--bound-object-kind=Pod", "--bound-object-name=user"];
    made(&token("n1", "default", &bound));
    refused(&token("n2", "default", &bound), &["no relationship"]);
    refused(
        &token("n1", "default", &[bound[0], bound[1], "--audience=vault"]),
        &["not found in pod spec volume"],
    );
    made(&cluster.kubectl(&["-n", "victim", "delete", "pod", "user", "--wait"], ""));
    refused(
        &as_node(cluster, "n1", &["-n", "victim", "get", "secret", "jewel"], ""),
        &["no relationship"],
    );
}

/// A service account that may do everything in its namespace and nothing elsewhere; its token.
fn master_of(cluster: &Cluster, namespace: &str, rules: &Value) -> String {
    let of = |kind: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": {"name": "master", "namespace": namespace}})
    };
    let (mut role, mut binding) = (of("Role"), of("RoleBinding"));
    role["rules"] = rules.clone();
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "master"});
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": "master", "namespace": namespace}]);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "master", "namespace": namespace}});
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    apply(cluster, &[space, account, role, binding]);
    let token = cluster.kubectl(&["-n", namespace, "create", "token", "master"], "");
    made(&token);
    token.out.trim().to_owned()
}

fn a_namespace_is_not_the_cluster(cluster: &Cluster) {
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let token = master_of(cluster, "kingdom", &everything);
    // What is not in a namespace has no path in one.
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "king"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "master", "namespace": "kingdom"}]});
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "machine"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/"}}});
    for (path, object) in [
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/kingdom/clusterrolebindings",
            &binding,
        ),
        ("/api/v1/namespaces/kingdom/persistentvolumes", &volume),
    ] {
        let said = cluster.kubectl_with(&token, &["create", "--raw", path, "-f", "-"], &object.to_string());
        refused(&said, &["could not find the requested resource"]);
    }
    refused(
        &cluster.kubectl_with(&token, &["-n", "victim", "get", "secret", "jewel"], ""),
        &["Forbidden"],
    );

    // A right to the status of everything is none to what has no status.
    let statuses = json!([{"apiGroups": ["*"], "resources": ["*/status", "*/finalize"], "verbs": ["*"]}]);
    apply(
        cluster,
        &[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "watched"}})],
    );
    let token = master_of(cluster, "watched", &statuses);
    apply(cluster, &[secret("watched", "hidden")]);
    let path = "/api/v1/namespaces/watched/secrets/hidden/status";
    let said = cluster.kubectl_with(&token, &["get", "--raw", path], "");
    refused(&said, &["could not find the requested resource"]);
    let path = "/api/v1/namespaces/watched/secrets/hidden/finalize";
    let said = cluster.kubectl_with(
        &token,
        &["replace", "--raw", path, "-f", "-"],
        &secret("watched", "hidden").to_string(),
    );
    refused(&said, &["could not find the requested resource"]);
}

/// The network's proxy and the edge connect to where services lead: that is not for their owners to say.
fn services_lead_to_pods(cluster: &Cluster, attacker: &str) {
    let slice = |address: &str| {
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "s", "namespace": "attacker", "labels": {"kubernetes.io/service-name": "s"}},
            "endpoints": [{"addresses": [address]}], "ports": [{"port": 80}]})
    };
    let create = ["create", "-f", "-"];
    let said = cluster.kubectl_with(attacker, &create, &slice("10.42.1.9").to_string());
    refused(&said, &["cannot create resource \"endpointslices\""]);
    let said = cluster.kubectl(&create, &slice("127.0.0.1").to_string());
    refused(&said, &["may not be in the loopback range"]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "vault", "namespace": "attacker"},
        "spec": {"clusterIP": "10.96.0.2", "ports": [{"port": 8200}]}});
    let said = cluster.kubectl_with(attacker, &create, &service.to_string());
    refused(&said, &["kept for the control plane's own services"]);
}

fn nobody_grants_what_they_have_not(cluster: &Cluster) {
    let rules = json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "patch", "update", "get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]);
    let token = master_of(cluster, "office", &rules);
    let role = |resource: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "mine", "namespace": "office"},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]})
    };
    let words = ["is attempting to grant RBAC permissions not currently held"];
    let create = |object: &Value| cluster.kubectl_with(&token, &["create", "-f", "-"], &object.to_string());
    refused(&create(&role("secrets")), &words);
    made(&create(&role("configmaps")));
    let more = json!({"rules": role("secrets")["rules"]}).to_string();
    let patch = [
        "-n",
        "office",
        "patch",
        "role",
        "mine",
        "--type=merge",
        "-p",
        &more,
    ];
    refused(&cluster.kubectl_with(&token, &patch, ""), &words);
    let args = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    refused(
        &cluster.kubectl_with(&token, &args, &role("secrets").to_string()),
        &words,
    );
    for name in ["cluster-admin", "edit", "admin"] {
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "up", "namespace": "office"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "master", "namespace": "office"}]});
        refused(&create(&binding), &words);
    }
}

/// Whoever may not ask is told so before a byte of what they send is read.
fn nothing_is_read_from_strangers(cluster: &Cluster) {
    let socket = cluster.dir.join("kubelite/api.sock");
    // Through a descriptor, as a socket's own path may be too long.
    let dir = std::fs::File::open(socket.parent().unwrap()).unwrap();
    let path = format!("/proc/self/fd/{}/api.sock", std::os::fd::AsRawFd::as_raw_fd(&dir));
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let head = "POST /api/v1/namespaces/victim/configmaps HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 3000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    assert!(read.is_ok(), "no answer before the body: {read:?}");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 403");
}

/// Who claims another pod's address has its way in, and takes it away.
fn only_nodes_say_where_pods_are(cluster: &Cluster) {
    let status = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "status", "namespace": "attacker"},
        "rules": [{"apiGroups": [""], "resources": ["pods", "pods/status"], "verbs": ["get", "patch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "status", "namespace": "attacker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "status"},
        "subjects": [{"kind": "ServiceAccount", "name": "herder-deployer", "namespace": "attacker"}]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "claims", "namespace": "attacker"},
        "spec": {"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "host", "command": ["sleep", "1000"]}]}});
    apply(cluster, &[status, binding, pod]);
    let address = until("address of the pod", || {
        let pod = cluster.pod("attacker", "claims");
        pod["status"]["podIP"].as_str().map(str::to_owned)
    });
    let token = cluster.kubectl(&["-n", "attacker", "create", "token", "herder-deployer"], "");
    let patch = |status: Value| {
        let patch = json!({ "status": status }).to_string();
        let args = [
            "-n",
            "attacker",
            "patch",
            "pod",
            "claims",
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        cluster.kubectl_with(token.out.trim(), &args, "")
    };
    made(&patch(
        json!({"conditions": [{"type": "own.example.org/gate", "status": "True"}]}),
    ));
    for status in [
        json!({"podIP": "10.42.1.200", "podIPs": [{"ip": "10.42.1.200"}]}),
        json!({"podIP": null, "podIPs": null}),
        json!({"podIP": "127.0.0.1"}),
        json!({"phase": "Failed"}),
        json!({"hostIP": "10.42.9.9"}),
    ] {
        refused(&patch(status), &["only the pod's own node says where it is"]);
    }
    assert_eq!(
        cluster.pod("attacker", "claims")["status"]["podIP"],
        json!(address)
    );
    // Nor its node, of addresses that are not the node's.
    let node = cluster.pod("attacker", "claims")["spec"]["nodeName"]
        .as_str()
        .unwrap()
        .to_owned();
    let stolen = json!({"status": {"podIP": "10.42.200.2", "podIPs": [{"ip": "10.42.200.2"}]}}).to_string();
    let args = [
        "-n",
        "attacker",
        "patch",
        "pod",
        "claims",
        "--subresource=status",
        "--type=merge",
        "-p",
        &stolen,
    ];
    refused(&as_node(cluster, &node, &args, ""), &["which is none of its own"]);
    made(&cluster.kubectl(&["-n", "attacker", "delete", "pod", "claims", "--now"], ""));
}

/// Whoever took a token reads on for as long as it lives, and no longer.
fn streams_end_with_their_token(cluster: &Cluster) {
    let token = cluster.deployer("leaver");
    apply(cluster, &[secret("leaver", "own")]);
    let dir = std::fs::File::open(cluster.dir.join("kubelite")).unwrap();
    let path = format!("/proc/self/fd/{}/api.sock", std::os::fd::AsRawFd::as_raw_fd(&dir));
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(crate::attacked::PATIENCE)).unwrap();
    let head = format!(
        "GET /api/v1/namespaces/leaver/secrets?watch=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = String::new();
    while !seen.contains("\"ADDED\"") {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    let account = ["-n", "leaver", "delete", "serviceaccount", "herder-deployer"];
    made(&cluster.kubectl(&account, ""));
    let ended = stream.read_to_end(&mut Vec::new());
    assert!(ended.is_ok(), "the watch goes on without its account: {ended:?}");
}

fn tokens_are_short(cluster: &Cluster, attacker: &str) {
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 31_536_000}});
    let path = "/api/v1/namespaces/attacker/serviceaccounts/herder-deployer/token";
    let answer = cluster.post(attacker, path, &asked);
    assert!(answer.contains(r#""expirationSeconds":86400"#), "{answer}");
}
