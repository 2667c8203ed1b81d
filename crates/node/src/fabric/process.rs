//! The fabric process: enters its namespaces, builds the network, then serves requests until the channel closes.
//! It owns every node agent.

use super::ancillary;
use super::dns::{self, Names};
use super::link::Links;
use super::namespaces::{self, Rights};
use super::pid_one::{self, PidOne};
use super::policy::{Judge, PolicySnapshot};
use super::proxy::Proxy;
use super::types::{NodeConfig, NodeExit};
use super::wall::Wall;
use super::wire::{Ask, Channel, Failure, Request, Say};
use super::{cgroups, types::ServiceSnapshot};
use crate::AgentConfig;
use herder_base::chain;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup, getppid};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How long agents may take to end their containers in an orderly way.
const ORDERLY: Duration = Duration::from_millis(2500);

/// `herder internal fabric DIR EXE CLUSTER`, with the channel as standard input.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let [dir, exe, cluster] = args else {
        tracing::error!("usage: internal fabric DIR EXE CLUSTER (Herder runs this itself)");
        return ExitCode::from(2);
    };
    raise_files();
    let parent = getppid();
    let entered = namespaces::enter().and_then(|rights| {
        namespaces::die_with_parent(Some(parent))?;
        Ok(rights)
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let channel = match channel() {
            Ok(channel) => Arc::new(channel),
            Err(error) => {
                tracing::error!(%error, "standard input is not the control plane's channel");
                return ExitCode::FAILURE;
            }
        };
        let built = match entered {
            Ok(rights) => build().await.map(|(built, sockets)| (rights, built, sockets)),
            Err(error) => Err(chain(&error).to_string()),
        };
        let (rights, (links, wall), (udp, tcp)) = match built {
            Ok(built) => built,
            Err(why) => {
                tracing::error!("{why}");
                // If the control plane is gone there is nobody to tell.
                _ = channel.send(&Say::Failed(why), None).await;
                return ExitCode::FAILURE;
            }
        };
        let names = Arc::new(Names::default());
        names.set(&ServiceSnapshot::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(dns::serve(udp, tcp, Arc::clone(&names)));
        let (judges, judge) = watch::channel(Arc::new(Judge::default()));
        let (policies, changes) = mpsc::channel(4);
        tasks.spawn(keep_wall(wall, judges, changes, Arc::clone(&channel)));
        let (ended, exits) = mpsc::channel(16);
        let fabric = Process {
            dir: PathBuf::from(dir),
            exe: exe.clone(),
            cluster: cluster.to_string_lossy().into_owned(),
            rights,
            channel,
            names,
            proxy: Proxy::new(judge),
            policies,
            nodes: BTreeMap::new(),
            tasks,
            ended,
            _links: links,
        };
        fabric.run(exits).await;
        ExitCode::SUCCESS
    })
}

/// Every proxied connection takes two descriptors.
fn raise_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536).max(soft), hard));
    if let Err(errno) = raised {
        tracing::warn!(%errno, "the number of open files could not be raised");
    }
}

fn channel() -> io::Result<Channel> {
    let end = dup(io::stdin())?;
    // Nothing this process starts may hold the channel.
    nix::fcntl::fcntl(
        &end,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
    )?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Channel::new(end)
}

async fn build() -> Result<((Links, Wall), (UdpSocket, tokio::net::TcpListener)), String> {
    let wall = Wall::build().map_err(|error| chain(&error).to_string())?;
    let links = Links::open().map_err(|error| chain(&error).to_string())?;
    links
        .build_cluster()
        .await
        .map_err(|error| chain(&error).to_string())?;
    let sockets = dns::bind()
        .await
        .map_err(|error| format!("the DNS server could not listen: {error}"))?;
    Ok(((links, wall), sockets))
}

/// Makes policies hold, one snapshot after the other, on a thread that may wait for the kernel.
async fn keep_wall(
    wall: Wall,
    judges: watch::Sender<Arc<Judge>>,
    mut changes: mpsc::Receiver<(u64, PolicySnapshot)>,
    channel: Arc<Channel>,
) {
    let mut wall = Some(wall);
    let mut work = JoinSet::new();
    while let Some((id, policies)) = changes.recv().await {
        let Some(mut standing) = wall.take() else { return };
        work.spawn_blocking(move || {
            let outcome = standing.set(&policies);
            (standing, outcome, policies)
        });
        let result = match work.join_next().await {
            Some(Ok((standing, outcome, policies))) => {
                wall = Some(standing);
                // The proxy follows also where the kernel refused: the two need not agree to be strict.
                judges.send_replace(Arc::new(Judge::new(policies)));
                outcome
                    .map(|()| 0)
                    .map_err(|error| failure(chain(&error).to_string()))
            }
            _ => Err(failure("the packet filter's thread broke off".to_owned())),
        };
        // If the control plane is gone, the next receive says so.
        _ = channel.send(&Say::Reply { id, result }, None).await;
    }
}

#[derive(Debug)]
struct Node {
    pid: i32,
    expected: bool,
}

struct Process {
    dir: PathBuf,
    exe: OsString,
    cluster: String,
    rights: Rights,
    channel: Arc<Channel>,
    names: Arc<Names>,
    proxy: Proxy,
    policies: mpsc::Sender<(u64, PolicySnapshot)>,
    nodes: BTreeMap<String, Node>,
    tasks: JoinSet<()>,
    ended: mpsc::Sender<(String, String)>,
    _links: Links,
}

impl Process {
    async fn run(mut self, mut exits: mpsc::Receiver<(String, String)>) {
        if self.channel.send(&Say::Ready, None).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                Some((name, reason)) = exits.recv() => self.node_ended(name, reason).await,
                request = self.channel.receive::<Request>() => match request {
                    Ok(Some((Request { body: Ask::Shutdown, .. }, _))) => break,
                    Ok(Some((request, fd))) => self.handle(request, fd).await,
                    Ok(None) => break,
                    Err(error) => { tracing::error!(%error, "a request could not be read"); break }
                },
            }
        }
        self.end(exits).await;
    }

    async fn handle(&mut self, request: Request, fd: Option<OwnedFd>) {
        let id = request.id;
        let result = match request.body {
            Ask::Dial { to, timeout_ms } => {
                let channel = Arc::clone(&self.channel);
                self.tasks.spawn(async move {
                    let dialled = dial(to, Duration::from_millis(timeout_ms)).await;
                    reply_with(&channel, id, dialled).await;
                });
                return;
            }
            Ask::Listen { at } => return reply_with(&self.channel, id, listen(at)).await,
            Ask::Services(snapshot) => {
                self.names.set(&snapshot);
                self.proxy.set(&snapshot).await;
                Ok(0)
            }
            Ask::Policies(policies) => match self.policies.send((id, policies)).await {
                // Answered when they hold.
                Ok(()) => return,
                Err(_) => Err(failure("the packet filter cannot be changed any more".to_owned())),
            },
            Ask::Resolver => self.resolver(fd).map_err(Failure::from),
            Ask::SpawnNode(config) => self.spawn_node(&config),
            Ask::KillNode { name } => match self.nodes.get_mut(&name) {
                Some(node) => {
                    node.expected = true;
                    kill(Pid::from_raw(node.pid), Signal::SIGKILL)
                        .map(|()| 0)
                        .map_err(|errno| Failure::from(io::Error::from(errno)))
                }
                None => Err(failure(format!("no node {name:?} is running"))),
            },
            Ask::Shutdown => Ok(0),
        };
        // If the control plane is gone, the next receive says so.
        _ = self.channel.send(&Say::Reply { id, result }, None).await;
    }

    fn resolver(&mut self, fd: Option<OwnedFd>) -> io::Result<u32> {
        let socket = std::net::UdpSocket::from(fd.ok_or_else(|| io::Error::other("no socket came along"))?);
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        if self.names.upstream.set(Arc::clone(&socket)) {
            let names = Arc::clone(&self.names);
            self.tasks
                .spawn(async move { names.upstream.listen(socket).await });
        }
        Ok(0)
    }

    fn spawn_node(&mut self, node: &NodeConfig) -> Result<u32, Failure> {
        let name = node.name.clone();
        if self.nodes.contains_key(&name) {
            return Err(failure(format!("node {name:?} is running already")));
        }
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(label) {
            return Err(failure(format!(
                "{name:?} cannot be a node's name: use a-z, 0-9 and -"
            )));
        }
        if !(1..=250).contains(&node.index) {
            return Err(failure(format!(
                "node {name:?} has slice {}; it must be 1 to 250",
                node.index
            )));
        }
        let started = self.start_agent(node)?;
        let (pid, host) = (started.pid, u32::try_from(started.pid).unwrap_or_default());
        let ended = self.ended.clone();
        self.nodes.insert(name.clone(), Node { pid, expected: false });
        self.tasks.spawn(async move {
            let reason = wait(started).await;
            // The receiver lives as long as the process does.
            _ = ended.send((name, reason)).await;
        });
        Ok(host)
    }

    fn start_agent(&self, node: &NodeConfig) -> io::Result<PidOne> {
        let state = self.dir.join("kubelite").join("nodes").join(&node.name);
        remove_state(&state)?;
        cgroups::remove_node_cgroups(&self.cluster, &node.name);
        fs::create_dir_all(&state)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(state.join("agent.log"))?;
        let config = AgentConfig {
            dir: self.dir.clone(),
            exe: PathBuf::from(&self.exe),
            cluster_id: self.cluster.clone(),
            root: self.rights == Rights::Root,
            node: node.clone(),
        };
        // A memory file, not an argument: arguments are for everyone on the machine to read, and there is a token.
        let mut body = File::from(memfd_create(c"herder-node", MFdFlags::MFD_CLOEXEC)?);
        body.write_all(&serde_json::to_vec(&config)?)?;
        body.rewind()?;
        let args = [OsStr::new("internal"), OsStr::new("node"), OsStr::new(&node.name)];
        pid_one::spawn(&self.exe, &args, &body.into(), &log.into())
    }

    async fn node_ended(&mut self, name: String, reason: String) {
        let Some(node) = self.nodes.remove(&name) else {
            return;
        };
        cgroups::remove_node_cgroups(&self.cluster, &name);
        let pid = u32::try_from(node.pid).unwrap_or_default();
        let reason = if reason.starts_with("exit code") {
            self.last_words(&name, &reason)
        } else {
            reason
        };
        let exit = NodeExit {
            name,
            pid,
            reason,
            expected: node.expected,
        };
        _ = self.channel.send(&Say::Exit(exit), None).await;
    }

    /// An agent that ended by itself has said why in its log.
    fn last_words(&self, name: &str, reason: &str) -> String {
        let log = self
            .dir
            .join("kubelite")
            .join("nodes")
            .join(name)
            .join("agent.log");
        let text = fs::read_to_string(log).unwrap_or_default();
        match text.lines().next_back() {
            Some(line) if !line.trim().is_empty() => format!("{reason}: {}", line.trim()),
            _ => reason.to_owned(),
        }
    }

    /// Asks the agents to end, waits a little, and pulls the plug on those that remain.
    async fn end(mut self, mut exits: mpsc::Receiver<(String, String)>) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            for node in self.nodes.values() {
                // One that has ended meanwhile is what we want.
                _ = kill(Pid::from_raw(node.pid), signal);
            }
            let all = async {
                while !self.nodes.is_empty() {
                    let Some((name, _)) = exits.recv().await else {
                        break;
                    };
                    self.nodes.remove(&name);
                }
            };
            if tokio::time::timeout(ORDERLY, all).await.is_ok() {
                break;
            }
        }
        self.tasks.shutdown().await;
        cgroups::remove_cgroups(&self.cluster);
        let state = self.dir.join("kubelite").join("nodes");
        if let Ok(nodes) = fs::read_dir(&state) {
            for node in nodes.flatten() {
                // Leftovers are removed by the next start as well.
                _ = remove_state(&node.path());
            }
        }
    }
}

/// Removes what an earlier agent left, except its log.
fn remove_state(state: &std::path::Path) -> io::Result<()> {
    let entries = match fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if kind.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn failure(text: String) -> Failure {
    Failure {
        errno: None,
        timed_out: false,
        text,
    }
}

async fn wait(process: PidOne) -> String {
    if let Ok(pidfd) = ancillary::watched(process.pidfd) {
        // Readable once, at the end.
        _ = pidfd.readable().await;
    }
    match waitpid(Pid::from_raw(process.pid), None) {
        Ok(WaitStatus::Exited(_, code)) => format!("exit code {code}"),
        Ok(WaitStatus::Signaled(_, signal, _)) => format!("killed by {signal}"),
        Ok(other) => format!("{other:?}"),
        Err(errno) => format!("could not be waited for: {errno}"),
    }
}

async fn dial(to: SocketAddr, timeout: Duration) -> io::Result<OwnedFd> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(to)).await??;
    stream.set_nodelay(true)?;
    Ok(stream.into_std()?.into())
}

fn listen(at: SocketAddr) -> io::Result<OwnedFd> {
    let socket = if at.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    Ok(socket.listen(1024)?.into_std()?.into())
}

async fn reply_with(channel: &Channel, id: u64, result: io::Result<OwnedFd>) {
    let (result, fd) = match result {
        Ok(fd) => (Ok(0), Some(fd)),
        Err(error) => (Err(Failure::from(error)), None),
    };
    // If the control plane is gone, the next receive says so.
    _ = channel.send(&Say::Reply { id, result }, fd).await;
}
