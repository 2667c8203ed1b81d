//! Pods that are deleted at random moments of their start. What a step of it takes it must give back when it is cancelled:
//! addresses, user ids, devices, mounts, directories, control groups, descriptors.

use super::cluster::{Cluster, sh};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pods; five thousand are worth an evening: `HERDER_TEST_CANCELLED=5000`.
const ROUNDS: u64 = 300;
/// Pods that start at the same time.
const TOGETHER: u64 = 12;
/// The addresses of a node.
const ADDRESSES: usize = 253;

/// Small and good enough; the seed is printed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// A pod with something of everything, or one that waits half way for a config map that does not come.
fn spec(dice: &mut Dice) -> Value {
    let mut container = sh("trap 'exit 0' TERM; while :; do sleep 0.01; done");
    let mut volumes = Vec::new();
    if dice.below(2) == 0 {
        volumes.push(json!({"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}));
    }
    if dice.below(2) == 0 {
        volumes.push(json!({"name": "disk", "emptyDir": {}}));
    }
    if dice.below(3) == 0 {
        volumes.push(json!({"name": "never", "configMap": {"name": "never"}}));
    }
    if dice.below(4) == 0 {
        container["command"] = json!(["/does/not/exist"]);
    }
    if dice.below(4) == 0 {
        container["readinessProbe"] = json!({"exec": {"command": ["sleep", "1"]}, "timeoutSeconds": 5});
    }
    let mounts = volumes.iter().enumerate();
    container["volumeMounts"] = mounts
        .map(|(n, volume)| json!({"name": volume["name"], "mountPath": format!("/v{n}")}))
        .collect();
    let host_network = dice.below(8) == 0;
    json!({"hostNetwork": host_network, "containers": [container], "volumes": volumes,
        "terminationGracePeriodSeconds": 1})
}

impl Cluster {
    /// The agent of n1, as this machine knows it.
    fn agent(&self) -> PathBuf {
        let node = self
            .api
            .get("/api/v1/nodes/n1")
            .expect("the node to be registered");
        let pid = node["metadata"]["annotations"]["herder.dev/agent-pid"].as_str();
        Path::new("/proc").join(pid.expect("its agent's process id"))
    }

    /// What the node holds, as far as this process may look.
    fn held(&self) -> BTreeMap<&'static str, usize> {
        let agent = self.agent();
        let mut held = BTreeMap::new();
        let fabric = format!("/proc/{}/net/dev", self.fabric.pid());
        let devices = std::fs::read_to_string(fabric).unwrap_or_default();
        held.insert(
            "devices",
            devices
                .lines()
                .filter(|line| line.trim_start().starts_with("h01"))
                .count(),
        );
        let mounts = std::fs::read_to_string(agent.join("mountinfo")).unwrap_or_default();
        held.insert("mounts", mounts.lines().count());
        let state = self.dir.join("kubelite/nodes/n1");
        let inside = agent.join("root").join(state.strip_prefix("/").unwrap());
        for (what, dir) in [
            ("bundles", inside.join("run/c")),
            ("runtime", inside.join("run/state")),
            ("memory", inside.join("run/pods")),
            ("disk", inside.join("pods")),
            ("logs", self.dir.join("kubelite/pods")),
            ("descriptors", agent.join("fd")),
        ] {
            held.insert(what, std::fs::read_dir(dir).map_or(0, Iterator::count));
        }
        let groups = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let of_node = format!("herder-{}/n1", self.id);
        let pods = groups.map(|group| {
            let pods = std::fs::read_dir(group.path().join(&of_node))
                .into_iter()
                .flatten();
            pods.flatten().filter(|pod| pod.path().is_dir()).count()
        });
        held.insert("control groups", pods.sum());
        held
    }

    async fn until_gone(&self, prefix: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        let path = format!("/pods/{prefix}");
        while !self.api.find(&path).is_empty() {
            assert!(
                Instant::now() < deadline,
                "pods stay: {:#?}\n{}",
                self.api.find(&path),
                std::fs::read_to_string(self.dir.join("kubelite/nodes/n1/agent.log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Compares until it is the same: the kernel takes namespaces apart in its own time.
    async fn until_held(&self, before: &BTreeMap<&'static str, usize>, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let held = self.held();
            if held == *before {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what}, something is left: {held:?}, and before it was {before:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn cancelled(&self) {
        let rounds = number(
            "HERDER_TEST_CANCELLED",
            if self.root { ROUNDS } else { ROUNDS / 3 },
        );
        let seed = number("HERDER_TEST_SEED", u64::from(std::process::id()) + 1);
        println!("{rounds} pods deleted at random moments, seed {seed}");
        let mut dice = Dice(seed);
        // What is made once and kept is made now.
        self.script("warm", json!({"containers": [sh("true")]})).await;
        self.remove("warm").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let before = self.held();
        let mut made = 0;
        while made < rounds {
            let batch = TOGETHER.min(rounds - made);
            let mut moments: Vec<(u64, String, bool)> = (0..batch)
                .map(|n| {
                    let name = format!("cut-{}", made + n);
                    self.api.pod(&name, "n1", spec(&mut dice));
                    (dice.below(150), name, dice.below(3) == 0)
                })
                .collect();
            moments.sort();
            let begun = Instant::now();
            for (moment, name, at_once) in moments {
                tokio::time::sleep(Duration::from_millis(moment).saturating_sub(begun.elapsed())).await;
                if at_once {
                    self.api.delete(&format!("/api/v1/namespaces/test/pods/{name}"));
                } else {
                    self.api.end(&name, 0);
                }
            }
            made += batch;
            self.until_gone("cut-", Duration::from_secs(60)).await;
        }
        self.until_held(&before, "after pods were deleted while they started")
            .await;

        // Every address can be had, at once.
        let waiting = json!({"containers": [sh("true")],
            "volumes": [{"name": "never", "configMap": {"name": "never"}}]});
        for n in 0..ADDRESSES {
            self.api.pod(&format!("all-{n}"), "n1", waiting.clone());
        }
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let pods = self.api.find("/pods/all-");
            let addresses: std::collections::BTreeSet<&str> = pods
                .iter()
                .filter_map(|pod| pod["status"]["podIP"].as_str())
                .collect();
            if addresses.len() == ADDRESSES {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "only {} of {ADDRESSES} addresses can be had",
                addresses.len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for n in 0..ADDRESSES {
            self.api.end(&format!("all-{n}"), 0);
        }
        self.until_gone("all-", Duration::from_secs(120)).await;
        self.until_held(&before, "after the node was full").await;
        // And it is alive.
        self.script("after", json!({"containers": [sh("true")]})).await;
        self.remove("after").await;
    }

    /// Pods that have ended hold nothing while they wait to be deleted: more of them than there are addresses or ranges of
    /// ids.
    pub(crate) async fn ended_hold_nothing(&self) {
        self.script("warm", json!({"containers": [sh("true")]})).await;
        self.remove("warm").await;
        let mut before = self.held();
        for n in 0..3 {
            self.script(&format!("over-{n}"), json!({"containers": [sh("true")]}))
                .await;
        }
        *before.get_mut("logs").unwrap() += 3;
        self.until_held(&before, "while pods wait to be deleted").await;
        for n in 0..3 {
            self.remove(&format!("over-{n}")).await;
        }
    }
}
