//! Places on the machine that volumes are made of: opened once, and then only known by their descriptors. Pods write in
//! them at the same time, and may swap any name for a link.

use super::super::env::ConfigError;
use super::super::machine::Machine;
use super::super::mounts::{beneath, make_beneath, name_of, place};
use super::super::usage::DEPTH;
use k8s_openapi::api::core::v1::Pod;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Gid, fchownat};
use serde_json::Value;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A place inside a volume, made if missing; symbolic links that lead out are refused, whenever they are made.
pub(super) fn within(volume: BorrowedFd<'_>, sub: &str, read_only: bool) -> Result<OwnedFd, ConfigError> {
    let wrong = |why: &str| ConfigError::Wrong(format!("subPath {sub:?}: {why}"));
    let relative = Path::new(sub);
    if relative.is_absolute() || relative.components().any(|part| part.as_os_str() == "..") {
        return Err(wrong("must be a relative path without .."));
    }
    let found = if read_only {
        beneath(volume, relative, OFlag::O_PATH, true)
    } else {
        make_beneath(volume, relative, true)
    };
    found.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EXDEV | Errno::ELOOP) => wrong("leads out of the volume"),
        Some(Errno::ENOENT) => wrong("is not in the volume"),
        _ => wrong(&format!("could not be opened or made: {error}")),
    })
}

/// The directory of a claim. Those that Herder made are beneath its own, and no link leads from there.
pub(super) fn claim_place(machine: &Machine, path: &Path) -> io::Result<OwnedFd> {
    let own = machine.config.dir.join("volumes");
    match path.strip_prefix(&own) {
        Ok(relative) => {
            fs::create_dir_all(&own)?;
            make_beneath(place(&own)?.as_fd(), relative, false)
        }
        Err(_) => {
            fs::create_dir_all(path)?;
            place(path)
        }
    }
}

/// `fsGroup`: files belong to the group, and new ones will.
pub(super) fn give_to_group(dir: BorrowedFd<'_>, group: Option<u32>) -> io::Result<()> {
    match group {
        Some(group) => hand_over(dir, Gid::from_raw(group), DEPTH),
        None => Ok(()),
    }
}

/// By descriptors: a pod may be swapping names for links while this runs.
fn hand_over(file: BorrowedFd<'_>, group: Gid, depth: usize) -> io::Result<()> {
    let stat = fstat(file)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFLNK {
        return Ok(());
    }
    if stat.st_gid != group.as_raw() {
        fchownat(file, "", None, Some(group), AtFlags::AT_EMPTY_PATH)?;
    }
    let is_dir = kind == SFlag::S_IFDIR;
    let add = if is_dir { 0o2070 } else { 0o060 };
    let mode = Permissions::from_mode((stat.st_mode & 0o7777) | add);
    fs::set_permissions(name_of(&file), mode)?;
    if !is_dir {
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(io::Error::other(
            "has directories nested too deep to give to fsGroup",
        ));
    };
    for entry in fs::read_dir(name_of(&file))? {
        let name = entry?.file_name();
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(file, name.as_os_str(), flags, Mode::empty()) {
            Ok(inner) => hand_over(inner.as_fd(), group, depth)?,
            // Gone meanwhile.
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Checks and opens the path of a `hostPath`.
pub(super) fn host_path(path: &Path, kind: &str) -> Result<OwnedFd, String> {
    let said = |error: io::Error| error.to_string();
    let opened = match (kind, place(path)) {
        ("DirectoryOrCreate", Err(_)) => {
            fs::create_dir_all(path).map_err(said)?;
            place(path)
        }
        ("FileOrCreate", Err(_)) => {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .map_err(said)?;
            place(path)
        }
        (_, other) => other,
    }
    .map_err(said)?;
    let stat = fstat(&opened).map_err(|errno| errno.to_string())?;
    let is = |what: &str, wanted: SFlag| {
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == wanted {
            Ok(())
        } else {
            Err(format!("is no {what}"))
        }
    };
    match kind {
        "Directory" | "DirectoryOrCreate" => is("directory", SFlag::S_IFDIR)?,
        "File" | "FileOrCreate" => is("file", SFlag::S_IFREG)?,
        "Socket" => is("socket", SFlag::S_IFSOCK)?,
        "CharDevice" => is("character device", SFlag::S_IFCHR)?,
        "BlockDevice" => is("block device", SFlag::S_IFBLK)?,
        _ => {}
    }
    Ok(opened)
}

/// The path of the volume that a claim is bound to. The binding must be in both directions: a claim may name any volume.
pub(super) async fn claimed(machine: &Machine, pod: &Pod, claim: &str) -> Result<PathBuf, ConfigError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let what = format!("persistentvolumeclaim {claim:?}");
    let read = |path: String| async move { machine.api.get(&path).await };
    let api = |what: String| move |source| ConfigError::Api { what, source };
    let own = read(format!(
        "/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}"
    ))
    .await
    .map_err(api(what.clone()))?;
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let volume = text(&own, "/spec/volumeName").filter(|name| !name.is_empty());
    let Some(volume) = volume.filter(|_| text(&own, "/status/phase").as_deref() == Some("Bound")) else {
        return Err(ConfigError::Wrong(format!("{what} is not bound to a volume yet")));
    };
    let object = read(format!("/api/v1/persistentvolumes/{volume}"))
        .await
        .map_err(api(format!("volume {volume:?}")))?;
    // The volume must say so too, with the claim's uid: a claim can name any volume.
    let uid = text(&own, "/metadata/uid").filter(|uid| !uid.is_empty());
    let by = |field: &str| text(&object, &format!("/spec/claimRef/{field}"));
    if uid.is_none()
        || by("uid") != uid
        || by("namespace").as_deref() != Some(namespace)
        || by("name").as_deref() != Some(claim)
    {
        return Err(ConfigError::Wrong(format!(
            "{what}: volume {volume:?} is not bound to this claim"
        )));
    }
    let path = ["/spec/hostPath/path", "/spec/local/path"]
        .iter()
        .find_map(|pointer| object.pointer(pointer).and_then(Value::as_str));
    path.map(PathBuf::from)
        .ok_or_else(|| ConfigError::Wrong(format!("{what}: volume {volume:?} is neither hostPath nor local")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn groups_are_given_to_files_of_the_volume_alone() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::write(&outside, "").unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o600)).unwrap();
        let volume = dir.path().join("v");
        fs::create_dir_all(volume.join("sub")).unwrap();
        fs::write(volume.join("sub/file"), "").unwrap();
        symlink(&outside, volume.join("sub/link")).unwrap();
        symlink(dir.path(), volume.join("dir")).unwrap();
        let opened = place(&volume).unwrap();
        give_to_group(opened.as_fd(), Some(4321)).unwrap();
        let of = |path: &Path| {
            let meta = fs::metadata(path).unwrap();
            (meta.gid(), meta.mode() & 0o7777)
        };
        assert_eq!(of(&outside), (0, 0o600));
        assert_eq!(of(&volume.join("sub/file")), (4321, 0o664));
        assert_eq!(of(&volume.join("sub")), (4321, 0o2775));
        for (sub, says) in [
            ("dir/outside", "leads out"),
            ("../outside", "relative path"),
            ("/etc", "relative path"),
        ] {
            for read_only in [true, false] {
                let error = within(opened.as_fd(), sub, read_only).unwrap_err().to_string();
                assert!(error.contains(says), "{error}");
            }
        }
        assert!(within(opened.as_fd(), "sub/new", false).is_ok());
        assert!(within(opened.as_fd(), "nothing", true).is_err());
    }
}
