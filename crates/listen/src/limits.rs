//! How many and how long, and why somebody was refused.

use std::fmt;
use std::time::Duration;

/// What a listener allows. The numbers of connections are wishes: where the process may have fewer files they shrink.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address. All of the machine itself is one person's tools: it may have three
    /// quarters of [`Self::connections`], and the rest is kept for others.
    pub per_peer: usize,
    /// The TLS handshake.
    pub handshake: Duration,
    /// A request's head, from its first byte, or from the handshake for the first one.
    pub header: Duration,
    /// Between two requests. Longer than clients keep idle connections, so that none asks while we hang up.
    pub idle: Duration,
    /// How long a body may be waited for before its speed counts.
    pub body: Duration,
    /// The least speed of a body after that, bytes a second of waiting.
    pub body_rate: u64,
    /// The longest a body may be waited for, whatever its speed; none where bodies may be of any size.
    pub body_total: Option<Duration>,
    /// How long a client may take nothing of an answer of known length.
    pub write: Duration,
    /// How long a client may take nothing of a stream, such as a log somebody reads page by page.
    pub stall: Duration,
    /// A request's head, bytes.
    pub header_size: usize,
    /// Requests at once on one connection of HTTP/2.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2000,
            per_peer: 400,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            body: Duration::from_secs(20),
            body_rate: 4096,
            body_total: Some(Duration::from_secs(60)),
            write: Duration::from_secs(30),
            stall: Duration::from_secs(300),
            header_size: 64 << 10,
            streams: 100,
        }
    }
}

/// Which protocols a connection without TLS may speak; with TLS they are negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plain {
    /// HTTP/1.1 only.
    #[default]
    Http1,
    /// HTTP/1.1, or HTTP/2 by clients that know it beforehand.
    Either,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The client's address has as many connections as one may have, and all of them work.
    Peer,
    /// All seats are taken, and everybody works.
    Full,
}

impl Refusal {
    /// When to come again, seconds.
    pub const RETRY_AFTER: u16 = 1;
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => {
                "too many connections from this address are busy: close some or try again in a second"
            }
            Self::Full => "every connection this server can have is busy: try again in a second",
        })
    }
}
