//! Secret ids of AppRoles: making, looking up, using up, destroying. Stored under a keyed hash of themselves only.

use super::Role;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::params::{cidr_allows, cidrs_within, parse_cidrs};
use crate::core::request::{Op, Request, Response};
use crate::core::token::after;
use crate::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Secret {
    accessor: String,
    num_uses: i64,
    ttl: i64,
    created: Timestamp,
    updated: Timestamp,
    expires: Option<Timestamp>,
    metadata: BTreeMap<String, String>,
    cidrs: Vec<String>,
    token_cidrs: Vec<String>,
}

fn key(role: &str, hash: &str) -> String {
    format!("secret/{role}/{hash}")
}

fn alive(cx: &mut Cx<'_>, role: &str, hash: &str) -> Result<Option<Secret>> {
    let now = cx.now;
    Ok(cx
        .get::<Secret>(&key(role, hash))?
        .filter(|secret| secret.expires.is_none_or(|at| at > now)))
}

pub(super) fn create(cx: &mut Cx<'_>, request: &Request, name: &str, custom: bool) -> Result<Response> {
    let role = super::need(cx, name)?;
    if !role.bind_secret_id {
        return Err(Error::invalid("bind_secret_id is not set on the role"));
    }
    let data = &request.data;
    let id = if custom {
        data.need("secret_id")?
    } else {
        uuid::Uuid::new_v4().to_string()
    };
    let uses = data.int("num_uses")?.unwrap_or(role.secret_id_num_uses);
    if uses < 0 || role.secret_id_num_uses > 0 && (uses == 0 || uses > role.secret_id_num_uses) {
        return Err(Error::invalid(
            "num_uses cannot be higher than the role's secret_id_num_uses",
        ));
    }
    let ttl = match data.seconds("ttl")? {
        None => role.secret_id_ttl,
        Some(ttl) if role.secret_id_ttl > 0 && (ttl == 0 || ttl > role.secret_id_ttl) => {
            return Err(Error::invalid(
                "ttl cannot be longer than the role's secret_id_ttl",
            ));
        }
        Some(ttl) => ttl,
    };
    let metadata = match data.get("metadata") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(_) => data
            .strings("metadata")
            .ok_or_else(|| Error::invalid("failed to parse metadata: write an object of texts"))?,
    };
    let hash = cx.hash_token(&id);
    if cx.exists(&key(name, &hash)) {
        return Err(Error::invalid("SecretID is already registered"));
    }
    let cidrs = parse_cidrs(data.list("cidr_list").unwrap_or_default())?;
    let token_cidrs = parse_cidrs(data.list("token_bound_cidrs").unwrap_or_default())?;
    for (inner, outer) in [
        (&cidrs, &role.secret_id_bound_cidrs),
        (&token_cidrs, &role.token.cidrs),
    ] {
        subset(inner, outer)?;
    }
    let secret = Secret {
        accessor: uuid::Uuid::new_v4().to_string(),
        num_uses: uses,
        ttl,
        created: cx.now,
        updated: cx.now,
        expires: (ttl > 0).then(|| after(cx.now, ttl)),
        metadata,
        cidrs,
        token_cidrs,
    };
    cx.put(&key(name, &hash), &secret)?;
    cx.put(&format!("accessor/{name}/{}", secret.accessor), &hash)?;
    Ok(Response::data(json!({
        "secret_id": id,
        "secret_id_accessor": secret.accessor,
        "secret_id_ttl": ttl,
        "secret_id_num_uses": uses,
    })))
}

/// Refuses a secret id that would open more than its role does, in Vault's words.
fn subset(secret: &[String], role: &[String]) -> Result<()> {
    if cidrs_within(secret, role) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "failed to verify subset relationship between CIDR blocks on the role {role:?} and CIDR blocks on the secret ID {secret:?}"
    )))
}

pub(super) fn list(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    super::need(cx, name)?;
    Response::keys(cx.list(&format!("accessor/{name}/")))
}

fn show(secret: &Secret) -> Response {
    Response::data(json!({
        "secret_id_accessor": secret.accessor,
        "secret_id_num_uses": secret.num_uses,
        "secret_id_ttl": secret.ttl,
        "creation_time": secret.created.to_string(),
        "last_updated_time": secret.updated.to_string(),
        "expiration_time": secret.expires.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string()),
        "metadata": secret.metadata,
        "cidr_list": secret.cidrs,
        "token_bound_cidrs": secret.token_cidrs,
    }))
}

fn destroy(cx: &mut Cx<'_>, name: &str, hash: &str, secret: &Secret) {
    cx.delete(&key(name, hash));
    cx.delete(&format!("accessor/{name}/{}", secret.accessor));
}

fn act(cx: &mut Cx<'_>, op: Op, name: &str, hash: &str, verb: &str) -> Result<Response> {
    let secret = alive(cx, name, hash)?;
    match (op, verb, secret) {
        (Op::Write, "lookup", Some(secret)) => Ok(show(&secret)),
        (Op::Write | Op::Delete, "destroy", Some(secret)) => {
            destroy(cx, name, hash, &secret);
            Ok(Response::empty())
        }
        (Op::Write | Op::Delete, "lookup" | "destroy", None) => Ok(Response::empty()),
        _ => Err(Error::Unsupported),
    }
}

pub(super) fn by_id(cx: &mut Cx<'_>, request: &Request, name: &str, verb: &str) -> Result<Response> {
    super::need(cx, name)?;
    let id = request.data.need("secret_id")?;
    let hash = cx.hash_token(&id);
    act(cx, request.op, name, &hash, verb)
}

pub(super) fn by_accessor(cx: &mut Cx<'_>, request: &Request, name: &str, verb: &str) -> Result<Response> {
    super::need(cx, name)?;
    let accessor = request.data.need("secret_id_accessor")?;
    let hash: Option<String> = if accessor.contains('/') {
        None
    } else {
        cx.get(&format!("accessor/{name}/{accessor}"))?
    };
    match hash {
        Some(hash) => act(cx, request.op, name, &hash, verb),
        None => Err(Error::NoRoute(format!(
            "failed to find accessor entry for secret_id_accessor: {accessor:?}"
        ))),
    }
}

/// What a good secret id gives: its metadata, and the addresses its token is for.
type Redeemed = (BTreeMap<String, String>, Vec<String>);

/// Uses a secret id once.
pub(super) fn redeem(
    cx: &mut Cx<'_>,
    of: &Role,
    role: &str,
    id: &str,
    remote: Option<IpAddr>,
) -> Result<Option<Redeemed>> {
    let hash = cx.hash_token(id);
    let Some(mut secret) = alive(cx, role, &hash)? else {
        return Ok(None);
    };
    // The role may have become narrower since.
    subset(&secret.cidrs, &of.secret_id_bound_cidrs)?;
    subset(&secret.token_cidrs, &of.token.cidrs)?;
    if !cidr_allows(&secret.cidrs, remote) {
        return Err(Error::invalid(
            "source address is not allowed by the secret ID's CIDRs",
        ));
    }
    if secret.num_uses == 1 {
        destroy(cx, role, &hash, &secret);
    } else if secret.num_uses > 1 {
        secret.num_uses -= 1;
        secret.updated = cx.now;
        cx.put(&key(role, &hash), &secret)?;
    }
    Ok(Some((secret.metadata, secret.token_cidrs)))
}

pub(super) fn delete_all(cx: &mut Cx<'_>, name: &str) -> Result<()> {
    for folder in ["secret", "accessor"] {
        let prefix = cx.key(&format!("{folder}/{name}/"));
        cx.txn.delete_all(&prefix);
    }
    Ok(())
}

pub(super) fn tidy(cx: &mut Cx<'_>) -> Result<Response> {
    for role in cx.list("secret/") {
        let role = role.trim_end_matches('/').to_owned();
        for hash in cx.list(&format!("secret/{role}/")) {
            if let Some(secret) = cx.get::<Secret>(&key(&role, &hash))?
                && secret.expires.is_some_and(|at| at <= cx.now)
            {
                destroy(cx, &role, &hash, &secret);
            }
        }
    }
    let mut response = Response::empty()
        .warn("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.");
    response.status = Some(202);
    Ok(response)
}
