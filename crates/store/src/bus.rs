//! The ordered bus: a bounded ring of recent items that any number of readers follow at their own pace.
//!
//! Publishing never waits. A reader that falls further behind than the ring holds is told [`Gone`] and must read the
//! state afresh, so that a slow reader costs neither memory nor the writers' time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The reader asked for, or was at, a place the ring no longer holds; read the state afresh and start from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the changes after revision {since} are no longer kept; the oldest kept follows revision {oldest}")]
pub struct Gone {
    /// Where the reader was.
    pub since: u64,
    /// The earliest revision from which reading on is possible.
    pub oldest: u64,
}

struct Ring<T> {
    items: VecDeque<(u64, T)>,
    /// Every item with a revision above this one is in the ring.
    floor: u64,
}

/// A bounded ring of `(revision, item)` in ascending order of revision, with wake-ups.
pub struct Bus<T> {
    ring: Arc<Mutex<Ring<T>>>,
    latest: watch::Sender<u64>,
    capacity: usize,
}

impl<T> fmt::Debug for Bus<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("latest", &*self.latest.borrow())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl<T: Clone> Bus<T> {
    /// An empty bus that keeps at most `capacity` items; what happened up to `revision` is not known to it.
    #[must_use]
    pub fn new(capacity: usize, revision: u64) -> Self {
        Self {
            ring: Arc::new(Mutex::new(Ring {
                items: VecDeque::new(),
                floor: revision,
            })),
            latest: watch::Sender::new(revision),
            capacity: capacity.max(1),
        }
    }

    /// Appends items of one revision. Callers publish in ascending order of revision.
    pub fn publish(&self, revision: u64, items: impl IntoIterator<Item = T>) {
        {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            for item in items {
                ring.items.push_back((revision, item));
            }
            while ring.items.len() > self.capacity {
                if let Some((dropped, _)) = ring.items.pop_front() {
                    ring.floor = dropped;
                }
            }
        }
        self.latest.send_replace(revision);
    }

    /// A reader of everything after `since`.
    ///
    /// # Errors
    /// [`Gone`] if the ring no longer holds all of it.
    pub fn read(&self, since: u64) -> Result<Reader<T>, Gone> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if since < ring.floor {
            return Err(Gone {
                since,
                oldest: ring.floor,
            });
        }
        Ok(Reader {
            ring: Arc::clone(&self.ring),
            latest: self.latest.subscribe(),
            batch: VecDeque::new(),
            since,
        })
    }
}

/// Follows a [`Bus`].
pub struct Reader<T> {
    ring: Arc<Mutex<Ring<T>>>,
    latest: watch::Receiver<u64>,
    batch: VecDeque<(u64, T)>,
    since: u64,
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

impl<T: Clone> Reader<T> {
    /// How many items are taken from the ring under one lock.
    const BATCH: usize = 256;

    /// The next item and its revision; waits for one. `None` once the bus is gone. Cancel safe.
    ///
    /// # Errors
    /// [`Gone`] if this reader fell behind; it stays so.
    pub async fn next(&mut self) -> Option<Result<(u64, T), Gone>> {
        loop {
            match self.try_next() {
                Ok(Some(item)) => return Some(Ok(item)),
                Ok(None) => {}
                Err(gone) => return Some(Err(gone)),
            }
            if self.latest.changed().await.is_err() {
                return self.try_next().transpose();
            }
        }
    }

    /// The next item if there is one now.
    ///
    /// # Errors
    /// [`Gone`] if this reader fell behind.
    pub fn try_next(&mut self) -> Result<Option<(u64, T)>, Gone> {
        if self.batch.is_empty() {
            self.latest.borrow_and_update();
            let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            if self.since < ring.floor {
                return Err(Gone {
                    since: self.since,
                    oldest: ring.floor,
                });
            }
            let start = ring
                .items
                .partition_point(|(revision, _)| *revision <= self.since);
            let mut last = None;
            for (revision, item) in ring.items.iter().skip(start) {
                // A revision's items stay together, or a later floor check could lose some of them.
                if self.batch.len() >= Self::BATCH && last != Some(*revision) {
                    break;
                }
                last = Some(*revision);
                self.batch.push_back((*revision, item.clone()));
            }
            if let Some(last) = last {
                self.since = last;
            }
        }
        Ok(self.batch.pop_front())
    }

    /// Everything up to this revision has been taken from the bus.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_follow_in_order_and_the_slow_one_is_told() {
        let bus = Bus::new(4, 10);
        let mut fast = bus.read(10).unwrap();
        let mut slow = bus.read(10).unwrap();
        assert_eq!(bus.read(9).unwrap_err(), Gone { since: 9, oldest: 10 });
        for revision in 11..=13 {
            bus.publish(revision, [revision * 2, revision * 2 + 1]);
            assert_eq!(fast.next().await, Some(Ok((revision, revision * 2))));
            assert_eq!(fast.next().await, Some(Ok((revision, revision * 2 + 1))));
        }
        assert_eq!(
            slow.next().await,
            Some(Err(Gone {
                since: 10,
                oldest: 11
            }))
        );
        drop(bus);
        assert_eq!(fast.next().await, None);
    }
}
