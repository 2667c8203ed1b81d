//! Tells everyone who looks that something changed. Carries no data: whoever is told reads the view again.

use std::sync::Arc;
use tokio::sync::watch;

/// A bell. Clones ring and hear the same one.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<watch::Sender<u64>>);

impl Default for Live {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Live {
    /// Something changed.
    pub(crate) fn ring(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Hears every ring from now on; several in quick succession are heard as one.
    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
