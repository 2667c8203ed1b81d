//! A secret's metadata as stored, and where its versions are.

use super::Config;
use super::versions::Versions;
use crate::Result;
use crate::core::context::Cx;
use crate::core::token::after;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Versions kept when nobody says.
const KEEP: i64 = 10;

/// One version, without its data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) created: Timestamp,
    pub(crate) deleted: Option<Timestamp>,
    pub(crate) destroyed: bool,
}

/// A secret, without its data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) current: u64,
    pub(crate) oldest: u64,
    pub(crate) versions: Versions,
    pub(crate) max_versions: i64,
    pub(crate) cas_required: bool,
    pub(crate) delete_version_after: i64,
    pub(crate) custom: Option<BTreeMap<String, String>>,
}

impl Version {
    pub(crate) fn is_gone(&self, now: Timestamp) -> bool {
        self.destroyed || self.deleted.is_some_and(|at| at <= now)
    }

    /// As answers show it.
    pub(crate) fn show(&self, number: u64, custom: Option<&BTreeMap<String, String>>) -> Value {
        json!({
            "created_time": text(self.created),
            "custom_metadata": custom,
            "deletion_time": self.deleted.map(text).unwrap_or_default(),
            "destroyed": self.destroyed,
            "version": number,
        })
    }
}

impl Entry {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            created: now,
            updated: now,
            current: 0,
            oldest: 0,
            versions: Versions::default(),
            max_versions: 0,
            cas_required: false,
            delete_version_after: 0,
            custom: None,
        }
    }

    /// Appends a version and forgets those beyond the limit.
    pub(crate) fn push(
        &mut self,
        cx: &mut Cx<'_>,
        name: &str,
        data: &Map<String, Value>,
        config: &Config,
    ) -> Result<Value> {
        let now = cx.now;
        self.current += 1;
        self.updated = now;
        let lifetime = if self.delete_version_after > 0 {
            self.delete_version_after
        } else {
            config.delete_version_after
        };
        let version = Version {
            created: now,
            deleted: (lifetime > 0).then(|| after(now, lifetime)),
            destroyed: false,
        };
        let shown = version.show(self.current, self.custom.as_ref());
        self.versions.push(self.current, version);
        cx.put(&data_key(self.current, name), data)?;
        let keep = [self.max_versions, config.max_versions, KEEP]
            .into_iter()
            .find(|keep| *keep > 0)
            .unwrap_or(KEEP);
        while self.versions.len() > usize::try_from(keep).unwrap_or(usize::MAX) {
            if let Some((old, _)) = self.versions.pop_first() {
                cx.delete(&data_key(old, name));
            }
        }
        self.oldest = self
            .versions
            .iter()
            .next()
            .map(|(oldest, _)| *oldest)
            .filter(|oldest| *oldest > 1)
            .unwrap_or(0);
        save(cx, name, self)?;
        Ok(shown)
    }
}

/// RFC 3339, in one piece of memory.
fn text(at: Timestamp) -> String {
    let mut text = String::with_capacity(64);
    // Writing into a text cannot fail.
    let _ = DateTimePrinter::new().print_timestamp(&at, &mut text);
    text
}

/// Where a version's data is.
pub(crate) fn data_key(version: u64, name: &str) -> String {
    ["data/", &version.to_string(), "/", name].concat()
}

/// Where its metadata is.
pub(crate) fn meta_key(name: &str) -> String {
    ["meta/", name].concat()
}

/// A secret's metadata, kept parsed: none of it is secret, and every read needs it.
pub(crate) fn peek(cx: &mut Cx<'_>, name: &str) -> Result<Option<Arc<Entry>>> {
    let key = cx.key(&meta_key(name));
    cx.txn.cached(key, |bytes| serde_json::from_slice(bytes).ok())
}

pub(crate) fn load(cx: &mut Cx<'_>, name: &str) -> Result<Option<Entry>> {
    cx.get(&meta_key(name))
}

pub(crate) fn save(cx: &mut Cx<'_>, name: &str, entry: &Entry) -> Result<()> {
    cx.put(&meta_key(name), entry)
}
