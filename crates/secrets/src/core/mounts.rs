//! The table of mounted engines and log in methods, and finding the one a path belongs to. Owns the table's stored form.

use super::fields::{Fields, duration};
use super::path::CanonicalPath;
use super::txn::Txn;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the table is stored.
const KEY: &str = "core/mounts";
/// 768 hours, in seconds.
pub(crate) const SYSTEM_TTL: i64 = 768 * 3600;

/// One mount.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
pub(crate) struct Mount {
    /// With a final slash; without `auth/` for log in methods.
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) uuid: String,
    pub(crate) accessor: String,
    pub(crate) description: String,
    pub(crate) auth: bool,
    #[serde(default)]
    pub(crate) options: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(crate) config: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) local: bool,
    #[serde(default)]
    pub(crate) seal_wrap: bool,
}

impl Mount {
    pub(crate) fn new(path: &str, kind: &str, auth: bool) -> Self {
        let uuid = uuid::Uuid::new_v4();
        let short = uuid.simple().to_string();
        Self {
            path: path.to_owned(),
            kind: kind.to_owned(),
            accessor: format!(
                "{}{kind}_{}",
                if auth { "auth_" } else { "" },
                short.get(..8).unwrap_or_default()
            ),
            uuid: uuid.to_string(),
            auth,
            ..Self::default()
        }
    }

    /// Where its entries are stored.
    pub(crate) fn prefix(&self) -> String {
        self.key("")
    }

    /// The key of one of its entries.
    pub(crate) fn key(&self, name: &str) -> String {
        let root = if self.auth { "auth/" } else { "logical/" };
        [root, &self.uuid, "/", name].concat()
    }

    /// Its path below `/v1/`.
    pub(crate) fn full_path(&self) -> String {
        format!("{}{}", if self.auth { "auth/" } else { "" }, self.path)
    }

    fn seconds(&self, key: &str) -> i64 {
        self.config.get(key).and_then(duration).unwrap_or(0)
    }

    /// Seconds a lease gets when nobody says more.
    pub(crate) fn default_ttl(&self) -> i64 {
        match self.seconds("default_lease_ttl") {
            0 => SYSTEM_TTL,
            seconds => seconds,
        }
    }

    /// Seconds a lease gets at most.
    pub(crate) fn max_ttl(&self) -> i64 {
        match self.seconds("max_lease_ttl") {
            0 => SYSTEM_TTL,
            seconds => seconds,
        }
    }

    pub(crate) fn is_kv2(&self) -> bool {
        self.kind == "kv"
            && self
                .options
                .as_ref()
                .and_then(|o| o.get("version"))
                .is_some_and(|v| v == "2")
    }

    /// The default mounts cannot be removed or moved.
    pub(crate) fn is_protected(&self) -> bool {
        matches!(self.kind.as_str(), "system" | "cubbyhole" | "identity") || self.auth && self.kind == "token"
    }

    /// The form lists and `tune` show.
    pub(crate) fn describe(&self) -> Value {
        let mut config = Map::from_iter([
            (
                "default_lease_ttl".to_owned(),
                json!(self.seconds("default_lease_ttl")),
            ),
            ("max_lease_ttl".to_owned(), json!(self.seconds("max_lease_ttl"))),
            ("force_no_cache".to_owned(), json!(false)),
        ]);
        if self.auth {
            config.insert("token_type".to_owned(), json!("default-service"));
        }
        for (key, value) in &self.config {
            if !key.ends_with("_lease_ttl") {
                config.insert(key.clone(), value.clone());
            }
        }
        json!({
            "accessor": self.accessor,
            "config": config,
            "deprecation_status": "supported",
            "description": self.description,
            "external_entropy_access": false,
            "local": self.local,
            "options": self.options,
            "plugin_version": "",
            "running_plugin_version": "v1.17.0+builtin.herder",
            "running_sha256": "",
            "seal_wrap": self.seal_wrap,
            "type": self.kind,
            "uuid": self.uuid,
        })
    }

    /// Takes over what `config` or `tune` gives.
    pub(crate) fn tune(&mut self, data: &Map<String, Value>) -> Result<()> {
        for key in ["default_lease_ttl", "max_lease_ttl"] {
            if let Some(seconds) = data.seconds(key)? {
                self.config.insert(key.to_owned(), json!(seconds));
            }
        }
        if self.max_ttl() < self.default_ttl() && self.seconds("default_lease_ttl") > 0 {
            return Err(Error::invalid(format!(
                "default_lease_ttl of {}s is longer than max_lease_ttl of {}s",
                self.default_ttl(),
                self.max_ttl()
            )));
        }
        for key in [
            "audit_non_hmac_request_keys",
            "audit_non_hmac_response_keys",
            "passthrough_request_headers",
            "allowed_response_headers",
        ] {
            if let Some(list) = data.list(key) {
                self.config.insert(key.to_owned(), json!(list));
            }
        }
        for key in ["listing_visibility", "token_type"] {
            if let Some(text) = data.text(key) {
                self.config.insert(key.to_owned(), json!(text));
            }
        }
        if let Some(text) = data.text("description") {
            self.description = text;
        }
        if let Some(options) = data.strings("options") {
            let mine = self.options.get_or_insert_default();
            if mine.get("version").is_some_and(|v| v == "2")
                && options.get("version").is_some_and(|v| v != "2")
            {
                return Err(Error::invalid("cannot downgrade a kv store from version 2 to 1"));
            }
            mine.extend(options);
        }
        Ok(())
    }
}

/// All mounts by path.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Mounts {
    #[serde(with = "shared")]
    pub(crate) secret: BTreeMap<String, Arc<Mount>>,
    #[serde(with = "shared")]
    pub(crate) auth: BTreeMap<String, Arc<Mount>>,
}

/// Shared mounts as plain ones in JSON.
mod shared {
    use super::Mount;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<String, Arc<Mount>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(map.iter().map(|(path, mount)| (path, &**mount)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, Arc<Mount>>, D::Error> {
        let map = BTreeMap::<String, Mount>::deserialize(from)?;
        Ok(map
            .into_iter()
            .map(|(path, mount)| (path, Arc::new(mount)))
            .collect())
    }
}

impl Mounts {
    /// What every server has.
    pub(crate) fn initial() -> Self {
        let mut mounts = Self::default();
        for (path, kind, description) in [
            (
                "sys/",
                "system",
                "system endpoints used for control, policy and debugging",
            ),
            ("identity/", "identity", "identity store"),
            ("cubbyhole/", "cubbyhole", "per-token private secret storage"),
        ] {
            let mut mount = Mount::new(path, kind, false);
            mount.description = description.to_owned();
            mounts.secret.insert(path.to_owned(), Arc::new(mount));
        }
        let mut token = Mount::new("token/", "token", true);
        token.description = "token based credentials".to_owned();
        mounts.auth.insert("token/".to_owned(), Arc::new(token));
        mounts
    }

    pub(crate) fn load(txn: &mut Txn<'_>) -> Result<Arc<Self>> {
        txn.cached(KEY, |bytes| serde_json::from_slice(bytes).ok())?
            .ok_or(Error::NotInitialised)
    }

    pub(crate) fn save(&self, txn: &mut Txn<'_>) -> Result<()> {
        txn.put(KEY, self)
    }

    pub(crate) fn table(&self, auth: bool) -> &BTreeMap<String, Arc<Mount>> {
        if auth { &self.auth } else { &self.secret }
    }

    pub(crate) fn table_mut(&mut self, auth: bool) -> &mut BTreeMap<String, Arc<Mount>> {
        if auth { &mut self.auth } else { &mut self.secret }
    }

    /// The mount a request path belongs to, and the rest of the path. A path that only lacks the final slash counts.
    pub(crate) fn find<'p>(&self, path: &'p CanonicalPath) -> Option<(&Arc<Mount>, &'p str)> {
        self.locate(path)
    }

    /// The mount of a lease. Its path was a request's, perhaps one from before paths had only one form.
    pub(crate) fn of_lease(&self, path: &str) -> Option<&Arc<Mount>> {
        self.locate(path).map(|(mount, _)| mount)
    }

    fn locate<'p>(&self, path: &'p str) -> Option<(&Arc<Mount>, &'p str)> {
        let (table, path) = match path.strip_prefix("auth/") {
            Some(rest) => (&self.auth, rest),
            None => (&self.secret, path),
        };
        for (end, _) in path.rmatch_indices('/') {
            let (head, rest) = path.split_at(end + 1);
            if let Some(mount) = table.get(head) {
                return Some((mount, rest));
            }
        }
        table.get(&format!("{path}/")).map(|mount| (mount, ""))
    }

    /// The mount that is at, above or below a path, if one is: two mounts must not contain each other.
    pub(crate) fn conflict(&self, path: &str, auth: bool) -> Option<&str> {
        self.table(auth)
            .keys()
            .find(|there| path.starts_with(there.as_str()) || there.starts_with(path))
            .map(String::as_str)
    }
}
