//! Names that become part of a path, a control group or a device. The API server has checked them; the agent does again,
//! because what it does with a wrong one is done with all the rights of the machine.

use k8s_openapi::api::core::v1::Pod;
use std::path::Path;

/// Why a pod is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is no name that this node makes files of: {why}")]
pub(crate) struct Wrong {
    what: &'static str,
    name: String,
    why: &'static str,
}

/// A DNS label, as Kubernetes wants it of volumes and containers.
fn label(what: &'static str, name: &str) -> Result<(), Wrong> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=63).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    good.then_some(()).ok_or_else(|| Wrong {
        what,
        name: name.to_owned(),
        why: "use at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
    })
}

/// What the API server makes: letters, digits and dashes.
pub(crate) fn uid(uid: &str) -> Result<(), Wrong> {
    let good = (1..=63).contains(&uid.len()) && uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    good.then_some(()).ok_or_else(|| Wrong {
        what: "uid",
        name: uid.to_owned(),
        why: "it is not one that an API server gives",
    })
}

/// A place inside a container.
fn inside(what: &'static str, path: &str) -> Result<(), Wrong> {
    let wrong = |why| Wrong {
        what,
        name: path.to_owned(),
        why,
    };
    let parsed = Path::new(path);
    if !parsed.is_absolute() || path.contains('\0') {
        return Err(wrong("it must be an absolute path"));
    }
    if parsed.components().any(|part| part.as_os_str() == "..") {
        return Err(wrong("it must not contain '..'"));
    }
    if parsed == Path::new("/") || parsed.starts_with("/proc") {
        return Err(wrong("nothing is mounted over / or in /proc"));
    }
    Ok(())
}

/// Checks everything of a pod that is made into a path.
pub(crate) fn check(pod: &Pod) -> Result<(), Wrong> {
    uid(pod.metadata.uid.as_deref().unwrap_or_default())?;
    let Some(spec) = &pod.spec else { return Ok(()) };
    for volume in spec.volumes.iter().flatten() {
        label("volume", &volume.name)?;
    }
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    for container in ephemeral {
        label("container", &container.name)?;
        for mount in container.volume_mounts.iter().flatten() {
            inside("mountPath", &mount.mount_path)?;
        }
        if let Some(path) = container
            .termination_message_path
            .as_deref()
            .filter(|p| !p.is_empty())
        {
            inside("terminationMessagePath", path)?;
        }
    }
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        label("container", &container.name)?;
        for mount in container.volume_mounts.iter().flatten() {
            inside("mountPath", &mount.mount_path)?;
        }
        if let Some(path) = container
            .termination_message_path
            .as_deref()
            .filter(|p| !p.is_empty())
        {
            inside("terminationMessagePath", path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_that_would_lead_somewhere_else_are_refused() {
        let pod = |volume: &str, container: &str, mount: &str, words: &str, uid: &str| {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": {
                "volumes": [{"name": volume, "emptyDir": {}}],
                "containers": [{"name": container, "terminationMessagePath": words,
                                "volumeMounts": [{"name": volume, "mountPath": mount}]}]}}))
            .unwrap();
            check(&pod).map_err(|wrong| wrong.to_string())
        };
        assert_eq!(pod("v", "c", "/data", "/dev/termination-log", "0f-1"), Ok(()));
        for (volume, container, mount, words, uid, says) in [
            ("/etc", "c", "/data", "", "u", "volume"),
            ("..", "c", "/data", "", "u", "volume"),
            ("a/../b", "c", "/data", "", "u", "volume"),
            ("", "c", "/data", "", "u", "volume"),
            ("v", "../../x", "/data", "", "u", "container"),
            ("v", "c", "data", "", "u", "mountPath"),
            ("v", "c", "/data/../../x", "", "u", "mountPath"),
            ("v", "c", "/proc/sys", "", "u", "mountPath"),
            ("v", "c", "/", "", "u", "mountPath"),
            ("v", "c", "/data", "/../../x", "u", "terminationMessagePath"),
            ("v", "c", "/data", "", "../x", "uid"),
            ("v", "c", "/data", "", "", "uid"),
        ] {
            let error = pod(volume, container, mount, words, uid).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
