//! Initialising, unsealing, sealing, and changing the keys at the top: unseal key → root key → keyring. Owns the three
//! entries that lie outside the barrier. Must not be reachable with anything but key shares or a root token.

use super::barrier::{self, Key, Keyring, Upkeep, random};
use super::fields::Fields;
use super::mounts::Mounts;
use super::token::{self, NewToken};
use super::{Core, System, VERSION, context::Cx, expiry::Target, policy, shamir, txn::Txn};
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use herder_store::{Expect, Op};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

const CONFIG: &str = "core/seal-config";
const ROOT_KEY: &str = "core/root-key";
pub(crate) const KEYRING: &str = "core/keyring";
const SYSTEM: &str = "core/system";

/// How the unseal key is split.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SealConfig {
    pub(crate) shares: usize,
    pub(crate) threshold: usize,
}

#[derive(Serialize, Deserialize)]
struct StoredSystem {
    token_key: String,
    cluster_name: String,
    cluster_id: String,
}

/// Shares collected so far.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) shares: Vec<Zeroizing<Vec<u8>>>,
    pub(crate) nonce: String,
}

impl Progress {
    /// Adds a share unless it is there; true when there are enough.
    pub(crate) fn add(&mut self, share: Zeroizing<Vec<u8>>, threshold: usize) -> bool {
        if self.nonce.is_empty() {
            self.nonce = uuid::Uuid::new_v4().to_string();
        }
        if !self.shares.contains(&share) {
            self.shares.push(share);
        }
        self.shares.len() >= threshold
    }
}

/// Sealed or open.
pub(crate) enum State {
    Sealed(Progress),
    Open {
        keyring: Arc<Keyring>,
        root_key: Key,
        system: Arc<System>,
    },
}

impl State {
    pub(crate) fn sealed() -> Self {
        Self::Sealed(Progress::default())
    }
}

/// A change of the unseal key or a new root token, being authorised by key shares.
pub(crate) struct Task {
    pub(crate) nonce: String,
    pub(crate) progress: Progress,
    pub(crate) config: SealConfig,
    pub(crate) otp: String,
    pub(crate) backup: bool,
    /// The new keys count only once their holders have shown that they have them.
    pub(crate) verify: bool,
}

/// A new unseal key that waits for its holders to show their shares.
pub(crate) struct Verification {
    pub(crate) nonce: String,
    pub(crate) progress: Progress,
    pub(crate) config: SealConfig,
    pub(crate) key: Key,
}

/// At most one of each kind.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) rekey: Mutex<Option<Task>>,
    pub(crate) verification: Mutex<Option<Verification>>,
    pub(crate) generate_root: Mutex<Option<Task>>,
}

/// What initialising gives, once.
pub struct InitResult {
    /// The parts of the unseal key.
    pub keys: Vec<Zeroizing<Vec<u8>>>,
    /// The first token.
    pub root_token: Zeroizing<String>,
}

/// Reads a share given as hex or base64.
pub(crate) fn read_share(text: &str) -> Result<Zeroizing<Vec<u8>>> {
    let share = hex::decode(text)
        .or_else(|_| STANDARD.decode(text))
        .map(Zeroizing::new)
        .map_err(|_| Error::invalid("'key' must be a valid hex or base64 string"))?;
    // A key's length, and one byte that says which share it is.
    match share.len() {
        ..16 => Err(Error::invalid("key is shorter than minimum 16 bytes")),
        16..=33 => Ok(share),
        _ => Err(Error::invalid("key is longer than maximum 33 bytes")),
    }
}

impl Core {
    pub(crate) fn seal_config(&self) -> Result<Option<SealConfig>> {
        self.store
            .get(CONFIG)
            .map(|entry| serde_json::from_slice(&entry.value).map_err(|_| Error::Corrupt(CONFIG.to_owned())))
            .transpose()
    }

    pub(crate) fn is_sealed(&self) -> bool {
        matches!(
            &*self.state.read().unwrap_or_else(PoisonError::into_inner),
            State::Sealed(_)
        )
    }

    /// Makes the keys and the first entries, all in one transaction. Leaves the server sealed.
    pub(crate) async fn init(&self, config: SealConfig, root_id: Option<String>) -> Result<InitResult> {
        self.init_with(config, root_id, random(32)?).await
    }

    /// The same with a given unseal key.
    pub(crate) async fn init_with(
        &self,
        config: SealConfig,
        root_id: Option<String>,
        unseal_key: Key,
    ) -> Result<InitResult> {
        check(&config)?;
        if self.seal_config()?.is_some() {
            return Err(Error::invalid("Vault is already initialized"));
        }
        let now = self.clock.now();
        let root_key = random(32)?;
        let keyring = Arc::new(Keyring::generate(now)?);
        let token_key = random(32)?;
        let stored = StoredSystem {
            token_key: STANDARD.encode(&token_key),
            cluster_name: format!("vault-cluster-{}", hex::encode(&*random(4)?)),
            cluster_id: uuid::Uuid::new_v4().to_string(),
        };
        let mut cx = Cx {
            core: self,
            keyring: Arc::clone(&keyring),
            system: Arc::new(system(&stored)?),
            txn: Txn::new(&self.store, Arc::clone(&keyring), &self.cache),
            now,
            mount: Arc::default(),
            token: None,
            sudo: false,
            scheduled: Vec::new(),
            after: Vec::new(),
        };
        cx.txn.put(SYSTEM, &stored)?;
        Mounts::initial().save(&mut cx.txn)?;
        cx.txn.put("sys/policy/default", &policy::DEFAULT)?;
        let auth = token::create(
            &mut cx,
            NewToken {
                id: root_id,
                policies: vec!["root".to_owned()],
                path: "auth/token/root".to_owned(),
                display_name: "root".to_owned(),
                ..NewToken::default()
            },
        )?;
        let mut ops = cx.txn.ops()?;
        let config_json =
            serde_json::to_vec(&config).map_err(|_| Error::Internal("the seal could not be written"))?;
        ops.push(Op::put(CONFIG, config_json).expecting(Expect::Absent));
        ops.push(Op::put(
            ROOT_KEY,
            barrier::wrap(&unseal_key, ROOT_KEY, &root_key)?,
        ));
        ops.push(Op::put(
            KEYRING,
            barrier::wrap(&root_key, KEYRING, &keyring.write()?)?,
        ));
        self.store.txn(ops).await?;
        Ok(InitResult {
            keys: divide(&unseal_key, &config)?,
            root_token: auth.client_token,
        })
    }

    /// Adds a share; true once open.
    pub(crate) fn unseal(&self, share: Zeroizing<Vec<u8>>) -> Result<bool> {
        let config = self.seal_config()?.ok_or(Error::NotInitialised)?;
        let key = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let State::Sealed(progress) = &mut *state else {
                return Ok(true);
            };
            if !progress.add(share, config.threshold) {
                return Ok(false);
            }
            let shares = std::mem::take(progress);
            join(&shares.shares)?
        };
        self.open(&key)?;
        Ok(true)
    }

    /// Opens with the whole unseal key.
    pub(crate) fn open(&self, unseal_key: &[u8]) -> Result<()> {
        let root_key = self.root_key(unseal_key)?;
        let sealed = self.store.get(KEYRING).ok_or(Error::NotInitialised)?;
        let keyring = Arc::new(Keyring::read(&barrier::unwrap(
            &root_key,
            KEYRING,
            &sealed.value,
        )?)?);
        let mut txn = Txn::new(&self.store, Arc::clone(&keyring), &self.cache);
        let stored: StoredSystem = txn
            .get(SYSTEM)?
            .ok_or_else(|| Error::Corrupt(SYSTEM.to_owned()))?;
        let mut ends = Vec::new();
        for (hash, token) in token::all(&mut txn)? {
            ends.extend(token.expires.map(|at| (at, Target::Token(hash))));
        }
        for id in super::lease::ids(&txn, "") {
            if let Some(lease) = super::lease::raw(&mut txn, &id)? {
                ends.push((lease.expires, Target::Lease(id)));
            }
        }
        ends.extend(super::outbox::all(&mut txn)?);
        ends.extend(crate::engines::rotations(&mut txn)?);
        let devices = crate::audit::load(&mut txn)?;
        self.sinks.replace(&devices)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Open {
            keyring,
            root_key,
            system: Arc::new(system(&stored)?),
        };
        self.queue.clear();
        self.rotations.forget_all();
        self.queue.push(ends);
        self.wake.notify_one();
        Ok(())
    }

    /// The root key, if the unseal key is right.
    pub(crate) fn root_key(&self, unseal_key: &[u8]) -> Result<Key> {
        let sealed = self.store.get(ROOT_KEY).ok_or(Error::NotInitialised)?;
        barrier::unwrap(unseal_key, ROOT_KEY, &sealed.value)
            .map_err(|_| Error::invalid("the unseal keys are wrong: start again with the right ones"))
    }

    /// Forgets every key.
    pub(crate) fn seal(&self) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::sealed();
        self.cache.clear();
        self.queue.clear();
        self.sinks.close();
    }

    /// A root token, authorised by key shares.
    pub(crate) async fn new_root_token(&self) -> Result<Zeroizing<String>> {
        let (keyring, system) = self.opened()?;
        let mut cx = Cx {
            core: self,
            txn: Txn::new(&self.store, Arc::clone(&keyring), &self.cache),
            keyring,
            system,
            now: self.clock.now(),
            mount: Arc::default(),
            token: None,
            sudo: false,
            scheduled: Vec::new(),
            after: Vec::new(),
        };
        let auth = token::create(
            &mut cx,
            NewToken {
                id: Some(format!("hvs.{}", token::alphanumeric(24)?)),
                policies: vec!["root".to_owned()],
                path: "auth/token/root".to_owned(),
                display_name: "root".to_owned(),
                ..NewToken::default()
            },
        )?;
        self.store.txn(cx.txn.ops()?).await?;
        Ok(auth.client_token)
    }

    /// A new data key; old entries stay readable.
    pub(crate) async fn rotate(&self) -> Result<()> {
        let pending = {
            let _writing = self.write_lock();
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let State::Open {
                keyring, root_key, ..
            } = &mut *state
            else {
                return Err(Error::Sealed);
            };
            let next = keyring.rotated(self.clock.now())?;
            let wrapped = barrier::wrap(root_key, KEYRING, &next.write()?)?;
            let pending = self.store.submit(vec![Op::put(KEYRING, wrapped)])?;
            *keyring = Arc::new(next);
            pending
        };
        pending.durable().await?;
        Ok(())
    }

    /// Keeps the keyring's count, and replaces a key that was used too often.
    pub(crate) async fn keep_keyring(&self) -> Result<()> {
        let (keyring, _) = self.opened()?;
        match keyring.upkeep() {
            Upkeep::None => Ok(()),
            Upkeep::Rotate => self.rotate().await,
            Upkeep::Note => {
                let pending = {
                    let _writing = self.write_lock();
                    let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
                    let State::Open {
                        keyring, root_key, ..
                    } = &*state
                    else {
                        return Err(Error::Sealed);
                    };
                    let wrapped = barrier::wrap(root_key, KEYRING, &keyring.write()?)?;
                    self.store.submit(vec![Op::put(KEYRING, wrapped)])?
                };
                pending.durable().await?;
                Ok(())
            }
        }
    }

    /// A new unseal key and its shares, if the old one is right. Nothing is stored yet.
    pub(crate) fn new_unseal_key(
        &self,
        old: &[u8],
        config: &SealConfig,
    ) -> Result<(Key, Vec<Zeroizing<Vec<u8>>>)> {
        self.root_key(old)?;
        let key = random(32)?;
        let shares = divide(&key, config)?;
        Ok((key, shares))
    }

    /// Replaces the unseal key.
    pub(crate) async fn rekey(&self, key: &Key, config: &SealConfig) -> Result<()> {
        let text =
            serde_json::to_vec(config).map_err(|_| Error::Internal("the seal could not be written"))?;
        let wrapped = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open { root_key, .. } => barrier::wrap(key, ROOT_KEY, root_key)?,
            State::Sealed(_) => return Err(Error::Sealed),
        };
        self.store
            .txn(vec![Op::put(CONFIG, text), Op::put(ROOT_KEY, wrapped)])
            .await?;
        Ok(())
    }

    /// `sys/seal-status`.
    pub(crate) fn seal_status(&self) -> Result<Value> {
        let config = self.seal_config()?;
        let (t, n) = config
            .as_ref()
            .map_or((0, 0), |config| (config.threshold, config.shares));
        let mut status = Map::from_iter([
            ("type".to_owned(), json!("shamir")),
            ("initialized".to_owned(), json!(config.is_some())),
            ("t".to_owned(), json!(t)),
            ("n".to_owned(), json!(n)),
            ("version".to_owned(), json!(VERSION)),
            ("build_date".to_owned(), json!("2024-06-10T10:11:34Z")),
            ("migration".to_owned(), json!(false)),
            ("recovery_seal".to_owned(), json!(false)),
            ("storage_type".to_owned(), json!("file")),
        ]);
        let (sealed, progress, nonce) = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sealed(progress) => (true, progress.shares.len(), progress.nonce.clone()),
            State::Open { system, .. } => {
                status.insert("cluster_name".to_owned(), json!(system.cluster_name));
                status.insert("cluster_id".to_owned(), json!(system.cluster_id));
                (false, 0, String::new())
            }
        };
        status.insert("sealed".to_owned(), json!(sealed));
        status.insert("progress".to_owned(), json!(progress));
        status.insert("nonce".to_owned(), json!(nonce));
        Ok(Value::Object(status))
    }
}

/// Refuses numbers of shares that cannot work.
pub(crate) fn check(config: &SealConfig) -> Result<()> {
    match (config.shares, config.threshold) {
        (0, _) => Err(Error::invalid(
            "invalid seal configuration: shares must be at least one",
        )),
        (_, 0) => Err(Error::invalid(
            "invalid seal configuration: threshold must be at least one",
        )),
        (shares, _) if shares > 255 => Err(Error::invalid(
            "invalid seal configuration: shares must be less than 256",
        )),
        (shares, 1) if shares > 1 => Err(Error::invalid(
            "invalid seal configuration: threshold must be greater than one for multiple shares",
        )),
        (shares, threshold) if threshold > shares => Err(Error::invalid(
            "invalid seal configuration: threshold cannot be larger than shares",
        )),
        _ => Ok(()),
    }
}

/// How many shares and how many of them are needed, from a request.
pub(crate) fn config_of(data: &Map<String, Value>) -> Result<SealConfig> {
    let number =
        |key: &str| -> Result<usize> { Ok(usize::try_from(data.int(key)?.unwrap_or(0)).unwrap_or(0)) };
    let config = SealConfig {
        shares: number("secret_shares")?,
        threshold: number("secret_threshold")?,
    };
    check(&config)?;
    Ok(config)
}

fn divide(key: &Key, config: &SealConfig) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    if config.shares == 1 {
        return Ok(vec![key.clone()]);
    }
    shamir::split(key, config.shares, config.threshold)
}

/// Puts shares together; a single one is the key itself.
pub(crate) fn join(shares: &[Zeroizing<Vec<u8>>]) -> Result<Key> {
    match shares {
        [whole] => Ok(whole.clone()),
        parts => shamir::combine(parts),
    }
}

fn system(stored: &StoredSystem) -> Result<System> {
    let key = STANDARD
        .decode(&stored.token_key)
        .map(Zeroizing::new)
        .map_err(|_| Error::Corrupt(SYSTEM.to_owned()))?;
    Ok(System {
        token_key: super::keyed::Keyed::new(&key),
        cluster_name: stored.cluster_name.clone(),
        cluster_id: stored.cluster_id.clone(),
    })
}
