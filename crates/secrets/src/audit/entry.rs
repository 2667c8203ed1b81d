//! One audit line. Texts are hashed, numbers and flags are not; tokens never appear in clear. Owns no file.

use super::Device;
use crate::Error;
use crate::core::context::Cx;
use crate::core::request::{Request, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The request's token, without the token.
pub(crate) fn holder(cx: &Cx<'_>) -> Value {
    let Some(holder) = &cx.token else {
        return Value::Null;
    };
    let token = &holder.token;
    json!({
        "accessor": token.accessor,
        "display_name": token.display_name,
        "policies": token.policies,
        "token_policies": token.policies,
        "metadata": token.meta,
        "entity_id": token.entity_id,
        "token_type": if token.batch { "batch" } else { "service" },
        "token_ttl": token.ttl,
        "token_issue_time": token.created.to_string(),
    })
}

/// The line, without its end.
pub(crate) fn line(
    kind: &str,
    device: &Device,
    now: Timestamp,
    request: &Request,
    auth: &Value,
    response: Option<&Response>,
    error: Option<&Error>,
) -> Vec<u8> {
    let raw = device.options.get("log_raw").is_some_and(|value| value == "true");
    let hash = |text: &str| if raw { text.to_owned() } else { device.hash(text) };
    let mut auth = auth.clone();
    if let Some(accessor) = auth.get_mut("accessor")
        && device
            .options
            .get("hmac_accessor")
            .is_none_or(|value| value != "false")
    {
        *accessor = json!(hash(accessor.as_str().unwrap_or_default()));
    }
    let mut entry = Map::from_iter([
        ("time".to_owned(), json!(now.to_string())),
        ("type".to_owned(), json!(kind)),
        ("auth".to_owned(), auth),
        (
            "request".to_owned(),
            json!({
                "id": request.id,
                "operation": request.op.word(),
                "path": request.path,
                "client_token": request.token.as_ref().map(|token| hash(token)),
                "data": hashed(&Value::Object(request.data.clone()), &hash),
                "remote_address": request.remote.map(|address| address.to_string()),
                "wrap_ttl": request.wrap_ttl,
            }),
        ),
    ]);
    if let Some(response) = response {
        let mut shown = Map::new();
        if let Some(data) = &response.data {
            shown.insert("data".to_owned(), hashed(&Value::Object(data.clone()), &hash));
        }
        if let Some(auth) = &response.auth {
            shown.insert(
                "auth".to_owned(),
                json!({
                    "client_token": hash(&auth.client_token),
                    "accessor": hash(&auth.accessor),
                    "policies": auth.policies,
                    "metadata": auth.metadata,
                    "token_type": auth.token_type,
                }),
            );
        }
        if let Some(lease) = &response.lease {
            shown.insert("secret".to_owned(), json!({ "lease_id": lease.id }));
        }
        if let Some(wrap) = &response.wrap {
            shown.insert(
                "wrap_info".to_owned(),
                json!({
                    "token": hash(&wrap.token),
                    "accessor": hash(&wrap.accessor),
                    "ttl": wrap.ttl,
                    "creation_time": wrap.creation_time,
                    "creation_path": wrap.creation_path,
                }),
            );
        }
        entry.insert("response".to_owned(), Value::Object(shown));
    }
    if let Some(error) = error {
        entry.insert("error".to_owned(), json!(error.to_string()));
    }
    let mut bytes = device
        .options
        .get("prefix")
        .map(|prefix| prefix.clone().into_bytes())
        .unwrap_or_default();
    bytes.extend(Value::Object(entry).to_string().into_bytes());
    bytes
}

fn hashed(value: &Value, hash: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => json!(hash(text)),
        Value::Array(items) => items.iter().map(|item| hashed(item, hash)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), hashed(value, hash)))
            .collect(),
        other => other.clone(),
    }
}
