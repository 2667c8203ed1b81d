//! Ways out of a container by what the runtime does in it on the pod's behalf: the directory and the program of a command
//! are the container's to choose, also at the moment when the command is started.

use super::attacked::{Cluster, Dir, Who, as_both};
use serde_json::{Value, json};

/// A working directory that becomes a link to what the runtime has open: CVE-2024-21626, by way of a probe.
fn by_directory(number: u8) -> Value {
    json!({
        "initContainers": [{"name": "make", "image": "host", "command": ["mkdir", "/e/w"],
            "volumeMounts": [{"name": "e", "mountPath": "/e"}]}],
        "containers": [{"name": "main", "image": "host", "workingDir": "/e/w", "volumeMounts": [{"name": "e", "mountPath": "/e"}],
            "command": ["sh", "-c", format!("cd /; rmdir /e/w; ln -s /proc/self/fd/{number} /e/w; sleep 6; cat /e/seen; echo played")],
            "readinessProbe": {"periodSeconds": 1, "exec": {"command":
                ["/bin/sh", "-c", "(readlink /proc/self/cwd; ls -a . ..; pwd -P) >>/e/seen 2>&1"]}}}],
        "volumes": [{"name": "e", "emptyDir": {}}],
    })
}

/// The runtime's own program, run as a command and opened for writing: CVE-2019-5736.
fn by_program() -> Value {
    let script = "import os, time, errno\nseen = set()\nuntil = time.time() + 8\nwhile time.time() < until:\n  for p in os.listdir('/proc'):\n    \
        if not p.isdigit() or p == str(os.getpid()): continue\n    try:\n      if 'herder' not in os.readlink(f'/proc/{p}/exe'): continue\n      \
        os.open(f'/proc/{p}/exe', os.O_WRONLY)\n      seen.add('WROTE')\n    except OSError as e: seen.add(errno.errorcode.get(e.errno))\n\
        print('tried', sorted(seen - {'ENOENT', 'ESRCH'}), 'played')\n";
    json!({
        "containers": [{"name": "main", "image": "host", "command": ["python3", "-c", script],
            "readinessProbe": {"periodSeconds": 1, "timeoutSeconds": 2, "exec": {"command":
                ["/proc/self/exe", "demo-app", "--listen", "127.0.0.1:0"]}}}],
    })
}

#[test]
fn what_runs_on_a_pods_behalf_leads_nowhere() {
    as_both(|who: Who| {
        let dir = Dir::new("escapes");
        let cluster = Cluster::start(who, &dir, 1);
        cluster.deployer("shop");
        let mut items: Vec<Value> = (3..15)
            .map(|number| (format!("fd{number}"), by_directory(number)))
            .chain([("exe".to_owned(), by_program())])
            .map(|(name, mut spec)| {
                spec["restartPolicy"] = "Never".into();
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
            })
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items.clone()});
        let made = cluster.kubectl(&["apply", "-f", "-"], &list.to_string());
        assert!(made.ok, "{made:?}");
        for pod in items.drain(..) {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let said = cluster.kubectl(
                &["-n", "shop", "logs", "-f", "--pod-running-timeout=60s", name],
                "",
            );
            assert!(said.out.contains("played"), "{who:?}: {name}: {said:?}");
            for bad in ["kubelite", "exec-", "WROTE", "ETXTBSY"] {
                assert!(!said.out.contains(bad), "{who:?}: {name}: {said:?}");
            }
        }
        // The commands were started, and what they found in their way is told.
        let events = cluster.kubectl(
            &[
                "-n",
                "shop",
                "get",
                "events",
                "-o",
                "jsonpath={.items[*].message}",
            ],
            "",
        );
        assert!(
            events.out.contains("the working directory"),
            "{who:?}: {events:?}"
        );
    });
}
