//! What the API server asks of node agents about work in pods: to run a command, to listen in, to reach a port. The answer
//! are descriptors (pipes, terminals, sockets), so that no byte passes through the agent. One connection per piece of work:
//! whoever closes it ends the work. Owns the words and the socket, not what is done with either.

use crate::fabric::wire::Channel;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, getsockopt, listen, socket,
    sockopt::PeerCredentials,
};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// The socket's name.
const NAME: &str = "agent.sock";

/// What is asked, first and once.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Run a command in a container. Answered with `Said::Open`, and `Said::Ended` when it has ended.
    Exec {
        /// The pod's uid.
        uid: String,
        /// The container.
        container: String,
        /// Command line.
        args: Vec<String>,
        /// It can be written to.
        input: bool,
        /// On a terminal.
        terminal: bool,
    },
    /// Hear what a container says from now on, and speak to it.
    Attach {
        /// The pod's uid.
        uid: String,
        /// The container.
        container: String,
        /// To speak.
        input: bool,
        /// To hear its output.
        output: bool,
        /// To hear its errors.
        errors: bool,
    },
    /// Connect to a port of a pod, as a process in it would to its own loopback.
    Connect {
        /// The pod's uid.
        uid: String,
        /// The port.
        port: u16,
    },
    /// Say what the containers take. Answered with `Said::Usage`.
    Usage,
}

/// What a container takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Usage {
    /// The pod's uid.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Billionths of a processor.
    pub nanocores: u64,
    /// Bytes.
    pub memory: u64,
    /// Milliseconds that the rate is an average of.
    pub window: u64,
}

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// To be written to.
    Input,
    /// To be read from.
    Output,
    /// To be read from.
    Errors,
    /// The master of a terminal: all three in one.
    Terminal,
    /// The master of a terminal whose output comes by `Output`.
    Keyboard,
    /// A connection.
    Connection,
}

/// What the agent says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// It is so; the descriptors come along in this order.
    Open(Vec<Kind>),
    /// It cannot be: why.
    Refused(String),
    /// The command has ended with this code.
    Ended(i32),
    /// What the containers take.
    Usage(Vec<Usage>),
}

fn address(dir: &File) -> nix::Result<UnixAddr> {
    // Through a descriptor: the path itself may be too long for a socket's name.
    UnixAddr::new(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()).as_str())
}

fn unconnected() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
}

/// Where a node's agent is asked.
pub fn dir(data: &Path, node: &str) -> PathBuf {
    data.join("kubelite").join("nodes").join(node)
}

/// The API server's side: a connection to an agent.
///
/// # Errors
/// When no agent listens there.
pub fn knock(dir: &Path) -> io::Result<Channel> {
    let dir = File::open(dir)?;
    let end = unconnected()?;
    connect(end.as_raw_fd(), &address(&dir)?)?;
    Channel::new(end)
}

/// The agent's side.
#[derive(Debug)]
pub struct Door(AsyncFd<OwnedFd>);

impl Door {
    /// Listens; needs a running reactor.
    pub fn open(dir: &Path) -> io::Result<Self> {
        match fs::remove_file(dir.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let dir = File::open(dir)?;
        let end = unconnected()?;
        bind(end.as_raw_fd(), &address(&dir)?)?;
        listen(&end, Backlog::new(64)?)?;
        crate::fabric::ancillary::watched(end).map(Self)
    }

    /// The next who asks. Only the user that the agent itself runs as gets in: the data directory is theirs alone, and so
    /// is this.
    pub async fn next(&self) -> io::Result<Channel> {
        loop {
            let mut guard = self.0.readable().await?;
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let accepted = guard.try_io(|socket| Ok(accept4(socket.as_raw_fd(), flags)?));
            let Ok(accepted) = accepted else { continue };
            let end = adopt(accepted?);
            let peer = getsockopt(&end, PeerCredentials)?;
            if peer.uid() == nix::unistd::geteuid().as_raw() {
                return Channel::new(end);
            }
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "a stranger knocked");
        }
    }
}

#[expect(
    unsafe_code,
    reason = "a descriptor received from the kernel has to be adopted"
)]
fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for this process; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_knocks_is_let_in_and_gets_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(knock(dir.path()).is_err());
        let door = Door::open(dir.path()).unwrap();
        // A second agent takes the name over.
        let door = Door::open(dir.path())
            .map(|second| (drop(door), second).1)
            .unwrap();
        let asker = knock(dir.path()).unwrap();
        let agent = door.next().await.unwrap();
        let ask = Ask::Connect {
            uid: "u".to_owned(),
            port: 80,
        };
        asker.send(&ask, None).await.unwrap();
        let (heard, _) = agent.receive_all::<Ask>().await.unwrap().unwrap();
        assert!(matches!(heard, Ask::Connect { port: 80, .. }));
        let files = || (0..3).map(|_| File::open("/dev/null").unwrap().into());
        let kinds = vec![Kind::Input, Kind::Output, Kind::Errors];
        agent.send(&Said::Open(kinds), files()).await.unwrap();
        let (said, fds) = asker.receive_all::<Said>().await.unwrap().unwrap();
        assert!(matches!(said, Said::Open(kinds) if kinds.len() == 3) && fds.len() == 3);
        drop(agent);
        assert!(asker.receive_all::<Said>().await.unwrap().is_none());
    }
}
