//! A container as the runtime wants it: the OCI `config.json`. Pure: everything it needs is handed in.

use super::env::millis;
use super::user::User;
use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

/// A directory or file of the machine (or of a volume) inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    /// Outside.
    pub(crate) source: String,
    /// Inside.
    pub(crate) target: String,
    /// Without the right to write.
    pub(crate) read_only: bool,
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
    /// The assembled root.
    pub(crate) root: String,
    /// Volumes and the like, in order.
    pub(crate) binds: Vec<Bind>,
    /// The pod's namespaces, by path, or new ones.
    pub(crate) namespaces: Vec<(&'static str, Option<String>)>,
    /// The control group, when there are any.
    pub(crate) cgroup: Option<String>,
    /// Machine files to hide.
    pub(crate) masks: &'a [String],
}

/// The control group settings of a container, `{}` for none.
pub(crate) fn resources(container: &Container) -> Value {
    let given = container.resources.clone().unwrap_or_default();
    let amount = |map: &Option<std::collections::BTreeMap<String, _>>, name: &str| {
        map.as_ref().and_then(|map| map.get(name)).and_then(
            |quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| millis(&quantity.0),
        )
    };
    let signed = |value: u128| i64::try_from(value).unwrap_or(i64::MAX);
    let mut resources = json!({"pids": {"limit": 4096}});
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
        if let Some(limit) = amount(&given.limits, "memory")
            .map(|limit| signed(limit / 1000))
            .filter(|l| *l > 0)
        {
            map.insert("memory".to_owned(), json!({"limit": limit}));
        }
    }
    resources
}

/// The process part, also used for commands run in a started container.
pub(crate) fn process(args: &[String], env: &[(String, String)], cwd: &str, user: &User) -> Value {
    let env: Vec<String> = env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut id = json!({"uid": user.uid, "gid": user.gid});
    if let (Value::Object(id), false) = (&mut id, user.groups.is_empty()) {
        id.insert("additionalGids".to_owned(), json!(user.groups));
    }
    let capabilities = &user.capabilities;
    json!({
        "terminal": false,
        "user": id,
        "args": args,
        "env": env,
        "cwd": cwd,
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
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
               "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
               "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
        json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
               "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]}),
        json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
               "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
               "options": ["nosuid", "noexec", "nodev", "ro"]}),
    ];
    mounts.extend(decided.binds.iter().map(|bind| {
        let mode = if bind.read_only { "ro" } else { "rw" };
        json!({"destination": bind.target, "type": "bind", "source": bind.source, "options": ["rbind", mode]})
    }));
    let mut namespaces = vec![json!({"type": "pid"}), json!({"type": "mount"})];
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
    let mut linux = json!({
        "namespaces": namespaces,
        "maskedPaths": masked,
        "readonlyPaths": read_only,
        "resources": {},
    });
    if let (Some(cgroup), Value::Object(linux)) = (&decided.cgroup, &mut linux) {
        linux.insert("cgroupsPath".to_owned(), json!(cgroup));
        linux.insert("resources".to_owned(), resources(decided.container));
    }
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": decided.root, "readonly": decided.user.read_only},
        "process": process(&decided.args, &decided.env, &decided.cwd, decided.user),
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
        assert_eq!(
            resources(&container),
            json!({"pids": {"limit": 4096}, "cpu": {"period": 100_000, "quota": 50_000, "shares": 256},
                   "memory": {"limit": 67_108_864}})
        );
        let plain: Container = serde_json::from_value(json!({"name": "c"})).unwrap();
        assert_eq!(resources(&plain), json!({"pids": {"limit": 4096}}));
    }
}
