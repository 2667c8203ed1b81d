//! What a handler has while it answers one request. Owns no rules.

use super::barrier::Keyring;
use super::expiry::Target;
use super::mounts::Mount;
use super::token::Holder;
use super::txn::Txn;
use super::{Core, System};
use crate::Result;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What is done to the server itself once the request has been committed.
#[derive(Debug)]
pub(crate) enum After {
    /// Forget the keys.
    Seal,
    /// Use a new data key.
    Rotate,
    /// Use these audit devices.
    Audit(crate::audit::Devices),
}

/// See the module.
pub(crate) struct Cx<'a> {
    pub(crate) core: &'a Core,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) system: Arc<System>,
    pub(crate) txn: Txn<'a>,
    pub(crate) now: Timestamp,
    pub(crate) mount: Arc<Mount>,
    pub(crate) token: Option<Holder>,
    /// Whether the token has sudo on the path.
    pub(crate) sudo: bool,
    pub(crate) scheduled: Vec<(Timestamp, Target)>,
    pub(crate) after: Vec<After>,
}

impl Cx<'_> {
    /// The key of an entry of the present mount.
    pub(crate) fn key(&self, name: &str) -> String {
        self.mount.key(name)
    }

    pub(crate) fn get<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let key = self.key(name);
        self.txn.get(key)
    }

    pub(crate) fn put<T: Serialize>(&mut self, name: &str, value: &T) -> Result<()> {
        let key = self.key(name);
        self.txn.put(&key, value)
    }

    pub(crate) fn delete(&mut self, name: &str) {
        let key = self.key(name);
        self.txn.delete(&key);
    }

    pub(crate) fn exists(&mut self, name: &str) -> bool {
        let key = self.key(name);
        self.txn.exists(&key)
    }

    pub(crate) fn list(&self, prefix: &str) -> Vec<String> {
        self.txn.list(&self.key(prefix))
    }

    /// The form a token is stored under.
    pub(crate) fn hash_token(&self, id: &str) -> String {
        self.system.token_key.hash(id).as_str().to_owned()
    }

    /// Remembers when something ends, once the request has been committed.
    pub(crate) fn schedule(&mut self, at: Timestamp, target: Target) {
        self.scheduled.push((at, target));
    }
}
