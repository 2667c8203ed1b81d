//! Carries UDP for the service proxy: one socket per client, kept while it talks.

use super::policy::Transport;
use super::proxy::{Backends, Gatekeeper};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A client silent for so long is forgotten.
const IDLE: Duration = Duration::from_secs(30);
/// Clients one port serves at once; packets of further ones are dropped, as a full network would.
const CLIENTS: usize = 1024;
/// Of these, one pod's: its oldest makes room for its next, so that one pod leaves room for others.
const OF_ONE: usize = 256;

/// The clients of one port. Each has a number, so that the end of an earlier one is not taken for a later one's.
#[derive(Debug, Default)]
struct Clients {
    all: HashMap<SocketAddr, (u64, mpsc::Sender<Vec<u8>>)>,
    /// Oldest first.
    of: HashMap<IpAddr, VecDeque<SocketAddr>>,
    number: u64,
}

impl Clients {
    /// Makes room for another of `client`'s; false if there is none.
    fn make_room(&mut self, client: SocketAddr) -> bool {
        let oldest = self
            .of
            .get(&client.ip())
            .filter(|own| own.len() >= OF_ONE)
            .and_then(|own| own.front().copied());
        if let Some(oldest) = oldest {
            self.forget(oldest, None);
        }
        self.all.len() < CLIENTS
    }

    fn insert(&mut self, client: SocketAddr, sender: mpsc::Sender<Vec<u8>>) -> u64 {
        self.forget(client, None);
        self.number += 1;
        self.all.insert(client, (self.number, sender));
        self.of.entry(client.ip()).or_default().push_back(client);
        self.number
    }

    /// Its task ends when its sender goes.
    fn forget(&mut self, client: SocketAddr, number: Option<u64>) {
        let same = |known: u64| number.is_none_or(|number| number == known);
        if !self.all.get(&client).is_some_and(|(known, _)| same(*known)) {
            return;
        }
        self.all.remove(&client);
        if let Some(own) = self.of.get_mut(&client.ip()) {
            own.retain(|one| *one != client);
            if own.is_empty() {
                self.of.remove(&client.ip());
            }
        }
    }
}

/// Relays until stopped.
pub(super) async fn relay(
    socket: UdpSocket,
    backends: Arc<Backends>,
    gatekeeper: Gatekeeper,
    stop: CancellationToken,
) {
    let socket = Arc::new(socket);
    let mut clients = Clients::default();
    let mut tasks: JoinSet<(SocketAddr, u64)> = JoinSet::new();
    let mut buffer = vec![0_u8; 65_536];
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Ok((client, number)) = ended { clients.forget(client, Some(number)); }
            }
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, client)) = received else { continue };
                let packet = buffer.get(..length).unwrap_or_default().to_vec();
                let packet = match clients.all.get(&client).map(|(_, sender)| sender.try_send(packet)) {
                    Some(Ok(()) | Err(mpsc::error::TrySendError::Full(_))) => continue,
                    Some(Err(mpsc::error::TrySendError::Closed(packet))) => packet,
                    None => buffer.get(..length).unwrap_or_default().to_vec(),
                };
                let order = backends.order(client.ip());
                let mut allowed = order
                    .into_iter()
                    .filter(|backend| gatekeeper.allows(client.ip(), *backend, Transport::Udp));
                let Some(backend) = allowed.next() else { continue };
                if !clients.make_room(client) { continue }
                let (sender, receiver) = mpsc::channel(64);
                // An empty channel of 64 has room for one.
                _ = sender.try_send(packet);
                let number = clients.insert(client, sender);
                let (front, mut gatekeeper) = (Arc::clone(&socket), gatekeeper.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = talk(front, client, backend, receiver) => {}
                        () = gatekeeper.forbidden(client.ip(), backend, Transport::Udp) => {}
                    }
                    (client, number)
                });
            }
        }
    }
}

async fn talk(
    front: Arc<UdpSocket>,
    client: SocketAddr,
    backend: SocketAddr,
    mut packets: mpsc::Receiver<Vec<u8>>,
) {
    let Ok(back) = UdpSocket::bind(("0.0.0.0", 0)).await else {
        return;
    };
    if back.connect(backend).await.is_err() {
        return;
    }
    let mut buffer = vec![0_u8; 65_536];
    loop {
        // Lost packets are UDP's way of saying no: errors of single packets end nothing but the wait.
        tokio::select! {
            packet = packets.recv() => match packet {
                Some(packet) => _ = back.send(&packet).await,
                None => return,
            },
            received = back.recv(&mut buffer) => match received {
                Ok(length) => _ = front.send_to(buffer.get(..length).unwrap_or_default(), client).await,
                Err(_) => return,
            },
            () = tokio::time::sleep(IDLE) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pod_makes_room_for_itself() {
        let mut clients = Clients::default();
        let client = |host: u8, port: u16| SocketAddr::from(([10, 42, 1, host], port));
        let mut first = 0;
        for port in 0..300 {
            assert!(clients.make_room(client(2, port)));
            let number = clients.insert(client(2, port), mpsc::channel(1).0);
            first = if port == 299 { number } else { first };
        }
        assert_eq!(clients.all.len(), OF_ONE);
        assert!(!clients.all.contains_key(&client(2, 0)) && clients.all.contains_key(&client(2, 299)));
        assert!(clients.make_room(client(3, 1)));
        // The end of an earlier one with the same address is not the later one's.
        let later = clients.insert(client(2, 299), mpsc::channel(1).0);
        clients.forget(client(2, 299), Some(first));
        assert!(clients.all.contains_key(&client(2, 299)));
        clients.forget(client(2, 299), Some(later));
        assert_eq!(
            (clients.all.len(), clients.of[&client(2, 0).ip()].len()),
            (255, 255)
        );
    }
}
