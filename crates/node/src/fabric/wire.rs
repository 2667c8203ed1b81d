//! The channel between control plane and fabric, and between it and the node agents: JSON packets with file descriptors
//! over a seqpacket socket.
//! Owns framing only; what the messages mean is the business of both ends.

use super::ancillary;
use super::policy::PolicySnapshot;
use super::types::{NodeConfig, NodeExit, ServiceSnapshot};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// Packets above this size travel as a memory file: socket buffers are small and packets must fit whole.
const INLINE: usize = 32 * 1024;
/// The longest message either side accepts.
const LONGEST: u64 = 256 << 20;

/// What the control plane asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Repeated in the reply.
    pub(super) id: u64,
    /// The question.
    pub(super) body: Ask,
}

/// The questions.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Connect; the reply carries the socket.
    Dial { to: SocketAddr, timeout_ms: u64 },
    /// Listen; the reply carries the socket.
    Listen { at: SocketAddr },
    /// Replace the services.
    Services(ServiceSnapshot),
    /// Replace the policies; the reply says that they hold.
    Policies(PolicySnapshot),
    /// Ask this resolver (the socket that comes along) for names outside the cluster.
    Resolver,
    /// Start a node agent; the reply is its process id.
    SpawnNode(NodeConfig),
    /// Kill a node agent.
    KillNode { name: String },
    /// End.
    Shutdown,
}

/// What the fabric says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Say {
    /// The network is up.
    Ready,
    /// The network could not be built.
    Failed(String),
    /// A reply: a number (a process id) or a failure.
    Reply { id: u64, result: Result<u32, Failure> },
    /// A node agent ended.
    Exit(NodeExit),
}

/// A failure that keeps its kind across the channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    /// `errno`, if the kernel said it.
    pub(super) errno: Option<i32>,
    /// It took too long.
    #[serde(default)]
    pub(super) timed_out: bool,
    /// For people.
    pub(super) text: String,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            errno: error.raw_os_error(),
            timed_out: error.kind() == io::ErrorKind::TimedOut,
            text: error.to_string(),
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match (failure.errno, failure.timed_out) {
            (Some(errno), _) => Self::from_raw_os_error(errno),
            (None, true) => Self::new(io::ErrorKind::TimedOut, failure.text),
            (None, false) => Self::other(failure.text),
        }
    }
}

/// One end of the channel.
#[derive(Debug)]
pub struct Channel(AsyncFd<OwnedFd>);

/// The two ends: the first for this process, the second for the child's standard input.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (here, there) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    )?;
    Ok((here, there))
}

impl Channel {
    /// Adopts one end; needs a running reactor.
    ///
    /// # Errors
    /// If the reactor refuses.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        ancillary::watched(end).map(Self)
    }

    /// Sends a message, waiting while the other side is slow.
    ///
    /// # Errors
    /// If the other side is gone.
    pub async fn send<T: Serialize>(
        &self,
        message: &T,
        fds: impl IntoIterator<Item = OwnedFd>,
    ) -> io::Result<()> {
        let sent: Vec<OwnedFd> = fds.into_iter().collect();
        let body = serde_json::to_vec(message)?;
        let long = if body.len() > INLINE {
            Some(in_memory(&body)?)
        } else {
            None
        };
        let fds: Vec<_> = long.iter().chain(&sent).map(AsRawFd::as_raw_fd).collect();
        let packet: &[u8] = if long.is_some() { b"@" } else { &body };
        loop {
            let mut guard = self.0.writable().await?;
            match guard.try_io(|socket| ancillary::send(socket.as_fd(), packet, &fds)) {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }

    /// Receives a message; `None` when the other side is gone.
    pub(super) async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let received = self.receive_all().await?;
        Ok(received.map(|(message, fds)| (message, fds.into_iter().next())))
    }

    /// Receives a message and all descriptors that came along; `None` when the other side is gone.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn receive_all<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = vec![0_u8; INLINE + 1024];
        let (length, fds) = loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|socket| ancillary::receive(socket.as_fd(), &mut buffer)) {
                Ok(Err(error)) if error.raw_os_error() == Some(nix::libc::ECONNRESET) => return Ok(None),
                Ok(done) => break done?,
                Err(_would_block) => {}
            }
        };
        if length == 0 {
            return Ok(None);
        }
        let mut fds = fds.into_iter();
        let packet = buffer.get(..length).unwrap_or_default();
        let message = if packet == b"@" {
            let mut file = File::from(
                fds.next()
                    .ok_or_else(|| io::Error::other("a long message without its body"))?,
            );
            file.rewind()?;
            let mut body = Vec::new();
            file.take(LONGEST).read_to_end(&mut body)?;
            serde_json::from_slice(&body)?
        } else {
            serde_json::from_slice(packet)?
        };
        Ok(Some((message, fds.collect())))
    }
}

fn in_memory(body: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"herder-message", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(body)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_messages_and_descriptors_arrive() {
        let (a, b) = pair().unwrap();
        let (a, b) = (Channel::new(a).unwrap(), Channel::new(b).unwrap());
        let long = "x".repeat(3 << 20);
        let fd = OwnedFd::from(File::open("/dev/null").unwrap());
        a.send(&Say::Failed(long.clone()), Some(fd)).await.unwrap();
        a.send(&Say::Ready, None).await.unwrap();
        let (message, fd) = b.receive::<Say>().await.unwrap().unwrap();
        assert!(matches!(message, Say::Failed(text) if text == long) && fd.is_some());
        assert!(matches!(
            b.receive::<Say>().await.unwrap().unwrap(),
            (Say::Ready, None)
        ));
        drop(a);
        assert!(b.receive::<Say>().await.unwrap().is_none());
    }
}
