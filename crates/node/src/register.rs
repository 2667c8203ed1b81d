//! The Node object and its lease: what this node has, and that it is alive.

use super::client::{ApiError, Patch};
use super::machine::Machine;
use super::status::seconds;
use herder_base::chain;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How often the lease is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// Pods a node takes.
const PODS: u32 = 110;

/// Registers the node, then keeps its lease until dropped. `pid` is the agent's on the machine.
pub(crate) async fn run(machine: Arc<Machine>, pid: Option<i32>) {
    let mut wait = Duration::from_millis(20);
    while let Err(error) = register(&machine, pid).await {
        tracing::warn!(error = %chain(&error), "the node could not be registered; trying again");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
    loop {
        if let Err(error) = renew(&machine).await {
            tracing::warn!(error = %chain(&error), "the node's lease could not be renewed");
        }
        tokio::time::sleep(RENEW).await;
    }
}

async fn register(machine: &Machine, pid: Option<i32>) -> Result<(), ApiError> {
    let node = &machine.config.node;
    let mut labels = json!({
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch(),
        "herder.dev/user": if machine.config.root { "root" } else { "ordinary" },
    });
    if let Value::Object(map) = &mut labels {
        map.extend(node.labels.iter().map(|(key, value)| (key.clone(), json!(value))));
    }
    let annotations = json!({"herder.dev/agent-pid": pid.map_or_else(String::new, |pid| pid.to_string())});
    let body = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node.name, "labels": labels, "annotations": annotations},
        "spec": {"podCIDR": format!("10.42.{}.0/24", node.index)},
    });
    let path = format!("/api/v1/nodes/{}", node.name);
    match machine.api.post("/api/v1/nodes", &body).await {
        Err(error) if error.code() == Some(StatusCode::CONFLICT) => {
            // Taints are not the agent's to change: the controllers take away those that no longer hold.
            let change = json!({"metadata": {"labels": labels, "annotations": annotations}});
            machine.api.patch(&path, Patch::Merge, &change).await?;
        }
        other => drop(other?),
    }
    let status = json!({"status": status(machine)});
    machine
        .api
        .patch(&format!("{path}/status"), Patch::Merge, &status)
        .await
        .map(drop)
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// This node's share, in bytes, of the file system that pods' data is on.
fn disk(machine: &Machine) -> u64 {
    let nodes = u64::try_from(machine.config.node.nodes).unwrap_or(1).max(1);
    nix::sys::statvfs::statvfs(&machine.state).map_or(0, |fs| fs.blocks() * fs.fragment_size() / nodes)
}

fn status(machine: &Machine) -> Value {
    let now = seconds(machine.now());
    let condition = |kind: &str, value: bool, reason: &str, message: &str| {
        json!({
            "type": kind, "status": if value { "True" } else { "False" }, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let share = machine.share;
    let amounts = json!({
        "cpu": format!("{}m", share.cpu_millis),
        "memory": format!("{}Ki", share.memory >> 10),
        "pods": PODS.to_string(),
        "ephemeral-storage": format!("{}Ki", disk(machine) >> 10),
    });
    let limits = if machine.config.root {
        condition(
            "ResourceLimits",
            true,
            "ControlGroups",
            "limits of memory, processor and processes are enforced",
        )
    } else {
        condition(
            "ResourceLimits",
            false,
            "OrdinaryUser",
            "limits are not enforced, containers run as one user id, and privileged ones do not start; run Herder as \
             root to have them",
        )
    };
    let (kind, value, reason, message) = machine.notice();
    let users = condition(kind, value, reason, &message);
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let system = read("/etc/os-release");
    let name = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("Linux")
        .trim_matches('"');
    json!({
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [
            {"type": "InternalIP", "address": machine.address().to_string()},
            {"type": "Hostname", "address": machine.config.node.name},
        ],
        "conditions": [
            condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            limits,
            users,
            condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
        ],
        "nodeInfo": {
            "architecture": arch(), "operatingSystem": "linux", "osImage": name,
            "kernelVersion": read("/proc/sys/kernel/osrelease"),
            "bootID": read("/proc/sys/kernel/random/boot_id"), "machineID": read("/etc/machine-id"), "systemUUID": "",
            "containerRuntimeVersion": concat!("herder://", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": concat!("v1.33.0+herder-", env!("CARGO_PKG_VERSION")), "kubeProxyVersion": "",
        },
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
    })
}

async fn renew(machine: &Machine) -> Result<(), ApiError> {
    let name = &machine.config.node.name;
    let base = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let spec = json!({
        "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": format!("{:.6}", machine.now()),
    });
    match machine
        .api
        .patch(&format!("{base}/{name}"), Patch::Merge, &json!({"spec": spec}))
        .await
    {
        Err(error) if error.is_missing() => {
            let body = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec,
            });
            machine.api.post(base, &body).await.map(drop)
        }
        other => other.map(drop),
    }
}
