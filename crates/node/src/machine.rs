//! What everything on this node shares, and the agent's start: private mounts, its own `/proc`, memory for secrets.

use super::agent;
use super::client::Api;
use super::events::Events;
use super::ids::Ids;
use super::ipam::Ipam;
use super::meter::Meter;
use super::pod::PodContext;
use super::reaper::Reaper;
use super::spec::Defaults;
use super::users::{Map, Users};
use super::visit::Visited;
use super::{AgentConfig, groups, masks, mounts};
use crate::fabric::link::Links;
use crate::fabric::namespaces;
use herder_base::{Clock, SystemClock, chain};
use herder_images::Store;
use k8s_openapi::api::core::v1::Pod;
use nix::mount::{MsFlags, mount};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Semaphore;

/// The node, shared by everything that runs on it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What the agent was told.
    pub(crate) config: AgentConfig,
    /// The API server.
    pub(crate) api: Api,
    /// The children.
    pub(crate) reaper: Reaper,
    /// The fabric's network.
    pub(crate) links: Links,
    /// The fabric's network namespace.
    pub(crate) network: Arc<OwnedFd>,
    /// Free pod addresses.
    pub(crate) ipam: Arc<Ipam>,
    /// Memory: runtime state, bundles, secrets. Gone with the agent.
    pub(crate) run: PathBuf,
    /// Disk: `emptyDir`. Removed by the next start.
    pub(crate) state: PathBuf,
    /// The binary, pinned: it may be replaced on disk while the agent runs.
    pub(crate) exe: PathBuf,
    /// Names of tools the machine has none of: the binary's further names in containers.
    pub(crate) names: Vec<String>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Images, shared by all nodes of this machine.
    pub(crate) images: Store,
    /// Events about pods.
    pub(crate) events: Events,
    /// Container launches at the same time: more would only slow each other down.
    pub(crate) launches: Semaphore,
    /// This node's share of the machine.
    pub(crate) share: Share,
    /// What containers get that ask for nothing.
    pub(crate) defaults: Defaults,
    /// A directory that everyone may enter, for launchers to mount on.
    pub(crate) stage: PathBuf,
    /// Whose ids pods have.
    pub(crate) owners: Owners,
    counter: AtomicU64,
    /// What containers took before.
    pub(crate) meter: Meter,
    /// The pods that live here, by uid.
    pods: Mutex<HashMap<String, Weak<PodContext>>>,
}

/// A node's share of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// Thousandths of a processor.
    pub(crate) cpu_millis: u64,
    /// Bytes.
    pub(crate) memory: u64,
}

/// Whose ids pods have.
#[derive(Debug)]
pub(crate) enum Owners {
    /// Each pod its own, and which of the machine's directories cannot be shown that way.
    Own(Arc<Ids>, Option<String>),
    /// The ordinary user's, in a user namespace per pod.
    One,
    /// The machine's: it cannot be otherwise, and why.
    Machine(String),
}

impl Machine {
    /// The ids of a pod in a user namespace of its own; `None` if it shall share the machine's.
    pub(crate) fn ids(&self, pod: &Pod) -> Result<Option<Map>, String> {
        let shared = pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.host_users == Some(true));
        match &self.owners {
            _ if shared => Ok(None),
            Owners::Machine(_) => Ok(None),
            Owners::One => Ok(Some(Map::One)),
            Owners::Own(ids, _) => match ids.lease() {
                Some(lease) => Ok(Some(Map::Own(lease))),
                None => Err("all user ids of this node are in use by other pods".to_owned()),
            },
        }
    }

    /// What a person should know about how this node keeps pods apart: type, value, reason and message of a condition.
    pub(crate) fn notice(&self) -> (&'static str, bool, &'static str, String) {
        let kind = "UserNamespaces";
        match &self.owners {
            Owners::Own(_, None) => (
                kind,
                true,
                "OwnIds",
                "every pod has user ids of its own".to_owned(),
            ),
            Owners::Own(_, Some(why)) => (
                kind,
                true,
                "Unmapped",
                format!(
                    "every pod has user ids of its own, but files of the machine belong to nobody in them: {why}"
                ),
            ),
            Owners::One => (
                kind,
                true,
                "OrdinaryUser",
                "every pod has a user namespace of its own, with the one user id \
                that Herder runs as"
                    .to_owned(),
            ),
            Owners::Machine(why) => (
                kind,
                false,
                "MachineIds",
                format!(
                    "root in a pod is root on this machine, confined by capabilities, seccomp and device rules alone: {why}"
                ),
            ),
        }
    }

    /// Machine files pods must not see. Looked for at each start: what was made since the last one is to be hidden too.
    pub(crate) fn masks(&self) -> Vec<String> {
        masks::machine_secrets(&self.config.dir)
    }

    /// A pod that lives here.
    pub(crate) fn pod(&self, uid: &str) -> Option<Arc<PodContext>> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.get(uid).and_then(Weak::upgrade)
    }

    /// All running containers: their pod's uid, their name, and themselves.
    pub(crate) fn visited(&self) -> Vec<(String, String, Arc<Visited>)> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let pods: Vec<_> = pods.values().filter_map(Weak::upgrade).collect();
        let all = pods.iter().flat_map(|pod| {
            let containers = pod.all_visited().into_iter();
            containers.map(|(name, visited)| (pod.uid.clone(), name, visited))
        });
        all.collect()
    }

    /// Has a pod be found.
    pub(crate) fn meet(&self, pod: &Arc<PodContext>) {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are gone are forgotten by the next who comes.
        pods.retain(|_, pod| pod.strong_count() > 0);
        pods.insert(pod.uid.clone(), Arc::downgrade(pod));
    }

    /// A number that was not given out before.
    pub(crate) fn number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the container runtime keeps its state.
    pub(crate) fn runtime_state(&self) -> PathBuf {
        self.run.join("state")
    }

    /// The node's own address.
    pub(crate) fn address(&self) -> std::net::Ipv4Addr {
        std::net::Ipv4Addr::new(10, 42, self.config.node.index, 1)
    }

    /// A pod's logs: they outlive the agent.
    pub(crate) fn logs(&self, uid: &str) -> PathBuf {
        self.config.dir.join("kubelite").join("pods").join(uid)
    }

    /// The control group of a pod, or of a container in it, if there are any.
    pub(crate) fn cgroup(&self, uid: &str) -> Option<String> {
        self.node_cgroup().map(|node| format!("{node}/{uid}"))
    }

    /// The control group of the node.
    fn node_cgroup(&self) -> Option<String> {
        let path = format!("herder-{}/{}", self.config.cluster_id, self.config.node.name);
        self.config.root.then_some(path)
    }

    /// Says something about one attempt to read time-dependent things.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    pub(super) fn new(config: AgentConfig, events: Events) -> Result<Self, String> {
        let state = config.dir.join("kubelite").join("nodes").join(&config.node.name);
        let run = state.join("run");
        let links = Links::open().map_err(|error| chain(&error).to_string())?;
        let network =
            File::open("/proc/self/ns/net").map_err(|error| format!("the network namespace: {error}"))?;
        let dirs = ["/usr/local/bin", "/usr/bin", "/bin"];
        let missing = |name: &str| !dirs.iter().any(|dir| Path::new(dir).join(name).exists());
        let names = ["kubectl", "kustomize", "vault", "consul-template"];
        let share = share(config.node.nodes.max(1));
        Ok(Self {
            api: Api {
                dir: config.dir.join("kubelite"),
                token: config.node.token.clone(),
            },
            reaper: Reaper::default(),
            links,
            network: Arc::new(network.into()),
            ipam: Ipam::new(config.node.index),
            exe: run.join("herder"),
            names: names
                .into_iter()
                .filter(|name| missing(name))
                .map(str::to_owned)
                .collect(),
            clock: Arc::new(SystemClock),
            images: Store::open(config.dir.join("images")).map_err(|error| chain(&error).to_string())?,
            events,
            launches: Semaphore::new(4),
            share,
            defaults: defaults(share, &state),
            stage: stage(&config.dir)?,
            owners: if config.root {
                owners(&run, &state)
            } else {
                Owners::One
            },
            counter: AtomicU64::new(1),
            meter: Meter::default(),
            pods: Mutex::default(),
            run,
            state,
            config,
        })
    }
}

/// Shows the binary where launchers run it from. Nobody writes through that: a container sees its launcher's program as
/// `/proc/PID/exe`, and a user's own binary is the user's to write (CVE-2019-5736).
fn pin(exe: &Path, at: &Path) -> io::Result<()> {
    let pinned = mounts::Detached::of(exe, false)?;
    let forbids = mounts::Forbids {
        writing: true,
        set_id: true,
        devices: true,
        running: false,
    };
    pinned.forbid(forbids, false)?;
    pinned.attach(mounts::place(at)?.as_fd())
}

/// Enough for what people usually run, and never all there is.
fn defaults(share: Share, disk: &Path) -> Defaults {
    let disk = nix::sys::statvfs::statvfs(disk).map_or(0, |fs| fs.blocks() * fs.fragment_size());
    let memory = (share.memory / 4 * 3).max(512 << 20);
    Defaults {
        memory,
        layer: (memory / 2).min(8 << 30),
        volume: (disk / 10).clamp(1 << 30, 10 << 30),
    }
}

/// A directory that every user may enter and that nothing else is looked for in.
fn stage(data: &Path) -> Result<PathBuf, String> {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let found = ["/mnt", "/media", "/boot", "/home", "/tmp", "/var"]
        .into_iter()
        .map(Path::new)
        .find(|dir| {
            !data.starts_with(dir)
                && fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir())
                && !data.join("kubelite").starts_with(dir)
        });
    found
        .map(Path::to_path_buf)
        .ok_or_else(|| "containers need a directory /mnt to be assembled in; make one".to_owned())
}

/// Whether pods can have ids of their own here.
fn owners(run: &Path, disk: &Path) -> Owners {
    let tried = Ids::take()
        .map_err(|error| format!("no user ids could be set aside in /run/herder: {error}"))
        .and_then(|ids| {
            let lease = ids.lease().ok_or("there are no ids")?;
            let (users, _) = Users::make(Map::Own(lease), &[])
                .map_err(|error| format!("the kernel makes no user namespaces: {error}"))?;
            for (what, dir) in [("memory", run), ("the data directory", disk)] {
                mounts::maps_ids(dir, users.fd.as_fd()).map_err(|error| {
                    format!(
                        "the file system of {what} ({}) has no idmapped mounts: {error}; use ext4, xfs or btrfs and Linux \
                         6.3 or later",
                        dir.display()
                    )
                })?;
            }
            let machine = mounts::maps_ids(Path::new("/usr"), users.fd.as_fd());
            let unmapped = machine
                .err()
                .map(|error| format!("the file system of /usr has no idmapped mounts ({error})"));
            Ok((ids, unmapped))
        });
    match tried {
        Ok((ids, unmapped)) => Owners::Own(ids, unmapped),
        Err(why) => {
            tracing::warn!(why, "pods run with the machine's user ids");
            Owners::Machine(why)
        }
    }
}

/// Bounds what all pods of this node take together: less than the machine has, so that the machine stays usable.
pub(crate) fn bound(machine: &Machine) {
    let Some(group) = machine.node_cgroup() else {
        return;
    };
    let nodes = u64::try_from(machine.config.node.nodes.max(1)).unwrap_or(1);
    let most = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let most: u64 = most.trim().parse().unwrap_or(32_768);
    let bounds = groups::Bounds {
        processes: Some((most / 2 / nodes).max(1024)),
        memory: Some(machine.share.memory / 10 * 9),
    };
    if let Err(error) = groups::bound(&group, bounds) {
        tracing::warn!(group, %error, "the node's share of the machine is not bounded");
    }
}

fn share(nodes: usize) -> Share {
    let nodes = u64::try_from(nodes).unwrap_or(1).max(1);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let processors = u64::try_from(processors).unwrap_or(1);
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    });
    let kib: u64 = total.unwrap_or(1 << 20);
    Share {
        cpu_millis: processors * 1000 / nodes,
        memory: (kib << 10) / nodes,
    }
}

/// `herder internal node`, with the configuration on standard input, as pid 1 of new pid and mount namespaces.
pub(crate) fn main() -> ExitCode {
    match begin() {
        Ok((config, pid)) => agent::main(config, pid),
        Err(why) => {
            tracing::error!("the node agent could not start: {why}");
            ExitCode::FAILURE
        }
    }
}

fn begin() -> Result<(AgentConfig, Option<i32>), String> {
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let mounted = |what: &'static str| move |errno: nix::errno::Errno| format!("{what}: {errno}");
    namespaces::die_with_parent(None).map_err(|error| chain(&error).to_string())?;
    // This /proc is still the machine's, so this is the id by which the machine knows this process.
    let pid = fs::read_link("/proc/self")
        .ok()
        .and_then(|link| link.to_str()?.parse().ok());
    let mut body = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut body)
        .map_err(said("its configuration"))?;
    let config: AgentConfig =
        serde_json::from_slice(&body).map_err(|error| format!("its configuration: {error}"))?;
    nix::unistd::dup2_stdin(File::open("/dev/null").map_err(said("/dev/null"))?)
        .map_err(mounted("standard input"))?;

    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        None::<&str>,
    )
    .map_err(mounted("mounts could not be made private"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .map_err(mounted("a /proc of its own could not be mounted"))?;
    let run = config
        .dir
        .join("kubelite")
        .join("nodes")
        .join(&config.node.name)
        .join("run");
    fs::create_dir_all(&run).map_err(said("its directory"))?;
    mount(
        Some("tmpfs"),
        &run,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=0711"),
    )
    .map_err(mounted("memory for secrets could not be mounted"))?;
    for dir in ["state", "c", "pods"] {
        // The names in them are those of other pods: none of them may list any, wherever it gets to.
        fs::DirBuilder::new()
            .mode(0o711)
            .create(run.join(dir))
            .map_err(said("its directories"))?;
    }
    let pinned = run.join("herder");
    fs::write(&pinned, "").map_err(said("its directories"))?;
    pin(&config.exe, &pinned).map_err(said("the herder binary could not be pinned"))?;
    Ok((config, pid))
}
