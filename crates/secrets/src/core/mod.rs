//! The server without its IO: a request and the present moment in, an answer and one storage transaction out. Owns the
//! seal state and the caches; opens no socket and no file (the audit devices' sinks are in `crate::audit`).

pub(crate) mod acl;
pub(crate) mod barrier;
pub(crate) mod context;
pub(crate) mod expiry;
pub(crate) mod fields;
pub(crate) mod handle;
pub(crate) mod identity;
pub(crate) mod keyed;
pub(crate) mod lease;
pub(crate) mod mounts;
pub(crate) mod outbox;
pub(crate) mod params;
pub(crate) mod path;
pub(crate) mod policy;
pub(crate) mod request;
pub(crate) mod rotation;
pub(crate) mod seal;
pub(crate) mod shamir;
pub(crate) mod throttle;
pub(crate) mod token;
pub(crate) mod txn;
pub(crate) mod wrapping;

use crate::audit::Sinks;
use crate::{Error, Result};
use barrier::Keyring;
use herder_base::Clock;
use herder_store::Store;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The version clients see; its major and minor number say which of Vault's interfaces to expect.
pub const VERSION: &str = "1.17.0";

/// Facts fixed at initialisation.
pub(crate) struct System {
    /// Keys the hashes tokens are stored under.
    pub(crate) token_key: keyed::Keyed,
    pub(crate) cluster_name: String,
    pub(crate) cluster_id: String,
}

/// The core.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) state: RwLock<seal::State>,
    pub(crate) cache: txn::Cache,
    pub(crate) queue: expiry::Queue,
    pub(crate) throttle: throttle::Throttle,
    pub(crate) sinks: Sinks,
    /// Address other programs reach the server at, if known.
    pub(crate) api_addr: String,
    /// Tokens and PKI roles may not outlive this unless a mount says otherwise.
    pub(crate) tasks: seal::Tasks,
    pub(crate) rotations: rotation::Rotations,
    /// Held while a transaction is submitted; revocations hold it from reading on, so that nothing is born meanwhile to
    /// what they end.
    writing: Mutex<()>,
    /// Rung when the expiry queue may have a nearer end.
    pub(crate) wake: tokio::sync::Notify,
}

impl Core {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, api_addr: String) -> Self {
        Self {
            store,
            clock,
            state: RwLock::new(seal::State::sealed()),
            cache: txn::Cache::default(),
            queue: expiry::Queue::default(),
            throttle: throttle::Throttle::default(),
            sinks: Sinks::default(),
            api_addr,
            tasks: seal::Tasks::default(),
            rotations: rotation::Rotations::default(),
            writing: Mutex::new(()),
            wake: tokio::sync::Notify::new(),
        }
    }

    /// The keys and facts, unless sealed.
    pub(crate) fn opened(&self) -> Result<(Arc<Keyring>, Arc<System>)> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            seal::State::Open { keyring, system, .. } => Ok((Arc::clone(keyring), Arc::clone(system))),
            seal::State::Sealed(_) => Err(Error::Sealed),
        }
    }

    pub(crate) fn write_lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
