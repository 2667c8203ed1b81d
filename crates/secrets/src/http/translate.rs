//! The JSON envelope of an answer, written straight into bytes.

use crate::core::request::{Auth, Request, Response, Wrap};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Paths whose data clients also expect at the top level.
const FLAT: [&str; 14] = [
    "sys/audit",
    "sys/audit-hash",
    "sys/auth",
    "sys/capabilities",
    "sys/capabilities-accessor",
    "sys/capabilities-self",
    "sys/ha-status",
    "sys/key-status",
    "sys/mounts",
    "sys/policy",
    "sys/remount",
    "sys/rotate",
    "sys/wrapping/wrap",
    "sys/config/auditing",
];

fn is_flat(path: &str) -> bool {
    path.starts_with("sys/")
        && FLAT
            .iter()
            .any(|flat| path == *flat || path.strip_prefix(flat).is_some_and(|rest| rest.starts_with('/')))
}

/// Null instead of an empty collection, as Vault has it.
fn filled<T: Serialize>(value: &T, empty: bool) -> Option<&T> {
    (!empty).then_some(value)
}

struct Given<'a>(&'a Auth);

impl Serialize for Given<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let auth = self.0;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("client_token", auth.client_token.as_str())?;
        map.serialize_entry("accessor", &auth.accessor)?;
        map.serialize_entry("policies", &auth.policies)?;
        map.serialize_entry("token_policies", &auth.token_policies)?;
        map.serialize_entry(
            "identity_policies",
            &filled(&auth.identity_policies, auth.identity_policies.is_empty()),
        )?;
        map.serialize_entry("metadata", &filled(&auth.metadata, auth.metadata.is_empty()))?;
        map.serialize_entry("lease_duration", &auth.lease_duration)?;
        map.serialize_entry("renewable", &auth.renewable)?;
        map.serialize_entry("entity_id", &auth.entity_id)?;
        map.serialize_entry("token_type", &auth.token_type)?;
        map.serialize_entry("orphan", &auth.orphan)?;
        map.serialize_entry("mfa_requirement", &())?;
        map.serialize_entry("num_uses", &auth.num_uses)?;
        map.end()
    }
}

struct Wrapped<'a>(&'a Wrap);

impl Serialize for Wrapped<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let wrap = self.0;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("token", wrap.token.as_str())?;
        map.serialize_entry("accessor", &wrap.accessor)?;
        map.serialize_entry("ttl", &wrap.ttl)?;
        map.serialize_entry("creation_time", &wrap.creation_time)?;
        map.serialize_entry("creation_path", &wrap.creation_path)?;
        map.serialize_entry("wrapped_accessor", &wrap.wrapped_accessor)?;
        map.end()
    }
}

/// The whole object a client gets.
pub(crate) struct Envelope<'a> {
    /// The request it answers.
    pub(crate) request: &'a Request,
    /// What it says.
    pub(crate) response: &'a Response,
}

/// The envelope's own keys: flat data must not come under these names a second time.
const OWN: [&str; 9] = [
    "request_id",
    "lease_id",
    "renewable",
    "lease_duration",
    "data",
    "wrap_info",
    "warnings",
    "auth",
    "mount_type",
];

impl Serialize for Envelope<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { request, response } = *self;
        let lease = response.lease.as_ref();
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("request_id", &request.id)?;
        map.serialize_entry("lease_id", lease.map_or("", |lease| lease.id.as_str()))?;
        map.serialize_entry("renewable", &lease.is_some_and(|lease| lease.renewable))?;
        map.serialize_entry("lease_duration", &lease.map_or(0, |lease| lease.ttl))?;
        map.serialize_entry("data", &response.data)?;
        map.serialize_entry("wrap_info", &response.wrap.as_ref().map(Wrapped))?;
        map.serialize_entry(
            "warnings",
            &filled(&response.warnings, response.warnings.is_empty()),
        )?;
        map.serialize_entry("auth", &response.auth.as_ref().map(Given))?;
        map.serialize_entry("mount_type", "")?;
        if let Some(data) = response.data.as_ref().filter(|_| is_flat(&request.path)) {
            for (key, value) in data.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

/// The same as a value, to be put away.
pub(crate) fn envelope(request: &Request, response: &Response) -> Value {
    serde_json::to_value(Envelope { request, response }).unwrap_or(Value::Null)
}
