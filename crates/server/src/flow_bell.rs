//! Wakes the flow and lets those who asked wait for a pass that began after they did.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// The bell of the flow. One hears it: the keeper.
#[derive(Debug, Default)]
pub(crate) struct FlowBell {
    wake: Notify,
    /// Counts requests.
    asked: AtomicU64,
    /// Whether git is to be read before the next pass.
    read: AtomicBool,
    /// The number of the last request that a finished pass has answered.
    answered: watch::Sender<u64>,
}

impl FlowBell {
    /// Git may have changed: read it again, then pass. Returns the request's number.
    pub(crate) fn read_again(&self) -> u64 {
        self.read.store(true, Ordering::SeqCst);
        self.pass_again()
    }

    /// Something else changed: pass again with what was read.
    pub(crate) fn pass_again(&self) -> u64 {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        number
    }

    /// Waits until a pass is over that began after the request.
    pub(crate) async fn answered(&self, number: u64) {
        // The sender lives as long as the bell, so the channel cannot close.
        let mut answered = self.answered.subscribe();
        let _closed = answered.wait_for(|answered| *answered >= number).await;
    }

    /// For the keeper: sleeps until somebody rings.
    pub(crate) async fn heard(&self) {
        self.wake.notified().await;
    }

    /// For the keeper, before a pass: which requests it will answer, and whether to read git first.
    pub(crate) fn begin(&self) -> (u64, bool) {
        let number = self.asked.load(Ordering::SeqCst);
        (number, self.read.swap(false, Ordering::SeqCst))
    }

    /// For the keeper, after a pass.
    pub(crate) fn end(&self, number: u64) {
        self.answered.send_replace(number);
    }
}
