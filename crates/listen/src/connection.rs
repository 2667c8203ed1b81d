//! One connection: its handshake, its protocol, and doing what its seat is told.

use crate::body::{Arriving, Flight, Leaving};
use crate::limits::{Plain, Refusal};
use crate::room::Entry;
use crate::seat::{Order, Seat};
use crate::serve::Settings;
use crate::socket::Stream;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;

/// How often a client of HTTP/2 is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));
/// Streams that a client opened and took back before anybody looked at them (CVE-2023-44487), and that it broke: more of
/// either end the connection.
const TAKEN_BACK: usize = 20;
const BROKEN: usize = 256;
/// What of an answer waits on one stream.
const STREAM_BUFFER: usize = 64 << 10;
/// How long somebody who has to leave may take to hear the goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address; none over a unix socket.
    pub address: Option<SocketAddr>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The certificates it showed, its own first.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// What answers the requests of one connection. Cloned for each, so clones share what is large.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The answers' bodies.
    type Body: Body<Data = Bytes, Error: Into<Boxed>> + Unpin + Send + 'static;

    /// Answers a request.
    fn answer(self, request: Request<Arriving>) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Says in the protocol's words that there is no room. When to come again is added.
    fn refuse(&self, refusal: Refusal) -> Response<Self::Body>;
}

/// A stream whose seat sees that something came, and is free again when the stream is gone, also when it was upgraded.
struct Watched<S> {
    stream: S,
    entry: Entry,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.entry.seat.read();
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What the negotiation came to.
#[derive(Clone, Copy)]
enum Protocol {
    First,
    Second,
    Either,
}

/// Serves one connection to its end; `refused` is the only answer if it is given.
pub(crate) async fn connection<H: Handler>(
    mut stream: Stream,
    entry: Entry,
    address: Option<SocketAddr>,
    settings: Arc<Settings>,
    make: Arc<impl Fn(Peer) -> H>,
    refused: Option<Refusal>,
) {
    stream.prepare(&entry.seat, settings.limits.stall);
    let mut peer = Peer {
        address,
        tls: settings.tls.is_some(),
        certificates: Vec::new(),
    };
    let seat = Arc::clone(&entry.seat);
    // Each step is boxed: whoever only connects, or only begins to shake hands, takes no room for what comes after.
    let Some(tls) = &settings.tls else {
        let protocol = match settings.plain {
            Plain::Http1 => Protocol::First,
            Plain::Either => Protocol::Either,
        };
        tokio::select! {
            biased;
            () = stream.spoken_to() => {}
            // Whatever is told, nothing was asked yet.
            () = seat.told() => return,
        }
        return Box::pin(exchange(stream, entry, protocol, make(peer), settings, refused)).await;
    };
    let accepted = tokio::select! {
        accepted = Box::pin(TlsAcceptor::from(Arc::clone(tls)).accept(stream)) => accepted,
        // Whatever is told, nothing was asked yet.
        () = seat.told() => return,
    };
    let stream = match accepted {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(listener = settings.name, %error, "a TLS handshake failed");
            return;
        }
    };
    seat.shook_hands();
    let session = stream.get_ref().1;
    // As negotiated: to look at the first bytes would mean to wait for them.
    let protocol = if session.alpn_protocol() == Some(b"h2".as_slice()) {
        Protocol::Second
    } else {
        Protocol::First
    };
    if let Some(certificates) = session.peer_certificates() {
        peer.certificates = certificates.to_vec();
    }
    Box::pin(exchange(stream, entry, protocol, make(peer), settings, refused)).await;
}

async fn exchange<H, S>(
    stream: S,
    entry: Entry,
    protocol: Protocol,
    handler: H,
    settings: Arc<Settings>,
    refused: Option<Refusal>,
) where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let seat = Arc::clone(&entry.seat);
    let (own, limits) = (Arc::clone(&seat), Arc::clone(&settings));
    let service = service_fn(move |request: Request<Incoming>| {
        let flight = Flight::new(&own, request.version());
        let (handler, limits) = (handler.clone(), Arc::clone(&limits));
        async move {
            let response = match refused {
                None => {
                    let request = request.map(|body| Arriving::new(body, flight.seat(), &limits.limits));
                    // Boxed: the protocol keeps room for one from the first byte to the last.
                    Box::pin(handler.answer(request)).await
                }
                Some(refusal) => no_room(&handler, refusal, request.version()),
            };
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                flight.seat().upgraded();
            }
            Ok::<_, Infallible>(response.map(|body| Leaving::new(body, flight)))
        }
    });
    let io = TokioIo::new(Watched { stream, entry });
    let limits = &settings.limits;
    let header_list = u32::try_from(limits.header_size).unwrap_or(u32::MAX);
    // Boxed each, so that a connection has room for its own protocol and not for all.
    match protocol {
        Protocol::First => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                // The seat sees to it, without a timer for each connection.
                .header_read_timeout(None)
                .max_buf_size(limits.header_size.max(8 << 10))
                .half_close(settings.half_close)
                .serve_connection(io, service)
                .with_upgrades();
            Box::pin(drive(
                connection,
                http1::UpgradeableConnection::graceful_shutdown,
                &seat,
                settings.name,
            ))
            .await;
        }
        Protocol::Second => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(limits.streams)
                .max_header_list_size(header_list)
                .max_pending_accept_reset_streams(TAKEN_BACK)
                .max_local_error_reset_streams(BROKEN)
                .max_send_buf_size(STREAM_BUFFER)
                .keep_alive_interval(PING.0)
                .keep_alive_timeout(PING.1)
                .serve_connection(io, service);
            Box::pin(drive(
                connection,
                http2::Connection::graceful_shutdown,
                &seat,
                settings.name,
            ))
            .await;
        }
        Protocol::Either => {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .max_buf_size(limits.header_size.max(8 << 10))
                .half_close(settings.half_close)
                .http2()
                .timer(TokioTimer::new())
                .max_concurrent_streams(limits.streams)
                .max_header_list_size(header_list)
                .max_pending_accept_reset_streams(TAKEN_BACK)
                .max_local_error_reset_streams(BROKEN)
                .max_send_buf_size(STREAM_BUFFER)
                .keep_alive_interval(PING.0)
                .keep_alive_timeout(PING.1);
            let connection = builder.serve_connection_with_upgrades(io, service);
            Box::pin(drive(
                connection,
                auto::UpgradeableConnection::graceful_shutdown,
                &seat,
                settings.name,
            ))
            .await;
        }
    }
}

fn no_room<H: Handler>(handler: &H, refusal: Refusal, version: Version) -> Response<H::Body> {
    let mut response = handler.refuse(refusal);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(Refusal::RETRY_AFTER));
    if version < Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Runs a connection, and does what its seat is told.
async fn drive<C, E>(connection: C, goodbye: impl Fn(Pin<&mut C>), seat: &Seat, listener: &'static str)
where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let mut asked = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // The client's: it hung up or spoke nonsense.
                    tracing::debug!(listener, %error, "a connection ended early");
                }
                return;
            }
            () = seat.told() => {}
        }
        match seat.order() {
            Order::Stay => {}
            Order::Go => return,
            Order::Finish | Order::Leave if !asked => {
                asked = true;
                goodbye(connection.as_mut());
            }
            Order::Finish | Order::Leave => {}
        }
        if seat.order() == Order::Leave {
            // A request may just have come: then it is answered.
            while tokio::time::timeout(GOODBYE, connection.as_mut()).await.is_err() {
                if seat.waits().is_some() || seat.order() == Order::Go {
                    return;
                }
            }
            return;
        }
    }
}
