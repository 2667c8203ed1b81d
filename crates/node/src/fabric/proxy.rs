//! The service proxy: a listener for every service port, connections to ready backends in turn. Knows addresses, not
//! Kubernetes. A new snapshot changes where *new* connections go; open ones stay.
//!
//! The proxy stands between a pod and the pod that answers, so it is here that policies are held against the two of
//! them: a backend that the client may not reach, or that may not be reached by it, is passed over, and a connection
//! ends when a change of the policies forbids it. It dials pods and nothing else, whatever a snapshot says.

use super::handle::is_backend;
use super::policy::{Judge, Transport};
use super::types::{Protocol, ServiceSnapshot};
use super::udp;
use herder_listen::Places;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections through all service ports at once, each of two descriptors, and those of one pod.
const CARRIED: (usize, usize) = (8192, 1024);
/// How long one backend may take to accept before the next is tried.
const CONNECT: Duration = Duration::from_secs(2);

/// Where one service port leads at the moment.
#[derive(Debug, Default)]
pub(super) struct Backends {
    list: Mutex<(Vec<SocketAddr>, bool)>,
    turn: AtomicUsize,
}

impl Backends {
    fn set(&self, backends: Vec<SocketAddr>, sticky: bool) {
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = (backends, sticky);
    }

    /// The backends, in the order in which to try them for `client`.
    pub(super) fn order(&self, client: IpAddr) -> Vec<SocketAddr> {
        let (mut list, sticky) = self.list.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if list.is_empty() {
            return list;
        }
        let first = if sticky {
            let mut hasher = DefaultHasher::new();
            client.hash(&mut hasher);
            usize::try_from(hasher.finish() % 65_536).unwrap_or(0)
        } else {
            self.turn.fetch_add(1, Ordering::Relaxed)
        };
        let first = first % list.len();
        list.rotate_left(first);
        list
    }
}

#[derive(Debug)]
struct Port {
    backends: Arc<Backends>,
    stop: CancellationToken,
}

/// Who is asked whether a connection may be made, and how many there may be.
#[derive(Debug, Clone)]
pub(super) struct Gatekeeper {
    judge: watch::Receiver<Arc<Judge>>,
    places: Places,
}

impl Gatekeeper {
    /// Whether `client` may reach `backend`.
    pub(super) fn allows(&self, client: IpAddr, backend: SocketAddr, transport: Transport) -> bool {
        match (client, backend.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                is_backend(backend.ip()) && self.judge.borrow().allows(from, to, (transport, backend.port()))
            }
            _ => false,
        }
    }

    /// Ends when it no longer may.
    pub(super) async fn forbidden(&mut self, client: IpAddr, backend: SocketAddr, transport: Transport) {
        loop {
            // No sender: the fabric is ending, and connections with it.
            if self.judge.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            self.judge.borrow_and_update();
            if !self.allows(client, backend, transport) {
                return;
            }
        }
    }
}

/// The listeners. Everything it spawned ends when it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    ports: BTreeMap<(SocketAddr, Protocol), Port>,
    gatekeeper: Gatekeeper,
    tasks: JoinSet<()>,
}

impl Proxy {
    /// Without ports.
    pub(super) fn new(judge: watch::Receiver<Arc<Judge>>) -> Self {
        Self {
            ports: BTreeMap::new(),
            gatekeeper: Gatekeeper {
                judge,
                places: Places::new(CARRIED.0, CARRIED.1),
            },
            tasks: JoinSet::new(),
        }
    }

    /// Makes the listeners be those of `snapshot`.
    pub(super) async fn set(&mut self, snapshot: &ServiceSnapshot) {
        while self.tasks.try_join_next().is_some() {}
        let mut wanted = BTreeSet::new();
        for service in &snapshot.services {
            let Some(ip) = service.cluster_ip.filter(|ip| is_service(*ip)) else {
                continue;
            };
            for port in service.ports.iter().filter(|port| !port.backends.is_empty()) {
                let key = (SocketAddr::new(ip, port.port), port.protocol);
                wanted.insert(key);
                if let Some(known) = self.ports.get(&key) {
                    known.backends.set(port.backends.clone(), port.sticky);
                    continue;
                }
                let backends = Arc::new(Backends::default());
                backends.set(port.backends.clone(), port.sticky);
                match self.open(key, Arc::clone(&backends)).await {
                    Ok(stop) => drop(self.ports.insert(key, Port { backends, stop })),
                    Err(error) => tracing::warn!(at = %key.0, %error, "a service port could not be opened"),
                }
            }
        }
        // A port without ready backends is closed, so that clients are refused at once and may retry.
        self.ports.retain(|key, port| {
            let keep = wanted.contains(key);
            if !keep {
                port.stop.cancel();
            }
            keep
        });
    }

    async fn open(
        &mut self,
        (at, protocol): (SocketAddr, Protocol),
        backends: Arc<Backends>,
    ) -> io::Result<CancellationToken> {
        let stop = CancellationToken::new();
        let gatekeeper = self.gatekeeper.clone();
        match protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(at).await?;
                self.tasks
                    .spawn(accept(listener, backends, gatekeeper, stop.clone()));
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(at).await?;
                self.tasks
                    .spawn(udp::relay(socket, backends, gatekeeper, stop.clone()));
            }
        }
        Ok(stop)
    }
}

/// Addresses that are the proxy's: the services range without its first sixteen, which the control plane listens on
/// itself.
fn is_service(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if matches!(ip.octets(), [10, 96, ..]) && !matches!(ip.octets(), [10, 96, 0, 0..=15]))
}

async fn accept(
    listener: TcpListener,
    backends: Arc<Backends>,
    gatekeeper: Gatekeeper,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((client, from)) => {
                    drop(connections.spawn(carry(client, from, Arc::clone(&backends), gatekeeper.clone())));
                }
                Err(error) => {
                    // Out of descriptors, most likely: let connections end before the next try.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn carry(mut client: TcpStream, from: SocketAddr, backends: Arc<Backends>, mut gatekeeper: Gatekeeper) {
    let Some(_place) = gatekeeper.places.take(from.ip()) else {
        tracing::debug!(%from, "too many connections through services");
        _ = client.set_zero_linger();
        return;
    };
    for backend in backends.order(from.ip()) {
        if !gatekeeper.allows(from.ip(), backend, Transport::Tcp) {
            tracing::debug!(client = %from, %backend, "a policy forbids this");
            continue;
        }
        match tokio::time::timeout(CONNECT, TcpStream::connect(backend)).await {
            Ok(Ok(mut server)) => {
                _ = client.set_nodelay(true);
                _ = server.set_nodelay(true);
                tokio::select! {
                    // Either side may reset the connection at any time: that is between them.
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    () = gatekeeper.forbidden(from.ip(), backend, Transport::Tcp) => {
                        _ = client.set_zero_linger();
                        _ = server.set_zero_linger();
                    }
                }
                return;
            }
            Ok(Err(error)) => tracing::debug!(%backend, %error, "backend refused"),
            Err(_) => tracing::debug!(%backend, "backend did not answer"),
        }
    }
    // Reset rather than closed: nobody answers here.
    _ = client.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_take_turns_unless_sticky() {
        let backends = Backends::default();
        let list: Vec<SocketAddr> = ["10.0.0.1:1", "10.0.0.2:1"]
            .iter()
            .map(|s| s.parse().unwrap())
            .collect();
        let client = IpAddr::from([10, 42, 0, 9]);
        assert!(backends.order(client).is_empty());
        backends.set(list.clone(), false);
        assert_ne!(backends.order(client)[0], backends.order(client)[0]);
        backends.set(list, true);
        assert_eq!(backends.order(client), backends.order(client));
    }
}
