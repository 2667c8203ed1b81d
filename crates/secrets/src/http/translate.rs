//! The JSON envelope of an answer.

use crate::core::request::{Auth, Request, Response};
use serde_json::{Map, Value, json};

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
    FLAT.iter()
        .any(|flat| path == *flat || path.strip_prefix(flat).is_some_and(|rest| rest.starts_with('/')))
}

fn auth(auth: &Auth) -> Value {
    json!({
        "client_token": *auth.client_token,
        "accessor": auth.accessor,
        "policies": auth.policies,
        "token_policies": auth.token_policies,
        "identity_policies": if auth.identity_policies.is_empty() { Value::Null } else { json!(auth.identity_policies) },
        "metadata": if auth.metadata.is_empty() { Value::Null } else { json!(auth.metadata) },
        "lease_duration": auth.lease_duration,
        "renewable": auth.renewable,
        "entity_id": auth.entity_id,
        "token_type": auth.token_type,
        "orphan": auth.orphan,
        "mfa_requirement": null,
        "num_uses": auth.num_uses,
    })
}

/// The whole object a client gets.
pub(crate) fn envelope(request: &Request, response: &Response) -> Value {
    let lease = response.lease.as_ref();
    let mut object = Map::new();
    if is_flat(&request.path)
        && let Some(data) = &response.data
    {
        object.extend(data.clone());
    }
    object.extend([
        ("request_id".to_owned(), json!(request.id)),
        (
            "lease_id".to_owned(),
            json!(lease.map(|lease| lease.id.as_str()).unwrap_or_default()),
        ),
        (
            "renewable".to_owned(),
            json!(lease.is_some_and(|lease| lease.renewable)),
        ),
        (
            "lease_duration".to_owned(),
            json!(lease.map_or(0, |lease| lease.ttl)),
        ),
        (
            "data".to_owned(),
            response.data.clone().map_or(Value::Null, Value::Object),
        ),
        (
            "wrap_info".to_owned(),
            response.wrap.as_ref().map_or(Value::Null, |wrap| {
                json!({
                    "token": *wrap.token,
                    "accessor": wrap.accessor,
                    "ttl": wrap.ttl,
                    "creation_time": wrap.creation_time,
                    "creation_path": wrap.creation_path,
                    "wrapped_accessor": wrap.wrapped_accessor,
                })
            }),
        ),
        (
            "warnings".to_owned(),
            if response.warnings.is_empty() {
                Value::Null
            } else {
                json!(response.warnings)
            },
        ),
        (
            "auth".to_owned(),
            response.auth.as_ref().map_or(Value::Null, auth),
        ),
        ("mount_type".to_owned(), json!("")),
    ]);
    Value::Object(object)
}
