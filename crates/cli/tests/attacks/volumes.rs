//! Volumes of other namespaces: a claim has the volume that says so itself, and no other.

use crate::attacked::{Cluster, Dir, as_both, until};
use serde_json::{Value, json};

fn claim(namespace: &str, name: &str, more: &Value) -> Value {
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    crate::attacked::merge(&mut claim, more);
    claim
}

/// A pod on `n1`, put there by hand, with a claim at `/v`.
fn pod(namespace: &str, name: &str, claim: &str, script: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": {
        "nodeName": "n1", "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "host", "command": ["/bin/sh", "-c", script],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}})
}

fn apply(cluster: &Cluster, token: &str, object: &Value) {
    let said = cluster.kubectl_with(token, &["create", "-f", "-"], &object.to_string());
    assert!(said.ok, "{said:?}");
}

fn get(cluster: &Cluster, namespace: &str, kind: &str, name: &str) -> Value {
    let said = cluster.kubectl(&["-n", namespace, "get", kind, name, "-o", "json"], "");
    serde_json::from_str(&said.out).unwrap_or_default()
}

#[test]
fn a_claim_has_its_own_volume_only() {
    as_both(|who| {
        let dir = Dir::new("volumes");
        let cluster = Cluster::start(who, &dir, 1);
        let (victim, attacker) = (cluster.deployer("victim"), cluster.deployer("attacker"));
        apply(&cluster, &victim, &claim("victim", "data", &json!({})));
        apply(
            &cluster,
            &victim,
            &pod("victim", "owner", "data", "echo jewel > /v/file"),
        );
        until("the owner's file", || {
            (cluster.pod("victim", "owner")["status"]["phase"] == "Succeeded").then_some(())
        });
        let volume = get(&cluster, "victim", "pvc", "data")["spec"]["volumeName"]
            .as_str()
            .unwrap()
            .to_owned();

        // A claim that names another's volume, without a class so that none is made for it instead, and says of itself that it is bound; a pod that no scheduler looked at.
        let more =
            json!({"spec": {"volumeName": volume, "storageClassName": ""}, "status": {"phase": "Bound"}});
        apply(&cluster, &attacker, &claim("attacker", "stolen", &more));
        apply(
            &cluster,
            &attacker,
            &pod("attacker", "thief", "stolen", "cat /v/file"),
        );
        let seen = until("what the thief is told", || {
            let status = cluster.pod("attacker", "thief")["status"].clone();
            let text = status.to_string();
            (text.contains("bound") || status["phase"] == "Succeeded" || status["phase"] == "Failed")
                .then_some(status)
        });
        let log = cluster.kubectl(&["-n", "attacker", "logs", "thief"], "").out;
        assert!(!log.contains("jewel"), "the other namespace's volume was mounted");
        assert!(
            seen.to_string().contains("is not bound to a volume yet"),
            "{seen}"
        );
        let stolen = get(&cluster, "attacker", "pvc", "stolen");
        assert_eq!(stolen["status"]["phase"], "Pending", "{stolen}");
        assert_eq!(stolen["spec"]["volumeName"], volume);
        until("the reason in an event", || {
            let events = cluster.kubectl(&["-n", "attacker", "get", "events"], "").out;
            events
                .contains("already bound to a different claim")
                .then_some(())
        });

        // A claim of one's own that is bound, turned to another's volume.
        apply(&cluster, &attacker, &claim("attacker", "own", &json!({})));
        until("the own claim", || {
            (get(&cluster, "attacker", "pvc", "own")["status"]["phase"] == "Bound").then_some(())
        });
        let turn = json!({"spec": {"volumeName": volume}}).to_string();
        let turned = cluster.kubectl_with(
            &attacker,
            &[
                "-n",
                "attacker",
                "patch",
                "pvc",
                "own",
                "--type=merge",
                "-p",
                &turn,
            ],
            "",
        );
        assert!(
            !turned.ok && turned.err.contains("spec is immutable after creation"),
            "{turned:?}"
        );
        let said = json!({"status": {"phase": "Bound"}}).to_string();
        let args = [
            "-n",
            "attacker",
            "patch",
            "pvc",
            "stolen",
            "--subresource=status",
            "--type=merge",
            "-p",
            &said,
        ];
        let said = cluster.kubectl_with(&attacker, &args, "");
        assert!(!said.ok && said.err.contains("cannot patch resource"), "{said:?}");

        // Even when an administrator is tricked into marking it as bound, the volume has the last word.
        let said = cluster.kubectl(&args, "");
        assert!(said.ok, "{said:?}");
        apply(
            &cluster,
            &attacker,
            &pod("attacker", "again", "stolen", "cat /v/file"),
        );
        until("what the thief is told", || {
            let status = cluster.pod("attacker", "again")["status"].clone();
            assert_ne!(
                status["phase"], "Succeeded",
                "the other namespace's volume was mounted"
            );
            status.to_string().contains("bound").then_some(())
        });
        until("the claim to be let go", || {
            let phase = get(&cluster, "attacker", "pvc", "stolen")["status"]["phase"].clone();
            (phase != "Bound").then_some(())
        });

        // A volume that is a place on the machine is made by administrators.
        let machine = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "machine"},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/"}}});
        let said = cluster.kubectl_with(&attacker, &["create", "-f", "-"], &machine.to_string());
        assert!(!said.ok && said.err.contains("at the cluster scope"), "{said:?}");
    });
}
