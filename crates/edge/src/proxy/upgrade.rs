//! WebSockets and other protocol changes: after 101 the bytes pass in both directions until either side ends.

use super::headers::Upgrade;
use super::send::{Failure, send};
use super::{Attempts, Body, Client, Target, Trouble, body, slow};
use crate::edge::Inner;
use herder_listen::Arriving;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// Asks an endpoint for the change; a refusal is passed on as any answer.
pub(super) async fn tunnel(
    edge: &Arc<Inner>,
    client: &Client,
    target: &Target,
    request: Request<Arriving>,
    upgrade: Upgrade,
) -> Result<Response<Body>, Trouble> {
    let (parts, _) = request.into_parts();
    let mut attempts = Attempts::new(edge.limits.wait);
    loop {
        let (peer, backend) = attempts.next(edge, target).await?;
        let mut request = Request::new(body::empty());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        match send(edge, &client.tasks, peer.peer(), request, false).await {
            Ok((mut response, _)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let endpoint = hyper::upgrade::on(&mut response);
                let stop = client.tasks.stop.clone();
                let grace = edge.limits.drain / 2;
                client.tasks.spawn(async move {
                    let (Ok(near), Ok(far)) = tokio::join!(upgrade.client, endpoint) else {
                        return;
                    };
                    let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        // Long streams outlive any drain: they get a while, then their clients reconnect.
                        () = async { stop.cancelled().await; tokio::time::sleep(grace).await } => {}
                    }
                    drop(peer);
                });
                let (mut head, _) = response.into_parts();
                head.headers
                    .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                return Ok(Response::from_parts(head, body::empty()));
            }
            Ok((response, sender)) => {
                let (head, incoming) = response.into_parts();
                return Ok(Response::from_parts(
                    head,
                    body::Tracked::streaming(incoming, peer, sender),
                ));
            }
            Err(Failure::NotSent { reason, .. }) => {
                edge.peers.eject(peer.peer());
                attempts.failed(peer.peer().address, reason);
            }
            Err(Failure::Broken { reason, .. }) => return Err(Trouble::Broken { backend, reason }),
            Err(Failure::Slow) => return Err(slow(backend, edge.limits.response)),
        }
    }
}
