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

mod pods {
    //! What a pod may take of the machine.

    use crate::attacked::{Cluster, Dir, as_both, until};
    use serde_json::json;

    /// Starts threads, which count as processes, until it may not.
    const BOMB: &str = "import threading, time\n\
        threading.stack_size(65536)\n\
        n = 0\n\
        try:\n\
        \x20   while n < 6000:\n\
        \x20       threading.Thread(target=time.sleep, args=(4,), daemon=True).start(); n += 1\n\
        except RuntimeError: pass\n\
        print('started', n, flush=True)\n\
        time.sleep(2)\n";

    #[test]
    fn a_pod_takes_neither_all_processes_nor_the_disk() {
        as_both(|who| {
            let dir = Dir::new("pods");
            let cluster = Cluster::start(who, &dir, 1);
            cluster.deployer("shop");

            // One after another, so that each finds what the other has left.
            let more = json!({"spec": {"containers": [
                {"command": ["python3", "-c", BOMB]},
                {"name": "d", "image": "host", "command": ["python3", "-c", BOMB]},
            ]}});
            let said = cluster.script("shop", "bomb", "", &more);
            let other = cluster.kubectl(&["-n", "shop", "logs", "bomb", "-c", "d"], "");
            let started = |out: &str| {
                let line = out.lines().find_map(|line| line.strip_prefix("started "));
                line.and_then(|number| number.parse::<u32>().ok())
                    .unwrap_or_else(|| panic!("{said:?} {other:?}"))
            };
            let all = started(&said.out) + started(&other.out);
            assert!(
                (500..4200).contains(&all),
                "{who:?}: {all} threads: {said:?} {other:?}"
            );

            // A line that never ends.
            let said = cluster.script(
                "shop",
                "talks",
                "head -c 300000000 /dev/zero | tr '\\0' x; echo; echo done",
                &json!({}),
            );
            assert!(said.ok && said.out.ends_with("done\n"), "{}", said.err);
            let uid = cluster.pod("shop", "talks")["metadata"]["uid"]
                .as_str()
                .unwrap()
                .to_owned();
            let logs = std::fs::read_dir(cluster.dir.join("kubelite/pods").join(uid).join("c")).unwrap();
            let size: u64 = logs.map(|file| file.unwrap().metadata().unwrap().len()).sum();
            assert!(size < 64 << 20, "{who:?}: {size} bytes of log");

            // More than the volume may hold, and a message without an end.
            let more = json!({"spec": {
                "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "1Mi"}}],
                "containers": [{"volumeMounts": [{"name": "cache", "mountPath": "/cache"}]}]}});
            let said = cluster.script(
                "shop",
                "fills",
                "head -c 5000000 /dev/zero > /cache/big; for i in 1 2 3 4 5 6 7 8; do sleep 1; done",
                &more,
            );
            assert!(!said.ok, "{who:?}: {said:?}");
            let status = &cluster.pod("shop", "fills")["status"];
            assert_eq!(status["reason"], "Evicted", "{status}");
            assert!(
                status["message"]
                    .as_str()
                    .unwrap()
                    .contains("Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\"."),
                "{status}"
            );
            let said = cluster.script(
                "shop",
                "last",
                "head -c 100000000 /dev/zero > /dev/termination-log && echo all; true",
                &json!({}),
            );
            assert!(said.ok && !said.out.contains("all"), "{who:?}: {said:?}");
            // The node has come through it.
            until("a pod after all", || {
                cluster
                    .script("shop", "after", "echo well", &json!({}))
                    .ok
                    .then_some(())
            });
        });
    }
}

use crate::attacked::{Dir, Platform, as_both, as_root, commit, run, until};
use crate::masking::{log, owned, start};
use std::process::Command;
use std::time::Duration;

/// Much output costs little, is whole and in order; a line that never ends is bounded, too.
#[test]
fn the_output_of_a_job_costs_what_it_weighs() {
    as_root(|who| {
        let dir = Dir::new("output");
        let fleet = dir.path().join("fleet");
        let job = "steps:\n- seq 1 1000000; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo fin''ished\n";
        commit(
            &fleet,
            &[("fleet.yaml", "name: output\n"), ("jobs/much.yaml", job)],
        );
        owned(&fleet, who);
        let platform = Platform::start(who, &dir, fleet.to_str().unwrap(), &["--nodes", "1"]);
        let pid = platform.process.0.id();
        let before = cost(pid);
        start(&platform, "much", &[]);
        let log = log(&platform, "much");
        assert!(
            log.out.lines().any(|line| line.ends_with(" finished")),
            "{}",
            log.err
        );
        let spent = cost(pid) - before;
        let mut expected = 1u64;
        for line in log.out.lines() {
            if line.ends_with(&format!(" {expected}")) {
                expected += 1;
            }
        }
        assert_eq!(expected, 1_000_001);
        assert!(log.out.matches('x').count() >= 20_000_000);
        println!("28 MB of output cost {spent:?}");
        // Of a build for debugging; a built one takes a tenth.
        assert!(spent < Duration::from_secs(60), "{spent:?}");
    });
}

/// A few hundred bytes of trees that are ten thousand million files, and bases that double thirty times.
#[test]
fn a_small_repository_stays_small() {
    as_both(|who| {
        let dir = Dir::new("bombs");
        let fleet = dir.path().join("fleet");
        let mut files = vec![
            ("fleet.yaml".to_owned(), "name: bombs\n".to_owned()),
            (
                "environments/trees.yaml".to_owned(),
                "config: ../trees\n".to_owned(),
            ),
            (
                "environments/bases.yaml".to_owned(),
                "config: {repository: ../bases}\n".to_owned(),
            ),
            (
                "environments/good.yaml".to_owned(),
                "config: ../good\n".to_owned(),
            ),
        ];
        commit(
            &fleet,
            &files
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect::<Vec<_>>(),
        );
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: good\n";
        let good = dir.path().join("good");
        commit(
            &good,
            &[
                ("app/kustomization.yaml", "resources: [map.yaml]\n"),
                ("app/map.yaml", map),
            ],
        );
        files = vec![
            (
                "base/0a/kustomization.yaml".to_owned(),
                "resources: [map.yaml]\nnamePrefix: a\n".to_owned(),
            ),
            (
                "base/0b/kustomization.yaml".to_owned(),
                "resources: [../0a]\nnamePrefix: b\n".to_owned(),
            ),
            ("base/0a/map.yaml".to_owned(), map.to_owned()),
            (
                "app/kustomization.yaml".to_owned(),
                "resources: [../base/30a]\n".to_owned(),
            ),
        ];
        for level in 1..=30 {
            for side in ["a", "b"] {
                let below = level - 1;
                let text = format!("resources: [../{below}a, ../{below}b]\nnamePrefix: {side}{level}\n");
                files.push((format!("base/{level}{side}/kustomization.yaml"), text));
            }
        }
        let bases = dir.path().join("bases");
        commit(
            &bases,
            &files
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect::<Vec<_>>(),
        );
        let trees = dir.path().join("trees");
        commit(&trees, &[("a", "b")]);
        let script = r#"
            at=$(printf '100644 blob %s\tx\n' "$(printf x | git hash-object -w --stdin)" | git mktree)
            for level in 1 2 3 4 5 6 7 8 9 10; do
              at=$(for i in 0 1 2 3 4 5 6 7 8 9; do printf '040000 tree %s\t%s\n' "$at" "$i"; done | git mktree)
            done
            git -c user.name=t -c user.email=t@t update-ref refs/heads/main \
              "$(git -c user.name=t -c user.email=t@t commit-tree "$at" -m bomb)"
        "#;
        let made = run(Command::new("sh").args(["-ec", script]).current_dir(&trees), "");
        assert!(made.ok, "{made:?}");
        for repository in [&fleet, &good, &bases, &trees] {
            owned(repository, who);
        }
        let platform = Platform::start(who, &dir, fleet.to_str().unwrap(), &["--nodes", "1"]);
        until("the good environment", || {
            let said = platform.kubectl(&["-n", "good", "get", "configmaps", "-o", "name"], "");
            said.out.contains("/good").then_some(())
        });
        let said = platform.herder(&["status", "--json"]).out;
        assert!(
            said.contains("files or more, more than the limit of 100000"),
            "{said}"
        );
        assert!(
            said.contains("more than 128 MiB of files, bases and copied values"),
            "{said}"
        );
        let peak = peak(platform.process.0.id());
        println!("at most {} MiB", peak >> 20);
        assert!(peak < 800 << 20, "{} MiB", peak >> 20);
    });
}

/// The processor time of a process and of all below it that have not ended.
fn cost(pid: u32) -> Duration {
    let said = run(Command::new("ps").args(["-e", "-o", "pid=,ppid=,cputimes="]), "");
    let rows: Vec<[u64; 3]> = said
        .out
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(|field| field.parse().ok());
            Some([fields.next()??, fields.next()??, fields.next()??])
        })
        .collect();
    let mut family = vec![u64::from(pid)];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(rows.iter().filter(|row| row[1] == parent).map(|row| row[0]));
        next += 1;
    }
    let seconds = rows
        .iter()
        .filter(|row| family.contains(&row[0]))
        .map(|row| row[2])
        .sum();
    Duration::from_secs(seconds)
}

/// The most memory that a process (or the ordinary user's, behind setpriv the same) had.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}
