//! Bodies in both directions. One that arrives is waited for only so long; one that leaves goes in pieces, so that what
//! its client does not take is seen, and is not lying in buffers.

use crate::limits::Limits;
use crate::seat::Seat;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Largest piece of an answer.
const PIECE: usize = 64 << 10;
/// The same on one stream of several.
const SMALL_PIECE: usize = 16 << 10;

/// Why a request's body ended too early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client took its time.
    #[error("the request's body did not arrive in time")]
    Slow,
    /// The connection or the client's framing.
    #[error("the request's body broke off")]
    Broken(#[source] hyper::Error),
}

/// A request's body on its way in.
#[derive(Debug)]
pub struct Arriving {
    body: Incoming,
    /// None where there is nothing to wait for.
    wait: Option<Box<Wait>>,
}

#[derive(Debug)]
struct Wait {
    seat: Arc<Seat>,
    grace: Duration,
    rate: u64,
    total: Option<Duration>,
    received: u64,
    waited: Duration,
    /// Since when the client is waited for, and until when at most.
    now: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Wait {
    fn left(&self) -> Duration {
        let earned = Duration::from_millis(self.received.saturating_mul(1000) / self.rate.max(1));
        let most = self.grace.saturating_add(earned);
        most.min(self.total.unwrap_or(Duration::MAX))
            .saturating_sub(self.waited)
    }

    fn came(&mut self, bytes: usize) {
        self.received += u64::try_from(bytes).unwrap_or_default();
        if let Some((since, _)) = self.now.take() {
            self.waited += since.elapsed();
            self.seat.got();
        }
    }

    /// Waits for the client; ready when it has had its time.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.left();
        let seat = &self.seat;
        let (_, sleep) = self.now.get_or_insert_with(|| {
            seat.lacks();
            (Instant::now(), Box::pin(tokio::time::sleep(left)))
        });
        sleep.as_mut().poll(cx)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.now.is_some() {
            self.seat.got();
        }
    }
}

impl Arriving {
    pub(crate) fn new(body: Incoming, seat: &Arc<Seat>, limits: &Limits) -> Self {
        let wait = (!body.is_end_stream()).then(|| {
            Box::new(Wait {
                seat: Arc::clone(seat),
                grace: limits.body,
                rate: limits.body_rate,
                total: limits.body_total,
                received: 0,
                waited: Duration::ZERO,
                now: None,
            })
        });
        Self { body, wait }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(wait) = &mut this.wait {
                    let bytes = frame
                        .as_ref()
                        .and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
                    wait.came(bytes.unwrap_or_default());
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => match &mut this.wait {
                Some(wait) => wait.poll(cx).map(|()| Some(Err(BodyError::Slow))),
                None => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request under way, from its head to the end of its answer.
#[derive(Debug)]
pub(crate) struct Flight(Arc<Seat>);

impl Flight {
    pub(crate) fn new(seat: &Arc<Seat>, version: http::Version) -> Self {
        seat.request(version);
        Self(Arc::clone(seat))
    }

    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.0
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// An answer's body on its way out.
pub(crate) struct Leaving<B> {
    body: B,
    rest: Bytes,
    piece: usize,
    /// Of no known length.
    stream: bool,
    given: bool,
    flight: Flight,
}

impl<B: Body<Data = Bytes>> Leaving<B> {
    pub(crate) fn new(body: B, flight: Flight) -> Self {
        let second = flight.seat().is_second();
        Self {
            rest: Bytes::new(),
            piece: if second { SMALL_PIECE } else { PIECE },
            stream: body.size_hint().exact().is_none(),
            given: false,
            body,
            flight,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Leaving<B> {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(self.piece));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Leaving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if std::mem::take(&mut this.given) {
            this.flight.seat().taken(this.stream);
        }
        let next = this.next(cx);
        // The last piece's taking is not told; with it this ends.
        if let Poll::Ready(Some(Ok(_))) = &next
            && !this.is_end_stream()
        {
            this.given = true;
            this.flight.seat().gave(this.stream);
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = u64::try_from(self.rest.len()).unwrap_or_default();
        if rest > 0 {
            let exact = hint.exact();
            hint.set_lower(hint.lower().saturating_add(rest));
            if let Some(exact) = exact {
                hint.set_exact(exact.saturating_add(rest));
            }
        }
        hint
    }
}

impl<B> Drop for Leaving<B> {
    fn drop(&mut self) {
        if self.given {
            self.flight.seat().taken(self.stream);
        }
    }
}
