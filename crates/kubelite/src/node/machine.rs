//! What everything on this node shares, and the agent's start: private mounts, its own `/proc`, memory for secrets.

use super::agent;
use super::client::Api;
use super::events::Events;
use super::ipam::Ipam;
use super::reaper::Reaper;
use super::{AgentConfig, masks};
use crate::fabric::link::Links;
use crate::fabric::namespaces;
use herder_base::{Clock, SystemClock, chain};
use nix::mount::{MsFlags, mount};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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
    pub(crate) ipam: Mutex<Ipam>,
    /// Memory: runtime state, bundles, secrets. Gone with the agent.
    pub(crate) run: PathBuf,
    /// Disk: `emptyDir`. Removed by the next start.
    pub(crate) state: PathBuf,
    /// The binary, pinned: it may be replaced on disk while the agent runs.
    pub(crate) exe: PathBuf,
    /// Names of tools the machine has none of: the binary's further names in containers.
    pub(crate) names: Vec<String>,
    /// Machine files pods must not see.
    pub(crate) masks: Vec<String>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Events about pods.
    pub(crate) events: Events,
    /// Container launches at the same time: more would only slow each other down.
    pub(crate) launches: Semaphore,
    /// This node's share of the machine.
    pub(crate) share: Share,
    counter: AtomicU64,
}

/// A node's share of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// Thousandths of a processor.
    pub(crate) cpu_millis: u64,
    /// Bytes.
    pub(crate) memory: u64,
}

impl Machine {
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
        let path = format!(
            "herder-{}/{}/{uid}",
            self.config.cluster_id, self.config.node.name
        );
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
        Ok(Self {
            api: Api {
                dir: config.dir.join("kubelite"),
                token: config.node.token.clone(),
            },
            reaper: Reaper::default(),
            links,
            network: Arc::new(network.into()),
            ipam: Mutex::new(Ipam::new(config.node.index)),
            exe: run.join("herder"),
            names: names
                .into_iter()
                .filter(|name| missing(name))
                .map(str::to_owned)
                .collect(),
            masks: masks::machine_secrets(&config.dir),
            clock: Arc::new(SystemClock),
            events,
            launches: Semaphore::new(4),
            share: share(config.node.nodes.max(1)),
            counter: AtomicU64::new(1),
            run,
            state,
            config,
        })
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
        fs::create_dir(run.join(dir)).map_err(said("its directories"))?;
    }
    let pinned = run.join("herder");
    fs::write(&pinned, "").map_err(said("its directories"))?;
    mount(
        Some(&config.exe),
        &pinned,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(mounted("the herder binary could not be pinned"))?;
    Ok((config, pid))
}
