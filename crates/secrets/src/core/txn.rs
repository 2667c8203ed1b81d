//! One request's view of the storage: reads through the barrier and remembers what it saw, collects writes, and turns
//! both into one conditional transaction. So a request happens as a whole, on a state nobody changed meanwhile, or not
//! at all. Owns no locks and writes nothing itself.

use super::barrier::Keyring;
use crate::{Error, Result};
use herder_store::{Expect, Op, Store, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// Entries kept parsed: enough for the tokens, policies and names that are in use, in a few megabytes.
const MOST_CACHED: usize = 16_384;

/// Bytes of one entry, as Vault's own storage has it (`max_entry_size`): one holder of a token must not fill the memory
/// and the disk of all.
pub(crate) const MAX_ENTRY: usize = 1 << 20;

type Cached = (u64, Arc<dyn Any + Send + Sync>);

/// Parsed entries by key and revision: a stale one is never returned, so nothing has to be invalidated. Cleared on seal.
#[derive(Default)]
pub(crate) struct Cache(RwLock<HashMap<String, Cached>>);

impl Cache {
    pub(crate) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get(&self, key: &str, revision: u64) -> Option<Arc<dyn Any + Send + Sync>> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.get(key)
            .filter(|cached| cached.0 == revision)
            .map(|cached| Arc::clone(&cached.1))
    }

    fn put(&self, key: &str, revision: u64, value: Arc<dyn Any + Send + Sync>) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MOST_CACHED {
            map.clear();
        }
        map.insert(key.to_owned(), (revision, value));
    }
}

/// What was made out of entries, and of which revisions of them.
struct Derived<T> {
    from: Vec<(String, Option<u64>)>,
    value: Arc<T>,
}

/// See the module.
pub(crate) struct Txn<'a> {
    store: &'a Store,
    keyring: Arc<Keyring>,
    cache: &'a Cache,
    /// Every key that was read and its revision, in the order of reading; only a transaction that writes needs them
    /// sorted.
    reads: Vec<(String, Option<u64>)>,
    writes: BTreeMap<String, Option<Zeroizing<Vec<u8>>>>,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(store: &'a Store, keyring: Arc<Keyring>, cache: &'a Cache) -> Self {
        Self {
            store,
            keyring,
            cache,
            reads: Vec::with_capacity(8),
            writes: BTreeMap::new(),
        }
    }

    /// The JSON value at a key.
    pub(crate) fn get<T: DeserializeOwned>(&mut self, key: impl Into<String>) -> Result<Option<T>> {
        let key = key.into();
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|_| Error::Corrupt(key.clone()));
        if let Some(written) = self.writes.get(&key) {
            return written.as_ref().map(|bytes| read(bytes)).transpose();
        }
        let entry = self.store.get(&key);
        let value = entry
            .as_ref()
            .map(|entry| read(&self.keyring.open(&key, &entry.value)?))
            .transpose();
        self.saw(key, entry.map(|entry| entry.revision));
        value
    }

    fn saw(&mut self, key: String, revision: Option<u64>) {
        self.reads.push((key, revision));
    }

    /// The value at a key, parsed once per revision. Not for secrets: the parsed value stays in memory.
    pub(crate) fn cached<T: Any + Send + Sync>(
        &mut self,
        key: impl Into<String>,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<Arc<T>>> {
        let key = key.into();
        let corrupt = || Error::Corrupt(key.clone());
        if let Some(written) = self.writes.get(&key) {
            return written
                .as_ref()
                .map(|bytes| parse(bytes).map(Arc::new).ok_or_else(corrupt))
                .transpose();
        }
        let entry = self.store.get(&key);
        let value = entry
            .as_ref()
            .map(|entry| {
                if let Some(found) = self.cache.get(&key, entry.revision)
                    && let Ok(found) = found.downcast::<T>()
                {
                    return Ok(found);
                }
                let bytes = self.keyring.open(&key, &entry.value)?;
                let value = Arc::new(parse(&bytes).ok_or_else(corrupt)?);
                self.cache.put(&key, entry.revision, Arc::clone(&value) as _);
                Ok(value)
            })
            .transpose();
        self.saw(key, entry.map(|entry| entry.revision));
        value
    }

    /// Something made out of several entries, once for each state of them. `keys` says which, and is asked only when it is
    /// made: what it says must follow from the name and from the entries. Not for secrets.
    pub(crate) fn derived<T: Any + Send + Sync>(
        &mut self,
        name: &str,
        keys: impl FnOnce() -> Vec<String>,
        make: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Arc<T>> {
        if let Some(found) = self.cache.get(name, 0)
            && let Ok(found) = found.downcast::<Derived<T>>()
            && found
                .from
                .iter()
                .all(|(key, revision)| !self.writes.contains_key(key) && self.store.written(key) == *revision)
        {
            self.reads.extend_from_slice(&found.from);
            return Ok(Arc::clone(&found.value));
        }
        let keys = keys();
        if keys.iter().any(|key| self.writes.contains_key(key)) {
            return make(self).map(Arc::new);
        }
        let from: Vec<(String, Option<u64>)> = keys
            .into_iter()
            .map(|key| {
                let revision = self.store.written(&key);
                (key, revision)
            })
            .collect();
        self.reads.extend_from_slice(&from);
        let value = make(self).map(Arc::new)?;
        // What `make` read may be newer than the revisions noted before it; then it is only made once more.
        let derived = Derived {
            from,
            value: Arc::clone(&value),
        };
        self.cache.put(name, 0, Arc::new(derived) as _);
        Ok(value)
    }

    /// Whether there is something at a key.
    pub(crate) fn exists(&mut self, key: &str) -> bool {
        match self.writes.get(key) {
            Some(written) => written.is_some(),
            None => {
                let revision = self.store.written(key);
                self.saw(key.to_owned(), revision);
                revision.is_some()
            }
        }
    }

    /// Sets a JSON value.
    pub(crate) fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<()> {
        let bytes =
            serde_json::to_vec(value).map_err(|_| Error::Internal("a value could not be written as JSON"))?;
        if bytes.len() > MAX_ENTRY {
            return Err(Error::invalid(format!(
                "put failed due to value being too large; got {} bytes, max: {MAX_ENTRY} bytes (max_entry_size)",
                bytes.len()
            )));
        }
        self.writes.insert(key.to_owned(), Some(Zeroizing::new(bytes)));
        Ok(())
    }

    /// Removes a key.
    pub(crate) fn delete(&mut self, key: &str) {
        self.writes.insert(key.to_owned(), None);
    }

    /// Every key below a prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let mut keys: BTreeSet<String> = self
            .store
            .keys(prefix)
            .iter()
            .map(|key| key.to_string())
            .collect();
        for (key, written) in self.writes.range(prefix.to_owned()..) {
            if !key.starts_with(prefix) {
                break;
            }
            if written.is_some() {
                keys.insert(key.clone());
            } else {
                keys.remove(key);
            }
        }
        keys.into_iter().collect()
    }

    /// Bytes of the stored entries below a prefix, but for one key: about what they hold.
    pub(crate) fn bytes_below(&self, prefix: &str, but: &str) -> usize {
        let (entries, _) = self.store.range(prefix);
        let others = entries.iter().filter(|(key, _)| &**key != but);
        others.map(|(key, entry)| key.len() + entry.value.len()).sum()
    }

    /// The names directly below a prefix; folders end in `/`.
    pub(crate) fn list(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for key in self.keys(prefix) {
            let rest = key.get(prefix.len()..).unwrap_or_default();
            let name = match rest.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => rest.to_owned(),
            };
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// Removes everything below a prefix.
    pub(crate) fn delete_all(&mut self, prefix: &str) {
        for key in self.keys(prefix) {
            self.delete(&key);
        }
    }

    /// The transaction: empty if nothing was written, else every write, and a check of everything read.
    pub(crate) fn ops(self) -> Result<Vec<Op>> {
        if self.writes.is_empty() {
            return Ok(Vec::new());
        }
        let mut reads = BTreeMap::new();
        for (key, seen) in self.reads {
            // What was seen first is what everything later was built on.
            reads.entry(key).or_insert(seen);
        }
        let mut ops = Vec::with_capacity(reads.len() + self.writes.len());
        let expect = |seen: Option<&Option<u64>>| match seen {
            None => Expect::Any,
            Some(None) => Expect::Absent,
            Some(Some(revision)) => Expect::Revision(*revision),
        };
        for (key, seen) in &reads {
            if !self.writes.contains_key(key) {
                ops.push(Op {
                    key: key.clone(),
                    expect: expect(Some(seen)),
                    write: Write::Check,
                });
            }
        }
        for (key, value) in self.writes {
            let write = match value {
                Some(value) => Write::Put(self.keyring.seal(&key, &value)?.into()),
                None => Write::Delete,
            };
            ops.push(Op {
                expect: expect(reads.get(&key)),
                key,
                write,
            });
        }
        Ok(ops)
    }
}
