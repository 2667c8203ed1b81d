//! Sockets: TCP and unix behind one type, with the options that bound what the kernel keeps for a client.

use crate::seat::Seat;
use socket2::{SockRef, TcpKeepalive};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// What the kernel takes of an answer that is not sent yet.
const UNSENT: u32 = 128 << 10;
/// Clients that the kernel lets wait to be accepted, where the machine allows it.
const WAITING: i32 = 4096;
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

    /// Waits until the client has said something, or has gone; without a buffer for it.
    pub(crate) async fn spoken_to(&self) {
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
