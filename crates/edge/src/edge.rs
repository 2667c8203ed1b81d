//! The edge as a value: its routes, its endpoints, its counters, its limits.

use crate::metrics::{Metrics, RouteMetrics};
use crate::peers::Peers;
use crate::routes::Routes;
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Reaches pods, wherever their network is.
pub trait Dial: Send + Sync {
    /// Connects.
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>>;
}

/// Reaches pods through this process's own network.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectDial;

impl Dial for DirectDial {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }
}

/// How much and how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connecting to an endpoint.
    pub connect: Duration,
    /// From sending a request to the first byte of its answer.
    pub response: Duration,
    /// Waiting for an endpoint to appear or come back.
    pub wait: Duration,
    /// How long a repeatable request waits for an endpoint that has left the routes, before another is asked.
    pub leave: Duration,
    /// From asking to stop until what is still in flight is cut off.
    pub drain: Duration,
    /// Reading a request's header, from its first byte.
    pub header: Duration,
    /// A request's header in bytes.
    pub header_size: usize,
    /// Bodies up to this size are kept so that they can be sent, or asked for, again.
    pub replay: usize,
    /// Connections at once on one listener; idle ones give way before one is refused.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(60),
            wait: Duration::from_secs(2),
            leave: Duration::from_secs(5),
            drain: Duration::from_secs(8),
            header: Duration::from_secs(30),
            header_size: 64 << 10,
            replay: 64 << 10,
            connections: 4_000,
        }
    }
}

pub(crate) struct Inner {
    pub(crate) routes: Arc<ArcSwap<Routes>>,
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) dial: Box<dyn Dial>,
    pub(crate) peers: Peers,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
}

/// The front door. Clones are the same door.
#[derive(Clone)]
pub struct Edge(pub(crate) Arc<Inner>);

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edge({:?})", self.0.routes.load())
    }
}

impl Edge {
    /// An edge without routes.
    #[must_use]
    pub fn new(dial: Box<dyn Dial>) -> Self {
        Self::with_limits(dial, Limits::default())
    }

    /// An edge with limits of its own.
    #[must_use]
    pub fn with_limits(dial: Box<dyn Dial>, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            routes: Arc::default(),
            changed: watch::Sender::new(0),
            dial,
            peers: Peers::new(),
            metrics: Metrics::default(),
            limits,
        }))
    }

    /// Replaces all routes at once. Endpoints that are gone get no further request.
    pub fn set_routes(&self, routes: Routes) {
        let routes = Arc::new(routes);
        self.0.routes.store(Arc::clone(&routes));
        let live: HashSet<SocketAddr> = routes
            .iter()
            .flat_map(|route| route.backend.endpoints.iter().copied())
            .collect();
        self.0.peers.keep(|address| live.contains(address));
        let names: HashSet<&str> = routes.iter().map(|route| route.name.as_str()).collect();
        self.0
            .metrics
            .keep(|name| name == crate::proxy::NO_ROUTE || names.contains(name));
        self.0.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// The routes of this moment.
    #[must_use]
    pub fn routes(&self) -> Arc<Routes> {
        self.0.routes.load_full()
    }

    /// The figures of this moment, by route.
    #[must_use]
    pub fn metrics(&self) -> Vec<RouteMetrics> {
        self.0.metrics.snapshot()
    }
}
