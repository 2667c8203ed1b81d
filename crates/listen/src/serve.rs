//! A listener: accepts, gives seats, looks after them, and drains when asked to stop.

use crate::connection::{Handler, Peer, connection};
use crate::files::raise_file_limit;
use crate::limits::{Limits, Plain, Refusal};
use crate::room::{Denied, Entry, Group, Room};
use crate::seat::Order;
use crate::socket::{Socket, Stream};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often seats are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How many are told with words at once that there is no room, and how long each may take to listen. Others see their
/// connection closed.
const WORDS: (usize, Duration) = (64, Duration::from_secs(3));
/// How long a client may wait for a seat, and how often is seen whether there is one.
const PATIENCE: Duration = Duration::from_secs(5);
const TURN: Duration = Duration::from_millis(10);
/// The pause after an accept that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// How a listener serves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For logs.
    pub name: &'static str,
    /// What it allows.
    pub limits: Limits,
    /// With TLS, if so.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Without TLS, what is spoken.
    pub plain: Plain,
    /// Whether a client that closed its sending side still gets its answer.
    pub half_close: bool,
    /// How long requests under way may take after the end was asked for.
    pub drain: Duration,
}

/// Serves until cancelled, then drains. `make` makes each connection's handler.
pub async fn serve<H: Handler>(
    socket: impl Into<Socket>,
    settings: Settings,
    make: impl Fn(Peer) -> H + Send + Sync + 'static,
    cancel: CancellationToken,
) {
    raise_file_limit();
    let socket = socket.into();
    socket.widen();
    let room = Arc::new(Room::new(settings.name, settings.limits.clone()));
    let (settings, make) = (Arc::new(settings), Arc::new(make));
    let mut look = interval(LOOK);
    let mut turn = interval(TURN);
    let mut door = Door {
        tls: settings.tls.is_some(),
        most: room.connections(),
        paused: false,
        room: Arc::clone(&room),
        settings: Arc::clone(&settings),
        make,
        words: Arc::new(Semaphore::new(WORDS.0)),
        waiting: VecDeque::new(),
        tasks: JoinSet::new(),
    };
    let mut occupied = false;
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            Some(_) = door.tasks.join_next(), if !door.tasks.is_empty() => {}
            _ = look.tick(), if occupied => occupied = room.sweep(),
            _ = turn.tick(), if !door.waiting.is_empty() => door.turn(),
            accepted = socket.accept(), if !door.paused => match accepted {
                Ok((stream, address)) => {
                    occupied = true;
                    door.arrived(stream, address);
                }
                Err(error) => trouble(&room, &error).await,
            },
        }
    }
    let mut tasks = door.tasks;
    drop(socket);
    room.tell_all(Order::Finish);
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(settings.drain, all).await.is_err() {
        tracing::debug!(
            listener = settings.name,
            left = tasks.len(),
            "cutting off what did not finish in time"
        );
        tasks.shutdown().await;
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Somebody who was let in and has no seat yet.
struct Waiting {
    stream: Stream,
    address: Option<SocketAddr>,
    group: Group,
    since: Instant,
}

/// Where clients arrive.
struct Door<F> {
    tls: bool,
    /// The most that may wait for a seat.
    most: usize,
    /// Nobody more is let in before those who are have been looked at.
    paused: bool,
    room: Arc<Room>,
    settings: Arc<Settings>,
    make: Arc<F>,
    words: Arc<Semaphore>,
    waiting: VecDeque<Waiting>,
    tasks: JoinSet<()>,
}

impl<H: Handler, F: Fn(Peer) -> H + Send + Sync + 'static> Door<F> {
    fn arrived(&mut self, stream: Stream, address: Option<SocketAddr>) {
        let client = Waiting {
            stream,
            address,
            group: address.map_or(Group::Machine, |address| Group::of(address.ip())),
            since: Instant::now(),
        };
        if self.waiting.iter().any(|other| other.group == client.group) {
            let refusal = Refusal::Peer;
            return self.queue(client, Denied { refusal, soon: false });
        }
        match self.room.enter(client.group, self.tls) {
            Ok(entry) => self.seat(client, entry),
            Err(denied) => self.queue(client, denied),
        }
    }

    /// Busy is often busy for a moment only.
    fn queue(&mut self, client: Waiting, denied: Denied) {
        self.paused |= denied.soon;
        if denied.soon || self.waiting.len() < self.most {
            self.waiting.push_back(client);
        } else {
            self.refuse(client, denied.refusal);
        }
    }

    /// Gives seats to those who wait, in the order in which they came.
    fn turn(&mut self) {
        self.paused = false;
        let mut stuck: Vec<(Group, Refusal)> = Vec::new();
        for client in std::mem::take(&mut self.waiting) {
            let known = stuck.iter().find(|(group, _)| *group == client.group);
            let refusal = match known {
                Some((_, refusal)) => *refusal,
                None => match self.room.enter(client.group, self.tls) {
                    Ok(entry) => {
                        self.seat(client, entry);
                        continue;
                    }
                    Err(denied) => {
                        self.paused |= denied.soon;
                        stuck.push((client.group, denied.refusal));
                        denied.refusal
                    }
                },
            };
            if client.since.elapsed() > PATIENCE {
                self.refuse(client, refusal);
            } else {
                self.waiting.push_back(client);
            }
        }
    }

    fn seat(&mut self, client: Waiting, entry: Entry) {
        self.tasks.spawn(connection(
            client.stream,
            entry,
            client.address,
            Arc::clone(&self.settings),
            Arc::clone(&self.make),
            None,
        ));
    }

    fn refuse(&mut self, client: Waiting, refusal: Refusal) {
        self.room.refused();
        let Ok(permit) = Arc::clone(&self.words).try_acquire_owned() else {
            return;
        };
        let telling = connection(
            client.stream,
            self.room.spare(client.group, self.tls),
            client.address,
            Arc::clone(&self.settings),
            Arc::clone(&self.make),
            Some(refusal),
        );
        self.tasks.spawn(async move {
            // Whoever does not listen does not hear it.
            let _told = tokio::time::timeout(WORDS.1, telling).await;
            drop(permit);
        });
    }
}

/// What to do when nobody could be accepted.
async fn trouble(room: &Room, error: &io::Error) {
    use nix::errno::Errno;
    let code = error.raw_os_error().map(Errno::from_raw);
    match code {
        // The client went away before it was let in.
        Some(Errno::ECONNABORTED | Errno::ECONNRESET | Errno::EINTR | Errno::EPROTO) => {}
        Some(Errno::EMFILE | Errno::ENFILE) => {
            tracing::warn!(%error, "a connection could not be accepted: some that are idle are closed");
            room.shed();
            tokio::time::sleep(PAUSE).await;
        }
        _ => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
