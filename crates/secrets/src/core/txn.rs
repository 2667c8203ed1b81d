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
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Entries kept parsed: enough for the tokens, policies and names that are in use, in a few megabytes.
const MOST_CACHED: usize = 16_384;

type Cached = (u64, Arc<dyn Any + Send + Sync>);

/// Parsed entries by key and revision: a stale one is never returned, so nothing has to be invalidated. Cleared on seal.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<String, Cached>>);

impl Cache {
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn get(&self, key: &str, revision: u64) -> Option<Arc<dyn Any + Send + Sync>> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key)
            .filter(|cached| cached.0 == revision)
            .map(|cached| Arc::clone(&cached.1))
    }

    fn put(&self, key: &str, revision: u64, value: Arc<dyn Any + Send + Sync>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MOST_CACHED {
            map.clear();
        }
        map.insert(key.to_owned(), (revision, value));
    }
}

/// See the module.
pub(crate) struct Txn<'a> {
    store: &'a Store,
    keyring: Arc<Keyring>,
    cache: &'a Cache,
    reads: BTreeMap<String, Option<u64>>,
    writes: BTreeMap<String, Option<Zeroizing<Vec<u8>>>>,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(store: &'a Store, keyring: Arc<Keyring>, cache: &'a Cache) -> Self {
        Self {
            store,
            keyring,
            cache,
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
        }
    }

    /// The bytes at a key.
    pub(crate) fn bytes(&mut self, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        let entry = self.store.get(key);
        self.saw(key, entry.as_ref().map(|entry| entry.revision));
        entry
            .map(|entry| self.keyring.open(key, &entry.value))
            .transpose()
    }

    fn saw(&mut self, key: &str, revision: Option<u64>) {
        if !self.reads.contains_key(key) {
            self.reads.insert(key.to_owned(), revision);
        }
    }

    /// The JSON value at a key.
    pub(crate) fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        self.bytes(key)?
            .map(|bytes| serde_json::from_slice(&bytes).map_err(|_| Error::Corrupt(key.to_owned())))
            .transpose()
    }

    /// The same, parsed once per revision. Not for secrets: the parsed value stays in memory.
    pub(crate) fn cached<T: Any + Send + Sync>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<Arc<T>>> {
        let corrupt = || Error::Corrupt(key.to_owned());
        if let Some(written) = self.writes.get(key) {
            return written
                .as_ref()
                .map(|bytes| parse(bytes).map(Arc::new).ok_or_else(corrupt))
                .transpose();
        }
        let entry = self.store.get(key);
        self.saw(key, entry.as_ref().map(|entry| entry.revision));
        let Some(entry) = entry else { return Ok(None) };
        if let Some(found) = self.cache.get(key, entry.revision)
            && let Ok(found) = found.downcast::<T>()
        {
            return Ok(Some(found));
        }
        let bytes = self.keyring.open(key, &entry.value)?;
        let value = Arc::new(parse(&bytes).ok_or_else(corrupt)?);
        self.cache.put(key, entry.revision, Arc::clone(&value) as _);
        Ok(Some(value))
    }

    /// Something made out of several entries, once for each state of them. Not for secrets.
    pub(crate) fn derived<T: Any + Send + Sync>(
        &mut self,
        name: &str,
        keys: &[String],
        make: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Arc<T>> {
        if keys.iter().any(|key| self.writes.contains_key(key)) {
            return make(self).map(Arc::new);
        }
        let mut revisions = Vec::with_capacity(keys.len());
        for key in keys {
            let revision = self.store.get(key).map(|entry| entry.revision);
            self.saw(key, revision);
            revisions.push(revision);
        }
        if let Some(found) = self.cache.get(name, 0)
            && let Ok(found) = found.downcast::<(Vec<Option<u64>>, Arc<T>)>()
            && found.0 == revisions
        {
            return Ok(Arc::clone(&found.1));
        }
        let value = make(self).map(Arc::new)?;
        // What `make` read may be newer than the revisions noted before it; then it is only made once more.
        self.cache
            .put(name, 0, Arc::new((revisions, Arc::clone(&value))) as _);
        Ok(value)
    }

    /// Whether there is something at a key.
    pub(crate) fn exists(&mut self, key: &str) -> bool {
        match self.writes.get(key) {
            Some(written) => written.is_some(),
            None => {
                let revision = self.store.get(key).map(|entry| entry.revision);
                self.saw(key, revision);
                revision.is_some()
            }
        }
    }

    /// Sets a JSON value.
    pub(crate) fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<()> {
        let bytes =
            serde_json::to_vec(value).map_err(|_| Error::Internal("a value could not be written as JSON"))?;
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
            .range(prefix)
            .0
            .into_iter()
            .map(|(key, _)| key.to_string())
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
        let mut ops = Vec::with_capacity(self.reads.len() + self.writes.len());
        let expect = |seen: Option<&Option<u64>>| match seen {
            None => Expect::Any,
            Some(None) => Expect::Absent,
            Some(Some(revision)) => Expect::Revision(*revision),
        };
        for (key, seen) in &self.reads {
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
                expect: expect(self.reads.get(&key)),
                key,
                write,
            });
        }
        Ok(ops)
    }
}
