//! The endpoints behind the edge: who is busy, who failed just now, and idle connections to each.

use crate::proxy::Body;
use hyper::client::conn::http1::SendRequest;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Idle connections older than this are not used: servers close them at about a minute.
const IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept to one endpoint.
const IDLE_LIMIT: usize = 64;
/// How long the first failure keeps an endpoint out; doubled each time, up to 32 times.
const EJECT: Duration = Duration::from_millis(500);

/// All endpoints that were used, by address.
#[derive(Debug)]
pub(crate) struct Peers {
    all: Mutex<HashMap<SocketAddr, Arc<Peer>>>,
    next: AtomicUsize,
    start: Instant,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    in_flight: AtomicUsize,
    failures: AtomicU32,
    /// Milliseconds after the start of `Peers`.
    ejected_until: AtomicU64,
    idle: Mutex<Vec<(SendRequest<Body>, Instant)>>,
}

/// Counts a request to a peer as in flight until dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Peer>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl InFlight {
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Peers {
    pub(crate) fn new() -> Self {
        Self {
            all: Mutex::default(),
            next: AtomicUsize::new(0),
            start: Instant::now(),
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Peer>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The least busy endpoint that was not tried, in turn among equals; one that failed just now only if there is no
    /// other.
    pub(crate) fn choose(&self, endpoints: &[SocketAddr], tried: &[SocketAddr]) -> Option<InFlight> {
        let now = self.now();
        let turn = self.next.fetch_add(1, Relaxed);
        let mut all = self.all();
        let count = endpoints.len();
        let best = (0..count)
            .filter_map(|i| endpoints.get((turn.wrapping_add(i)) % count))
            .filter(|address| !tried.contains(address))
            .map(|address| {
                let peer = all
                    .entry(*address)
                    .or_insert_with(|| Arc::new(Peer::new(*address)));
                let ejected = peer.ejected_until.load(Relaxed) > now;
                (ejected, peer.in_flight.load(Relaxed), Arc::clone(peer))
            })
            .min_by_key(|(ejected, in_flight, _)| (*ejected, *in_flight));
        best.map(|(_, _, peer)| {
            peer.in_flight.fetch_add(1, Relaxed);
            InFlight(peer)
        })
    }

    /// Keeps a failed endpoint out for a while.
    pub(crate) fn eject(&self, peer: &Peer) {
        let failures = peer.failures.fetch_add(1, Relaxed).min(5);
        let pause = u64::try_from(EJECT.as_millis()).unwrap_or(0) << failures;
        peer.ejected_until
            .store(self.now().saturating_add(pause), Relaxed);
        peer.idle().clear();
    }

    /// Forgets endpoints that are no longer wanted, with their idle connections; requests in flight keep theirs.
    pub(crate) fn keep(&self, wanted: impl Fn(&SocketAddr) -> bool) {
        self.all().retain(|address, peer| {
            let keep = wanted(address);
            if !keep {
                peer.idle().clear();
            }
            keep
        });
    }
}

impl Peer {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            in_flight: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            idle: Mutex::default(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(SendRequest<Body>, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection that is still good, the newest first.
    pub(crate) fn checkout(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle();
        idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE);
        let at = idle.iter().rposition(|(sender, _)| sender.is_ready())?;
        Some(idle.remove(at).0)
    }

    /// Gives a connection back after a whole exchange.
    pub(crate) fn checkin(&self, sender: SendRequest<Body>) {
        self.failures.store(0, Relaxed);
        self.ejected_until.store(0, Relaxed);
        let mut idle = self.idle();
        if idle.len() < IDLE_LIMIT && !sender.is_closed() {
            idle.push((sender, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn prefers_idle_and_healthy() {
        let peers = Peers::new();
        let [a, b, c] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let first = peers.choose(&[a, b, c], &[]).unwrap();
        let second = peers.choose(&[a, b, c], &[]).unwrap();
        assert_ne!(first.peer().address, second.peer().address);
        let third = peers
            .choose(&[a, b, c], &[first.peer().address, second.peer().address])
            .unwrap();
        assert!(peers.choose(&[a, b, c], &[a, b, c]).is_none());
        assert!(peers.choose(&[], &[]).is_none());
        peers.eject(first.peer());
        drop((second, third));
        for _ in 0..10 {
            assert_ne!(
                peers.choose(&[a, b, c], &[]).unwrap().peer().address,
                first.peer().address
            );
        }
        let only = [first.peer().address];
        assert_eq!(
            peers.choose(&only, &[]).unwrap().peer().address,
            first.peer().address
        );
    }
}
