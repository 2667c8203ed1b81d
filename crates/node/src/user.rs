//! Who a container runs as: security contexts of pod and container, joined. Pure.

use super::env::ConfigError;
use super::image_user::Identity;
use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SELinuxOptions, SecurityContext};

/// The identity and rights of a container's first process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Further groups, `fsGroup` among them.
    pub(crate) groups: Vec<u32>,
    /// Capabilities, `CAP_…`.
    pub(crate) capabilities: Vec<String>,
    /// Everything allowed.
    pub(crate) privileged: bool,
    /// Unless `allowPrivilegeEscalation: true` is asked for.
    pub(crate) no_new_privileges: bool,
    /// System calls are filtered: unless privileged, or admitted without.
    pub(crate) filtered: bool,
    /// `readOnlyRootFilesystem`.
    pub(crate) read_only: bool,
}

/// No `MKNOD` and no `NET_RAW`: nobody needs device nodes of their own, and who may write raw packets may speak in the
/// name of others.
const DEFAULT: [&str; 12] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

const ALL: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// The user that the pod asks for, instead of the image's.
pub(crate) fn asked(pod: &Pod, container: &Container) -> Option<i64> {
    let inner = container
        .security_context
        .as_ref()
        .and_then(|inner| inner.run_as_user);
    let outer = || pod.spec.as_ref()?.security_context.as_ref()?.run_as_user;
    inner.or_else(outer)
}

/// Joins the contexts, over what the image says; `root` says whether the cluster runs as root.
pub(crate) fn user(
    pod: &Pod,
    container: &Container,
    image: &Identity,
    root: bool,
) -> Result<User, ConfigError> {
    let outer = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.security_context.clone())
        .unwrap_or_default();
    let inner = container.security_context.clone().unwrap_or_default();
    let id = |value: Option<i64>, what: &str| match value {
        None => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| ConfigError::Wrong(format!("{what}: {value} is no user or group id"))),
    };
    let uid = id(inner.run_as_user.or(outer.run_as_user), "runAsUser")?.or(image.uid);
    let gid = id(inner.run_as_group.or(outer.run_as_group), "runAsGroup")?.unwrap_or(image.gid);
    let must_not_be_root = inner.run_as_non_root.or(outer.run_as_non_root) == Some(true);
    if let (true, None, Some(name)) = (must_not_be_root, asked(pod, container), &image.named) {
        return Err(ConfigError::Wrong(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root; set \
             runAsUser to its number"
        )));
    }
    let uid = uid.unwrap_or(0);
    if must_not_be_root && uid == 0 {
        return Err(ConfigError::Wrong(
            "container has runAsNonRoot and image will run as root; set runAsUser to another id than 0"
                .to_owned(),
        ));
    }
    let mut groups = image.groups.clone();
    for group in outer
        .supplemental_groups
        .iter()
        .flatten()
        .copied()
        .chain(outer.fs_group)
    {
        groups.extend(id(Some(group), "supplementalGroups")?);
    }
    let privileged = inner.privileged == Some(true);
    let filtered = confined(pod, &outer, container, &inner)? && !privileged;
    if !root {
        let needs_root = |what: &str| {
            ConfigError::Wrong(format!(
                "{what} needs Herder to run as root: an ordinary user's cluster has no other ids and no rights on \
                 the machine (remove it from the securityContext, or start Herder as root)"
            ))
        };
        if privileged {
            return Err(needs_root("privileged: true"));
        }
        // One id is mapped, so that is who every container runs as; asking for another would silently do otherwise.
        if uid != 0 || gid != 0 {
            return Err(needs_root(&format!("running as user {uid}, group {gid}")));
        }
        groups.clear();
    }
    let mut capabilities: Vec<&str> = if privileged {
        ALL.to_vec()
    } else {
        DEFAULT.to_vec()
    };
    let changes = inner.capabilities.unwrap_or_default();
    let plain = |name: &String| name.strip_prefix("CAP_").unwrap_or(name).to_uppercase();
    for name in changes.drop.iter().flatten().map(plain) {
        capabilities.retain(|known| name != "ALL" && *known != name);
    }
    for name in changes.add.iter().flatten().map(plain) {
        if name == "ALL" {
            capabilities = ALL.to_vec();
        } else if let Some(known) = ALL.iter().find(|known| **known == name) {
            capabilities.push(known);
        } else {
            return Err(ConfigError::Wrong(format!("unknown capability {name:?}")));
        }
    }
    capabilities.sort_unstable();
    capabilities.dedup();
    Ok(User {
        uid,
        gid,
        groups,
        capabilities: capabilities
            .into_iter()
            .map(|name| format!("CAP_{name}"))
            .collect(),
        privileged,
        no_new_privileges: !privileged && inner.allow_privilege_escalation != Some(true),
        filtered,
        read_only: inner.read_only_root_filesystem == Some(true),
    })
}

/// Whether system calls are filtered; refuses what is asked for and cannot be had, rather than to leave it out.
fn confined(
    pod: &Pod,
    outer: &PodSecurityContext,
    container: &Container,
    inner: &SecurityContext,
) -> Result<bool, ConfigError> {
    let wrong = |text: String| Err(ConfigError::Wrong(text));
    if let Some(profile) = inner
        .app_armor_profile
        .as_ref()
        .or(outer.app_armor_profile.as_ref())
        && profile.type_ != "Unconfined"
    {
        return wrong(format!(
            "appArmorProfile: Cannot enforce AppArmor: this node does not load AppArmor profiles (type {:?}); remove the \
             field, the container is confined by a user namespace, capabilities and seccomp",
            profile.type_
        ));
    }
    let annotation = format!(
        "container.apparmor.security.beta.kubernetes.io/{}",
        container.name
    );
    let annotated = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(&annotation));
    if let Some(value) = annotated.filter(|value| value.as_str() != "unconfined") {
        return wrong(format!(
            "annotation {annotation}: {value}: Cannot enforce AppArmor: this node does not load AppArmor profiles; \
             remove the annotation"
        ));
    }
    if let Some(options) = inner
        .se_linux_options
        .as_ref()
        .or(outer.se_linux_options.as_ref())
        && *options != SELinuxOptions::default()
    {
        return wrong(
            "seLinuxOptions: this node does not label containers for SELinux; remove the field".to_owned(),
        );
    }
    match inner.seccomp_profile.as_ref().or(outer.seccomp_profile.as_ref()) {
        None => Ok(true),
        Some(profile) => match profile.type_.as_str() {
            "RuntimeDefault" => Ok(true),
            "Unconfined" => Ok(false),
            "Localhost" => wrong(format!(
                "seccompProfile: Localhost profile {:?}: this node has no profiles of its own; use RuntimeDefault",
                profile.localhost_profile.as_deref().unwrap_or_default()
            )),
            other => wrong(format!(
                "seccompProfile: unknown type {other:?}; use RuntimeDefault"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn try_user(pod: serde_json::Value, container: serde_json::Value, root: bool) -> Result<User, String> {
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"containers": [], "securityContext": pod}})).unwrap();
        let container: Container =
            serde_json::from_value(json!({"name": "c", "securityContext": container})).unwrap();
        user(&pod, &container, &Identity::default(), root).map_err(|error| error.to_string())
    }

    #[test]
    fn contexts_join() {
        let plain = try_user(json!({}), json!({}), false).unwrap();
        assert_eq!(
            (plain.uid, plain.capabilities.len(), plain.no_new_privileges),
            (0, 12, true)
        );
        assert!(plain.filtered);
        assert!(
            plain
                .capabilities
                .iter()
                .all(|name| name != "CAP_MKNOD" && name != "CAP_NET_RAW")
        );
        let open = try_user(
            json!({"seccompProfile": {"type": "Unconfined"}}),
            json!({"allowPrivilegeEscalation": true}),
            false,
        )
        .unwrap();
        assert!(!open.filtered && !open.no_new_privileges);
        let joined = try_user(
            json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]}),
            json!({"runAsUser": 5, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
                   "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true}),
            true,
        )
        .unwrap();
        assert_eq!((joined.uid, joined.gid, joined.groups), (5, 2, vec![4, 3]));
        assert_eq!(joined.capabilities, ["CAP_NET_ADMIN"]);
        assert!(joined.no_new_privileges && joined.read_only);
        for (pod, container, root, says) in [
            (json!({"runAsNonRoot": true}), json!({}), true, "runAsNonRoot"),
            (
                json!({}),
                json!({"privileged": true}),
                false,
                "needs Herder to run as root",
            ),
            (
                json!({"runAsUser": 1000}),
                json!({}),
                false,
                "needs Herder to run as root",
            ),
            (json!({"runAsUser": -1}), json!({}), true, "no user or group id"),
            (
                json!({}),
                json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}}),
                true,
                "no profiles of its own",
            ),
            (
                json!({"appArmorProfile": {"type": "RuntimeDefault"}}),
                json!({}),
                true,
                "Cannot enforce AppArmor",
            ),
            (
                json!({"seLinuxOptions": {"type": "spc_t"}}),
                json!({}),
                true,
                "SELinux",
            ),
            (
                json!({}),
                json!({"capabilities": {"add": ["FLY"]}}),
                true,
                "unknown capability",
            ),
        ] {
            let error = try_user(pod, container, root).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
