//! Bodies: kept for sending again where they are small, passed on piece by piece where they are not.

use super::Active;
use crate::peers::InFlight;
use bytes::Bytes;
use herder_listen::Arriving;
use http::request::Parts;
use http::{Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Empty, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Any body, in both directions.
pub(crate) type Body = UnsyncBoxBody<Bytes, Error>;

/// Why a body ended too early, on either side.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Nothing.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A whole body.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that was read whole, with its trailers.
pub(super) fn collected(body: Collected<Bytes>) -> Body {
    if body.trailers().is_none() {
        return full(body.to_bytes());
    }
    body.map_err(|never| match never {}).boxed_unsync()
}

/// A request in the form in which it can be tried.
pub(super) enum Payload {
    /// Can be made as often as needed.
    Again(Box<Parts>, Bytes),
    /// Can be sent once.
    Once(Option<Request<Body>>),
}

impl Payload {
    /// Keeps the body if its length is known and small.
    pub(super) async fn read(request: Request<Arriving>, limit: usize) -> Result<Self, String> {
        let (parts, body) = request.into_parts();
        let small = body.size_hint().exact().is_some_and(|size| size <= limit as u64);
        if body.is_end_stream() {
            return Ok(Self::Again(Box::new(parts), Bytes::new()));
        }
        if !small {
            return Ok(Self::Once(Some(Request::from_parts(
                parts,
                body.map_err(Error::from).boxed_unsync(),
            ))));
        }
        let bytes = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        Ok(Self::Again(Box::new(parts), bytes))
    }

    /// Whether the request can be sent again after an endpoint may have seen it.
    pub(super) fn replayable(&self) -> bool {
        match self {
            Self::Again(parts, _) => idempotent(&parts.method),
            Self::Once(..) => false,
        }
    }

    /// The request for the next attempt.
    pub(super) fn request(&mut self) -> Option<Request<Body>> {
        match self {
            Self::Again(parts, bytes) => {
                let mut request = Request::new(if bytes.is_empty() {
                    empty()
                } else {
                    full(bytes.clone())
                });
                *request.method_mut() = parts.method.clone();
                *request.uri_mut() = parts.uri.clone();
                *request.headers_mut() = parts.headers.clone();
                Some(request)
            }
            Self::Once(request) => request.take(),
        }
    }

    /// Takes back a request that was not sent.
    pub(super) fn restore(&mut self, request: Option<Box<Request<Body>>>) {
        if let Self::Once(place) = self {
            *place = request.map(|request| *request);
        }
    }
}

/// Whether doing it twice is the same as once (RFC 9110, section 9.2.2).
fn idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// A body that holds something until it ends: the place among those in flight, and the connection it comes from.
pub(super) struct Tracked<B> {
    body: B,
    connection: Option<(InFlight, SendRequest<Body>)>,
    active: Option<Active>,
}

impl Tracked<Incoming> {
    /// An answer on its way from an endpoint; its connection is used again when it ended well.
    pub(super) fn streaming(body: Incoming, peer: InFlight, sender: SendRequest<Body>) -> Body {
        let mut tracked = Self {
            body,
            connection: Some((peer, sender)),
            active: None,
        };
        if tracked.body.is_end_stream() {
            tracked.finish();
        }
        tracked.boxed_unsync()
    }
}

impl Tracked<Body> {
    /// An answer on its way to the client.
    pub(super) fn active(body: Body, active: Active) -> Body {
        Self {
            body,
            connection: None,
            active: Some(active),
        }
        .boxed_unsync()
    }
}

impl<B> Tracked<B> {
    fn finish(&mut self) {
        if let Some((peer, sender)) = self.connection.take() {
            peer.peer().checkin(sender);
        }
        self.active = None;
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<Error>> + Unpin> HttpBody for Tracked<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.finish(),
            Some(Ok(_)) if self.body.is_end_stream() => self.finish(),
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                self.connection = None;
                self.active = None;
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
