//! Carries UDP for the service proxy: one socket per client, kept while it talks.

use super::policy::Transport;
use super::proxy::{Backends, Gatekeeper};
use herder_listen::Places;
use std::collections::HashMap;
use std::net::SocketAddr;
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
/// Ports of one pod that one port serves at once: one pod leaves room for others.
const OF_ONE: usize = 256;

/// Relays until stopped.
pub(super) async fn relay(
    socket: UdpSocket,
    backends: Arc<Backends>,
    gatekeeper: Gatekeeper,
    stop: CancellationToken,
) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut tasks: JoinSet<SocketAddr> = JoinSet::new();
    let mut buffer = vec![0_u8; 65_536];
    let places = Places::new(CLIENTS, OF_ONE);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Ok(client) = ended { clients.remove(&client); }
            }
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, client)) = received else { continue };
                let packet = buffer.get(..length).unwrap_or_default().to_vec();
                let packet = match clients.get(&client).map(|sender| sender.try_send(packet)) {
                    Some(Ok(()) | Err(mpsc::error::TrySendError::Full(_))) => continue,
                    Some(Err(mpsc::error::TrySendError::Closed(packet))) => packet,
                    None => buffer.get(..length).unwrap_or_default().to_vec(),
                };
                let order = backends.order(client.ip());
                let mut allowed = order
                    .into_iter()
                    .filter(|backend| gatekeeper.allows(client.ip(), *backend, Transport::Udp));
                let Some(backend) = allowed.next() else { continue };
                let Some(place) = places.take(client.ip()) else { continue };
                let (sender, receiver) = mpsc::channel(64);
                // An empty channel of 64 has room for one.
                _ = sender.try_send(packet);
                clients.insert(client, sender);
                let (front, mut gatekeeper) = (Arc::clone(&socket), gatekeeper.clone());
                tasks.spawn(async move {
                    let _place = place;
                    tokio::select! {
                        () = talk(front, client, backend, receiver) => {}
                        () = gatekeeper.forbidden(client.ip(), backend, Transport::Udp) => {}
                    }
                    client
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
