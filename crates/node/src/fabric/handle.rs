//! The control plane's side of the fabric: starts the process, sends requests, hands out sockets made inside.

use super::cgroups::remove_cgroups;
use super::policy::{PolicySnapshot, is_pod_address};
use super::types::{FabricConfig, FabricError, NodeConfig, NodeExit, ServiceSnapshot};
use super::wire::{Ask, Channel, Failure, Request, Say, pair};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::JoinSet;

/// How long `dial` waits for the other side.
const DIAL: Duration = Duration::from_secs(5);
/// How long a start may take before it is given up.
const START: Duration = Duration::from_secs(20);
/// How long an orderly end may take before the process is killed.
const END: Duration = Duration::from_secs(6);

type Answer = (Result<u32, Failure>, Option<OwnedFd>);
type Waiting = Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>;

/// A running fabric. Clones share it; it ends on `shutdown`, when the last clone is dropped, or when the process
/// that started it ends.
#[derive(Debug, Clone)]
pub struct Fabric {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    channel: Arc<Channel>,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    exits: broadcast::Sender<NodeExit>,
    pid: u32,
    ended: watch::Receiver<bool>,
    cluster_id: String,
    /// Backends at nodes' own addresses, of pods that use their node's network.
    on_nodes: Mutex<HashSet<SocketAddr>>,
    // Dropped, and so aborted, with the last clone.
    _tasks: JoinSet<()>,
}

impl Fabric {
    /// Starts the process and waits until its network is up.
    ///
    /// # Errors
    /// When a namespace, the bridge or the DNS server could not be made; the text names the step.
    pub async fn start(config: FabricConfig) -> Result<Self, FabricError> {
        let start = |what| move |source| FabricError::Start { what, source };
        remove_cgroups(&config.cluster_id);
        let state = config.dir.join("kubelite");
        fs::create_dir_all(&state).map_err(start("its directory"))?;
        let log = File::create(state.join("fabric.log")).map_err(start("its log file"))?;
        let (here, there) = pair().map_err(start("its channel"))?;
        let mut command = Command::new(&config.exe);
        command
            .args(["internal", "fabric"])
            .arg(&config.dir)
            .arg(&config.exe)
            .arg(&config.cluster_id);
        // A group of its own: Ctrl-C in a terminal is for the control plane, which then stops the pods in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .stdin(Stdio::from(there))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log));
        let (pid, ended) = spawn_watched(command, config.cluster_id.clone())
            .await
            .map_err(start("its process"))?;

        let channel = Arc::new(Channel::new(here).map_err(FabricError::Channel)?);
        match tokio::time::timeout(START, channel.receive::<Say>()).await {
            Ok(Ok(Some((Say::Ready, _)))) => {}
            Ok(Ok(Some((Say::Failed(why), _)))) => return Err(FabricError::Build(why)),
            Ok(Ok(Some(_))) => return Err(FabricError::Build("it spoke out of turn".to_owned())),
            Ok(Ok(None)) => return Err(FabricError::Gone),
            Ok(Err(error)) => return Err(FabricError::Channel(error)),
            Err(_) => {
                return Err(FabricError::Build(format!(
                    "nothing heard for {} s",
                    START.as_secs()
                )));
            }
        }
        let waiting: Arc<Waiting> = Arc::new(Mutex::new(Some(HashMap::new())));
        let (exits, _) = broadcast::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(Arc::clone(&channel), Arc::clone(&waiting), exits.clone()));
        let inner = Inner {
            channel,
            waiting,
            next: AtomicU64::new(1),
            exits,
            pid,
            ended,
            cluster_id: config.cluster_id,
            on_nodes: Mutex::default(),
            _tasks: tasks,
        };
        let fabric = Self {
            inner: Arc::new(inner),
        };
        fabric.offer_resolver().await;
        Ok(fabric)
    }

    /// Gives the fabric a socket on the machine's network to the machine's first resolver. Without one, names outside
    /// the cluster do not resolve, which pods are told at once.
    async fn offer_resolver(&self) {
        let Ok(text) = fs::read_to_string("/etc/resolv.conf") else {
            return;
        };
        let mut words = text.lines().map(str::split_whitespace);
        let server = words.find_map(|mut line| match (line.next(), line.next()) {
            (Some("nameserver"), Some(ip)) => ip.parse::<IpAddr>().ok(),
            _ => None,
        });
        let Some(server) = server else { return };
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket =
            std::net::UdpSocket::bind(any).and_then(|socket| socket.connect((server, 53)).map(|()| socket));
        match socket {
            Ok(socket) => match self.request(Ask::Resolver, Some(socket.into())).await {
                Ok((Ok(_), _)) => {}
                other => tracing::warn!(?other, "the machine's resolver could not be handed over"),
            },
            Err(error) => tracing::debug!(%server, %error, "the machine's resolver cannot be reached"),
        }
    }

    /// Connects to an address inside the cluster's network: a pod or a service.
    ///
    /// # Errors
    /// As a plain connect, and when the fabric has ended.
    pub async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let timeout_ms = u64::try_from(DIAL.as_millis()).unwrap_or(u64::MAX);
        let (_, fd) = self.ask_io(Ask::Dial { to, timeout_ms }).await?;
        let stream = std::net::TcpStream::from(fd.ok_or_else(|| io::Error::other("no socket came back"))?);
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }

    /// Connects to a pod, or to a node's own address where a pod uses the node's network; refuses every other address.
    /// For whoever got the address from an object that others may write.
    ///
    /// # Errors
    /// As [`Fabric::dial`], and `PermissionDenied` for an address that is no pod's.
    pub async fn dial_backend(&self, to: SocketAddr) -> io::Result<TcpStream> {
        // A node's own address is a pod's only where the controllers have found it to be.
        let of_node = || lock_set(&self.inner.on_nodes).contains(&to);
        if !matches!(to.ip(), IpAddr::V4(v4) if is_pod_address(v4)) && !of_node() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{to} is no pod's address: an EndpointSlice may only lead to pods (10.42.0.0/16), not to \
                     the machine, to service addresses or out of the cluster"
                ),
            ));
        }
        self.dial(to).await
    }

    /// Listens on an address inside the cluster's network; port 0 picks one.
    ///
    /// # Errors
    /// As a plain bind, and when the fabric has ended.
    pub async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let (_, fd) = self.ask_io(Ask::Listen { at }).await?;
        let listener =
            std::net::TcpListener::from(fd.ok_or_else(|| io::Error::other("no socket came back"))?);
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }

    /// Starts a node agent and returns its process id on the machine.
    ///
    /// # Errors
    /// When the name is running already or the process could not be started.
    pub async fn spawn_node(&self, node: NodeConfig) -> Result<u32, FabricError> {
        self.ask(Ask::SpawnNode(node)).await.map(|(pid, _)| pid)
    }

    /// Kills a node agent, and with it everything that runs on the node, as pulling the plug would.
    ///
    /// # Errors
    /// When no such node runs.
    pub async fn kill_node(&self, name: &str) -> Result<(), FabricError> {
        self.ask(Ask::KillNode {
            name: name.to_owned(),
        })
        .await
        .map(drop)
    }

    /// Notices of agents that ended, from now on.
    #[must_use]
    pub fn subscribe_node_exits(&self) -> broadcast::Receiver<NodeExit> {
        self.inner.exits.subscribe()
    }

    /// Publishes the services: proxies and names follow at once, open connections stay.
    ///
    /// # Errors
    /// When the fabric has ended.
    pub async fn set_services(&self, services: ServiceSnapshot) -> Result<(), FabricError> {
        let backends = services.services.iter().flat_map(|service| &service.ports);
        let on_nodes = backends
            .flat_map(|port| &port.backends)
            .filter(|backend| !matches!(backend.ip(), IpAddr::V4(v4) if is_pod_address(v4)));
        *lock_set(&self.inner.on_nodes) = on_nodes.copied().collect();
        self.ask(Ask::Services(services)).await.map(drop)
    }

    /// Makes these policies hold: when this returns, they do. From the first call on, a pod that they do not name has
    /// no network.
    ///
    /// # Errors
    /// When the kernel refused them, or the fabric has ended.
    pub async fn set_policies(&self, policies: PolicySnapshot) -> Result<(), FabricError> {
        self.ask(Ask::Policies(policies)).await.map(drop)
    }

    /// The fabric's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.pid
    }

    /// Resolves when the fabric's process has ended, for whatever reason.
    pub async fn ended(&self) {
        let mut ended = self.inner.ended.clone();
        // An error means that the watching thread is gone, and so is the process.
        _ = ended.wait_for(|ended| *ended).await;
    }

    /// Ends the agents, the fabric and all they hold. Idempotent.
    pub async fn shutdown(&self) {
        let orderly = async {
            // The fabric ends instead of answering.
            _ = self.ask(Ask::Shutdown).await;
            self.ended().await;
        };
        if tokio::time::timeout(END, orderly).await.is_err()
            && let Ok(pid) = i32::try_from(self.inner.pid)
        {
            _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            self.ended().await;
        }
        remove_cgroups(&self.inner.cluster_id);
    }

    async fn ask(&self, ask: Ask) -> Result<(u32, Option<OwnedFd>), FabricError> {
        let (result, fd) = self.request(ask, None).await?;
        result
            .map(|number| (number, fd))
            .map_err(|failure| FabricError::Refused(failure.text))
    }

    async fn ask_io(&self, ask: Ask) -> io::Result<(u32, Option<OwnedFd>)> {
        let (result, fd) = self.request(ask, None).await.map_err(io::Error::other)?;
        result.map(|number| (number, fd)).map_err(io::Error::from)
    }

    async fn request(&self, body: Ask, fd: Option<OwnedFd>) -> Result<Answer, FabricError> {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match lock(&self.inner.waiting).as_mut() {
            Some(waiting) => drop(waiting.insert(id, sender)),
            None => return Err(FabricError::Gone),
        }
        let _entry = Entry(&self.inner.waiting, id);
        let asked = self.inner.channel.send(&Request { id, body }, fd).await;
        asked.map_err(FabricError::Channel)?;
        receiver.await.map_err(|_| FabricError::Gone)
    }
}

/// Who waits for a reply; forgotten when dropped, also by whoever gives up before the question was sent.
struct Entry<'a>(&'a Waiting, u64);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = lock(self.0).as_mut() {
            waiting.remove(&self.1);
        }
    }
}

/// Whether something that answers for a service may be there.
pub(super) fn is_backend(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if is_pod_address(v4) || matches!(v4.octets(), [10, 42, 1..=250, 1]))
}

fn lock_set(set: &Mutex<HashSet<SocketAddr>>) -> MutexGuard<'_, HashSet<SocketAddr>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands out replies and notices until the fabric is gone; then fails whoever still waits.
async fn listen(channel: Arc<Channel>, waiting: Arc<Waiting>, exits: broadcast::Sender<NodeExit>) {
    loop {
        match channel.receive::<Say>().await {
            Ok(Some((Say::Reply { id, result }, fd))) => {
                let waiter = lock(&waiting).as_mut().and_then(|waiting| waiting.remove(&id));
                if let Some(waiter) = waiter {
                    // Whoever asked may have given up.
                    _ = waiter.send((result, fd));
                }
            }
            // Nobody may be listening yet.
            Ok(Some((Say::Exit(exit), _))) => _ = exits.send(exit),
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "a message from the cluster network could not be read");
                break;
            }
        }
    }
    lock(&waiting).take();
}

/// Spawns from a thread that then waits for the process: a parent-death signal follows the *thread* that forked,
/// and runtime threads come and go.
async fn spawn_watched(mut command: Command, cluster_id: String) -> io::Result<(u32, watch::Receiver<bool>)> {
    let (started, on_start) = oneshot::channel();
    let (ended, on_end) = watch::channel(false);
    std::thread::Builder::new()
        .name("fabric-parent".to_owned())
        .stack_size(128 << 10)
        .spawn(move || {
            match command.spawn() {
                Ok(mut child) => {
                    // Drops this side's copy of the channel's other end, or its end would never be seen.
                    drop(command);
                    _ = started.send(Ok(child.id()));
                    match child.wait() {
                        Ok(status) if status.success() => {}
                        Ok(status) => tracing::warn!(%status, "the cluster network ended"),
                        Err(error) => tracing::warn!(%error, "the cluster network could not be waited for"),
                    }
                }
                Err(error) => _ = started.send(Err(error)),
            }
            // One that was killed has left the agents' groups; the agents die with it.
            remove_cgroups(&cluster_id);
            ended.send_replace(true);
        })?;
    let pid = on_start
        .await
        .map_err(|_| io::Error::other("the thread that starts it ended"))??;
    Ok((pid, on_end))
}
