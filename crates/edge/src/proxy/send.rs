//! One attempt: a request to one endpoint over an idle or a new connection.

use super::Body;
use crate::edge::Inner;
use crate::peers::Peer;
use crate::serve::Tasks;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::time::Duration;

/// How long an endpoint's kernel may take to acknowledge what was sent.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);

/// Why an attempt has no answer.
pub(super) enum Failure {
    /// Nothing was sent: any request may go elsewhere.
    NotSent {
        /// The request, if it can be had back whole.
        request: Option<Box<Request<Body>>>,
        reason: String,
    },
    /// The endpoint may have begun to work on it.
    Broken {
        reason: String,
        /// Whether the connection had served requests before.
        reused: bool,
    },
    /// No answer in time.
    Slow,
}

/// Sends a request to an endpoint.
pub(super) async fn send(
    edge: &Inner,
    tasks: &Tasks,
    peer: &Peer,
    mut request: Request<Body>,
    reuse: bool,
) -> Result<(Response<Incoming>, SendRequest<Body>), Failure> {
    while reuse && let Some(mut sender) = peer.checkout() {
        match tokio::time::timeout(edge.limits.response, sender.try_send_request(request)).await {
            Ok(Ok(response)) => return Ok((response, sender)),
            Ok(Err(mut failed)) => match failed.take_message() {
                // The connection had ended before the request got onto it: the next one.
                Some(back) => request = back,
                None => {
                    return Err(Failure::Broken {
                        reason: failed.into_error().to_string(),
                        reused: true,
                    });
                }
            },
            Err(_) => return Err(Failure::Slow),
        }
    }
    let mut sender = match connect(edge, tasks, peer).await {
        Ok(sender) => sender,
        Err(reason) => {
            return Err(Failure::NotSent {
                request: Some(Box::new(request)),
                reason,
            });
        }
    };
    match tokio::time::timeout(edge.limits.response, sender.try_send_request(request)).await {
        Ok(Ok(response)) => Ok((response, sender)),
        Ok(Err(mut failed)) => {
            let back = failed.take_message();
            let reason = failed.into_error().to_string();
            Err(match back {
                Some(request) => Failure::NotSent {
                    request: Some(Box::new(request)),
                    reason,
                },
                None => Failure::Broken {
                    reason,
                    reused: false,
                },
            })
        }
        Err(_) => Err(Failure::Slow),
    }
}

/// A new connection, driven by a task of the listener.
async fn connect(edge: &Inner, tasks: &Tasks, peer: &Peer) -> Result<SendRequest<Body>, String> {
    let stream = tokio::time::timeout(edge.limits.connect, edge.dial.dial(peer.address))
        .await
        .map_err(|_| format!("no connection within {} ms", edge.limits.connect.as_millis()))?
        .map_err(|error| format!("no connection: {error}"))?;
    let _ = stream.set_nodelay(true);
    // A node that loses power sends no goodbye: what it does not acknowledge in time fails, and can go elsewhere.
    let patience = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    let _ = nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::TcpUserTimeout, &patience);
    let (sender, connection) = Builder::new()
        .max_buf_size(edge.limits.header_size.max(8 << 10))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tasks.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an endpoint ended");
        }
    });
    Ok(sender)
}
