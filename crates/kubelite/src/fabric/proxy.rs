//! The service proxy: a listener for every service port, connections to ready backends in turn. Knows addresses, not
//! Kubernetes. A new snapshot changes where *new* connections go; open ones stay.

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

/// The listeners. Everything it spawned ends when it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    ports: BTreeMap<(SocketAddr, Protocol), Port>,
    tasks: JoinSet<()>,
    places: Places,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            ports: BTreeMap::new(),
            tasks: JoinSet::new(),
            places: Places::new(CARRIED.0, CARRIED.1),
        }
    }
}

impl Proxy {
    /// Makes the listeners be those of `snapshot`.
    pub(super) async fn set(&mut self, snapshot: &ServiceSnapshot) {
        while self.tasks.try_join_next().is_some() {}
        let mut wanted = BTreeSet::new();
        for service in &snapshot.services {
            let Some(ip) = service.cluster_ip.filter(|ip| !is_control_plane(*ip)) else {
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
        match protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(at).await?;
                self.tasks
                    .spawn(accept(listener, backends, self.places.clone(), stop.clone()));
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(at).await?;
                self.tasks.spawn(udp::relay(socket, backends, stop.clone()));
            }
        }
        Ok(stop)
    }
}

/// Addresses the control plane listens on itself: the first sixteen of the services range.
fn is_control_plane(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if matches!(ip.octets(), [10, 96, 0, 0..=15]))
}

async fn accept(listener: TcpListener, backends: Arc<Backends>, places: Places, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((client, from)) => match places.take(from.ip()) {
                    Some(place) => {
                        let carrying = carry(client, from, Arc::clone(&backends));
                        connections.spawn(async move {
                            carrying.await;
                            drop(place);
                        });
                    }
                    // Closed at once: this pod has more than its part, or all are taken.
                    None => tracing::debug!(%from, "too many connections through services"),
                },
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

async fn carry(mut client: TcpStream, from: SocketAddr, backends: Arc<Backends>) {
    for backend in backends.order(from.ip()) {
        match tokio::time::timeout(CONNECT, TcpStream::connect(backend)).await {
            Ok(Ok(mut server)) => {
                _ = client.set_nodelay(true);
                _ = server.set_nodelay(true);
                // Either side may reset the connection at any time: that is between them.
                _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                return;
            }
            Ok(Err(error)) => tracing::debug!(%backend, %error, "backend refused"),
            Err(_) => tracing::debug!(%backend, "backend did not answer"),
        }
    }
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
