//! The work queue: each object waits at most once, is worked on by one worker at a time, and is tried again later
//! after a failure. Owns no knowledge of what the work is.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The first wait after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_millis(20);
/// The longest wait after a failure.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Work that waits, de-duplicated.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<T> {
    ready: VecDeque<T>,
    queued: HashSet<T>,
    running: HashSet<T>,
    /// Asked for while running: goes back to `ready` when done.
    again: HashSet<T>,
    later: BTreeMap<(Instant, u64), T>,
    due: HashMap<T, (Instant, u64)>,
    failures: HashMap<T, u32>,
    serial: u64,
}

impl<T: Clone + Eq + Hash> Default for Queue<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                queued: HashSet::new(),
                running: HashSet::new(),
                again: HashSet::new(),
                later: BTreeMap::new(),
                due: HashMap::new(),
                failures: HashMap::new(),
                serial: 0,
            }),
            wake: Notify::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> State<T> {
    fn add(&mut self, work: T) {
        if self.running.contains(&work) {
            self.again.insert(work);
        } else if self.queued.insert(work.clone()) {
            self.ready.push_back(work);
        }
    }

    /// Plans work for a time; an earlier plan for the same work stays.
    fn plan(&mut self, work: T, at: Instant) {
        if let Some(old) = self.due.get(&work).copied() {
            if old.0 <= at {
                return;
            }
            self.later.remove(&old);
        }
        self.serial += 1;
        self.due.insert(work.clone(), (at, self.serial));
        self.later.insert((at, self.serial), work);
    }

    fn ripen(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry() {
            if first.key().0 > now {
                return;
            }
            let work = first.remove();
            self.due.remove(&work);
            self.add(work);
        }
    }
}

impl<T: Clone + Eq + Hash> Queue<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds work that should be done as soon as possible.
    pub(crate) fn add(&self, work: T) {
        self.state().add(work);
        self.wake.notify_one();
    }

    /// Adds work that should be done after a while.
    pub(crate) fn add_after(&self, work: T, wait: Duration) {
        self.state().plan(work, Instant::now() + wait);
        self.wake.notify_one();
    }

    /// The next piece of work; its worker must call [`Queue::done`] afterwards.
    pub(crate) async fn next(&self) -> T {
        loop {
            let wake = self.wake.notified();
            let (work, more, first) = {
                let mut state = self.state();
                state.ripen(Instant::now());
                let work = state.ready.pop_front();
                if let Some(work) = &work {
                    state.queued.remove(work);
                    state.running.insert(work.clone());
                }
                let first = state.later.first_key_value().map(|(at, _)| at.0);
                (work, !state.ready.is_empty(), first)
            };
            if let Some(work) = work {
                if more {
                    self.wake.notify_one();
                }
                return work;
            }
            match first {
                Some(at) => {
                    tokio::select! {
                        () = wake => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => wake.await,
            }
        }
    }

    /// Says that work is done: `Ok(Some(wait))` looks again after a while, `Err(())` tries again with growing waits.
    /// Returns how often it has failed in a row.
    pub(crate) fn done(&self, work: T, outcome: Result<Option<Duration>, ()>) -> u32 {
        let mut state = self.state();
        state.running.remove(&work);
        let again = state.again.remove(&work);
        let mut failed = 0;
        match outcome {
            Ok(wait) => {
                state.failures.remove(&work);
                if let Some(wait) = wait {
                    state.plan(work.clone(), Instant::now() + wait);
                }
            }
            Err(()) => {
                let times = state.failures.entry(work.clone()).or_default();
                let wait = FIRST_RETRY
                    .saturating_mul(1 << (*times).min(12))
                    .min(LONGEST_RETRY);
                *times += 1;
                failed = *times;
                state.plan(work.clone(), Instant::now() + wait);
            }
        }
        if again {
            state.add(work);
        }
        drop(state);
        self.wake.notify_one();
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn deduplicates_serialises_and_retries() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, "a");
        queue.add("a"); // while running: comes again, later
        assert_eq!(queue.next().await, "b");
        queue.done("a", Ok(None));
        assert_eq!(queue.next().await, "a");
        queue.done("b", Ok(Some(Duration::from_millis(200))));
        assert_eq!(queue.done("a", Err(())), 1);
        assert_eq!(queue.next().await, "a");
        assert_eq!(queue.done("a", Err(())), 2);
        assert_eq!(queue.next().await, "a");
        queue.done("a", Ok(None));
        assert_eq!(queue.next().await, "b");
        queue.done("b", Ok(None));
        queue.add_after("c", Duration::from_secs(900));
        queue.add_after("c", Duration::from_millis(3));
        assert_eq!(queue.next().await, "c");
    }
}
