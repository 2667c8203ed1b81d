//! Kernel settings of a pod, of those that touch nothing but the pod; and what pods may ask of other nodes and this one does
//! not do, which is refused instead of left out.

use super::users::Map;
use k8s_openapi::api::core::v1::Pod;
use std::fs;
use std::io;

/// Settings of a network namespace, and one of an IPC namespace: Kubernetes' safe ones.
const SAFE: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Why a pod is not run here: the reason, and in words.
pub(crate) fn refusal(pod: &Pod) -> Option<(&'static str, String)> {
    let spec = pod.spec.as_ref()?;
    for (asked, what) in [
        (spec.share_process_namespace, "shareProcessNamespace"),
        (spec.host_pid, "hostPID"),
        (spec.host_ipc, "hostIPC"),
    ] {
        if asked == Some(true) {
            let why =
                format!("this node gives every container processes and memory of its own: remove {what}");
            return Some(("NotOffered", why));
        }
    }
    for (name, _) in asked(pod) {
        if !SAFE.contains(&name.as_str()) {
            let why = format!("forbidden sysctl: \"{name}\" not allowlisted");
            return Some(("SysctlForbidden", why));
        }
        if spec.host_network == Some(true) {
            let why = format!("forbidden sysctl: \"{name}\" not allowed with host net enabled");
            return Some(("SysctlForbidden", why));
        }
    }
    None
}

/// The settings a pod asks for.
pub(crate) fn asked(pod: &Pod) -> Vec<(String, String)> {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let sysctls = context.and_then(|context| context.sysctls.as_ref());
    let sysctls = sysctls.into_iter().flatten();
    // Both spellings mean the same.
    sysctls
        .map(|sysctl| (sysctl.name.replace('/', "."), sysctl.value.clone()))
        .collect()
}

/// Makes settings of the namespaces that the calling thread is in. The thread may be nobody in particular afterwards.
pub(crate) fn set(sysctls: &[(String, String)], map: Option<&Map>) -> io::Result<()> {
    for (name, value) in sysctls.iter().filter(|(name, _)| SAFE.contains(&name.as_str())) {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let mut done = fs::write(&path, value);
        if let (Err(error), Some(map)) = (&done, map)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            // Some belong to the pod's root, and the machine's is not it.
            own::become_user(map.first())?;
            done = fs::write(&path, value);
        }
        done.map_err(|error| io::Error::new(error.kind(), format!("sysctl {name}={value}: {error}")))?;
    }
    Ok(())
}

mod own {
    //! The identity of one thread; the C library changes that of all.
    #![expect(unsafe_code, reason = "there is no safe form for one thread")]

    use nix::libc;
    use std::io;

    pub(super) fn become_user(user: u32) -> io::Result<()> {
        let keep = libc::uid_t::MAX;
        // SAFETY: takes no pointers.
        let answer = unsafe { libc::syscall(libc::SYS_setresuid, keep, user, keep) };
        if answer == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_not_safe_or_not_done_is_refused() {
        let of = |spec: Value| {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            refusal(&pod).map(|(reason, _)| reason)
        };
        let sysctl = |name: &str| json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        assert_eq!(of(json!({})), None);
        assert_eq!(of(sysctl("net.ipv4.tcp_syncookies")), None);
        assert_eq!(of(sysctl("net/ipv4/tcp_syncookies")), None);
        for name in [
            "kernel.msgmax",
            "net.ipv4.ip_forward",
            "kernel.core_pattern",
            "",
            "../../x",
        ] {
            assert_eq!(of(sysctl(name)), Some("SysctlForbidden"), "{name}");
        }
        let mut host = sysctl("net.ipv4.tcp_syncookies");
        host["hostNetwork"] = json!(true);
        assert_eq!(of(host), Some("SysctlForbidden"));
        for field in ["shareProcessNamespace", "hostPID", "hostIPC"] {
            assert_eq!(of(json!({field: true})), Some("NotOffered"), "{field}");
            assert_eq!(of(json!({field: false})), None, "{field}");
        }
    }
}
