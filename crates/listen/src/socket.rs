//! Sockets: TCP and unix behind one type, with the options that bound what the kernel keeps for a client.

use crate::seat::Seat;
use nix::sys::socket::{MsgFlags, recv};
use socket2::{SockRef, TcpKeepalive};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// What the kernel takes of an answer that is not sent yet.
const UNSENT: u32 = 128 << 10;
/// Clients that the kernel lets wait to be accepted, where the machine allows it.
const WAITING: i32 = 4096;
/// As long as heads usually are, bytes: a longer one is read as it comes.
const HEAD: usize = 4096;
/// When a silent client is asked whether it is there, how often, and how many times.
const ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(20), 3);

/// What is listened on.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A file.
    Unix(UnixListener),
}

impl From<TcpListener> for Socket {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Socket {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Socket {
    /// Lets more clients wait to be accepted than the usual 128: who does not fit waits a second or more before the next
    /// try, and a burst of others is all it takes.
    pub(crate) fn widen(&self) {
        let socket = match self {
            Self::Tcp(listener) => SockRef::from(listener),
            Self::Unix(listener) => SockRef::from(listener),
        };
        if let Err(error) = socket.listen(WAITING) {
            tracing::debug!(%error, "the queue of a listener stays as it is");
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                (Stream::new(Kind::Tcp(stream)), Some(address))
            }
            Self::Unix(listener) => (Stream::new(Kind::Unix(listener.accept().await?.0)), None),
        })
    }
}

/// Whether there is an empty line: with or without carriage returns, as the parser takes them.
fn has_end(head: &[u8]) -> bool {
    head.windows(2).any(|two| two == b"\n\n") || head.windows(3).any(|three| three == b"\n\r\n")
}

/// A connection, whose seat sees whether its client has sent what we look for.
#[derive(Debug)]
pub(crate) struct Stream {
    kind: Kind,
    seat: Option<Arc<Seat>>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn new(kind: Kind) -> Self {
        Self { kind, seat: None }
    }

    /// Waits until the client has said all of a request's head, or more than one should be long, or has gone. What it says
    /// stays in the kernel, so that who says it slowly takes no room for it here.
    pub(crate) async fn spoken_to(&self) {
        let mut before = None;
        loop {
            poll_fn(|cx| {
                let ready = match &self.kind {
                    Kind::Tcp(stream) => stream.poll_read_ready(cx),
                    Kind::Unix(stream) => stream.poll_read_ready(cx),
                };
                if let (Poll::Pending, Some(seat)) = (&ready, &self.seat) {
                    seat.ran_dry();
                }
                // What is wrong with the socket is told again by reading it.
                ready.map(drop)
            })
            .await;
            let so_far = match self.look() {
                Ok(Some(so_far)) => so_far,
                Ok(None) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return,
            };
            // Woken without a word more: nothing more will come.
            if before == Some(so_far) {
                return;
            }
            before = Some(so_far);
            if let Some(seat) = &self.seat {
                seat.flowed();
            }
        }
    }

    /// Looks at what has come: how much, if it is only the beginning of a head.
    fn look(&self) -> io::Result<Option<usize>> {
        let mut so_far = 0;
        let look = || {
            let mut said = [0; HEAD];
            let length = recv(self.fd(), &mut said, MsgFlags::MSG_PEEK)?;
            let whole = length == 0 || length == HEAD || has_end(said.get(..length).unwrap_or(&said));
            if whole {
                return Ok(None);
            }
            so_far = length;
            // To be woken by more, and not by what is there.
            Err(io::ErrorKind::WouldBlock.into())
        };
        let looked = match &self.kind {
            Kind::Tcp(stream) => stream.try_io(Interest::READABLE, look),
            Kind::Unix(stream) => stream.try_io(Interest::READABLE, look),
        };
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && so_far > 0 => Ok(Some(so_far)),
            other => other,
        }
    }

    /// Takes what has been said and nobody will read: the kernel answers what is left with a reset, not with the end.
    pub(crate) fn forget(&self) {
        let mut said = [0; HEAD];
        // Not by the runtime, which knows of nothing new. Whatever comes of it: the connection is given up.
        let _gone = recv(self.fd(), &mut said, MsgFlags::MSG_DONTWAIT);
    }

    fn fd(&self) -> RawFd {
        match &self.kind {
            Kind::Tcp(stream) => stream.as_raw_fd(),
            Kind::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Takes a seat, and sets what every connection of ours has. `stall` is how long a client may take nothing.
    pub(crate) fn prepare(&mut self, seat: &Arc<Seat>, stall: Duration) {
        self.seat = Some(Arc::clone(seat));
        let Kind::Tcp(stream) = &self.kind else { return };
        let socket = SockRef::from(stream);
        let (idle, interval, count) = ALIVE;
        let alive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(interval)
            .with_retries(count);
        // A socket that went away already fails again, and better, when it is used.
        let _best_effort = socket
            .set_tcp_nodelay(true)
            .and_then(|()| socket.set_tcp_keepalive(&alive))
            .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT))
            // Also for what is left in the kernel after we are done with it.
            .and_then(|()| socket.set_tcp_user_timeout(Some(stall)));
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = match &mut this.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Kind::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Some(seat) = &this.seat {
            match read {
                Poll::Pending => seat.ran_dry(),
                Poll::Ready(_) => seat.flowed(),
            }
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Kind::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Kind::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.kind {
            Kind::Tcp(stream) => stream.is_write_vectored(),
            Kind::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
