//! Slows down guessing: after several failed log ins for one name on one mount, further ones are refused for a while.
//! Bounded; forgets the oldest. Owns no user data.

use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const TRIES: u32 = 5;
const SECONDS: i64 = 60;
const MOST: usize = 10_000;

/// Failed attempts by name.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<BTreeMap<String, (u32, Timestamp)>>);

impl Throttle {
    /// Whether another attempt may be made.
    pub(crate) fn allows(&self, name: &str, now: Timestamp) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .get(name)
            .is_none_or(|(count, last)| *count < TRIES || now.duration_since(*last).as_secs() >= SECONDS)
    }

    /// Remembers an outcome.
    pub(crate) fn record(&self, name: &str, success: bool, now: Timestamp) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if success {
            failures.remove(name);
            return;
        }
        if failures.len() >= MOST {
            failures.retain(|_, (_, last)| now.duration_since(*last).as_secs() < SECONDS);
            if failures.len() >= MOST {
                failures.clear();
            }
        }
        let entry = failures.entry(name.to_owned()).or_insert((0, now));
        if now.duration_since(entry.1).as_secs() >= SECONDS {
            entry.0 = 0;
        }
        *entry = (entry.0 + 1, now);
    }
}
