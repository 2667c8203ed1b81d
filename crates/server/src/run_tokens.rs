//! Tokens that open exactly one run's checkout, for as long as that run goes on.

use aws_lc_rs::digest::{SHA256, digest};
use herder_base::Secret;
use herder_jobs::{Checkout, RunId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What a token opens.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) run: RunId,
    pub(crate) checkouts: Vec<Checkout>,
}

/// The tokens of the runs that go on now. Only digests are kept.
#[derive(Debug, Default)]
pub(crate) struct RunTokens(Mutex<HashMap<String, Grant>>);

impl RunTokens {
    /// A new token for a run.
    pub(crate) fn issue(&self, grant: Grant) -> Secret<String> {
        let token = format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        self.lock().insert(key(&token), grant);
        Secret::new(token)
    }

    /// What a token opens, if it is one.
    pub(crate) fn grant(&self, token: &str) -> Option<Grant> {
        self.lock().get(&key(token)).cloned()
    }

    /// Takes a token back.
    pub(crate) fn revoke(&self, token: &Secret<String>) {
        self.lock().remove(&key(token.expose()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Grant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(token: &str) -> String {
    hex::encode(digest(&SHA256, token.as_bytes()))
}
