//! Roles: what may be issued, and checking names against them.

use crate::auth::wild;
use crate::core::context::Cx;
use crate::core::fields::{Fields, go_duration};
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A role. Field names are those of the API, so that reading gives back what was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role(pub(crate) Map<String, Value>);

fn defaults() -> Map<String, Value> {
    let json = json!({
        "allow_any_name": false,
        "allow_bare_domains": false,
        "allow_glob_domains": false,
        "allow_ip_sans": true,
        "allow_localhost": true,
        "allow_subdomains": false,
        "allow_token_displayname": false,
        "allow_wildcard_certificates": true,
        "allowed_domains": [],
        "allowed_domains_template": false,
        "allowed_other_sans": [],
        "allowed_serial_numbers": [],
        "allowed_uri_sans": [],
        "allowed_uri_sans_template": false,
        "allowed_user_ids": [],
        "basic_constraints_valid_for_non_ca": false,
        "client_flag": true,
        "cn_validations": ["email", "hostname"],
        "code_signing_flag": false,
        "country": [],
        "email_protection_flag": false,
        "enforce_hostnames": true,
        "ext_key_usage": [],
        "ext_key_usage_oids": [],
        "generate_lease": false,
        "issuer_ref": "default",
        "key_bits": 0,
        "key_type": "rsa",
        "key_usage": ["DigitalSignature", "KeyAgreement", "KeyEncipherment"],
        "locality": [],
        "max_ttl": 0,
        "no_store": false,
        "no_store_metadata": false,
        "not_after": "",
        "not_before_duration": 30,
        "organization": [],
        "ou": [],
        "policy_identifiers": [],
        "postal_code": [],
        "province": [],
        "require_cn": true,
        "serial_number_source": "json-csr",
        "server_flag": true,
        "signature_bits": 0,
        "street_address": [],
        "ttl": 0,
        "use_csr_common_name": true,
        "use_csr_sans": true,
        "use_pss": false,
    });
    match json {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let key = format!("role/{name}");
    match request.op {
        Op::Read => {
            let role: Role = cx.get(&key)?.ok_or(Error::NotFound)?;
            Ok(Response::data(Value::Object(role.0)))
        }
        Op::Delete => {
            cx.delete(&key);
            Ok(Response::empty())
        }
        Op::Write | Op::Patch => {
            let base = if request.op == Op::Patch {
                cx.get::<Role>(&key)?.ok_or(Error::NotFound)?.0
            } else {
                defaults()
            };
            let role = Role(read(base, &request.data)?);
            role.check()?;
            cx.put(&key, &role)?;
            Ok(Response::data(Value::Object(role.0)))
        }
        Op::List => Err(Error::Unsupported),
    }
}

/// Takes over given fields in the type of their defaults.
fn read(mut base: Map<String, Value>, data: &Map<String, Value>) -> Result<Map<String, Value>> {
    for (key, value) in &mut base {
        if !data.contains_key(key) {
            continue;
        }
        *value = match (key.as_str(), &*value) {
            ("ttl" | "max_ttl" | "not_before_duration", _) => json!(data.seconds(key)?.unwrap_or(0)),
            (_, Value::Bool(_)) => json!(data.flag(key)?.unwrap_or(false)),
            (_, Value::Number(_)) => json!(data.int(key)?.unwrap_or(0)),
            (_, Value::Array(_)) => json!(data.list(key).unwrap_or_default()),
            _ => json!(data.text(key).unwrap_or_default()),
        };
    }
    Ok(base)
}

impl Role {
    /// For `sign-verbatim`: everything goes.
    pub(crate) fn lax() -> Self {
        let mut role = defaults();
        for (key, value) in [
            ("allow_any_name", json!(true)),
            ("enforce_hostnames", json!(false)),
            ("allow_ip_sans", json!(true)),
            ("allowed_uri_sans", json!(["*"])),
            ("require_cn", json!(false)),
            ("key_type", json!("any")),
            ("cn_validations", json!(["disabled"])),
        ] {
            role.insert(key.to_owned(), value);
        }
        Self(role)
    }

    /// Lays given fields over the role.
    pub(crate) fn with(self, data: &Map<String, Value>, keys: &[&str]) -> Result<Self> {
        let some: Map<String, Value> = data
            .iter()
            .filter(|(key, _)| keys.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok(Self(read(self.0, &some)?))
    }

    fn check(&self) -> Result<()> {
        let (ttl, max) = (self.int("ttl"), self.int("max_ttl"));
        if max > 0 && ttl > max {
            return Err(Error::invalid(format!(
                "\"ttl\" value of {} must be less than \"max_ttl\" value",
                go_duration(ttl)
            )));
        }
        match self.text("key_type") {
            "rsa" if !matches!(self.int("key_bits"), 0 | 2048 | 3072 | 4096) => {
                Err(Error::invalid("key_bits: write 2048, 3072 or 4096 for rsa"))
            }
            "ec" if !matches!(self.int("key_bits"), 0 | 256 | 384 | 521) => {
                Err(Error::invalid("key_bits: write 256, 384 or 521 for ec"))
            }
            "rsa" | "ec" | "ed25519" | "any" => Ok(()),
            other => Err(Error::invalid(format!("unknown key type {other:?}"))),
        }
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn int(&self, key: &str) -> i64 {
        self.0.get(key).and_then(Value::as_i64).unwrap_or(0)
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn list(&self, key: &str) -> Vec<&str> {
        self.0
            .get(key)
            .and_then(Value::as_array)
            .map(|items| items.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }

    /// Whether a DNS name or e-mail address may be in a certificate.
    pub(crate) fn allows_name(&self, name: &str, display_name: &str) -> bool {
        let (local, host) = name
            .rsplit_once('@')
            .map_or((None, name), |(local, host)| (Some(local), host));
        let host = host.to_ascii_lowercase();
        let wildcard = host.starts_with("*.") || host.contains('*');
        if wildcard && !self.flag("allow_wildcard_certificates") {
            return false;
        }
        if self.flag("enforce_hostnames") && !is_hostname(host.strip_prefix("*.").unwrap_or(&host)) {
            return false;
        }
        if local.is_some_and(|local| local.is_empty() || local.contains(char::is_whitespace)) {
            return false;
        }
        if self.flag("allow_any_name") {
            return true;
        }
        if self.flag("allow_localhost") && matches!(host.as_str(), "localhost" | "localdomain") {
            return true;
        }
        if self.flag("allow_token_displayname") && !display_name.is_empty() && name == display_name {
            return true;
        }
        self.list("allowed_domains").into_iter().any(|domain| {
            let domain = domain.to_ascii_lowercase();
            if domain.is_empty() {
                return false;
            }
            let bare =
                self.flag("allow_bare_domains") && (host == domain || name.eq_ignore_ascii_case(&domain));
            let below = self.flag("allow_subdomains")
                && host
                    .strip_suffix(&domain)
                    .is_some_and(|head| head.ends_with('.') && head.len() > 1);
            let glob = self.flag("allow_glob_domains") && domain.contains('*') && wild(&domain, &host);
            bare || below || glob
        })
    }

    /// Whether a URI may be in a certificate.
    pub(crate) fn allows_uri(&self, uri: &str) -> bool {
        self.list("allowed_uri_sans")
            .into_iter()
            .any(|pattern| wild(pattern, uri))
    }
}

fn is_hostname(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}
