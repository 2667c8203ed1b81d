//! Log in with a JSON web token, verified by configured keys, a key set's address or OIDC discovery. Owns configuration,
//! roles and claims; signatures are in `verify`, the way through a browser in `browser`.

mod browser;
pub(crate) mod verify;

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::params::{Login, TokenParams};
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::external::{HttpQuestion, Question};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const CONFIG_TEXTS: [&str; 9] = [
    "oidc_discovery_url",
    "oidc_discovery_ca_pem",
    "oidc_client_id",
    "oidc_client_secret",
    "oidc_response_mode",
    "jwks_url",
    "jwks_ca_pem",
    "bound_issuer",
    "default_role",
];

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Role {
    fields: Map<String, Value>,
    token: TokenParams,
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match (request.op, segments.as_slice()) {
        (Op::Write, ["login"]) => login(cx, request),
        (Op::Write, ["oidc", "auth_url"]) => browser::start(cx, request),
        (Op::Read | Op::Write, ["oidc", "callback"]) => browser::finish(cx, request),
        (Op::Read, ["config"]) => {
            let mut config: Map<String, Value> = cx.get("config")?.ok_or(Error::NotFound)?;
            config.remove("oidc_client_secret");
            Ok(Response::data(Value::Object(config)))
        }
        (Op::Write, ["config"]) => write_config(cx, request),
        (Op::List, ["role"]) => Response::keys(cx.list("role/")),
        (Op::Read, ["role", name]) => {
            let role: Role = cx.get(&format!("role/{name}"))?.ok_or(Error::NotFound)?;
            let mut data = role.fields;
            role.token.show(&mut data);
            Ok(Response::data(Value::Object(data)))
        }
        (Op::Write, ["role", name]) => write_role(cx, request, name),
        (Op::Delete, ["role", name]) => {
            cx.delete(&format!("role/{name}"));
            Ok(Response::empty())
        }
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn write_config(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let data = &request.data;
    let mut config = Map::new();
    for key in CONFIG_TEXTS {
        config.insert(key.to_owned(), json!(data.text(key).unwrap_or_default()));
    }
    for key in [
        "jwt_validation_pubkeys",
        "jwt_supported_algs",
        "oidc_response_types",
    ] {
        config.insert(key.to_owned(), json!(data.list(key).unwrap_or_default()));
    }
    config.insert(
        "provider_config".to_owned(),
        data.get("provider_config").cloned().unwrap_or_else(|| json!({})),
    );
    config.insert(
        "namespace_in_state".to_owned(),
        json!(data.flag("namespace_in_state")?.unwrap_or(true)),
    );
    let given = [text(&config, "oidc_discovery_url"), text(&config, "jwks_url")]
        .iter()
        .filter(|url| !url.is_empty())
        .count()
        + usize::from(!list(&config, "jwt_validation_pubkeys").is_empty());
    if given != 1 {
        return Err(Error::invalid(
            "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set",
        ));
    }
    for key in list(&config, "jwt_validation_pubkeys") {
        verify::PublicKey::from_pem(&key)
            .ok_or_else(|| Error::invalid("error parsing public key: write it as PEM"))?;
    }
    if !text(&config, "oidc_discovery_url").is_empty() {
        // Asked now, so that a wrong address is found by who wrote it.
        discover(request, &config).map_err(|error| match error {
            Error::Upstream(reason) => Error::invalid(format!("error checking oidc discovery URL: {reason}")),
            other => other,
        })?;
    }
    cx.put("config", &config)?;
    Ok(Response::empty())
}

fn text<'m>(map: &'m Map<String, Value>, key: &str) -> &'m str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list(map: &Map<String, Value>, key: &str) -> Vec<String> {
    map.list(key).unwrap_or_default()
}

fn ask(request: &Request, url: String, ca: &str) -> Result<Value> {
    let question = HttpQuestion {
        method: "GET",
        url,
        ca_pem: Some(ca.to_owned()).filter(|ca| !ca.is_empty()),
        ..HttpQuestion::default()
    };
    answered(request, question)
}

/// What is known of a question so far; stops the request to have it asked.
pub(crate) fn answered(request: &Request, question: HttpQuestion) -> Result<Value> {
    let asked = Question::Http(question.clone());
    match request.answers.iter().find(|answer| answer.to == asked) {
        None => Err(Error::Needs(Box::new(asked))),
        Some(answer) => match &answer.reply {
            Ok((200..=299, value)) => Ok(value.clone()),
            Ok((status, _)) => Err(Error::Upstream(format!(
                "{} answered with status {status}",
                question.url
            ))),
            Err(reason) => Err(Error::Upstream(format!(
                "{} cannot be asked: {reason}",
                question.url
            ))),
        },
    }
}

/// What the provider says of itself.
fn provider(request: &Request, config: &Map<String, Value>) -> Result<Value> {
    let base = text(config, "oidc_discovery_url").trim_end_matches('/');
    ask(
        request,
        format!("{base}/.well-known/openid-configuration"),
        text(config, "oidc_discovery_ca_pem"),
    )
}

/// Issuer and key set address.
fn discover(request: &Request, config: &Map<String, Value>) -> Result<(String, String)> {
    let base = text(config, "oidc_discovery_url").trim_end_matches('/');
    let found = provider(request, config)?;
    let get = |key: &str| {
        found
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (issuer, keys) = (get("issuer"), get("jwks_uri"));
    if issuer.trim_end_matches('/') != base || keys.is_empty() {
        return Err(Error::Upstream(format!(
            "the issuer {issuer:?} does not match {base:?}, or there is no jwks_uri"
        )));
    }
    Ok((issuer, keys))
}

/// The keys a token may be signed with, and the issuer it must name.
fn keys(request: &Request, config: &Map<String, Value>) -> Result<(Vec<verify::PublicKey>, String)> {
    let mut issuer = text(config, "bound_issuer").to_owned();
    let set = if !text(config, "oidc_discovery_url").is_empty() {
        let (found, url) = discover(request, config)?;
        if issuer.is_empty() {
            issuer = found;
        }
        ask(request, url, text(config, "oidc_discovery_ca_pem"))?
    } else if !text(config, "jwks_url").is_empty() {
        ask(
            request,
            text(config, "jwks_url").to_owned(),
            text(config, "jwks_ca_pem"),
        )?
    } else {
        let keys = list(config, "jwt_validation_pubkeys")
            .iter()
            .filter_map(|pem| verify::PublicKey::from_pem(pem))
            .collect();
        return Ok((keys, issuer));
    };
    let keys = set.get("keys").and_then(Value::as_array).into_iter().flatten();
    Ok((keys.filter_map(verify::PublicKey::from_jwk).collect(), issuer))
}

fn write_role(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let data = &request.data;
    let key = format!("role/{name}");
    let mut role: Role = cx.get(&key)?.unwrap_or(Role {
        fields: Map::new(),
        token: TokenParams::default(),
    });
    for (key, default) in [
        ("role_type", json!("oidc")),
        ("user_claim", json!("")),
        ("groups_claim", json!("")),
        ("bound_subject", json!("")),
        ("bound_claims_type", json!("string")),
        ("bound_audiences", json!([])),
        ("allowed_redirect_uris", json!([])),
        ("oidc_scopes", json!([])),
        ("bound_claims", Value::Null),
        ("claim_mappings", Value::Null),
        ("expiration_leeway", json!(0)),
        ("not_before_leeway", json!(0)),
        ("clock_skew_leeway", json!(0)),
        ("max_age", json!(0)),
        ("verbose_oidc_logging", json!(false)),
        ("user_claim_json_pointer", json!(false)),
    ] {
        let given = match (&default, data.get(key)) {
            (_, None) => None,
            (Value::Array(_), Some(_)) => data.list(key).map(|list| json!(list)),
            (Value::Number(_), Some(_)) => data.seconds(key)?.map(|seconds| json!(seconds)),
            (Value::Bool(_), Some(_)) => data.flag(key)?.map(|flag| json!(flag)),
            (_, Some(value)) => Some(value.clone()),
        };
        match given {
            Some(value) => role.fields.insert(key.to_owned(), value),
            None if !role.fields.contains_key(key) => role.fields.insert(key.to_owned(), default),
            None => None,
        };
    }
    let kind = text(&role.fields, "role_type").to_owned();
    if !matches!(kind.as_str(), "jwt" | "oidc") {
        return Err(Error::invalid(format!(
            "invalid 'role_type': {kind:?}; write jwt or oidc"
        )));
    }
    if text(&role.fields, "user_claim").is_empty() {
        return Err(Error::invalid("a user claim must be defined on the role"));
    }
    if !matches!(text(&role.fields, "bound_claims_type"), "string" | "glob") {
        return Err(Error::invalid(
            "invalid 'bound_claims_type': write string or glob",
        ));
    }
    role.token.update(data)?;
    let bound = ["bound_audiences", "bound_subject", "bound_claims"]
        .iter()
        .any(|key| match role.fields.get(*key) {
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            _ => false,
        });
    if kind == "jwt" && !bound && role.token.cidrs.is_empty() {
        return Err(Error::invalid(
            "must have at least one bound constraint when creating/updating a role",
        ));
    }
    cx.put(&key, &role)?;
    Ok(Response::empty())
}

fn login(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let config: Map<String, Value> = cx
        .get("config")?
        .ok_or_else(|| Error::invalid("could not load configuration"))?;
    let name = request
        .data
        .text("role")
        .filter(|role| !role.is_empty())
        .unwrap_or_else(|| text(&config, "default_role").to_owned());
    if name.is_empty() {
        return Err(Error::invalid("missing role"));
    }
    let role: Role = cx
        .get(&format!("role/{name}"))?
        .ok_or_else(|| Error::invalid(format!("role {name:?} could not be found")))?;
    if text(&role.fields, "role_type") == "oidc" {
        return Err(Error::invalid("role with oidc role_type is not allowed"));
    }
    let jwt = request
        .data
        .text("jwt")
        .filter(|jwt| !jwt.is_empty())
        .ok_or_else(|| Error::invalid("missing token"))?;
    let (keys, issuer) = keys(request, &config)?;
    let claims = verify::verified(&jwt, &keys, &list(&config, "jwt_supported_algs")).ok_or_else(|| {
        Error::invalid("error validating token: no known key verified the token's signature")
    })?;
    check(&claims, &role.fields, &issuer, cx.now.as_second())
        .map_err(|reason| Error::invalid(format!("error validating token: {reason}")))?;
    admit(cx, request, role, name, &claims)
}

/// Gives a token for claims that have been checked.
fn admit(cx: &mut Cx<'_>, request: &Request, role: Role, name: String, claims: &Value) -> Result<Response> {
    let user = claim(claims, text(&role.fields, "user_claim"))
        .and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .ok_or_else(|| {
            Error::invalid(format!(
                "claim {:?} not found in token",
                text(&role.fields, "user_claim")
            ))
        })?;
    let mut metadata = BTreeMap::from([("role".to_owned(), name.clone())]);
    for (from, to) in role
        .fields
        .get("claim_mappings")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if let (Some(Value::String(value)), Some(to)) = (claim(claims, from), to.as_str()) {
            metadata.insert(to.to_owned(), value.clone());
        }
    }
    let login = Login {
        display_name: format!("{}-{user}", cx.mount.path.trim_end_matches('/')),
        alias: user,
        metadata,
        role: name,
    };
    let auth = role.token.log_in(cx, &request.path, request.remote, login)?;
    Ok(Response {
        auth: Some(auth),
        ..Response::default()
    })
}

/// A claim by name or JSON pointer.
fn claim<'c>(claims: &'c Value, name: &str) -> Option<&'c Value> {
    if name.starts_with('/') {
        claims.pointer(name)
    } else {
        claims.get(name)
    }
}

fn check(
    claims: &Value,
    role: &Map<String, Value>,
    issuer: &str,
    now: i64,
) -> std::result::Result<(), String> {
    let time = |key: &str| {
        claims
            .get(key)
            .and_then(Value::as_f64)
            .map(|seconds| seconds as i64)
    };
    let leeway = |key: &str, default: i64| match role.get(key).and_then(Value::as_i64) {
        None | Some(0) => default,
        Some(seconds) => seconds,
    };
    let skew = leeway("clock_skew_leeway", 60);
    let (issued, not_before, expires) = (time("iat"), time("nbf"), time("exp"));
    if issued.is_none() && not_before.is_none() && expires.is_none() {
        return Err("no issued time, notBefore, or expiration time encoded in token".to_owned());
    }
    let end = expires.unwrap_or_else(|| {
        issued
            .or(not_before)
            .unwrap_or(0)
            .saturating_add(leeway("expiration_leeway", 150))
    });
    if now > end.saturating_add(skew) {
        return Err("token is expired".to_owned());
    }
    if not_before
        .or(issued)
        .is_some_and(|at| now < at.saturating_sub(skew))
    {
        return Err("token is not valid yet".to_owned());
    }
    if !issuer.is_empty() && claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err("invalid issuer (iss) claim".to_owned());
    }
    let subject = text(role, "bound_subject");
    if !subject.is_empty() && claims.get("sub").and_then(Value::as_str) != Some(subject) {
        return Err("invalid subject (sub) claim".to_owned());
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let bound = list(role, "bound_audiences");
    if bound.is_empty() && !audiences.is_empty() {
        return Err("audience claim found in JWT but no audiences bound to the role".to_owned());
    }
    if !bound.is_empty()
        && !audiences
            .iter()
            .any(|audience| bound.iter().any(|bound| bound == audience))
    {
        return Err("invalid audience (aud) claim".to_owned());
    }
    let glob = text(role, "bound_claims_type") == "glob";
    for (name, wanted) in role
        .get("bound_claims")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let Some(found) = claim(claims, name) else {
            return Err(format!("claim {name:?} is missing"));
        };
        let found = found.as_array().cloned().unwrap_or_else(|| vec![found.clone()]);
        let wanted = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
        let fits = found.iter().any(|found| {
            wanted.iter().any(|wanted| match (wanted, found) {
                (Value::String(pattern), Value::String(text)) if glob => super::wild(pattern, text),
                (wanted, found) => wanted == found,
            })
        });
        if !fits {
            return Err(format!(
                "claim {name:?} does not match any associated bound claim values"
            ));
        }
    }
    Ok(())
}
