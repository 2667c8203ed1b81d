//! The in-memory index and the rule of a transaction: all expectations first, then all writes, one revision.

use crate::{Change, Conflict, Entry, Expect, Op, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys in order, and the revision of the last transaction.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) entries: BTreeMap<Arc<str>, Entry>,
    pub(crate) revision: u64,
}

impl State {
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
                    self.entries.insert(Arc::clone(&key), entry.clone());
                    changes.push(Change {
                        key,
                        entry: Some(entry),
                        revision,
                    });
                }
                Write::Delete => {
                    if let Some((key, _)) = self.entries.remove_entry(op.key.as_str()) {
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
