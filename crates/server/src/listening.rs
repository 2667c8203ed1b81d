//! Binding addresses and serving routers on them. Owns no address and no route.

use crate::api::Failure;
use crate::error::Error;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use herder_listen::{Arriving, Handler, Limits, Peer, Plain, Refusal, Settings};
use http::Request;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long requests may take after the end was asked for. Streams that never end by themselves are cut then.
const DRAIN: Duration = Duration::from_secs(1);

/// Listens, or says what could not.
pub(crate) async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen {
        what,
        address,
        source,
    })
}

/// Serves a router until cancelled.
pub(crate) async fn serve(
    name: &'static str,
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<rustls::ServerConfig>>,
    cancel: CancellationToken,
) -> Result<(), Infallible> {
    let settings = Settings {
        name,
        limits: Limits {
            connections: 1000,
            per_peer: 200,
            ..Limits::default()
        },
        tls,
        plain: Plain::Http1,
        half_close: false,
        drain: DRAIN,
    };
    let make = move |peer: Peer| Connection {
        router: router.clone(),
        address: peer.address,
    };
    herder_listen::serve(listener, settings, make, cancel).await;
    Ok(())
}

#[derive(Clone)]
struct Connection {
    router: Router,
    address: Option<SocketAddr>,
}

impl Handler for Connection {
    type Body = Body;

    async fn answer(self, request: Request<Arriving>) -> Response {
        let mut request = request.map(Body::new);
        if let Some(address) = self.address {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        match self.router.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        Failure::no_room(refusal).into_response()
    }
}
