//! A pod's volumes: makes them before the first container starts, keeps config maps, secrets and tokens current while
//! the pod lives, and takes them apart at the end. Secrets never touch a disk.

mod atomic;
mod payload;
mod place;

use self::place::{claim_place, claimed, give_to_group, host_path, within};
use super::env::{ConfigError, Downward, Sources};
use super::machine::Machine;
use super::mounts::place;
use super::spec::Bind;
use super::usage::Watched;
use atomic::AtomicDir;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// What was checked is what is mounted.
    place: Arc<OwnedFd>,
    read_only: bool,
    /// To be unmounted at the end.
    mounted: Option<PathBuf>,
    /// Kept current.
    content: Option<(AtomicDir, payload::Recipe)>,
    /// Files come from where set-id bits may be meant.
    set_id: bool,
    /// With what is mounted below.
    deep: bool,
    /// Watched for its size.
    watched: Option<(u64, String)>,
}

impl Made {
    fn new(place: OwnedFd) -> Self {
        Self {
            place: Arc::new(place),
            read_only: false,
            mounted: None,
            content: None,
            set_id: true,
            deep: false,
            watched: None,
        }
    }
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
                // What was made before it goes with the rest.
                Err(error) => return Err(error),
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
            dir.write(&payload).map_err(files(name, dir.path()))?;
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
            let place = if sub.is_empty() {
                Arc::clone(&made.place)
            } else {
                Arc::new(within(made.place.as_fd(), &sub, made.read_only)?)
            };
            binds.push(Bind {
                place,
                target: wanted.mount_path.clone(),
                read_only: made.read_only || wanted.read_only == Some(true),
                no_set_id: !made.set_id,
                deep: made.deep,
            });
        }
        let token = self.made.get(TOKEN_VOLUME).filter(|_| wants_token(pod));
        if let Some(made) = token.filter(|_| !binds.iter().any(|bind| bind.target == TOKEN_PATH)) {
            binds.push(Bind {
                place: Arc::clone(&made.place),
                target: TOKEN_PATH.to_owned(),
                read_only: true,
                no_set_id: true,
                deep: false,
            });
        }
        // Outer mounts first: a volume may be mounted inside another.
        binds.sort_by_key(|bind| bind.target.trim_end_matches('/').matches('/').count());
        Ok(binds)
    }

    /// Volumes whose size is to be watched.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        self.made
            .iter()
            .filter_map(|(name, made)| {
                let (limit, shown) = made.watched.clone()?;
                Some(Watched {
                    name: name.clone(),
                    place: Arc::clone(&made.place),
                    limit,
                    shown,
                })
            })
            .collect()
    }

    /// Unmounts and removes everything that was the pod's own.
    pub(crate) fn remove(&mut self) {
        for (name, made) in std::mem::take(&mut self.made) {
            if let Some(path) = &made.mounted
                && let Err(errno) = umount2(path, MntFlags::MNT_DETACH)
            {
                tracing::warn!(volume = name, %errno, "a volume could not be unmounted");
            }
        }
        for dir in std::mem::take(&mut self.dirs) {
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(dir = %dir.display(), %error, "a pod's volumes could not be removed");
                }
                _ => {}
            }
        }
    }
}

/// Volumes that are dropped while they are made, because the pod is deleted, leave nothing.
impl Drop for Volumes {
    fn drop(&mut self) {
        self.remove();
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
        let declared = empty.size_limit.as_ref().and_then(|limit| {
            let bytes = super::env::millis(&limit.0)? / 1000;
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            (bytes > 0).then(|| (bytes, limit.0.clone()))
        });
        if in_memory {
            let most = machine.defaults.memory;
            let size = declared
                .as_ref()
                .map_or(most / 2, |(bytes, _)| (*bytes).min(most));
            let options = format!("mode=0777,size={size},nr_inodes=131072");
            mount(
                Some("tmpfs"),
                &path,
                Some("tmpfs"),
                MsFlags::MS_NODEV,
                Some(options.as_str()),
            )
            .map_err(|errno| files(name, &path)(errno.into()))?;
        }
        let mut made = Made::new(place(&path).map_err(files(name, &path))?);
        made.mounted = in_memory.then(|| path.clone());
        let most = machine.defaults.volume;
        made.watched = (!in_memory).then(|| declared.unwrap_or_else(|| (most, format!("{}Mi", most >> 20))));
        let ready = fs::set_permissions(&path, Permissions::from_mode(0o777))
            .and_then(|()| give_to_group(made.place.as_fd(), group));
        if let Err(error) = ready {
            if made.mounted.is_some() {
                // What is left is memory, until the agent ends.
                _ = umount2(&path, MntFlags::MNT_DETACH);
            }
            return Err(files(name, &path)(error));
        }
        return Ok(made);
    }
    if let Some(host) = &volume.host_path {
        let path = PathBuf::from(&host.path);
        let opened = host_path(&path, host.type_.as_deref().unwrap_or_default())
            .map_err(|why| source(ConfigError::Wrong(format!("hostPath {}: {why}", host.path))))?;
        let mut made = Made::new(opened);
        made.deep = true;
        return Ok(made);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let path = claimed(machine, pod, &claim.claim_name).await.map_err(source)?;
        let mut made = Made::new(claim_place(machine, &path).map_err(files(name, &path))?);
        give_to_group(made.place.as_fd(), group).map_err(files(name, &path))?;
        made.read_only = claim.read_only == Some(true);
        return Ok(made);
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
    let mut made = Made::new(place(&path).map_err(files(name, &path))?);
    made.read_only = true;
    made.set_id = false;
    made.content = Some((dir, recipe));
    Ok(made)
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
