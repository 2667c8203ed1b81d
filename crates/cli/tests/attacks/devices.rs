//! The machine's devices and ids, from within a container.

use super::attacked::{Cluster, Dir, Who, as_both};
use serde_json::json;

/// A disk of this machine: major and minor.
fn disk() -> (String, String) {
    let mut disks: Vec<_> = std::fs::read_dir("/sys/block").unwrap().flatten().collect();
    disks.sort_by_key(std::fs::DirEntry::file_name);
    let found = disks.iter().find_map(|disk| {
        let size = std::fs::read_to_string(disk.path().join("size")).ok()?;
        let numbers = std::fs::read_to_string(disk.path().join("dev")).ok()?;
        let (major, minor) = numbers.trim().split_once(':')?;
        (size.trim() != "0").then(|| (major.to_owned(), minor.to_owned()))
    });
    found.unwrap_or_else(|| ("254".to_owned(), "0".to_owned()))
}

#[test]
fn a_pod_reaches_no_device_and_no_id_of_the_machine() {
    as_both(|who| {
        let dir = Dir::new("devices");
        let cluster = Cluster::start(who, &dir, 1);
        cluster.deployer("shop");

        // Device nodes of its own: the machine's disk, a file of it as a disk, its memory, a network tunnel.
        let (major, minor) = disk();
        let script = format!(
            "for node in 'b {major} {minor}' 'b 7 0' 'c 1 1' 'c 10 200'; do rm -f /tmp/d; \
             mknod /tmp/d $node 2>&1 && ( : < /tmp/d ) 2>&1 && echo \"opened $node\"; done; \
             for d in null zero full random urandom tty ptmx pts/ptmx; do test -e /dev/$d || echo \"no $d\"; done; \
             head -c 8 /dev/urandom >/dev/null && : >/dev/null && echo usual; ls /dev"
        );
        let said = cluster.script("shop", "nodes", &script, &json!({}));
        assert!(said.ok && said.out.contains("usual"), "{said:?}");
        assert!(
            !said.out.contains("opened") && said.out.contains("Operation not permitted"),
            "{who:?}: {said:?}"
        );
        assert!(
            !said.out.contains("\nvd") && !said.out.contains("no "),
            "{said:?}"
        );

        // Nothing that could hold a node honours it, and raw packets cannot be written; pinging works all the same.
        let script = "awk '$3 == \"tmpfs\" && $4 !~ /nodev/ && $4 !~ /^ro/ {print \"open\", $2}' /proc/mounts; \
             awk '$3 == \"overlay\" && $4 !~ /nodev/ {print \"open\", $2}' /proc/mounts; \
             python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print(\"raw\")' 2>&1; \
             python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3); print(\"packet\")' 2>&1; \
             python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1); print(\"pings\")'; \
             grep -i cap /proc/self/status";
        let said = cluster.script("shop", "raw", script, &json!({}));
        assert!(said.ok && said.out.contains("pings"), "{said:?}");
        for bad in ["open /", "\nraw", "packet\n"] {
            assert!(
                !format!("\n{}", said.out).contains(bad),
                "{who:?}: {bad}: {said:?}"
            );
        }

        // Root in a pod is nobody outside: each pod has ids of its own, its probes too, and its own files are its own.
        let script = "echo map $(cat /proc/self/uid_map); until test -s /tmp/probe; do sleep 0.05; done; \
             echo probe $(cat /tmp/probe); touch /tmp/f /var/lib/f /usr/local/f /v/f && echo writable; \
             stat -c '%u %U' /usr/bin/env /etc/passwd /v/f; rm /usr/bin/env && echo removed; \
             chown 33:33 /tmp/f && stat -c 'given %u %g' /tmp/f; su -s /bin/sh nobody -c 'id -u' 2>&1; true";
        let more = json!({"spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}],
                "readinessProbe": {"periodSeconds": 1, "exec": {"command":
                    ["sh", "-c", "cat /proc/self/uid_map > /tmp/p; mv /tmp/p /tmp/probe"]}}}]}});
        let maps: Vec<String> = ["one", "two"]
            .iter()
            .map(|name| {
                let said = cluster.script("shop", name, script, &more);
                assert!(said.ok && said.out.contains("writable"), "{said:?}");
                let word = |key: &str| {
                    let line = said.out.lines().find_map(|line| line.strip_prefix(key));
                    line.unwrap_or_else(|| panic!("{said:?}")).to_owned()
                };
                assert_eq!(
                    word("map "),
                    word("probe "),
                    "{who:?}: a probe is somebody else: {said:?}"
                );
                if who == Who::Root {
                    assert!(
                        said.out.contains("given 33 33") && said.out.contains("removed"),
                        "{said:?}"
                    );
                    assert!(said.out.matches("0 root").count() == 3, "{said:?}");
                }
                word("map ")
            })
            .collect();
        if who == Who::Root {
            for map in &maps {
                let mut numbers = map
                    .split_whitespace()
                    .map(|number| number.parse::<u64>().unwrap());
                let (inside, outside, count) = (
                    numbers.next().unwrap(),
                    numbers.next().unwrap(),
                    numbers.next().unwrap(),
                );
                assert_eq!((inside, count), (0, 65_536), "{maps:?}");
                assert!(outside > 65_536, "root in a pod is root on the machine: {maps:?}");
            }
        } else {
            assert_eq!(maps, ["0 0 1", "0 0 1"]);
        }
        let conditions = cluster.kubectl(&["get", "nodes", "-o", "json"], "");
        assert!(conditions.out.contains("UserNamespaces"), "{conditions:?}");
    });
}
