//! A listener: accepts, gives seats, looks after them, and drains when asked to stop.

use crate::connection::{Handler, Peer, connection};
use crate::files::raise_file_limit;
use crate::limits::{Limits, Plain};
use crate::room::{Group, Room};
use crate::seat::Order;
use crate::socket::Socket;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often seats are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How many are told with words at once that there is no room, and how long each may take to listen. Others see their
/// connection closed.
const WORDS: (usize, Duration) = (64, Duration::from_secs(3));
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
    let room = Arc::new(Room::new(settings.name, settings.limits.clone()));
    let (settings, make) = (Arc::new(settings), Arc::new(make));
    let words = Arc::new(Semaphore::new(WORDS.0));
    let tls = settings.tls.is_some();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut occupied = false;
    let mut tasks = JoinSet::new();
    loop {
        let (stream, address) = tokio::select! {
            () = cancel.cancelled() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            _ = look.tick(), if occupied => {
                occupied = room.sweep();
                continue;
            }
            accepted = socket.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    trouble(&room, &error).await;
                    continue;
                }
            },
        };
        let group = address.map_or(Group::Machine, |address| Group::of(address.ip()));
        occupied = true;
        match room.enter(group, tls) {
            Ok(entry) => {
                tasks.spawn(connection(
                    stream,
                    entry,
                    address,
                    Arc::clone(&settings),
                    Arc::clone(&make),
                    None,
                ));
            }
            Err(refusal) => {
                let Ok(permit) = Arc::clone(&words).try_acquire_owned() else {
                    continue;
                };
                let telling = connection(
                    stream,
                    room.spare(group, tls),
                    address,
                    Arc::clone(&settings),
                    Arc::clone(&make),
                    Some(refusal),
                );
                tasks.spawn(async move {
                    // Whoever does not listen does not hear it.
                    let _told = tokio::time::timeout(WORDS.1, telling).await;
                    drop(permit);
                });
            }
        }
    }
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
