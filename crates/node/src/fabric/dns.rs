//! The cluster's DNS server: UDP and TCP on one address. Answers from the zone, asks the machine's resolver for the
//! rest if there is one that answers.

use super::types::{DNS, ServiceSnapshot};
use super::upstream::Upstream;
use super::zone::{Verdict, Zone};
use arc_swap::ArcSwap;
use herder_listen::Places;
use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{RData, RecordType};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// Questions answered at the same time; more wait in the socket.
const AT_ONCE: usize = 512;
/// Of these, one pod's; its further ones are dropped, so that others' are answered.
const OF_ONE: usize = 64;
/// Connections, in all and of one pod. They are counted apart: they last, and must not hold up questions.
const STREAMS: usize = 256;
const STREAMS_OF_ONE: usize = 16;
/// A silent TCP client is dropped after this.
const IDLE: Duration = Duration::from_secs(20);

/// What both servers share.
#[derive(Debug, Default)]
pub(super) struct Names {
    zone: ArcSwap<Zone>,
    /// The machine's resolver, once the control plane has sent a socket to it.
    pub(super) upstream: Upstream,
}

impl Names {
    /// Replaces the zone.
    pub(super) fn set(&self, snapshot: &ServiceSnapshot) {
        self.zone.store(Arc::new(Zone::new(snapshot)));
    }

    async fn answer(&self, packet: &[u8], limit: Option<usize>) -> Option<Vec<u8>> {
        let request = match Message::from_vec(packet) {
            Ok(request) if request.metadata.message_type == MessageType::Query => request,
            Ok(_) => return None,
            // The id, at least, can be read: say that the rest could not.
            Err(_) => {
                let id = u16::from_be_bytes([*packet.first()?, *packet.get(1)?]);
                return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr)
                    .to_vec()
                    .ok();
            }
        };
        let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
        reply.metadata.recursion_desired = request.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_queries(request.queries.iter().cloned());
        let limit = limit.map(|limit| limit.max(usize::from(request.max_payload())));
        if request.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            reply.set_edns(edns);
        }
        match (request.metadata.op_code, request.queries.as_slice()) {
            (OpCode::Query, [query]) => {
                if let Some(forwarded) = self.fill(&mut reply, query, packet).await {
                    return Some(forwarded);
                }
            }
            (OpCode::Query, _) => reply.metadata.response_code = ResponseCode::FormErr,
            _ => reply.metadata.response_code = ResponseCode::NotImp,
        }
        let bytes = reply.to_vec().ok()?;
        match limit {
            Some(limit) if bytes.len() > limit => reply.truncate().to_vec().ok(),
            _ => Some(bytes),
        }
    }

    /// Fills the reply, or returns the machine's resolver's own.
    async fn fill(&self, reply: &mut Message, query: &Query, packet: &[u8]) -> Option<Vec<u8>> {
        let verdict = self.zone.load().lookup(query.name(), query.query_type());
        match verdict {
            Verdict::Records(records) => {
                reply.metadata.authoritative = true;
                let alias = records.iter().find_map(|record| match &record.data {
                    RData::CNAME(target) => Some(target.0.clone()),
                    _ => None,
                });
                if records.is_empty() {
                    reply.add_authorities(Zone::authority());
                }
                reply.add_answers(records);
                if let Some(target) = alias.filter(|_| query.query_type() != RecordType::CNAME)
                    && let Verdict::Records(more) = self.zone.load().lookup(&target, query.query_type())
                {
                    reply.add_answers(more);
                }
            }
            Verdict::NoSuchName => {
                reply.metadata.authoritative = true;
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authorities(Zone::authority());
            }
            Verdict::NotOurs => match self.upstream.ask(packet).await {
                Some(answer) => return Some(answer),
                None => reply.metadata.response_code = ResponseCode::ServFail,
            },
        }
        None
    }
}

/// Binds both sockets.
pub(super) async fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let at = SocketAddr::from((DNS, 53));
    Ok((UdpSocket::bind(at).await?, TcpListener::bind(at).await?))
}

/// Serves until dropped.
pub(super) async fn serve(udp: UdpSocket, tcp: TcpListener, names: Arc<Names>) {
    let udp = Arc::new(udp);
    let (mut tasks, mut streams) = (JoinSet::new(), JoinSet::new());
    let questions = Places::new(AT_ONCE, OF_ONE);
    let connections = Places::new(STREAMS, STREAMS_OF_ONE);
    let mut buffer = vec![0_u8; 4096];
    loop {
        tokio::select! {
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
            received = udp.recv_from(&mut buffer), if tasks.len() < AT_ONCE => {
                let Ok((length, client)) = received else { continue };
                let Some(place) = questions.take(client.ip()) else { continue };
                let packet = buffer.get(..length).unwrap_or_default().to_vec();
                let (udp, names) = (Arc::clone(&udp), Arc::clone(&names));
                tasks.spawn(async move {
                    let _place = place;
                    if let Some(reply) = names.answer(&packet, Some(512)).await {
                        // The client may be gone; it would ask again.
                        _ = udp.send_to(&reply, client).await;
                    }
                });
            }
            accepted = tcp.accept() => match accepted {
                Ok((stream, client)) => {
                    let Some(place) = connections.take(client.ip()) else { continue };
                    let names = Arc::clone(&names);
                    streams.spawn(async move {
                        let _place = place;
                        _ = tokio::time::timeout(IDLE, stream_of(stream, &names)).await;
                    });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

async fn stream_of(mut stream: TcpStream, names: &Names) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut packet = vec![0_u8; usize::from(length)];
        stream.read_exact(&mut packet).await?;
        let Some(reply) = names.answer(&packet, None).await else {
            return Ok(());
        };
        let Ok(length) = u16::try_from(reply.len()) else {
            return Ok(());
        };
        stream.write_u16(length).await?;
        stream.write_all(&reply).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::ServiceEntry;
    use super::*;
    use hickory_server::proto::rr::Name;
    use std::net::IpAddr;

    #[tokio::test]
    async fn long_answers_are_cut_for_udp_and_garbage_is_refused() {
        let names = Names::default();
        let service = ServiceEntry {
            namespace: "a".into(),
            name: "many".into(),
            headless_ips: (0..200).map(|n| IpAddr::from([10, 42, 1, n])).collect(),
            ..ServiceEntry::default()
        };
        names.set(&ServiceSnapshot {
            services: vec![service],
        });
        let mut query = Message::query();
        query.add_query(Query::query(
            Name::from_ascii("many.a.svc.cluster.local.").unwrap(),
            RecordType::A,
        ));
        let packet = query.to_vec().unwrap();
        let short = Message::from_vec(&names.answer(&packet, Some(512)).await.unwrap()).unwrap();
        assert!(short.metadata.truncation && short.answers.is_empty());
        let whole = Message::from_vec(&names.answer(&packet, None).await.unwrap()).unwrap();
        assert_eq!(whole.answers.len(), 200);

        let bad = Message::from_vec(&names.answer(&[1, 2, 3], Some(512)).await.unwrap()).unwrap();
        assert_eq!(bad.metadata.response_code, ResponseCode::FormErr);
        assert_eq!(names.answer(&[1], Some(512)).await, None);

        let mut query = Message::query();
        query.add_query(Query::query(
            Name::from_ascii("example.com.").unwrap(),
            RecordType::A,
        ));
        let outside = names.answer(&query.to_vec().unwrap(), Some(512)).await.unwrap();
        assert_eq!(
            Message::from_vec(&outside).unwrap().metadata.response_code,
            ResponseCode::ServFail
        );
    }
}
