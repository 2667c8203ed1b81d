//! A container as the runtime wants it: the OCI `config.json`. Pure: everything it needs is handed in.

use super::env::millis;
use super::launch::{LATE, late};
use super::seal::Rights;
use super::user::User;
use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// A directory or file of the machine (or of a volume) inside the container.
#[derive(Debug, Clone)]
pub(crate) struct Bind {
    /// Outside: opened when it was checked, and nothing is looked up again.
    pub(crate) place: Arc<OwnedFd>,
    /// Inside.
    pub(crate) target: String,
    /// Without the right to write.
    pub(crate) read_only: bool,
    /// Files' set-id bits mean nothing.
    pub(crate) no_set_id: bool,
    /// With what is mounted below.
    pub(crate) deep: bool,
}

/// What a container without limits of its own gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Defaults {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Bytes written outside volumes; they are in memory.
    pub(crate) layer: u64,
    /// Bytes of an `emptyDir`.
    pub(crate) volume: u64,
}

/// Everything decided about a container before it starts.
#[derive(Debug)]
pub(crate) struct Decided<'a> {
    /// The container as declared.
    pub(crate) container: &'a Container,
    /// Command line, never empty.
    pub(crate) args: Vec<String>,
    /// Environment.
    pub(crate) env: Vec<(String, String)>,
    /// Working directory.
    pub(crate) cwd: String,
    /// Identity.
    pub(crate) user: &'a User,
    /// What it may do.
    pub(crate) rights: &'a Rights,
    /// Where the launcher assembles the root.
    pub(crate) stage: &'a Path,
    /// Volumes and the like, in order.
    pub(crate) binds: Vec<Bind>,
    /// The pod's namespaces, by path, or new ones.
    pub(crate) namespaces: Vec<(&'static str, Option<String>)>,
    /// Another container's namespace of processes, to be in it.
    pub(crate) processes: Option<String>,
    /// The control group, when there are any.
    pub(crate) cgroup: Option<String>,
    /// Machine files to hide.
    pub(crate) masks: &'a [String],
    /// What it gets without asking.
    pub(crate) defaults: Defaults,
    /// The launcher mounts `/sys`.
    pub(crate) system: bool,
}

/// Processes of a container, and of a pod as a whole.
pub(crate) const PROCESSES: u64 = 4096;

/// A limit of a container in thousandths, if it has it.
pub(crate) fn limit(container: &Container, name: &str) -> Option<u128> {
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    millis(&limits.get(name)?.0)
}

/// Bytes of memory that a container may have.
pub(crate) fn memory(container: &Container, defaults: Defaults) -> u64 {
    let own = limit(container, "memory").map(|limit| u64::try_from(limit / 1000).unwrap_or(u64::MAX));
    own.filter(|limit| *limit > 0).unwrap_or(defaults.memory)
}

/// Bytes that a container may write outside volumes.
pub(crate) fn layer(container: &Container, defaults: Defaults) -> u64 {
    let own = limit(container, "ephemeral-storage").map(|l| u64::try_from(l / 1000).unwrap_or(u64::MAX));
    // A size of nothing means no bound to the kernel.
    own.map_or(defaults.layer, |limit| {
        limit.clamp(4096, defaults.layer.max(1 << 30))
    })
}

/// The control group settings of a container, `{}` for none.
pub(crate) fn resources(container: &Container, privileged: bool, defaults: Defaults) -> Value {
    let given = container.resources.clone().unwrap_or_default();
    let amount = |map: &Option<std::collections::BTreeMap<String, _>>, name: &str| {
        map.as_ref().and_then(|map| map.get(name)).and_then(
            |quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| millis(&quantity.0),
        )
    };
    let signed = |value: u128| i64::try_from(value).unwrap_or(i64::MAX);
    let mut resources = json!({"pids": {"limit": PROCESSES}});
    let mut cpu = serde_json::Map::new();
    let limit = amount(&given.limits, "cpu");
    if let Some(limit) = limit.filter(|limit| *limit > 0) {
        cpu.insert("period".to_owned(), json!(100_000));
        // Below one millisecond the kernel refuses.
        cpu.insert(
            "quota".to_owned(),
            json!(signed(limit.saturating_mul(100)).max(1000)),
        );
    }
    if let Some(request) = amount(&given.requests, "cpu").or(limit) {
        cpu.insert(
            "shares".to_owned(),
            json!(signed(request.saturating_mul(1024) / 1000).clamp(2, 262_144)),
        );
    }
    if let Value::Object(map) = &mut resources {
        if !cpu.is_empty() {
            map.insert("cpu".to_owned(), Value::Object(cpu));
        }
        let limit = signed(u128::from(memory(container, defaults)));
        map.insert("memory".to_owned(), json!({"limit": limit}));
        if !privileged {
            // The runtime then allows the usual ones.
            map.insert("devices".to_owned(), json!([{"allow": false, "access": "rwm"}]));
        }
    }
    resources
}

fn process(decided: &Decided<'_>) -> Value {
    let (user, env) = (decided.user, &decided.env);
    let env: Vec<String> = env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut id = json!({"uid": user.uid, "gid": user.gid});
    if let (Value::Object(id), false) = (&mut id, user.groups.is_empty()) {
        id.insert("additionalGids".to_owned(), json!(user.groups));
    }
    // What is left until the process has given up the rest by itself.
    let capabilities = decided.rights.until_sealed();
    json!({
        "terminal": false,
        "user": id,
        "args": decided.args,
        "env": env,
        "cwd": decided.cwd,
        "noNewPrivileges": user.no_new_privileges,
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            "inheritable": [], "ambient": [],
        },
    })
}

/// The whole document.
pub(crate) fn document(decided: &Decided<'_>) -> Value {
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
        json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
               "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]}),
        json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
               "options": ["nosuid", "noexec", "nodev"]}),
    ];
    if !decided.system {
        mounts.push(json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
               "options": ["nosuid", "noexec", "nodev", "ro"]}));
    }
    for (index, bind) in decided
        .binds
        .iter()
        .enumerate()
        .filter(|(_, bind)| late(&bind.target))
    {
        let source = decided.stage.join(LATE).join(index.to_string());
        // The launcher's mount forbids what is to be forbidden already.
        let mode = if bind.read_only { "ro" } else { "rw" };
        mounts.push(
            json!({"destination": bind.target, "type": "bind", "source": source, "options": ["rbind", mode]}),
        );
    }
    let processes = match &decided.processes {
        Some(path) => json!({"type": "pid", "path": path}),
        None => json!({"type": "pid"}),
    };
    let mut namespaces = vec![processes, json!({"type": "mount"})];
    namespaces.extend(decided.namespaces.iter().map(|(kind, path)| match path {
        Some(path) => json!({"type": kind, "path": path}),
        None => json!({"type": kind}),
    }));
    let (masked, read_only): (Vec<&str>, Vec<&str>) = if decided.user.privileged {
        (Vec::new(), Vec::new())
    } else {
        (
            vec![
                "/proc/asound",
                "/proc/acpi",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/sys/firmware",
            ],
            vec![
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ],
        )
    };
    let mut masked: Vec<String> = masked.into_iter().map(str::to_owned).collect();
    masked.extend(decided.masks.iter().cloned());
    if decided.system {
        masked.push("/sys/fs/cgroup".to_owned());
    }
    let mut linux = json!({
        "namespaces": namespaces,
        "maskedPaths": masked,
        "readonlyPaths": read_only,
        "resources": {},
    });
    if let (Some(cgroup), Value::Object(linux)) = (&decided.cgroup, &mut linux) {
        linux.insert("cgroupsPath".to_owned(), json!(cgroup));
        linux.insert(
            "resources".to_owned(),
            resources(decided.container, decided.user.privileged, decided.defaults),
        );
    }
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": decided.stage.join("root"), "readonly": decided.user.read_only},
        "process": process(decided),
        "mounts": mounts,
        "linux": linux,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_control_group_settings() {
        let container: Container = serde_json::from_value(json!({"name": "c", "resources": {
            "requests": {"cpu": "250m"}, "limits": {"cpu": "0.5", "memory": "64Mi"}}}))
        .unwrap();
        let defaults = Defaults {
            memory: 1 << 30,
            layer: 1 << 30,
            volume: 1 << 30,
        };
        let closed = json!([{"allow": false, "access": "rwm"}]);
        assert_eq!(
            resources(&container, false, defaults),
            json!({"pids": {"limit": 4096}, "cpu": {"period": 100_000, "quota": 50_000, "shares": 256},
                   "memory": {"limit": 67_108_864}, "devices": closed})
        );
        let plain: Container = serde_json::from_value(json!({"name": "c"})).unwrap();
        assert_eq!(
            resources(&plain, true, defaults),
            json!({"pids": {"limit": 4096}, "memory": {"limit": 1 << 30}})
        );
        assert_eq!(layer(&plain, defaults), 1 << 30);
        let small: Container = serde_json::from_value(json!({"name": "c", "resources":
            {"limits": {"ephemeral-storage": "1Mi"}}}))
        .unwrap();
        assert_eq!(layer(&small, defaults), 1 << 20);
    }
}
