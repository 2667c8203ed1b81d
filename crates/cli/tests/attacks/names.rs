//! Names that become paths: nothing with an absolute or dotted name is stored, however it comes.

use crate::attacked::{Cluster, Dir, as_both, merge};
use serde_json::{Value, json};

const LABEL: &str = "a lowercase RFC 1123 label must consist of";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of";
const DOTS: &str = "must not contain '..'";
const RELATIVE: &str = "must be a relative path";
const RESERVED: &str = "must not start with '..'";

fn spec(more: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "host"}]});
    merge(&mut spec, more);
    spec
}

fn volume(source: &Value) -> Value {
    let mut volume = json!({"name": "v"});
    merge(&mut volume, source);
    json!({"volumes": [volume]})
}

fn mount(more: &Value) -> Value {
    let mut mount = json!({"name": "v", "mountPath": "/v"});
    merge(&mut mount, more);
    json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"volumeMounts": [mount]}]})
}

fn part(part: &Value) -> Value {
    volume(&json!({"projected": {"sources": [part]}}))
}

/// Specifications of pods, each with one thing wrong, and the words for it.
fn wrong() -> Vec<(Value, &'static str)> {
    let items = |key: &str, path: &str| json!([{"key": key, "path": path}]);
    let field = json!({"fieldPath": "metadata.name"});
    let mut all: Vec<(Value, &str)> = Vec::new();
    for name in ["/etc", "../../../etc", "..", ".", "a/b", "a.b", "A", "a\nb", ""] {
        let words = if name.is_empty() {
            "volumes[0].name: Required value"
        } else {
            LABEL
        };
        all.push((json!({"volumes": [{"name": name, "emptyDir": {}}]}), words));
    }
    for name in ["/c", "../c", "a.b", "c/../../x"] {
        all.push((json!({"containers": [{"name": name}]}), LABEL));
        all.push((
            json!({"initContainers": [{"name": name, "image": "host"}]}),
            LABEL,
        ));
    }
    for (path, words) in [
        ("/etc/passwd", RELATIVE),
        ("../x", DOTS),
        ("a/../../x", DOTS),
        ("..data", RESERVED),
        ("", "Required value"),
    ] {
        all.push((
            volume(&json!({"configMap": {"name": "m", "items": items("k", path)}})),
            words,
        ));
        all.push((
            volume(&json!({"secret": {"secretName": "m", "items": items("k", path)}})),
            words,
        ));
        all.push((
            volume(&json!({"downwardAPI": {"items": [{"path": path, "fieldRef": field}]}})),
            words,
        ));
        all.push((
            part(&json!({"configMap": {"name": "m", "items": items("k", path)}})),
            words,
        ));
        all.push((
            part(&json!({"secret": {"name": "m", "items": items("k", path)}})),
            words,
        ));
        all.push((
            part(&json!({"downwardAPI": {"items": [{"path": path, "fieldRef": field}]}})),
            words,
        ));
        all.push((part(&json!({"serviceAccountToken": {"path": path}})), words));
    }
    for (path, words) in [("/etc", RELATIVE), ("../../x", DOTS), ("a/../../x", DOTS)] {
        all.push((mount(&json!({"subPath": path})), words));
        all.push((mount(&json!({"subPathExpr": path})), words));
    }
    all.push((mount(&json!({"mountPath": "/v/../../etc"})), DOTS));
    all.push((mount(&json!({"mountPath": ""})), "Required value"));
    all.push((volume(&json!({"hostPath": {"path": "/data/../etc"}})), DOTS));
    for name in ["../other/secrets/x", "/x", "a/status", "a?b", "a%2fb"] {
        all.push((
            volume(&json!({"persistentVolumeClaim": {"claimName": name}})),
            SUBDOMAIN,
        ));
        all.push((volume(&json!({"secret": {"secretName": name}})), SUBDOMAIN));
        all.push((volume(&json!({"configMap": {"name": name}})), SUBDOMAIN));
        all.push((json!({"serviceAccountName": name}), SUBDOMAIN));
        all.push((json!({"nodeName": name}), SUBDOMAIN));
    }
    for seconds in [-1, 0, 599, 1_i64 << 40] {
        let token = json!({"serviceAccountToken": {"path": "t", "expirationSeconds": seconds}});
        all.push((part(&token), "may not specify a duration"));
    }
    all.push((json!({"hostname": "../x"}), LABEL));
    all.push((json!({"subdomain": "a.b"}), LABEL));
    all.push((
        json!({"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a\n9.9.9.9 b"]}]}),
        SUBDOMAIN,
    ));
    all.push((
        json!({"hostAliases": [{"ip": "1.2.3.4 b", "hostnames": ["a"]}]}),
        "must be a valid IP address",
    ));
    all.push((
        json!({"dnsConfig": {"searches": ["a\nnameserver 9.9.9.9"]}}),
        SUBDOMAIN,
    ));
    all
}

/// Asks whether an object could be made; what is said to it, without the quoting of JSON.
fn create(cluster: &Cluster, token: &str, object: &Value) -> (bool, String) {
    let base = match object["apiVersion"].as_str().unwrap() {
        "v1" => "/api/v1".to_owned(),
        group => format!("/apis/{group}"),
    };
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let path = format!("{base}/namespaces/shop/{plural}?dryRun=All");
    let said = cluster.post(token, &path, object);
    let body = said.split("\r\n\r\n").nth(1).unwrap_or_default();
    let status: Value = serde_json::from_str(body).unwrap_or_default();
    let message = status["message"].as_str().unwrap_or(&said).to_owned();
    (said.starts_with("HTTP/1.1 201"), message)
}

/// What is let through of all of them, and what is refused without the words.
fn let_through(cluster: &Cluster, token: &str, objects: &[(Value, &str)]) -> Vec<String> {
    let ask = |(object, words): &(Value, &str)| {
        let (ok, said) = create(cluster, token, object);
        if ok {
            return Some(format!("let through: {object}"));
        }
        (!said.contains(words)).then(|| format!("no {words:?} in {said} for {object}"))
    };
    objects.iter().filter_map(ask).collect()
}

#[test]
fn no_name_leads_out() {
    as_both(|who| {
        let dir = Dir::new("names");
        let cluster = Cluster::start(who, &dir, 0);
        let token = cluster.deployer("shop");
        let fine = mount(&json!({"subPath": "a/b..c"}));
        let pod = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
        let (ok, said) = create(&cluster, &token, &pod(spec(&fine)));
        assert!(ok, "{said}");

        let mut objects: Vec<(Value, &str)> = wrong()
            .iter()
            .map(|(more, words)| (pod(spec(more)), *words))
            .collect();
        // Of everything that makes pods, one thing is enough: they all look at their template in the same way.
        let template = json!({"metadata": {"labels": {"a": "b"}},
            "spec": spec(&json!({"volumes": [{"name": "../x", "emptyDir": {}}], "restartPolicy": "Never"}))});
        let mut always = template.clone();
        always["spec"]["restartPolicy"] = json!("Always");
        let selector = json!({"matchLabels": {"a": "b"}});
        let of = |group: &str, kind: &str, spec: Value| json!({"apiVersion": group, "kind": kind, "metadata": {"name": "w", "namespace": "shop"}, "spec": spec});
        for kind in ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"] {
            let spec = json!({"selector": selector, "template": always, "serviceName": "s"});
            objects.push((of("apps/v1", kind, spec), LABEL));
        }
        objects.push((of("batch/v1", "Job", json!({"template": template})), LABEL));
        let spec = json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}});
        objects.push((of("batch/v1", "CronJob", spec), LABEL));
        let spec = json!({"selector": {"a": "b"}, "template": always});
        objects.push((of("v1", "ReplicationController", spec), LABEL));
        for name in ["../x", "/x", "a/b", "a..b"] {
            let mut named = pod(super::names::spec(&json!({})));
            named["metadata"]["name"] = json!(name);
            objects.push((named, SUBDOMAIN));
        }
        for key in ["..", "../x", "..data", "a/b", "/etc/x"] {
            let words = if key.contains('/') {
                "a valid config key must consist of"
            } else {
                "must not"
            };
            for (kind, section, value) in [
                ("ConfigMap", "data", "v"),
                ("ConfigMap", "binaryData", "dg=="),
                ("Secret", "data", "dg=="),
            ] {
                let mut object =
                    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "m", "namespace": "shop"}});
                object[section][key] = json!(value);
                objects.push((object, words));
            }
        }
        let claim = |more: Value| {
            let mut spec =
                json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}});
            merge(&mut spec, &more);
            of("v1", "PersistentVolumeClaim", spec)
        };
        objects.push((claim(json!({"volumeName": "../x"})), SUBDOMAIN));
        objects.push((claim(json!({"storageClassName": "../x"})), SUBDOMAIN));
        let wrong = let_through(&cluster, &token, &objects);
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            objects.len(),
            wrong.join("\n")
        );

        changed_later(&cluster, &token);
    });
}

/// What was fine when it came, and is changed.
fn changed_later(cluster: &Cluster, token: &str) {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "shop"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec(&json!({}))}}});
    let said = cluster.kubectl_with(token, &["create", "-f", "-"], &deployment.to_string());
    assert!(said.ok, "{said:?}");
    let bad = json!({"spec": {"template": {"spec": {"volumes": [{"name": "/etc", "emptyDir": {}}]}}}});
    for kind in ["merge", "strategic"] {
        let patch = bad.to_string();
        let args = [
            "-n",
            "shop",
            "patch",
            "deployment",
            "d",
            "--type",
            kind,
            "-p",
            &patch,
        ];
        let said = cluster.kubectl_with(token, &args, "");
        assert!(!said.ok && said.err.contains(LABEL), "{kind}: {said:?}");
    }
    let patch = r#"[{"op": "add", "path": "/spec/template/spec/volumes", "value": [{"name": "..", "emptyDir": {}}]}]"#;
    let args = [
        "-n",
        "shop",
        "patch",
        "deployment",
        "d",
        "--type=json",
        "-p",
        patch,
    ];
    let said = cluster.kubectl_with(token, &args, "");
    assert!(!said.ok && said.err.contains(LABEL), "{said:?}");
    let mut applied = deployment;
    merge(&mut applied, &bad);
    let args = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=false",
        "-f",
        "-",
    ];
    let said = cluster.kubectl_with(token, &args, &applied.to_string());
    assert!(!said.ok && said.err.contains(LABEL), "{said:?}");

    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec(&json!({}))});
    let said = cluster.kubectl_with(token, &["create", "-f", "-"], &pod.to_string());
    assert!(said.ok, "{said:?}");
    let patch = json!({"spec": {"ephemeralContainers": [{"name": "../x", "image": "host"}]}}).to_string();
    let args = [
        "-n",
        "shop",
        "patch",
        "pod",
        "p",
        "--subresource=ephemeralcontainers",
        "--type=merge",
        "-p",
        &patch,
    ];
    let said = cluster.kubectl(&args, "");
    assert!(!said.ok && said.err.contains(LABEL), "{said:?}");
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p", "namespace": "shop"},
        "target": {"kind": "Node", "name": "../n1"}});
    let args = [
        "create",
        "--raw",
        "/api/v1/namespaces/shop/pods/p/binding",
        "-f",
        "-",
    ];
    let said = cluster.kubectl(&args, &binding.to_string());
    assert!(!said.ok && said.err.contains(SUBDOMAIN), "{said:?}");
}

mod links {
    //! Symbolic links of the image and of volumes, which the machine must not follow.

    use crate::attacked::{Cluster, Dir, as_both};
    use serde_json::json;

    #[test]
    fn links_lead_nowhere_on_the_machine() {
        as_both(|who| {
            let dir = Dir::new("links");
            let cluster = Cluster::start(who, &dir, 1);
            cluster.deployer("shop");

            // `/var/run` is a link to `/run`: the machine's, for who assembles the container from outside.
            let marker = format!("herder-attack-{}", std::process::id());
            let more = json!({"spec": {"containers": [{"workingDir": format!("/var/run/{marker}")}]}});
            let said = cluster.script("shop", "made", "pwd -P", &more);
            let made = std::path::Path::new("/run").join(&marker);
            let outside = made.exists();
            drop(std::fs::remove_dir(&made));
            assert!(!outside, "{who:?}: a pod made a directory on the machine");
            assert_eq!(said.out, format!("/run/{marker}\n"), "{said:?}");

            // A link in a volume, made by an earlier container, to be mounted by a later one.
            let more = json!({"spec": {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "initContainers": [{"name": "i", "image": "host", "command": ["ln", "-s", "/etc", "/v/out"],
                                    "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "out"}]}]}});
            let said = cluster.script("shop", "sub", "ls /v", &more);
            assert!(
                !said.ok && said.err.contains("leads out of the volume"),
                "{who:?}: {said:?}"
            );
        });
    }
}
