//! Leases of secrets: registered with the token they were given to, renewed within limits, revoked with the token. Owns
//! the stored form; engines say how to undo what a lease stands for.

use super::context::Cx;
use super::expiry::Target;
use super::request::Request;
use super::token::{after, alphanumeric};
use super::txn::Txn;
use crate::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A lease as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) token: String,
    pub(crate) path: String,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) renewed: Option<Timestamp>,
    pub(crate) ttl: i64,
    pub(crate) max_ttl: i64,
    pub(crate) renewable: bool,
    pub(crate) internal: Value,
}

fn key(id: &str) -> String {
    format!("sys/expire/id/{id}")
}

fn index(token: &str, id: &str) -> String {
    format!("sys/token/lease/{token}/{id}")
}

/// Whether the request's token can have a lease, before anything is made for one, and how long that may be: no lease
/// outlives its token. A service token's end ends its leases, so it must still be stored; a batch token's end is noticed
/// by nobody, so its leases are no longer than its own life.
pub(crate) fn longest(cx: &mut Cx<'_>) -> Result<i64> {
    let Some(holder) = cx.token.clone() else {
        return Err(Error::Internal("a lease was given to nobody"));
    };
    if holder.token.batch {
        return Ok(match holder.token.expires {
            Some(_) => holder.token.left(cx.now),
            None => i64::MAX,
        });
    }
    match super::token::by_hash(&mut cx.txn, &holder.hash, cx.now)? {
        Some(_) => Ok(i64::MAX),
        None => Err(Error::invalid(
            "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.",
        )),
    }
}

/// Registers a lease for the request's token and returns its id. Shortens what is answered to what is possible.
pub(crate) fn register(cx: &mut Cx<'_>, path: &str, lease: &mut super::request::Lease) -> Result<String> {
    let longest = longest(cx)?;
    let Some(holder) = cx.token.clone() else {
        return Err(Error::Internal("a lease was given to nobody"));
    };
    lease.ttl = lease.ttl.min(longest);
    let id = format!("{path}/{}", alphanumeric(24)?);
    let stored = Lease {
        token: holder.hash.clone(),
        path: path.to_owned(),
        issued: cx.now,
        expires: after(cx.now, lease.ttl),
        renewed: None,
        ttl: lease.ttl,
        max_ttl: if lease.max_ttl > 0 {
            lease.max_ttl
        } else {
            cx.mount.max_ttl()
        }
        .min(longest),
        renewable: lease.renewable,
        internal: lease.internal.clone(),
    };
    cx.txn.put(&key(&id), &stored)?;
    cx.txn.put(&index(&holder.hash, &id), &())?;
    cx.schedule(stored.expires, Target::Lease(id.clone()));
    Ok(id)
}

/// A lease that has not ended.
pub(crate) fn find(txn: &mut Txn<'_>, id: &str, now: Timestamp) -> Result<Lease> {
    txn.get::<Lease>(&key(id))?
        .filter(|lease| lease.expires > now)
        .ok_or_else(|| Error::invalid("invalid lease"))
}

/// The stored lease, ended or not.
pub(crate) fn raw(txn: &mut Txn<'_>, id: &str) -> Result<Option<Lease>> {
    txn.get(key(id))
}

/// Extends a lease within its limits.
pub(crate) fn renew(cx: &mut Cx<'_>, request: &Request, id: &str, increment: Option<i64>) -> Result<Lease> {
    let mut lease = find(&mut cx.txn, id, cx.now).map_err(|error| match error {
        Error::Invalid(_) => Error::invalid("lease not found"),
        other => other,
    })?;
    if !lease.renewable {
        return Err(Error::invalid("lease is not renewable"));
    }
    let wanted = increment.filter(|seconds| *seconds > 0).unwrap_or(lease.ttl);
    lease.expires = after(cx.now, wanted).min(after(lease.issued, lease.max_ttl));
    crate::engines::renew(cx, request, id, &lease, lease.expires)?;
    lease.renewed = Some(cx.now);
    cx.txn.put(&key(id), &lease)?;
    cx.schedule(lease.expires, Target::Lease(id.to_owned()));
    Ok(lease)
}

/// Ends a lease: the engine undoes it, then it is forgotten. With `force`, it is forgotten even if that fails.
pub(crate) fn revoke(cx: &mut Cx<'_>, id: &str, force: bool) -> Result<()> {
    let Some(lease) = cx.txn.get::<Lease>(&key(id))? else {
        return Ok(());
    };
    match crate::engines::revoke(cx, &lease) {
        Err(error) if !force => return Err(error),
        Err(error) => {
            tracing::warn!(lease = id, error = %error, "a lease was forgotten although it could not be revoked")
        }
        Ok(()) => {}
    }
    cx.txn.delete(&index(&lease.token, id));
    cx.txn.delete(&key(id));
    Ok(())
}

/// Ends every lease a token was given.
pub(crate) fn revoke_of_token(cx: &mut Cx<'_>, token: &str) -> Result<()> {
    let prefix = format!("sys/token/lease/{token}/");
    for key in cx.txn.keys(&prefix) {
        if let Some(id) = key.strip_prefix(&prefix) {
            revoke(cx, id, false)?;
        }
        cx.txn.delete(&key);
    }
    Ok(())
}

/// Ends every lease below a prefix.
pub(crate) fn revoke_prefix(cx: &mut Cx<'_>, prefix: &str, force: bool) -> Result<()> {
    for id in ids(&cx.txn, prefix) {
        revoke(cx, &id, force)?;
    }
    Ok(())
}

/// Ids below a prefix.
pub(crate) fn ids(txn: &Txn<'_>, prefix: &str) -> Vec<String> {
    txn.keys(&key(prefix))
        .iter()
        .filter_map(|found| found.strip_prefix("sys/expire/id/"))
        .map(str::to_owned)
        .collect()
}

/// Names directly below a prefix.
pub(crate) fn list(txn: &Txn<'_>, prefix: &str) -> Vec<String> {
    txn.list(&key(prefix))
}
