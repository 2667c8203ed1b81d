//! Into pods by the API: exec, attach, port-forward and cp, by those who may not, and what is found of the way there.

use crate::attacked::{Cluster, Dir, Said, Who, as_both, until};
use serde_json::{Value, json};

fn refused(said: &Said, words: &[&str]) {
    assert!(!said.ok, "not refused: {said:?}");
    for word in words {
        assert!(said.err.contains(word), "no {word:?} in {said:?}");
    }
}

fn made(said: &Said) {
    assert!(said.ok, "{said:?}");
}

fn pod(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "host", "stdin": true, "command": ["sh", "-c",
            "trap 'exit 0' TERM; echo jewel > /tmp/jewel; while :; do sleep 0.1; done"]}]}})
}

/// A service account of the namespace `victim` that may do this with pods there, and its token.
fn account(cluster: &Cluster, name: &str, resources: &[&str], verbs: &[&str]) -> String {
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "victim"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name, "namespace": "victim"},
         "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
                   {"apiGroups": [""], "resources": resources, "verbs": verbs}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
         "metadata": {"name": name, "namespace": "victim"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
         "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "victim"}]},
    ]});
    made(&cluster.kubectl(&["apply", "-f", "-"], &objects.to_string()));
    let token = cluster.kubectl(&["-n", "victim", "create", "token", name], "");
    made(&token);
    token.out.trim().to_owned()
}

fn ready(cluster: &Cluster, namespace: &str, name: &str) {
    until("a pod to run", || {
        (cluster.pod(namespace, name)["status"]["phase"] == "Running").then_some(())
    });
}

const EXEC: [&str; 7] = ["-n", "victim", "exec", "box", "--", "cat", "/tmp/jewel"];
const ATTACH: [&str; 5] = ["-n", "victim", "attach", "-i", "box"];
const FORWARD: [&str; 5] = ["-n", "victim", "port-forward", "pod/box", ":80"];

#[test]
fn nobody_gets_into_pods_but_who_may() {
    as_both(|who: Who| {
        let dir = Dir::new("doors");
        let cluster = Cluster::start(who, &dir, 1);
        let attacker = cluster.deployer("attacker");
        let victim = cluster.deployer("victim");
        for namespace in ["victim", "attacker"] {
            made(&cluster.kubectl(&["apply", "-f", "-"], &pod(namespace, "box").to_string()));
            ready(&cluster, namespace, "box");
        }
        // Who may, does: what follows is refused for want of a right and for no other reason.
        let read = cluster.kubectl_with(&victim, &EXEC, "");
        assert_eq!(read.out, "jewel\n", "{read:?}");

        // From another namespace, with all rights in its own; without a name; as a node.
        let ways: [(&[&str], &str); 3] = [
            (&EXEC, "pods/exec"),
            (&ATTACH, "pods/attach"),
            (&FORWARD, "pods/portforward"),
        ];
        for (args, what) in ways {
            refused(
                &cluster.kubectl_with(&attacker, args, ""),
                &["forbidden", "victim"],
            );
            for more in [
                &["--as=system:node:n1", "--as-group=system:nodes"][..],
                &["--as=system:anonymous", "--as-group=system:unauthenticated"],
            ] {
                refused(&cluster.kubectl(&[more, args].concat(), ""), &["forbidden"]);
            }
            // To look is not to do: by GET a connection is made that does what POST does.
            let name = what.replace('/', "-");
            let looks = account(
                &cluster,
                &format!("looks-{name}"),
                &[what],
                &["get", "list", "watch"],
            );
            refused(
                &cluster.kubectl_with(&looks, args, ""),
                &["forbidden", "cannot create resource", what],
            );
            // One right is none of the others.
            let others: Vec<&str> = ["pods/exec", "pods/attach", "pods/portforward", "pods/log"]
                .into_iter()
                .filter(|other| *other != what)
                .collect();
            let other = account(&cluster, &format!("other-{name}"), &others, &["get", "create"]);
            refused(&cluster.kubectl_with(&other, args, ""), &["forbidden", what]);
        }
        // A role of both verbs is what it takes.
        let may = account(&cluster, "may", &["pods/exec"], &["get", "create"]);
        assert_eq!(cluster.kubectl_with(&may, &EXEC, "").out, "jewel\n");

        the_way_is_not_found(&cluster, &attacker);
        a_node_is_no_path(&cluster, &attacker);
    });
}

/// From inside a pod, the agent's socket is nowhere, and a command has nothing open that leads to it.
fn the_way_is_not_found(cluster: &Cluster, attacker: &str) {
    let script = "find / -xdev -name 'agent.sock' 2>/dev/null; grep agent.sock /proc/net/unix; \
                  for fd in /proc/self/fd/*; do readlink $fd; done | grep -v '^pipe:\\|^/proc/' ; echo end";
    let args = ["-n", "attacker", "exec", "box", "--", "sh", "-c", script];
    let said = cluster.kubectl_with(attacker, &args, "");
    let lines: Vec<&str> = said.out.lines().filter(|line| *line != "/dev/null").collect();
    assert_eq!(lines, ["end"], "{said:?}");
}

/// The name of a pod's node becomes a part of a path.
fn a_node_is_no_path(cluster: &Cluster, attacker: &str) {
    let mut lost = pod("attacker", "lost");
    lost["spec"]["nodeName"] = json!("../../../victim");
    let created = cluster.kubectl_with(attacker, &["create", "-f", "-"], &lost.to_string());
    if created.ok {
        let args = ["-n", "attacker", "exec", "lost", "--", "true"];
        refused(
            &cluster.kubectl_with(attacker, &args, ""),
            &["not one of this cluster's own"],
        );
    }
}
