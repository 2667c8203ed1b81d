//! The controls of the level `baseline`: what is known to reach beyond the pod.

use super::checks::{
    Pod, containers, finding, items, name, of, plural, quoted, set, setters, text, wrong_values,
};
use super::{Finding, Version};
use serde_json::Value;
use std::collections::BTreeSet;

fn is_true(value: Option<&Value>) -> bool {
    // Whatever is neither absent nor false counts: no odd value may pass for false.
    set(value).is_some_and(|value| *value != Value::Bool(false))
}

pub(super) fn app_armor(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
    let mut who = Vec::new();
    let mut values = BTreeSet::new();
    if let Some((setters, wrong)) =
        wrong_values(pod, "appArmorProfile/type", &["RuntimeDefault", "Localhost"])
    {
        who.push(setters);
        values.extend(wrong);
    }
    let annotated: Vec<&str> = pod
        .annotations
        .iter()
        .filter(|(key, value)| {
            let fine = value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/");
            let bad = key.starts_with(ANNOTATION) && !fine;
            if bad {
                values.insert((*value).to_owned());
            }
            bad
        })
        .map(|(key, _)| *key)
        .collect();
    if !annotated.is_empty() {
        who.push(format!(
            "{} {}",
            plural("annotation", "annotations", annotated.len()),
            quoted(annotated)
        ));
    }
    let reason = plural(
        "forbidden AppArmor profile",
        "forbidden AppArmor profiles",
        values.len(),
    );
    (!who.is_empty()).then(|| {
        finding(
            reason,
            format!(
                "{} must not set AppArmor profile type to {}",
                who.join(" and "),
                quoted(&values)
            ),
        )
    })
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(super) fn capabilities(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let added = |container: &Value| -> BTreeSet<String> {
        items(container, "/securityContext/capabilities/add")
            .map(|one| text(Some(one)))
            .filter(|one| !CAPABILITIES.contains(&one.as_str()))
            .collect()
    };
    let names = pod.those(|container| !added(container).is_empty());
    let all: BTreeSet<String> = pod
        .containers
        .iter()
        .flat_map(|container| added(container))
        .collect();
    (!names.is_empty()).then(|| {
        finding(
            "non-default capabilities",
            format!(
                "{} must not include {} in securityContext.capabilities.add",
                containers(&names),
                quoted(&all)
            ),
        )
    })
}

/// `hostUsers: true` is among them: a pod's processes are somebody else on the machine unless its namespace may do all.
pub(super) fn host_namespaces(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC", "hostUsers"]
        .into_iter()
        .filter(|field| is_true(pod.spec.get(field)))
        .map(|field| format!("{field}=true"))
        .collect();
    (!shared.is_empty()).then(|| finding("host namespaces", shared.join(", ")))
}

pub(super) fn host_paths(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let names: Vec<&str> = items(pod.spec, "/volumes")
        .filter(|volume| set(volume.get("hostPath")).is_some())
        .map(name)
        .collect();
    (!names.is_empty()).then(|| {
        let volumes = plural("volume", "volumes", names.len());
        finding("hostPath volumes", format!("{volumes} {}", quoted(names)))
    })
}

pub(super) fn host_ports(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let of_host = |container: &Value| -> BTreeSet<String> {
        items(container, "/ports")
            .filter_map(|port| set(port.get("hostPort")))
            .filter(|port| port.as_i64() != Some(0))
            .map(ToString::to_string)
            .collect()
    };
    let names = pod.those(|container| !of_host(container).is_empty());
    let ports: Vec<String> = pod
        .containers
        .iter()
        .flat_map(|container| of_host(container))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    (!names.is_empty()).then(|| {
        finding(
            "hostPort",
            format!(
                "{} {} {} {}",
                containers(&names),
                plural("uses", "use", names.len()),
                plural("hostPort", "hostPorts", ports.len()),
                ports.join(", ")
            ),
        )
    })
}

pub(super) fn probes(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    const HANDLERS: [&str; 5] = [
        "/livenessProbe",
        "/readinessProbe",
        "/startupProbe",
        "/lifecycle/postStart",
        "/lifecycle/preStop",
    ];
    let hosts = |container: &Value| -> BTreeSet<String> {
        HANDLERS
            .iter()
            .flat_map(|handler| ["httpGet", "tcpSocket"].map(|how| format!("{handler}/{how}/host")))
            .map(|pointer| text(container.pointer(&pointer)))
            .filter(|host| !host.is_empty())
            .collect()
    };
    let mut names = pod.those(|container| !hosts(container).is_empty());
    names.sort_unstable();
    let all: BTreeSet<String> = pod
        .containers
        .iter()
        .flat_map(|container| hosts(container))
        .collect();
    (!names.is_empty()).then(|| {
        finding(
            "probe or lifecycle host",
            format!(
                "{} {} {} {}",
                containers(&names),
                plural("uses", "use", names.len()),
                plural("probe or lifecycle host", "probe or lifecycle hosts", all.len()),
                quoted(&all)
            ),
        )
    })
}

pub(super) fn privileged(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let names = pod.those(|container| is_true(of(container, "privileged")));
    (!names.is_empty()).then(|| {
        let who = containers(&names);
        finding(
            "privileged",
            format!("{who} must not set securityContext.privileged=true"),
        )
    })
}

pub(super) fn proc_mount(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let bad = |container: &Value| {
        of(container, "procMount")
            .filter(|kind| *kind != "Default")
            .is_some()
    };
    let names = pod.those(bad);
    let kinds: BTreeSet<String> = pod
        .containers
        .iter()
        .filter(|container| bad(container))
        .map(|container| text(of(container, "procMount")))
        .collect();
    (!names.is_empty()).then(|| {
        finding(
            "procMount",
            format!(
                "{} must not set securityContext.procMount to {}",
                containers(&names),
                quoted(&kinds)
            ),
        )
    })
}

pub(super) fn selinux(pod: &Pod<'_>, version: Version) -> Option<Finding> {
    let mut types = vec!["", "container_t", "container_init_t", "container_kvm_t"];
    if version >= Version::Minor(31) {
        types.push("container_engine_t");
    }
    let (mut wrong, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut bad = |options: Option<&Value>| {
        let field = |name: &str| text(options.and_then(|options| options.get(name)));
        let kind = field("type");
        let (has_user, has_role) = (!field("user").is_empty(), !field("role").is_empty());
        let odd = !types.contains(&kind.as_str());
        if odd {
            wrong.insert(kind);
        }
        user |= has_user;
        role |= has_role;
        odd || has_user || has_role
    };
    let own = bad(pod.own("seLinuxOptions"));
    let mut names = Vec::new();
    for container in &pod.containers {
        if bad(of(container, "seLinuxOptions")) {
            names.push(name(container));
        }
    }
    let who = setters(own, &names)?;
    let mut what = Vec::new();
    if !wrong.is_empty() {
        what.push(format!(
            "{} {}",
            plural("type", "types", wrong.len()),
            quoted(&wrong)
        ));
    }
    if user {
        what.push("user may not be set".to_owned());
    }
    if role {
        what.push("role may not be set".to_owned());
    }
    Some(finding(
        "seLinuxOptions",
        format!(
            "{who} set forbidden securityContext.seLinuxOptions: {}",
            what.join("; ")
        ),
    ))
}

pub(super) const SECCOMP: [&str; 2] = ["RuntimeDefault", "Localhost"];

pub(super) fn seccomp(pod: &Pod<'_>, version: Version) -> Option<Finding> {
    const OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    // The field counts in every edition: Herder has it, whatever was in force when the standard was written.
    if let Some((who, values)) = wrong_values(pod, "seccompProfile/type", &SECCOMP) {
        return Some(finding(
            "seccompProfile",
            format!(
                "{who} must not set securityContext.seccompProfile.type to {}",
                quoted(&values)
            ),
        ));
    }
    if version >= Version::Minor(19) {
        return None;
    }
    let wrong: Vec<String> = pod
        .annotations
        .iter()
        .filter(|(key, value)| {
            let fine =
                matches!(*value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
            (*key == OF_POD || key.starts_with(OF_CONTAINER)) && !fine
        })
        .map(|(key, value)| format!("{key}=\"{value}\""))
        .collect();
    (!wrong.is_empty()).then(|| {
        let annotations = plural("annotation", "annotations", wrong.len());
        finding(
            "seccompProfile",
            format!("forbidden {annotations} {}", wrong.join(", ")),
        )
    })
}

/// The edition that first has each, and the sysctls that touch nothing but the pod.
const SYSCTLS: &[(u32, &str)] = &[
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

pub(super) fn sysctls(pod: &Pod<'_>, version: Version) -> Option<Finding> {
    let wrong: Vec<&str> = items(pod.spec, "/securityContext/sysctls")
        .map(name)
        .filter(|sysctl| {
            !SYSCTLS
                .iter()
                .any(|(since, known)| known == sysctl && version >= Version::Minor(*since))
        })
        .collect();
    let reason = plural("forbidden sysctl", "forbidden sysctls", wrong.len());
    (!wrong.is_empty()).then(|| finding(reason, wrong.join(", ")))
}

pub(super) fn host_process(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    const FIELD: &str = "windowsOptions/hostProcess";
    let who = setters(
        is_true(pod.own(FIELD)),
        &pod.those(|container| is_true(of(container, FIELD))),
    )?;
    Some(finding(
        "hostProcess",
        format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    ))
}
