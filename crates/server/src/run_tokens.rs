//! Tokens that open exactly one run's checkout, for as long as that run goes on.

use aws_lc_rs::digest::{SHA256, digest};
use herder_base::Secret;
use herder_jobs::{Checkout, RunId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a token opens.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) run: RunId,
    pub(crate) checkouts: Vec<Checkout>,
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
            checkouts: Vec::new(),
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
