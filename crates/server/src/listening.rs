//! Binding addresses and serving routers on them. Owns no address and no route.

use crate::error::Error;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Listens, or says what could not.
pub(crate) async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen {
        what,
        address,
        source,
    })
}

/// Serves a router until cancelled. Streams that never end by themselves are cut when the listener closes.
pub(crate) async fn serve(
    listener: TcpListener,
    router: axum::Router,
    cancel: CancellationToken,
) -> Result<(), std::io::Error> {
    let ended = cancel.clone();
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned());
    let serving = std::pin::pin!(std::future::IntoFuture::into_future(serving));
    let grace = async {
        ended.cancelled().await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    };
    tokio::select! {
        result = serving => result,
        () = grace => Ok(()),
    }
}
