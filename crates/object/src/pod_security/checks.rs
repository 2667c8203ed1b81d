//! The table of controls, and what they share: walking over a pod's containers and putting findings into words.

use super::{Finding, Level, Mode, Version, baseline, restricted};
use serde_json::Value;
use std::collections::BTreeSet;

/// A pod, taken apart for the controls.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    pub(super) annotations: Vec<(&'a str, &'a str)>,
    pub(super) spec: &'a Value,
    /// Init, main and ephemeral ones.
    pub(super) containers: Vec<&'a Value>,
}

static NOTHING: Value = Value::Null;

impl<'a> Pod<'a> {
    pub(super) fn of(pod: &'a Value) -> Self {
        let spec = pod.get("spec").unwrap_or(&NOTHING);
        let list = |name: &str| {
            let list = spec.get(name).and_then(Value::as_array);
            list.into_iter().flatten()
        };
        let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object);
        Self {
            annotations: annotations
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
                .collect(),
            spec,
            containers: list("initContainers")
                .chain(list("containers"))
                .chain(list("ephemeralContainers"))
                .collect(),
        }
    }

    /// The names of the containers that `bad` holds for.
    pub(super) fn those(&self, bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        let bad = self.containers.iter().filter(|container| bad(container));
        bad.map(|container| name(container)).collect()
    }

    /// A field of the pod's own security context.
    pub(super) fn own(&self, field: &str) -> Option<&'a Value> {
        set(self.spec.pointer(&format!("/securityContext/{field}")))
    }
}

/// A field that is there and not null.
pub(super) fn set(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// A field of a container's security context.
pub(super) fn of<'a>(container: &'a Value, field: &str) -> Option<&'a Value> {
    set(container.pointer(&format!("/securityContext/{field}")))
}

/// A text, or the empty one. What is no text is shown as it is, so that no odd value passes for a missing one.
pub(super) fn text(value: Option<&Value>) -> String {
    match set(value) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

pub(super) fn name(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list field.
pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}

pub(super) fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`
pub(super) fn quoted<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all
        .into_iter()
        .map(|one| format!("\"{}\"", one.as_ref()))
        .collect();
    all.join(", ")
}

/// `container "a"`, `containers "a", "b"`
pub(super) fn containers(names: &[&str]) -> String {
    format!(
        "{} {}",
        plural("container", "containers", names.len()),
        quoted(names)
    )
}

/// `pod and container "a"`: who set something; `None` if nobody did.
pub(super) fn setters(pod: bool, names: &[&str]) -> Option<String> {
    let mut all = Vec::new();
    if pod {
        all.push("pod".to_owned());
    }
    if !names.is_empty() {
        all.push(containers(names));
    }
    (!all.is_empty()).then(|| all.join(" and "))
}

pub(super) fn finding(reason: &str, detail: impl Into<String>) -> Finding {
    Finding {
        reason: reason.to_owned(),
        detail: detail.into(),
    }
}

/// The values that are not allowed, of the pod and its containers: who has them, and which.
pub(super) fn wrong_values(
    pod: &Pod<'_>,
    field: &str,
    allowed: &[&str],
) -> Option<(String, BTreeSet<String>)> {
    let mut values = BTreeSet::new();
    let mut bad = |value: Option<&Value>| {
        let Some(value) = value else { return false };
        let value = text(Some(value));
        let wrong = !allowed.contains(&value.as_str());
        if wrong {
            values.insert(value);
        }
        wrong
    };
    let own = bad(pod.own(field));
    let mut names = Vec::new();
    for container in &pod.containers {
        if bad(of(container, field)) {
            names.push(name(container));
        }
    }
    Some((setters(own, &names)?, values))
}

/// One control of the standards.
struct Check {
    level: Level,
    /// The first edition that has it.
    since: u32,
    /// It says all that the next one says, and more, where both hold.
    overrides: &'static str,
    id: &'static str,
    find: fn(&Pod<'_>, Version) -> Option<Finding>,
}

const fn check(
    level: Level,
    since: u32,
    id: &'static str,
    overrides: &'static str,
    find: fn(&Pod<'_>, Version) -> Option<Finding>,
) -> Check {
    Check {
        level,
        since,
        overrides,
        id,
        find,
    }
}

/// In the order in which Kubernetes reports them.
const CHECKS: &[Check] = &[
    check(Level::Baseline, 0, "appArmorProfile", "", baseline::app_armor),
    check(
        Level::Baseline,
        0,
        "capabilities_baseline",
        "",
        baseline::capabilities,
    ),
    check(
        Level::Baseline,
        0,
        "hostNamespaces",
        "",
        baseline::host_namespaces,
    ),
    check(Level::Baseline, 0, "hostPathVolumes", "", baseline::host_paths),
    check(Level::Baseline, 0, "hostPorts", "", baseline::host_ports),
    check(
        Level::Baseline,
        34,
        "hostProbesAndHostLifecycle",
        "",
        baseline::probes,
    ),
    check(Level::Baseline, 0, "privileged", "", baseline::privileged),
    check(Level::Baseline, 0, "procMount", "", baseline::proc_mount),
    check(Level::Baseline, 0, "seLinuxOptions", "", baseline::selinux),
    check(
        Level::Baseline,
        0,
        "seccompProfile_baseline",
        "",
        baseline::seccomp,
    ),
    check(Level::Baseline, 0, "sysctls", "", baseline::sysctls),
    check(
        Level::Baseline,
        0,
        "windowsHostProcess",
        "",
        baseline::host_process,
    ),
    check(
        Level::Restricted,
        8,
        "allowPrivilegeEscalation",
        "",
        restricted::escalation,
    ),
    check(
        Level::Restricted,
        22,
        "capabilities_restricted",
        "capabilities_baseline",
        restricted::capabilities,
    ),
    check(
        Level::Restricted,
        0,
        "restrictedVolumes",
        "hostPathVolumes",
        restricted::volumes,
    ),
    check(Level::Restricted, 0, "runAsNonRoot", "", restricted::non_root),
    check(Level::Restricted, 23, "runAsUser", "", restricted::user),
    check(
        Level::Restricted,
        19,
        "seccompProfile_restricted",
        "seccompProfile_baseline",
        restricted::seccomp,
    ),
];

/// What a pod does that a level forbids.
pub(super) fn run(mode: Mode, pod: &Pod<'_>) -> Vec<Finding> {
    let holds = |check: &&Check| check.level <= mode.level && mode.version >= Version::Minor(check.since);
    if mode.level == Level::Privileged {
        return Vec::new();
    }
    let overridden: Vec<&str> = CHECKS.iter().filter(holds).map(|check| check.overrides).collect();
    CHECKS
        .iter()
        .filter(holds)
        .filter(|check| !overridden.contains(&check.id))
        .filter_map(|check| (check.find)(pod, mode.version))
        .collect()
}
