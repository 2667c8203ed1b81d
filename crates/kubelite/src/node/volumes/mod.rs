//! A pod's volumes: makes them before the first container starts, keeps config maps, secrets and tokens current while
//! the pod lives, and takes them apart at the end. Secrets never touch a disk.

mod atomic;
mod payload;

use super::env::{ConfigError, Downward, Sources};
use super::machine::Machine;
use super::spec::Bind;
use atomic::AtomicDir;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{Gid, chown};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// The volume that carries a service account's token.
const TOKEN_VOLUME: &str = "kube-api-access";
/// Where it is mounted.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why a volume could not be made: reason `FailedMount`.
#[derive(Debug, Error)]
pub(crate) enum VolumeError {
    /// Its source.
    #[error("volume {volume:?}")]
    Source {
        /// The volume.
        volume: String,
        /// What is wrong with it.
        #[source]
        source: ConfigError,
    },
    /// The file system.
    #[error("volume {volume:?}: {path}")]
    Files {
        /// The volume.
        volume: String,
        /// Where.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

#[derive(Debug)]
struct Made {
    path: PathBuf,
    read_only: bool,
    /// To be unmounted at the end.
    mounted: bool,
    /// Kept current.
    content: Option<(AtomicDir, payload::Recipe)>,
}

/// The volumes of one pod.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    made: BTreeMap<String, Made>,
    dirs: Vec<PathBuf>,
}

fn files<'a>(volume: &'a str, path: &'a Path) -> impl Fn(io::Error) -> VolumeError + 'a {
    move |source| VolumeError::Files {
        volume: volume.to_owned(),
        path: path.display().to_string(),
        source,
    }
}

/// The volumes a pod has, its service account's token included.
fn declared(pod: &Pod) -> Vec<Volume> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut volumes = spec.volumes.clone().unwrap_or_default();
    if wants_token(pod) {
        volumes.push(payload::token_volume(TOKEN_VOLUME));
    }
    volumes
}

fn wants_token(pod: &Pod) -> bool {
    pod.spec
        .as_ref()
        .is_some_and(|spec| spec.automount_service_account_token != Some(false))
}

impl Volumes {
    /// Makes all volumes of a pod.
    pub(crate) async fn make(machine: &Machine, pod: &Pod, downward: &Downward) -> Result<Self, VolumeError> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let (memory, disk) = (
            machine.run.join("pods").join(uid),
            machine.state.join("pods").join(uid),
        );
        let mut volumes = Self {
            made: BTreeMap::new(),
            dirs: vec![memory.clone(), disk.clone()],
        };
        for volume in declared(pod) {
            match make_one(machine, pod, downward, &volume, &memory, &disk).await {
                Ok(made) => drop(volumes.made.insert(volume.name.clone(), made)),
                Err(error) => {
                    volumes.remove();
                    return Err(error);
                }
            }
        }
        Ok(volumes)
    }

    /// Rewrites what changed; returns when to come back even if nothing is heard.
    pub(crate) async fn refresh(
        &mut self,
        machine: &Machine,
        pod: &Pod,
        downward: &Downward,
    ) -> Result<Duration, VolumeError> {
        let mut next = Duration::from_secs(600);
        for (name, made) in &mut self.made {
            let Some((dir, recipe)) = &mut made.content else {
                continue;
            };
            let payload = payload::cook(machine, pod, downward, recipe)
                .await
                .map_err(|source| VolumeError::Source {
                    volume: name.clone(),
                    source,
                })?;
            dir.write(&payload).map_err(files(name, &made.path))?;
            next = next.min(recipe.next_token().unwrap_or(next));
        }
        Ok(next)
    }

    /// How a container sees them.
    pub(crate) fn binds(
        &self,
        pod: &Pod,
        container: &Container,
        env: &[(String, String)],
    ) -> Result<Vec<Bind>, ConfigError> {
        let mut binds = Vec::new();
        for wanted in container.volume_mounts.iter().flatten() {
            let made = self.made.get(&wanted.name).ok_or_else(|| {
                ConfigError::Wrong(format!(
                    "volumeMount {:?}: the pod has no such volume",
                    wanted.name
                ))
            })?;
            let sub = match (&wanted.sub_path, &wanted.sub_path_expr) {
                (Some(path), _) if !path.is_empty() => path.clone(),
                (_, Some(expr)) => super::env::expand(expr, env),
                _ => String::new(),
            };
            let source = if sub.is_empty() {
                made.path.clone()
            } else {
                within(&made.path, &sub, made.read_only)?
            };
            binds.push(Bind {
                source: source.to_string_lossy().into_owned(),
                target: wanted.mount_path.clone(),
                read_only: made.read_only || wanted.read_only == Some(true),
            });
        }
        let token = self.made.get(TOKEN_VOLUME).filter(|_| wants_token(pod));
        if let Some(made) = token.filter(|_| !binds.iter().any(|bind| bind.target == TOKEN_PATH)) {
            let source = made.path.to_string_lossy().into_owned();
            binds.push(Bind {
                source,
                target: TOKEN_PATH.to_owned(),
                read_only: true,
            });
        }
        // Outer mounts first: a volume may be mounted inside another.
        binds.sort_by_key(|bind| bind.target.trim_end_matches('/').matches('/').count());
        Ok(binds)
    }

    /// Unmounts and removes everything that was the pod's own.
    pub(crate) fn remove(&mut self) {
        for (name, made) in std::mem::take(&mut self.made) {
            if made.mounted
                && let Err(errno) = umount2(&made.path, MntFlags::MNT_DETACH)
            {
                tracing::warn!(volume = name, %errno, "a volume could not be unmounted");
            }
        }
        for dir in &self.dirs {
            match fs::remove_dir_all(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(dir = %dir.display(), %error, "a pod's volumes could not be removed");
                }
                _ => {}
            }
        }
    }
}

/// A path inside a volume, made if missing; symbolic links that lead out are refused.
fn within(volume: &Path, sub: &str, read_only: bool) -> Result<PathBuf, ConfigError> {
    let wrong = |why: &str| ConfigError::Wrong(format!("subPath {sub:?}: {why}"));
    let relative = Path::new(sub);
    if relative.is_absolute() || relative.components().any(|part| part.as_os_str() == "..") {
        return Err(wrong("must be a relative path without .."));
    }
    let path = volume.join(relative);
    if !path.exists() {
        if read_only {
            return Err(wrong("is not in the volume"));
        }
        fs::create_dir_all(&path).map_err(|error| wrong(&format!("could not be made: {error}")))?;
    }
    let (real, base) = (path.canonicalize(), volume.canonicalize());
    match (real, base) {
        (Ok(real), Ok(base)) if real.starts_with(&base) => Ok(real),
        _ => Err(wrong("leads out of the volume")),
    }
}

async fn make_one(
    machine: &Machine,
    pod: &Pod,
    downward: &Downward,
    volume: &Volume,
    memory: &Path,
    disk: &Path,
) -> Result<Made, VolumeError> {
    let name = &volume.name;
    let source = |source| VolumeError::Source {
        volume: name.clone(),
        source,
    };
    let group = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.security_context.as_ref()?.fs_group)
        .and_then(|group| u32::try_from(group).ok())
        .filter(|_| machine.config.root);
    if let Some(empty) = &volume.empty_dir {
        let in_memory = empty.medium.as_deref() == Some("Memory");
        let path = if in_memory { memory } else { disk }.join(name);
        fs::create_dir_all(&path).map_err(files(name, &path))?;
        if in_memory {
            let size = empty
                .size_limit
                .as_ref()
                .and_then(|limit| super::env::millis(&limit.0));
            let options = size.map_or_else(
                || "mode=0777".to_owned(),
                |size| format!("mode=0777,size={}", size / 1000),
            );
            mount(
                Some("tmpfs"),
                &path,
                Some("tmpfs"),
                MsFlags::MS_NODEV,
                Some(options.as_str()),
            )
            .map_err(|errno| files(name, &path)(errno.into()))?;
        }
        fs::set_permissions(&path, Permissions::from_mode(0o777)).map_err(files(name, &path))?;
        give_to_group(name, &path, group)?;
        return Ok(Made {
            path,
            read_only: false,
            mounted: in_memory,
            content: None,
        });
    }
    if let Some(host) = &volume.host_path {
        let path = PathBuf::from(&host.path);
        host_path(&path, host.type_.as_deref().unwrap_or_default())
            .map_err(|why| source(ConfigError::Wrong(format!("hostPath {}: {why}", host.path))))?;
        return Ok(Made {
            path,
            read_only: false,
            mounted: false,
            content: None,
        });
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let path = claimed(machine, pod, &claim.claim_name).await.map_err(source)?;
        fs::create_dir_all(&path).map_err(files(name, &path))?;
        give_to_group(name, &path, group)?;
        return Ok(Made {
            path,
            read_only: claim.read_only == Some(true),
            mounted: false,
            content: None,
        });
    }
    let Some(mut recipe) = payload::Recipe::of(volume) else {
        let kinds = "emptyDir, configMap, secret, projected, downwardAPI, hostPath and persistentVolumeClaim";
        return Err(source(ConfigError::Wrong(format!(
            "is of a kind this node does not have ({kinds} it has)"
        ))));
    };
    let path = memory.join(name);
    fs::create_dir_all(&path).map_err(files(name, &path))?;
    let payload = payload::cook(machine, pod, downward, &mut recipe)
        .await
        .map_err(source)?;
    let mut dir = AtomicDir::new(path.clone(), group);
    dir.write(&payload).map_err(files(name, &path))?;
    Ok(Made {
        path,
        read_only: true,
        mounted: false,
        content: Some((dir, recipe)),
    })
}

/// `fsGroup`: files belong to the group, and new ones will.
fn give_to_group(volume: &str, path: &Path, group: Option<u32>) -> Result<(), VolumeError> {
    let Some(group) = group else { return Ok(()) };
    let meta = fs::symlink_metadata(path).map_err(files(volume, path))?;
    if meta.is_symlink() {
        return Ok(());
    }
    if meta.gid() != group {
        chown(path, None, Some(Gid::from_raw(group))).map_err(|errno| files(volume, path)(errno.into()))?;
    }
    let add = if meta.is_dir() { 0o2070 } else { 0o060 };
    let mode = meta.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(mode | add)).map_err(files(volume, path))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path).map_err(files(volume, path))?.flatten() {
            give_to_group(volume, &entry.path(), Some(group))?;
        }
    }
    Ok(())
}

fn host_path(path: &Path, kind: &str) -> Result<(), String> {
    let meta = fs::metadata(path);
    let is = |what: &str, right: bool| {
        if right {
            Ok(())
        } else {
            Err(format!("is no {what}"))
        }
    };
    match (kind, meta) {
        ("DirectoryOrCreate", Err(_)) => fs::create_dir_all(path).map_err(|error| error.to_string()),
        ("FileOrCreate", Err(_)) => fs::write(path, "").map_err(|error| error.to_string()),
        (_, Err(error)) => Err(error.to_string()),
        ("Directory" | "DirectoryOrCreate", Ok(meta)) => is("directory", meta.is_dir()),
        ("File" | "FileOrCreate", Ok(meta)) => is("file", meta.is_file()),
        ("Socket", Ok(meta)) => is(
            "socket",
            std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type()),
        ),
        (_, Ok(_)) => Ok(()),
    }
}

async fn claimed(machine: &Machine, pod: &Pod, claim: &str) -> Result<PathBuf, ConfigError> {
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

/// Config maps and secrets a pod mentions: its volumes follow their changes.
pub(crate) fn references(pod: &Pod) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for volume in declared(pod) {
        if let Some(recipe) = payload::Recipe::of(&volume) {
            found.extend(recipe.references());
        }
    }
    for container in pod.spec.iter().flat_map(|spec| {
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
    }) {
        for from in container.env_from.iter().flatten() {
            found.extend(
                from.config_map_ref
                    .iter()
                    .map(|map| ("configmaps", map.name.clone())),
            );
            found.extend(
                from.secret_ref
                    .iter()
                    .map(|secret| ("secrets", secret.name.clone())),
            );
        }
        for from in container
            .env
            .iter()
            .flatten()
            .filter_map(|var| var.value_from.as_ref())
        {
            found.extend(
                from.config_map_key_ref
                    .iter()
                    .map(|map| ("configmaps", map.name.clone())),
            );
            found.extend(
                from.secret_key_ref
                    .iter()
                    .map(|secret| ("secrets", secret.name.clone())),
            );
        }
    }
    found
}

/// Keeps `Sources` in one place for the recipes.
fn sources<'a>(machine: &'a Machine, pod: &'a Pod) -> Sources<'a> {
    Sources::new(
        &machine.api,
        pod.metadata.namespace.as_deref().unwrap_or_default(),
    )
}
