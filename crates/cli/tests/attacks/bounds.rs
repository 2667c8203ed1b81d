//! What a stranger sends costs no more than it should: patches, logs, repositories.

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
