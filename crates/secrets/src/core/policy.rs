//! Policies as text and as rules. Owns the parsing; deciding is `acl`'s.

use super::fields::duration;
use crate::hcl::{self, Body, Item};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a rule allows, as bits.
pub(crate) mod capability {
    pub(crate) const DENY: u16 = 1;
    pub(crate) const CREATE: u16 = 2;
    pub(crate) const READ: u16 = 4;
    pub(crate) const UPDATE: u16 = 8;
    pub(crate) const DELETE: u16 = 16;
    pub(crate) const LIST: u16 = 32;
    pub(crate) const SUDO: u16 = 64;
    pub(crate) const PATCH: u16 = 128;
    /// Words, alphabetical.
    pub(crate) const WORDS: [(&str, u16); 8] = [
        ("create", CREATE),
        ("delete", DELETE),
        ("deny", DENY),
        ("list", LIST),
        ("patch", PATCH),
        ("read", READ),
        ("sudo", SUDO),
        ("update", UPDATE),
    ];
}

/// Allowed or denied parameters with their values; an empty list of values means any.
pub(crate) type Parameters = BTreeMap<String, Vec<Value>>;

/// What one or several policies say of one path.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Permissions {
    pub(crate) bits: u16,
    pub(crate) min_wrapping: i64,
    pub(crate) max_wrapping: i64,
    pub(crate) allowed: Option<Parameters>,
    pub(crate) denied: Option<Parameters>,
    pub(crate) required: Vec<String>,
}

/// One `path` block.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    /// Without a final `*`.
    pub(crate) path: String,
    /// Whether the path ended in `*`.
    pub(crate) glob: bool,
    pub(crate) permissions: Permissions,
}

/// A parsed policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    pub(crate) rules: Vec<Rule>,
}

/// A policy's text is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("failed to parse policy: {0}")]
pub struct PolicyError(String);

impl Policy {
    /// Reads HCL or JSON.
    ///
    /// # Errors
    /// [`PolicyError`] with the line and what to write instead.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut rules = Vec::new();
        for item in hcl::parse(text).map_err(|error| PolicyError(error.to_string()))? {
            match (item.key.as_str(), item.labels.as_slice()) {
                ("path", [path]) => rules.push(rule(&item, path)?),
                ("path", []) => {
                    // The attribute form: path = { "a" = { … } }
                    let Value::Object(paths) = item.json() else {
                        return Err(at(&item, "`path` needs the path in quotes and a block"));
                    };
                    for (path, body) in paths {
                        let Value::Object(body) = body else {
                            return Err(at(&item, "`path` needs the path in quotes and a block"));
                        };
                        let items = body
                            .into_iter()
                            .map(|(key, value)| Item {
                                key,
                                labels: Vec::new(),
                                body: Body::Value(value),
                                line: item.line,
                            })
                            .collect();
                        let block = Item {
                            body: Body::Items(items),
                            ..item.clone()
                        };
                        rules.push(rule(&block, &path)?);
                    }
                }
                ("name", []) => {}
                (key, _) => {
                    return Err(at(
                        &item,
                        &format!(
                            "`{key}` is not known here: a policy is made of `path \"…\" {{ … }}` blocks"
                        ),
                    ));
                }
            }
        }
        Ok(Self { rules })
    }
}

fn at(item: &Item, text: &str) -> PolicyError {
    PolicyError(if item.line == 0 {
        text.to_owned()
    } else {
        format!("line {}: {text}", item.line)
    })
}

fn rule(block: &Item, path: &str) -> Result<Rule, PolicyError> {
    use capability as c;
    let mut permissions = Permissions::default();
    let Body::Items(items) = &block.body else {
        return Err(at(block, &format!("path \"{path}\" needs a block")));
    };
    for item in items {
        let value = item.json();
        let wrong = |text: &str| at(item, &format!("path \"{path}\": {}: {text}", item.key));
        match item.key.as_str() {
            "capabilities" => {
                for word in words(&value).ok_or_else(|| wrong("write a list of words"))? {
                    let bit = c::WORDS
                        .iter()
                        .find(|(known, _)| *known == word)
                        .ok_or_else(|| wrong(&format!("invalid capability {word:?}")))?;
                    permissions.bits |= bit.1;
                }
            }
            "policy" => {
                permissions.bits |= match value.as_str() {
                    Some("deny") => c::DENY,
                    Some("read") => c::READ | c::LIST,
                    Some("write") => c::CREATE | c::READ | c::UPDATE | c::DELETE | c::LIST | c::PATCH,
                    Some("sudo") => {
                        c::CREATE | c::READ | c::UPDATE | c::DELETE | c::LIST | c::PATCH | c::SUDO
                    }
                    _ => return Err(wrong("write deny, read, write or sudo")),
                };
            }
            "min_wrapping_ttl" => {
                permissions.min_wrapping = duration(&value).ok_or_else(|| wrong("no duration"))?
            }
            "max_wrapping_ttl" => {
                permissions.max_wrapping = duration(&value).ok_or_else(|| wrong("no duration"))?
            }
            "allowed_parameters" => {
                permissions.allowed = Some(parameters(value).ok_or_else(|| wrong("write a map of lists"))?)
            }
            "denied_parameters" => {
                permissions.denied = Some(parameters(value).ok_or_else(|| wrong("write a map of lists"))?)
            }
            "required_parameters" => {
                permissions.required = words(&value).ok_or_else(|| wrong("write a list of words"))?
            }
            "mfa_methods" | "control_group" | "expiration" | "subscribe_event_types" | "comment" => {}
            _ => return Err(wrong("is not known in a path block")),
        }
    }
    if permissions.bits & c::DENY != 0 {
        permissions = Permissions {
            bits: c::DENY,
            ..Permissions::default()
        };
    }
    if permissions.max_wrapping > 0 && permissions.max_wrapping < permissions.min_wrapping {
        return Err(at(
            block,
            &format!("path \"{path}\": max_wrapping_ttl cannot be less than min_wrapping_ttl"),
        ));
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let contains_both = path.contains("+*");
    let (path, glob) = path.strip_suffix('*').map_or((path, false), |rest| (rest, true));
    if contains_both {
        return Err(at(block, &format!("path \"{path}\": cannot contain +*")));
    }
    Ok(Rule {
        path: path.to_owned(),
        glob,
        permissions,
    })
}

fn words(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|word| Some(word.as_str()?.to_owned()))
        .collect()
}

fn parameters(value: Value) -> Option<Parameters> {
    let Value::Object(map) = value else { return None };
    map.into_iter()
        .map(|(key, value)| match value {
            Value::Array(values) => Some((key.to_lowercase(), values)),
            _ => None,
        })
        .collect()
}

/// What every token may do.
pub(crate) const DEFAULT: &str = r#"
# Allow tokens to look up their own properties
path "auth/token/lookup-self" {
    capabilities = ["read"]
}

# Allow tokens to renew themselves
path "auth/token/renew-self" {
    capabilities = ["update"]
}

# Allow tokens to revoke themselves
path "auth/token/revoke-self" {
    capabilities = ["update"]
}

# Allow a token to look up its own capabilities on a path
path "sys/capabilities-self" {
    capabilities = ["update"]
}

# Allow a token to look up its own entity by id or name
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
  capabilities = ["read"]
}

# Allow a token to look up its resultant ACL from all policies
path "sys/internal/ui/resultant-acl" {
    capabilities = ["read"]
}

# Allow a token to renew a lease via lease_id in the request body
path "sys/renew" {
    capabilities = ["update"]
}
path "sys/leases/renew" {
    capabilities = ["update"]
}

# Allow looking up lease properties
path "sys/leases/lookup" {
    capabilities = ["update"]
}

# Allow a token to manage its own cubbyhole
path "cubbyhole/*" {
    capabilities = ["create", "read", "update", "delete", "list"]
}

# Allow a token to wrap arbitrary values in a response-wrapping token
path "sys/wrapping/wrap" {
    capabilities = ["update"]
}

# Allow a token to look up the creation time and TTL of a given response-wrapping token
path "sys/wrapping/lookup" {
    capabilities = ["update"]
}

# Allow a token to unwrap a response-wrapping token
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}

# Allow general purpose tools
path "sys/tools/hash" {
    capabilities = ["update"]
}
path "sys/tools/hash/*" {
    capabilities = ["update"]
}
"#;

/// What a wrapping token may do.
pub(crate) const WRAPPING: &str = r#"
path "cubbyhole/response" {
    capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}
"#;
