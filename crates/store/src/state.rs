//! The in-memory index and the rule of a transaction: all expectations first, then all writes, one revision.

use crate::{Change, Conflict, Entry, Expect, Op, Write};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// Entries by key, keys in order, and the revision of the last transaction. Most reads are of one key, and keys have long
/// beginnings in common: to search for one in order would compare dozens of them.
#[derive(Debug, Default)]
pub(crate) struct State {
    entries: HashMap<Arc<str>, Entry>,
    order: BTreeSet<Arc<str>>,
    pub(crate) revision: u64,
}

impl State {
    /// What was stored, as of a revision.
    pub(crate) fn new(entries: HashMap<Arc<str>, Entry>, revision: u64) -> Self {
        let order = entries.keys().map(Arc::clone).collect();
        Self {
            entries,
            order,
            revision,
        }
    }

    /// The entry at a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The keys that start with a prefix, in order.
    pub(crate) fn keys<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = &'s Arc<str>> {
        self.order
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |key| key.starts_with(prefix))
    }

    /// The entries below a prefix, in the order of their keys.
    pub(crate) fn range<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'s Arc<str>, &'s Entry)> {
        self.keys(prefix)
            .filter_map(|key| self.entries.get_key_value(key))
    }

    /// Applies a transaction or nothing of it. No changes means that nothing was to be written.
    pub(crate) fn apply(&mut self, ops: Vec<Op>) -> Result<Vec<Change>, Conflict> {
        for op in &ops {
            let actual = self.entries.get(op.key.as_str()).map(|entry| entry.revision);
            let holds = match op.expect {
                Expect::Any => true,
                Expect::Absent => actual.is_none(),
                Expect::Revision(at) => actual == Some(at),
            };
            if !holds {
                return Err(Conflict {
                    key: op.key.clone(),
                    expected: op.expect,
                    actual,
                });
            }
        }
        let revision = self.revision + 1;
        let mut changes = Vec::with_capacity(ops.len());
        for op in ops {
            match op.write {
                Write::Put(value) => {
                    let existing = self.entries.get_key_value(op.key.as_str());
                    let created = existing.map_or(revision, |(_, entry)| entry.created);
                    let key = existing.map_or_else(|| Arc::from(op.key.as_str()), |(key, _)| Arc::clone(key));
                    let entry = Entry {
                        value,
                        revision,
                        created,
                    };
                    if self.entries.insert(Arc::clone(&key), entry.clone()).is_none() {
                        self.order.insert(Arc::clone(&key));
                    }
                    changes.push(Change {
                        key,
                        entry: Some(entry),
                        revision,
                    });
                }
                Write::Delete => {
                    if let Some((key, _)) = self.entries.remove_entry(op.key.as_str()) {
                        self.order.remove(&key);
                        changes.push(Change {
                            key,
                            entry: None,
                            revision,
                        });
                    }
                }
                Write::Check => {}
            }
        }
        if !changes.is_empty() {
            self.revision = revision;
        }
        Ok(changes)
    }
}
