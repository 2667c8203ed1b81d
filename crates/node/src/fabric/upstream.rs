//! The machine's resolver, over one socket that the control plane opened on the machine's own network. A resolver
//! that never answered is left alone for a while, so that pods are told quickly; one that has answered is not, or a
//! pod could silence it for all by asking for a name that nobody answers for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_millis(1500);
const REST: Duration = Duration::from_secs(30);

/// The resolver, once there is one.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    socket: OnceLock<Arc<UdpSocket>>,
    waiting: Mutex<HashMap<u16, oneshot::Sender<Vec<u8>>>>,
    next: AtomicU16,
    resting: Mutex<Option<Instant>>,
    answered: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upstream {
    /// Uses `socket` from now on; false if there was one already.
    pub(super) fn set(&self, socket: Arc<UdpSocket>) -> bool {
        self.socket.set(socket).is_ok()
    }

    /// Forwards a question and returns the answer with the question's id; `None` if nobody answers.
    pub(super) async fn ask(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let socket = self.socket.get()?;
        if lock(&self.resting).is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut question = packet.to_vec();
        let asked = [*packet.first()?, *packet.get(1)?];
        question.get_mut(..2)?.copy_from_slice(&id.to_be_bytes());
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(id, sender);
        let answer = if socket.send(&question).await.is_ok() {
            tokio::time::timeout(PATIENCE, receiver)
                .await
                .ok()
                .and_then(Result::ok)
        } else {
            None
        };
        lock(&self.waiting).remove(&id);
        let Some(mut answer) = answer else {
            if !self.answered.load(Ordering::Relaxed) {
                *lock(&self.resting) = Some(Instant::now() + REST);
            }
            return None;
        };
        answer.get_mut(..2)?.copy_from_slice(&asked);
        Some(answer)
    }

    /// Hands out answers until dropped.
    pub(super) async fn listen(&self, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0_u8; 4096];
        loop {
            let Ok(length) = socket.recv(&mut buffer).await else {
                // A refused port shows up here; the question then times out.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let packet = buffer.get(..length).unwrap_or_default();
            if let [high, low, ..] = packet
                && let Some(waiter) = lock(&self.waiting).remove(&u16::from_be_bytes([*high, *low]))
            {
                self.answered.store(true, Ordering::Relaxed);
                // Whoever asked may have given up.
                _ = waiter.send(packet.to_vec());
            }
        }
    }
}
