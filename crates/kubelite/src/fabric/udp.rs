//! Carries UDP for the service proxy: one socket per client, kept while it talks.

use super::proxy::Backends;
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
/// Clients one port serves at once, and those at one address; packets of further ones are dropped, as a full network would.
const CLIENTS: (usize, usize) = (1024, 256);

/// Relays until stopped.
pub(super) async fn relay(socket: UdpSocket, backends: Arc<Backends>, stop: CancellationToken) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut tasks: JoinSet<SocketAddr> = JoinSet::new();
    let mut buffer = vec![0_u8; 65_536];
    let places = Places::new(CLIENTS.0, CLIENTS.1);
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
                let Some(backend) = backends.order(client.ip()).first().copied() else { continue };
                let Some(place) = places.take(client.ip()) else { continue };
                let (sender, receiver) = mpsc::channel(64);
                // An empty channel of 64 has room for one.
                _ = sender.try_send(packet);
                clients.insert(client, sender);
                let talking = talk(Arc::clone(&socket), client, backend, receiver);
                tasks.spawn(async move {
                    let client = talking.await;
                    drop(place);
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
) -> SocketAddr {
    let Ok(back) = UdpSocket::bind(("0.0.0.0", 0)).await else {
        return client;
    };
    if back.connect(backend).await.is_err() {
        return client;
    }
    let mut buffer = vec![0_u8; 65_536];
    loop {
        // Lost packets are UDP's way of saying no: errors of single packets end nothing but the wait.
        tokio::select! {
            packet = packets.recv() => match packet {
                Some(packet) => _ = back.send(&packet).await,
                None => return client,
            },
            received = back.recv(&mut buffer) => match received {
                Ok(length) => _ = front.send_to(buffer.get(..length).unwrap_or_default(), client).await,
                Err(_) => return client,
            },
            () = tokio::time::sleep(IDLE) => return client,
        }
    }
}
