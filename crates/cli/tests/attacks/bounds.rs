//! What a stranger sends costs no more than it should: patches, logs, repositories.

/// Objects that become more than was sent: patches, sizes, depths.
mod objects {
    use crate::attacked::{Cluster, Dir, Said, as_both};
    use serde_json::{Value, json};

    const SHOP: &str = "shop";

    fn refused(said: &Said, words: &[&str]) {
        assert!(!said.ok, "{said:?}");
        for word in words {
            let shown: String = said.err.chars().take(2000).collect();
            assert!(said.err.contains(word), "not said: {word}\n{shown}");
        }
    }

    #[test]
    fn a_small_request_makes_no_large_object() {
        as_both(|who| {
            let dir = Dir::new("objects");
            let cluster = Cluster::start(who, &dir, 1);
            let token = cluster.deployer(SHOP);
            let file = dir.path().join("patch.json");
            let kubectl = |args: &[&str], input: &str| cluster.kubectl_with(&token, args, input);
            let patch = |what: &str, operations: Vec<Value>| {
                std::fs::write(&file, json!(operations).to_string()).unwrap();
                let file = file.to_str().unwrap();
                kubectl(
                    &[
                        "-n",
                        SHOP,
                        "patch",
                        what,
                        "thing",
                        "--type",
                        "json",
                        "--patch-file",
                        file,
                    ],
                    "",
                )
            };
            let revision = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
                "metadata": {"name": "thing", "namespace": SHOP}, "revision": 1, "data": {}});
            let made = kubectl(&["create", "-f", "-"], &revision.to_string());
            assert!(made.ok, "{made:?}");

            // Copies of copies: 4 kB that were 2.4 GB.
            let mut operations = vec![json!({"op": "add", "path": "/data/a", "value": ["x".repeat(100)]})];
            for _ in 0..15 {
                operations.push(json!({"op": "copy", "from": "/data/a", "path": "/data/b"}));
                operations.push(json!({"op": "copy", "from": "/data/b", "path": "/data/a/-"}));
            }
            refused(
                &patch("controllerrevision", operations),
                &[
                    "the accumulated size increase of copy is",
                    "exceeding the limit 3145728",
                ],
            );
            // Deeper with every operation: what is stored so cannot be read again at the next start.
            let mut operations = vec![json!({"op": "add", "path": "/data/a", "value": {}})];
            operations
                .extend((0..120).map(|_| json!({"op": "copy", "from": "/data/a", "path": "/data/a/a"})));
            refused(
                &patch("controllerrevision", operations),
                &["more than 100 levels deep"],
            );
            let operations = (0..10_001).map(|_| json!({"op": "test", "path": "/revision", "value": 1}));
            refused(
                &patch("controllerrevision", operations.collect()),
                &["The allowed maximum operations in a JSON patch is 10000, got 10001"],
            );
            let list: Vec<u8> = vec![0; 200_000];
            let mut operations = vec![json!({"op": "add", "path": "/data/l", "value": list})];
            operations.extend((0..5000).map(|_| json!({"op": "add", "path": "/data/l/0", "value": 0})));
            refused(
                &patch("controllerrevision", operations),
                &["moves too much about"],
            );

            let mut deep = json!({});
            for _ in 0..110 {
                deep = json!({"a": deep});
            }
            let mut object = revision.clone();
            object["metadata"]["name"] = json!("deep");
            object["data"] = deep;
            for args in [&["create", "-f", "-"][..], &["apply", "--server-side", "-f", "-"]] {
                refused(
                    &kubectl(args, &object.to_string()),
                    &["nested more than 100 levels deep"],
                );
            }

            sizes(&kubectl);
        });
    }

    fn sizes(kubectl: &dyn Fn(&[&str], &str) -> Said) {
        let map = |metadata: Value, data: Value| {
            let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "m", "namespace": SHOP}, "data": data});
            crate::attacked::merge(&mut map["metadata"], &metadata);
            map.to_string()
        };
        let large = map(json!({}), json!({"a": "x".repeat(1_048_577)}));
        refused(
            &kubectl(&["create", "-f", "-"], &large),
            &["ConfigMap \"m\" is invalid: []: Too long: may not be more than 1048576 bytes"],
        );
        let noted = map(json!({"annotations": {"a": "x".repeat(262_144)}}), json!({}));
        refused(
            &kubectl(&["create", "-f", "-"], &noted),
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": SHOP},
            "stringData": {"a": "x".repeat(1_048_577)}});
        refused(
            &kubectl(&["create", "-f", "-"], &secret.to_string()),
            &["data: Too long: may not be more than 1048576 bytes"],
        );
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": SHOP},
            "spec": {"nodeSelector": {"no": "where"},
                     "containers": [{"name": "c", "image": "host", "env": [{"name": "A", "value": "x".repeat(1_600_000)}]}]}});
        refused(
            &kubectl(&["create", "-f", "-"], &pod.to_string()),
            &["etcdserver: request is too large", "at most 1572864 are stored"],
        );
    }
}
