//! A connection's seat: whether its client is waited for, since when and for what. Only numbers, so that a request costs
//! no lock and no timer; the room looks at them twice a second.

use crate::limits::Limits;
use crate::room::Group;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// The TLS handshake.
    Handshake,
    /// Before the first request.
    Fresh,
    /// Between two requests.
    Idle,
    /// In the middle of a request's head.
    Head,
    /// Not HTTP any more: bytes between two others.
    Upgraded,
}

/// What the task of a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// Go on.
    Stay,
    /// Finish what is under way, take nothing new.
    Finish,
    /// End between two requests, now.
    Leave,
    /// End.
    Go,
}

/// The room's time in milliseconds, read by every seat and written by the room, so that requests do not ask a clock.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn set(&self, since_start: Duration) {
        self.0.store(
            u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX),
            Relaxed,
        );
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) group: Group,
    clock: std::sync::Arc<Clock>,
    phase: AtomicU8,
    /// When this phase began; what comes in crumbs does not make it longer.
    entered: AtomicU64,
    /// When something last moved.
    since: AtomicU64,
    /// Before the first request: whether its next bytes are waited for. Until we have looked, it is our turn.
    lacking: AtomicBool,
    /// Requests being answered, until the end of their answers.
    flight: AtomicU32,
    /// Of those, whose client is waited for: for the body or to take the answer.
    waiting: AtomicU32,
    /// Of those, whose client does not take an answer; of known length, and streams.
    owed: AtomicU32,
    streams: AtomicU32,
    second: AtomicBool,
    order: AtomicU8,
    told: Notify,
}

impl Seat {
    pub(crate) fn new(group: Group, clock: std::sync::Arc<Clock>, tls: bool) -> Self {
        let phase = if tls { Phase::Handshake } else { Phase::Fresh };
        Self {
            group,
            entered: AtomicU64::new(clock.get()),
            since: AtomicU64::new(clock.get()),
            lacking: AtomicBool::new(false),
            clock,
            phase: AtomicU8::new(phase as u8),
            flight: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            owed: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            second: AtomicBool::new(false),
            order: AtomicU8::new(Order::Stay as u8),
            told: Notify::new(),
        }
    }

    pub(crate) fn moved(&self) {
        self.since.store(self.clock.get(), Relaxed);
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.entered.store(self.clock.get(), Relaxed);
        self.moved();
    }

    fn is_unproven(&self) -> bool {
        self.is(Phase::Handshake) || self.is(Phase::Fresh)
    }

    /// The socket has nothing for us.
    pub(crate) fn ran_dry(&self) {
        if self.is_unproven() && !self.lacking.swap(true, Relaxed) {
            self.moved();
        }
    }

    /// The socket had something for us.
    pub(crate) fn flowed(&self) {
        if self.is_unproven() {
            self.lacking.store(false, Relaxed);
        }
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    pub(crate) fn shook_hands(&self) {
        self.enter(Phase::Fresh);
    }

    /// Bytes came. Between two requests of HTTP/1 they are the next one's head; with HTTP/2 they may be anything.
    pub(crate) fn read(&self) {
        if self.is(Phase::Idle) && self.flight.load(Relaxed) == 0 && !self.second.load(Relaxed) {
            self.enter(Phase::Head);
        }
    }

    pub(crate) fn request(&self, version: http::Version) {
        if version == http::Version::HTTP_2 {
            self.second.store(true, Relaxed);
        }
        self.flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn answered(&self) {
        self.moved();
        if self.flight.fetch_sub(1, Relaxed) == 1 && !self.is(Phase::Upgraded) {
            self.enter(Phase::Idle);
        }
    }

    pub(crate) fn upgraded(&self) {
        self.enter(Phase::Upgraded);
    }

    pub(crate) fn is_second(&self) -> bool {
        self.second.load(Relaxed)
    }

    /// A body is waited for.
    pub(crate) fn lacks(&self) {
        self.moved();
        self.waiting.fetch_add(1, Relaxed);
    }

    pub(crate) fn got(&self) {
        self.moved();
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// A piece of an answer was given away.
    pub(crate) fn gave(&self, stream: bool) {
        self.lacks();
        self.kind(stream).fetch_add(1, Relaxed);
    }

    /// It was taken.
    pub(crate) fn taken(&self, stream: bool) {
        self.got();
        self.kind(stream).fetch_sub(1, Relaxed);
    }

    fn kind(&self, stream: bool) -> &AtomicU32 {
        if stream { &self.streams } else { &self.owed }
    }

    /// Since when only the client could go on; none while there is work.
    pub(crate) fn waits(&self) -> Option<u64> {
        let flight = self.flight.load(Relaxed);
        let works = self.is_unseen() || self.is(Phase::Upgraded) || self.waiting.load(Relaxed) < flight;
        (!works).then(|| self.since.load(Relaxed))
    }

    /// Whether nobody has looked yet at what its client sent.
    pub(crate) fn is_unseen(&self) -> bool {
        self.is_unproven() && self.flight.load(Relaxed) == 0 && !self.lacking.load(Relaxed)
    }

    /// How readily this seat is given to another: the age, which counts more before there was any request.
    pub(crate) fn age(&self, now: u64) -> Option<u64> {
        let age = now.saturating_sub(self.waits()?).saturating_add(1);
        Some(if self.is_unproven() {
            age.saturating_mul(4)
        } else {
            age
        })
    }

    /// What to do about a client that is waited for.
    pub(crate) fn overdue(&self, now: u64, limits: &Limits) -> Order {
        let waited = |since: u64| Duration::from_millis(now.saturating_sub(since));
        if self.flight.load(Relaxed) > 0 {
            let Some(since) = self.waits() else {
                return Order::Stay;
            };
            // A body's reader has its own clock: here are the answers that nobody takes.
            let most = if self.owed.load(Relaxed) > 0 {
                limits.write
            } else if self.streams.load(Relaxed) > 0 {
                limits.stall
            } else {
                return Order::Stay;
            };
            return if waited(since) > most {
                Order::Go
            } else {
                Order::Stay
            };
        }
        if self.is(Phase::Upgraded) {
            return Order::Stay;
        }
        let (most, order) = if self.is(Phase::Handshake) {
            (limits.handshake, Order::Go)
        } else if self.is(Phase::Idle) {
            (limits.idle, Order::Leave)
        } else {
            (limits.header, Order::Go)
        };
        if waited(self.entered.load(Relaxed)) > most {
            order
        } else {
            Order::Stay
        }
    }

    /// How this seat is left to another.
    pub(crate) fn give_way(&self) {
        let idle = self.is(Phase::Idle) && self.flight.load(Relaxed) == 0;
        self.tell(if idle { Order::Leave } else { Order::Go });
    }

    pub(crate) fn tell(&self, order: Order) {
        if self.order.fetch_max(order as u8, Relaxed) < order as u8 {
            self.told.notify_one();
        }
    }

    /// Resolves when there is a new order.
    pub(crate) fn told(&self) -> tokio::sync::futures::Notified<'_> {
        self.told.notified()
    }

    pub(crate) fn order(&self) -> Order {
        match self.order.load(Relaxed) {
            0 => Order::Stay,
            1 => Order::Finish,
            2 => Order::Leave,
            _ => Order::Go,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn seat(tls: bool) -> (Arc<Clock>, Seat) {
        let clock = Arc::new(Clock::default());
        clock.set(Duration::from_secs(1));
        (Arc::clone(&clock), Seat::new(Group::Machine, clock, tls))
    }

    #[test]
    fn each_phase_has_its_own_patience() {
        let limits = Limits::default();
        let (clock, seat) = seat(true);
        let after = |duration: Duration| clock.get() + u64::try_from(duration.as_millis()).unwrap() + 1;
        assert_eq!(seat.overdue(after(limits.handshake), &limits), Order::Go);
        assert_eq!(seat.overdue(clock.get() + 10, &limits), Order::Stay);
        seat.shook_hands();
        seat.read();
        assert_eq!(seat.overdue(after(limits.header), &limits), Order::Go);
        seat.request(http::Version::HTTP_11);
        assert_eq!(
            seat.overdue(after(limits.idle * 100), &limits),
            Order::Stay,
            "work is never cut"
        );
        assert_eq!(seat.waits(), None);
        seat.gave(true);
        assert_eq!(seat.overdue(after(limits.write), &limits), Order::Stay);
        assert_eq!(seat.overdue(after(limits.stall), &limits), Order::Go);
        seat.taken(true);
        seat.gave(false);
        assert_eq!(seat.overdue(after(limits.write), &limits), Order::Go);
        seat.taken(false);
        seat.answered();
        assert_eq!(seat.overdue(after(limits.header), &limits), Order::Stay);
        assert_eq!(seat.overdue(after(limits.idle), &limits), Order::Leave);
        seat.read();
        assert_eq!(seat.overdue(after(limits.header), &limits), Order::Go);
    }

    #[test]
    fn a_ping_is_no_head_and_an_upgrade_is_work() {
        let limits = Limits::default();
        let (clock, seat) = seat(false);
        seat.request(http::Version::HTTP_2);
        seat.answered();
        seat.read();
        assert_eq!(seat.overdue(clock.get() + 20_000, &limits), Order::Stay);
        seat.request(http::Version::HTTP_2);
        seat.upgraded();
        seat.answered();
        assert_eq!(seat.waits(), None);
    }
}
