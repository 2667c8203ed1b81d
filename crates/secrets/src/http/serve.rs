//! Serves the router on a listener, plain or with TLS, until cancelled; then lets requests under way finish, those that
//! change something also without their clients. How connections are taken and bounded is `herder_listen`'s.

use super::{PeerCertificates, failure, respond};
use crate::server::Server;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use herder_listen::{Arriving, Handler, Limits, Peer, Plain, Refusal, Settings};
use http_body_util::Full;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take after the end was asked for.
const DRAIN: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) async fn serve(
    server: Server,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    cancel: CancellationToken,
) {
    let settings = Settings {
        name: "secrets",
        limits: Limits {
            body: super::MOST_WAITING,
            body_total: Some(super::MOST_WAITING),
            ..Limits::default()
        },
        tls,
        // Without TLS nobody negotiates HTTP/2.
        plain: Plain::Http1,
        // Nothing ends early because its client does not listen any more, so nobody has to look.
        half_close: true,
        drain: DRAIN,
    };
    let serving = server.clone();
    let make = move |peer: Peer| Connection(Arc::new(Shared::new(serving.clone(), peer)));
    herder_listen::serve(listener, settings, make, cancel).await;
    // Their clients are gone; what they began is not.
    server.drained().await;
}

/// One connection.
#[derive(Clone)]
struct Connection(Arc<Shared>);

struct Shared {
    server: Server,
    address: Option<SocketAddr>,
    certificates: Option<PeerCertificates>,
}

impl Shared {
    fn new(server: Server, peer: Peer) -> Self {
        let certificates: Vec<Vec<u8>> = peer
            .certificates
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect();
        Self {
            server,
            address: peer.address,
            certificates: (!certificates.is_empty()).then_some(PeerCertificates(certificates)),
        }
    }
}

impl Handler for Connection {
    type Body = Full<Bytes>;

    async fn answer(self, mut request: http::Request<Arriving>) -> http::Response<Full<Bytes>> {
        if let Some(address) = self.0.address {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        if let Some(certificates) = &self.0.certificates {
            request.extensions_mut().insert(certificates.clone());
        }
        route(&self.0.server, request).await.map(Full::new)
    }

    fn refuse(&self, refusal: Refusal) -> http::Response<Full<Bytes>> {
        let status = match refusal {
            Refusal::Peer => 429,
            Refusal::Full => 503,
        };
        failure(status, vec![refusal.to_string()]).map(Full::new)
    }
}

/// What the router does, without its machinery: the API is below one path.
async fn route(server: &Server, request: http::Request<Arriving>) -> http::Response<Bytes> {
    match request.uri().path() {
        path if path.starts_with("/v1/") && path.len() > 4 => respond(server, request).await,
        "/" => http::Response::new(Bytes::from_static(super::GREETING)),
        _ => failure(404, Vec::new()),
    }
}
