//! Counters by route, cheap to add to and to read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// One route's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) statuses: [AtomicU64; 5],
    pub(crate) active: AtomicU64,
}

impl Counters {
    /// Counts an answer passed on.
    pub(crate) fn status(&self, status: u16) {
        if let Some(counter) = self.statuses.get(usize::from(status / 100).saturating_sub(1)) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// All counters. Routes come and go with the cluster's objects, so that their number is bounded by those.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<String, Arc<Counters>>>);

/// One route's figures at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMetrics {
    /// `namespace/ingress host/path`; `no route` for requests that matched none.
    pub route: String,
    /// Requests received.
    pub requests: u64,
    /// Attempts beyond each request's first.
    pub retries: u64,
    /// Requests that the edge itself had to answer with an error.
    pub errors: u64,
    /// Answers by class: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub statuses: [u64; 5],
    /// Requests in flight.
    pub active: u64,
}

impl Metrics {
    /// The counters of a route.
    pub(crate) fn of(&self, route: &str) -> Arc<Counters> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(route) {
            Some(counters) => Arc::clone(counters),
            None => Arc::clone(all.entry(route.to_owned()).or_default()),
        }
    }

    /// Forgets routes that are gone and have nothing in flight.
    pub(crate) fn keep(&self, wanted: impl Fn(&str) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|route, counters| wanted(route) || counters.active.load(Relaxed) > 0);
    }

    /// All figures.
    pub(crate) fn snapshot(&self) -> Vec<RouteMetrics> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(route, counters)| RouteMetrics {
                route: route.clone(),
                requests: counters.requests.load(Relaxed),
                retries: counters.retries.load(Relaxed),
                errors: counters.errors.load(Relaxed),
                statuses: counters.statuses.each_ref().map(|counter| counter.load(Relaxed)),
                active: counters.active.load(Relaxed),
            })
            .collect()
    }
}
