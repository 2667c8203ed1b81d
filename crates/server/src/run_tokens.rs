//! Tokens of runs: each opens its run's checkout and what its job may do, for as long as that run goes on.

use crate::rights::Rights;
use aws_lc_rs::digest::{SHA256, digest};
use herder_base::Secret;
use herder_jobs::{Checkout, Room, RunId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a token opens.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) run: RunId,
    /// What it checks out; submodules are added as they are found.
    pub(crate) checkouts: Arc<Mutex<Vec<Checkout>>>,
    pub(crate) rights: Rights,
    /// The artefacts it has handed over; none before the first.
    pub(crate) kept: Arc<tokio::sync::Mutex<Option<Room>>>,
}

impl Grant {
    /// One of the things it checks out.
    pub(crate) fn checkout(&self, index: usize) -> Option<Checkout> {
        self.checkouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(index)
            .cloned()
    }

    /// Adds things to check out, if there are not too many; says which they are now.
    pub(crate) fn add(&self, more: Vec<Checkout>, most: usize) -> Option<std::ops::Range<usize>> {
        let mut all = self.checkouts.lock().unwrap_or_else(PoisonError::into_inner);
        let first = all.len();
        if first + more.len() > most {
            return None;
        }
        all.extend(more);
        Some(first..all.len())
    }
}

/// The tokens of the runs that go on now. Only digests are kept, and looked up by: how long that takes says nothing about
/// a token.
#[derive(Debug, Default, Clone)]
pub(crate) struct RunTokens(Arc<Mutex<HashMap<String, Grant>>>);

/// A token that opens something until this is dropped.
#[derive(Debug)]
pub(crate) struct RunToken {
    token: Secret<String>,
    tokens: RunTokens,
}

impl RunToken {
    pub(crate) fn expose(&self) -> &Secret<String> {
        &self.token
    }
}

impl Drop for RunToken {
    fn drop(&mut self) {
        self.tokens.lock().remove(&key(self.token.expose()));
    }
}

impl RunTokens {
    /// A new token that opens what a run may have.
    pub(crate) fn issue(&self, grant: Grant) -> RunToken {
        let token = Secret::new(format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        ));
        self.lock().insert(key(token.expose()), grant);
        RunToken {
            token,
            tokens: self.clone(),
        }
    }

    /// What a token opens, if it is one.
    pub(crate) fn grant(&self, token: &str) -> Option<Grant> {
        self.lock().get(&key(token)).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Grant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(token: &str) -> String {
    hex::encode(digest(&SHA256, token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_with_its_run() {
        let tokens = RunTokens::default();
        let run = |number| Grant {
            run: RunId {
                job: "a".to_owned(),
                number,
            },
            checkouts: Arc::default(),
            rights: Rights::default(),
            kept: Arc::default(),
        };
        let (first, second) = (tokens.issue(run(1)), tokens.issue(run(2)));
        let (one, two) = (first.expose().expose().clone(), second.expose().expose().clone());
        assert_eq!(tokens.grant(&one).unwrap().run.number, 1);
        drop(first);
        assert!(tokens.grant(&one).is_none() && tokens.grant("").is_none());
        assert_eq!(tokens.grant(&two).unwrap().run.number, 2);
        drop(second);
        assert!(tokens.grant(&two).is_none());
    }
}
