//! People's work in pods, as the API server asks for it: commands, attaching, ports. Hands out descriptors and waits; it
//! decides nothing about who may, and gives nothing that the container does not have itself.

use super::exec::{self, Inside, Streams};
use super::launch::Output;
use super::machine::Machine;
use super::meter;
use super::pod::PodContext;
use super::taps::Taps;
use crate::doors::{Ask, Door, Kind, Said, dir};
use crate::fabric::wire::Channel;
use herder_base::chain;
use nix::sched::{CloneFlags, setns};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pieces of work at a time, of one node.
const MOST: usize = 512;
/// How long a pod may take to answer a connection from itself to itself.
const CONNECT: Duration = Duration::from_secs(10);

/// A running container, as visitors find it.
#[derive(Debug)]
pub(crate) struct Visited {
    /// Where its processes are.
    pub(crate) inside: Inside,
    /// Who listens.
    pub(crate) taps: Arc<Taps>,
    /// The writing end of its input, while somebody may write.
    pub(crate) input: Mutex<Option<OwnedFd>>,
    /// When it was started.
    pub(crate) since: Instant,
    /// Nobody may write after the first who did.
    pub(crate) once: bool,
    /// The master of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

impl Visited {
    /// A descriptor to write to, if it has any.
    fn keyboard(&self) -> io::Result<Option<(Kind, OwnedFd)>> {
        if let Some(terminal) = &self.terminal {
            return Ok(Some((Kind::Keyboard, terminal.try_clone()?)));
        }
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let input = if self.once {
            // The only one there is: its end is the end of the container's input.
            input.take()
        } else {
            input.as_ref().map(OwnedFd::try_clone).transpose()?
        };
        Ok(input.map(|input| (Kind::Input, input)))
    }
}

/// Answers until dropped.
pub(crate) async fn run(machine: Arc<Machine>) {
    let door = match Door::open(&dir(&machine.config.dir, &machine.config.node.name)) {
        Ok(door) => door,
        Err(error) => {
            tracing::error!(%error, "nobody can work in this node's pods: its socket could not be made");
            return;
        }
    };
    let mut visits = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = visits.join_next(), if !visits.is_empty() => {}
            channel = door.next(), if visits.len() < MOST => match channel {
                Ok(channel) => _ = visits.spawn(visit(Arc::clone(&machine), channel)),
                Err(error) => {
                    tracing::warn!(%error, "a connection to this node could not be taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn visit(machine: Arc<Machine>, channel: Channel) {
    let Ok(Some((ask, _))) = channel.receive_all::<Ask>().await else {
        return;
    };
    let work = async {
        let done = match ask {
            Ask::Exec {
                uid,
                container,
                args,
                input,
                terminal,
            } => {
                let streams = if terminal {
                    Streams::Terminal
                } else {
                    Streams::Pipes { input }
                };
                run_command(&machine, &channel, (&uid, &container), &args, streams).await
            }
            Ask::Attach {
                uid,
                container,
                input,
                output,
                errors,
            } => attach(&machine, &channel, (&uid, &container), [input, output, errors]).await,
            Ask::Connect { uid, port } => reach(&machine, &channel, &uid, port).await,
            Ask::Usage => {
                let usage = Said::Usage(meter::usage(&machine));
                channel.send(&usage, None).await.map_err(|error| said(&error))
            }
        };
        if let Err(why) = done {
            // Whoever asked may have gone.
            _ = channel.send(&Said::Refused(why), None).await;
        }
    };
    tokio::select! {
        () = work => {}
        // Nothing more is asked on a channel: what comes is its end, and the end of the work.
        _ = channel.receive_all::<Ask>() => {}
    }
}

fn pod(machine: &Machine, uid: &str) -> Result<Arc<PodContext>, String> {
    machine
        .pod(uid)
        .ok_or_else(|| "the pod does not run on this node any more".to_owned())
}

fn container(machine: &Machine, (uid, name): (&str, &str)) -> Result<Arc<Visited>, String> {
    pod(machine, uid)?
        .visited(name)
        .ok_or_else(|| format!("container not found (\"{name}\"): it does not run"))
}

fn said(error: &io::Error) -> String {
    error.to_string()
}

async fn run_command(
    machine: &Machine,
    channel: &Channel,
    whose: (&str, &str),
    args: &[String],
    streams: Streams,
) -> Result<(), String> {
    let visited = container(machine, whose)?;
    let mut entered = {
        // An error means that the agent ends.
        let _permit = machine.launches.acquire().await;
        exec::enter(machine, &visited.inside, args, streams)
            .await
            .map_err(|error| chain(&error).to_string())?
    };
    let (mut kinds, mut fds) = (Vec::new(), Vec::new());
    if let Some(input) = entered.input.take() {
        (kinds, fds) = (vec![Kind::Input], vec![input]);
    }
    match std::mem::take(&mut entered.output) {
        Output::Pipes(out, err) => {
            kinds.extend([Kind::Output, Kind::Errors]);
            fds.extend([out, err]);
        }
        Output::Terminal(master) => {
            kinds.push(Kind::Terminal);
            fds.push(master);
        }
        Output::Taken => {}
    }
    let sent = channel.send(&Said::Open(kinds), fds).await;
    sent.map_err(|error| said(&error))?;
    let exit = entered.ended().await;
    // Whoever asked may have gone.
    _ = channel.send(&Said::Ended(exit.code), None).await;
    Ok(())
}

async fn attach(
    machine: &Machine,
    channel: &Channel,
    whose: (&str, &str),
    [input, output, errors]: [bool; 3],
) -> Result<(), String> {
    let visited = container(machine, whose)?;
    let (mut kinds, mut fds) = (Vec::new(), Vec::new());
    for (wanted, kind, stream) in [(output, Kind::Output, "stdout"), (errors, Kind::Errors, "stderr")] {
        // A terminal's errors are its output.
        if wanted && (visited.terminal.is_none() || kind == Kind::Output) {
            kinds.push(kind);
            fds.push(visited.taps.tap(stream).await.map_err(|error| said(&error))?);
        }
    }
    // The input last: of some there is only one, and it is not to be lost.
    if input || visited.terminal.is_some() {
        if let Some((kind, fd)) = visited.keyboard().map_err(|error| said(&error))? {
            kinds.push(kind);
            fds.push(fd);
        } else if input {
            let why =
                "has no input: make it with stdin: true (with stdinOnce only the first who comes has it)";
            return Err(format!("container {} {why}", whose.1));
        }
    }
    drop(visited);
    let sent = channel.send(&Said::Open(kinds), fds).await;
    sent.map_err(|error| said(&error))?;
    // Whoever asked goes, or sees the streams end and goes.
    std::future::pending().await
}

async fn reach(machine: &Machine, channel: &Channel, uid: &str, port: u16) -> Result<(), String> {
    let pod = pod(machine, uid)?;
    let mut why = String::new();
    for to in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ] {
        let connected = async {
            let socket = socket_in(&pod, to.is_ipv4()).await?;
            socket.set_nodelay(true)?;
            let connected = tokio::time::timeout(CONNECT, socket.connect(to)).await;
            connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        };
        match connected.await.and_then(tokio::net::TcpStream::into_std) {
            Ok(stream) => {
                let sent = channel
                    .send(&Said::Open(vec![Kind::Connection]), [OwnedFd::from(stream)])
                    .await;
                return sent.map_err(|error| said(&error));
            }
            Err(error) if why.is_empty() => {
                why = format!("failed to connect to localhost:{port} inside the pod: {error}");
            }
            // The first is what people expect.
            Err(_) => {}
        }
    }
    Err(why)
}

/// A socket in the pod's network: made there by a thread of its own, which never comes back.
async fn socket_in(pod: &Arc<PodContext>, v4: bool) -> io::Result<TcpSocket> {
    let make = move || {
        if v4 {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }
    };
    let Some(sandbox) = pod.sandbox() else {
        if !pod.shares_network() {
            return Err(io::Error::other("the pod has no network yet"));
        }
        return make();
    };
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("visit".to_owned())
        .stack_size(128 << 10)
        .spawn(move || {
            let made = setns(sandbox.network().as_fd(), CloneFlags::CLONE_NEWNET)
                .map_err(io::Error::from)
                .and_then(|()| make());
            // Whoever asked may have gone.
            _ = sender.send(made);
        })?;
    let made = receiver.await;
    made.map_err(|_| io::Error::other("the thread ended"))?
}

/// The name by which a launcher finds one of this process's descriptors.
pub(crate) fn name_of(fd: &OwnedFd) -> std::path::PathBuf {
    format!("/proc/1/fd/{}", fd.as_raw_fd()).into()
}
