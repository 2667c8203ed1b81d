//! Tokens: their stored form, finding, creating, renewing and revoking them with everything that hangs on them. A token
//! is stored under a keyed hash of itself only. Owns no HTTP paths; `auth::token` does.

use super::barrier::random;
use super::context::Cx;
use super::lease;
use super::request::Auth;
use super::txn::Txn;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A token as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) accessor: String,
    pub(crate) policies: Vec<String>,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) display_name: String,
    pub(crate) num_uses: i64,
    /// Hash of the parent.
    pub(crate) parent: Option<String>,
    pub(crate) created: Timestamp,
    /// Seconds given at creation; zero for never.
    pub(crate) ttl: i64,
    pub(crate) max_ttl: i64,
    pub(crate) explicit_max_ttl: i64,
    pub(crate) period: i64,
    pub(crate) batch: bool,
    #[serde(default)]
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) entity_id: String,
    pub(crate) renewable: bool,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) renewed: Option<Timestamp>,
    #[serde(default)]
    pub(crate) cidrs: Vec<String>,
}

impl Token {
    /// Seconds left; zero for a token that does not expire.
    pub(crate) fn left(&self, now: Timestamp) -> i64 {
        self.expires
            .map_or(0, |at| at.duration_since(now).as_secs().max(0))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == "root")
    }
}

/// A valid token of a request.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) hash: String,
    pub(crate) token: Arc<Token>,
}

/// What a new token is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewToken {
    pub(crate) id: Option<String>,
    pub(crate) policies: Vec<String>,
    pub(crate) path: String,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) display_name: String,
    pub(crate) num_uses: i64,
    pub(crate) parent: Option<String>,
    pub(crate) ttl: i64,
    pub(crate) max_ttl: i64,
    pub(crate) explicit_max_ttl: i64,
    pub(crate) period: i64,
    pub(crate) batch: bool,
    pub(crate) role: String,
    pub(crate) entity_id: String,
    pub(crate) renewable: bool,
    pub(crate) cidrs: Vec<String>,
}

fn id_key(hash: &str) -> String {
    ["sys/token/id/", hash].concat()
}

fn accessor_key(accessor: &str) -> String {
    format!("sys/token/accessor/{accessor}")
}

fn child_key(parent: &str, child: &str) -> String {
    format!("sys/token/parent/{parent}/{child}")
}

/// Where everything below a token's own cubbyhole is.
pub(crate) fn cubbyhole(hash: &str) -> String {
    format!("cubbyhole/{hash}/")
}

/// `now + seconds`, saturating.
pub(crate) fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

/// The stored token under a hash. Kept parsed: it holds no secret, only the hash of one.
fn stored(txn: &mut Txn<'_>, hash: &str) -> Result<Option<Arc<Token>>> {
    txn.cached(id_key(hash), |bytes| serde_json::from_slice(bytes).ok())
}

/// The stored token under a hash, if it and all its ancestors live.
pub(crate) fn by_hash(txn: &mut Txn<'_>, hash: &str, now: Timestamp) -> Result<Option<Arc<Token>>> {
    let Some(token) = stored(txn, hash)? else {
        return Ok(None);
    };
    if token.expires.is_some_and(|at| at <= now) {
        return Ok(None);
    }
    let mut parent = token.parent.clone();
    while let Some(hash) = parent {
        match stored(txn, &hash)? {
            Some(above) if above.expires.is_none_or(|at| at > now) => parent = above.parent.clone(),
            _ => return Ok(None),
        }
    }
    Ok(Some(token))
}

/// The valid token a client sent.
pub(crate) fn find(cx: &mut Cx<'_>, id: &str) -> Result<Option<Holder>> {
    if id.is_empty() || id.len() > 4096 {
        return Ok(None);
    }
    if let Some(sealed) = id.strip_prefix("hvb.") {
        let Some(token) = open_batch(cx, sealed) else {
            return Ok(None);
        };
        let alive = token.expires.is_none_or(|at| at > cx.now)
            && match &token.parent {
                Some(parent) => by_hash(&mut cx.txn, parent, cx.now)?.is_some(),
                None => true,
            };
        let hash = cx.hash_token(id);
        return Ok(alive.then_some(Holder {
            hash,
            token: Arc::new(token),
        }));
    }
    let hash = cx.hash_token(id);
    Ok(by_hash(&mut cx.txn, &hash, cx.now)?.map(|token| Holder { hash, token }))
}

fn open_batch(cx: &Cx<'_>, sealed: &str) -> Option<Token> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let bytes = cx.keyring.open("sys/token/batch", &sealed).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The hash behind an accessor.
pub(crate) fn by_accessor(txn: &mut Txn<'_>, accessor: &str) -> Result<Option<String>> {
    if accessor.is_empty() || accessor.contains('/') {
        return Ok(None);
    }
    txn.get(accessor_key(accessor))
}

/// All accessors.
pub(crate) fn accessors(txn: &Txn<'_>) -> Vec<String> {
    txn.list("sys/token/accessor/")
}

/// Creates a token and says what the client gets.
pub(crate) fn create(cx: &mut Cx<'_>, new: NewToken) -> Result<Auth> {
    let now = cx.now;
    let root = new.policies.iter().any(|policy| policy == "root");
    let mut ttl = if new.period > 0 { new.period } else { new.ttl };
    if new.explicit_max_ttl > 0 {
        ttl = if ttl == 0 {
            new.explicit_max_ttl
        } else {
            ttl.min(new.explicit_max_ttl)
        };
    }
    if ttl == 0 && !(root && new.ttl == 0) {
        ttl = super::mounts::SYSTEM_TTL;
    }
    let mut policies: Vec<String> = new
        .policies
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    policies.retain(|policy| !policy.is_empty());
    if root {
        policies = vec!["root".to_owned()];
    }
    let mut token = Token {
        accessor: String::new(),
        policies,
        path: new.path,
        meta: new.meta,
        display_name: new.display_name,
        num_uses: new.num_uses,
        parent: new.parent,
        created: now,
        ttl,
        max_ttl: new.max_ttl,
        explicit_max_ttl: new.explicit_max_ttl,
        period: new.period,
        batch: new.batch,
        role: new.role,
        entity_id: new.entity_id,
        renewable: new.renewable && ttl > 0 && !new.batch,
        expires: (ttl > 0).then(|| after(now, ttl)),
        renewed: None,
        cidrs: new.cidrs,
    };
    let id = if new.batch {
        let bytes = serde_json::to_vec(&token)
            .map_err(|_| Error::Internal("a token could not be written as JSON"))?;
        let sealed = cx.keyring.seal("sys/token/batch", &Zeroizing::new(bytes))?;
        Zeroizing::new(format!("hvb.{}", URL_SAFE_NO_PAD.encode(sealed)))
    } else {
        let id = match new.id {
            Some(id) => Zeroizing::new(id),
            None => Zeroizing::new(format!("hvs.{}", URL_SAFE_NO_PAD.encode(&*random(24)?))),
        };
        token.accessor = alphanumeric(24)?;
        let hash = cx.hash_token(&id);
        if cx.txn.exists(&id_key(&hash)) {
            return Err(Error::invalid("cannot create a token with a duplicate ID"));
        }
        cx.txn.put(&id_key(&hash), &token)?;
        cx.txn.put(&accessor_key(&token.accessor), &hash)?;
        if let Some(parent) = &token.parent {
            cx.txn.put(&child_key(parent, &hash), &())?;
        }
        if let Some(at) = token.expires {
            cx.schedule(at, super::expiry::Target::Token(hash));
        }
        id
    };
    Ok(describe(&token, id, now))
}

/// The `auth` object of a token.
pub(crate) fn describe(token: &Token, id: Zeroizing<String>, now: Timestamp) -> Auth {
    Auth {
        client_token: id,
        accessor: token.accessor.clone(),
        policies: token.policies.clone(),
        token_policies: token.policies.clone(),
        identity_policies: Vec::new(),
        metadata: token.meta.clone(),
        lease_duration: token.left(now),
        renewable: token.renewable,
        entity_id: token.entity_id.clone(),
        token_type: if token.batch { "batch" } else { "service" }.to_owned(),
        orphan: token.parent.is_none(),
        num_uses: token.num_uses,
    }
}

/// Random letters and digits.
pub(crate) fn alphanumeric(length: usize) -> Result<String> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in random(length * 2)?.iter() {
            // Bytes above the last multiple of 62 would make some letters likelier.
            if let Some(letter) = ALPHABET.get(usize::from(*byte) % 62)
                && *byte < 248
                && text.len() < length
            {
                text.push(char::from(*letter));
            }
        }
    }
    Ok(text)
}

/// Replaces a stored token.
pub(crate) fn save(txn: &mut Txn<'_>, hash: &str, token: &Token) -> Result<()> {
    txn.put(&id_key(hash), token)
}

/// Extends a token's life as far as its limits allow, and returns it.
pub(crate) fn renew(cx: &mut Cx<'_>, hash: &str, mut token: Token, increment: Option<i64>) -> Result<Token> {
    if token.batch {
        return Err(Error::invalid("batch tokens cannot be renewed"));
    }
    if !token.renewable {
        return Err(Error::invalid("lease is not renewable"));
    }
    let wanted = if token.period > 0 {
        token.period
    } else {
        increment.filter(|seconds| *seconds > 0).unwrap_or(token.ttl)
    };
    let mut at = after(cx.now, wanted);
    if token.period == 0 {
        let max = if token.max_ttl > 0 {
            token.max_ttl
        } else {
            super::mounts::SYSTEM_TTL
        };
        at = at.min(after(token.created, max));
    }
    if token.explicit_max_ttl > 0 {
        at = at.min(after(token.created, token.explicit_max_ttl));
    }
    token.expires = Some(at);
    token.renewed = Some(cx.now);
    save(&mut cx.txn, hash, &token)?;
    cx.schedule(at, super::expiry::Target::Token(hash.to_owned()));
    Ok(token)
}

/// Revokes a token, its leases, its cubbyhole and, unless they shall become orphans, all its descendants, at once.
pub(crate) fn revoke(cx: &mut Cx<'_>, hash: &str, orphan_children: bool) -> Result<()> {
    let mut todo = vec![hash.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(hash) = todo.pop() {
        if !seen.insert(hash.clone()) {
            continue;
        }
        let token = cx.txn.get::<Token>(&id_key(&hash))?;
        for child in cx.txn.list(&format!("sys/token/parent/{hash}/")) {
            if orphan_children {
                if let Some(mut orphan) = cx.txn.get::<Token>(&id_key(&child))? {
                    orphan.parent = None;
                    save(&mut cx.txn, &child, &orphan)?;
                }
            } else {
                todo.push(child.clone());
            }
            cx.txn.delete(&child_key(&hash, &child));
        }
        lease::revoke_of_token(cx, &hash)?;
        cx.txn.delete_all(&cubbyhole(&hash));
        if let Some(token) = token {
            cx.txn.delete(&accessor_key(&token.accessor));
            if let Some(parent) = &token.parent {
                cx.txn.delete(&child_key(parent, &hash));
            }
        }
        cx.txn.delete(&id_key(&hash));
    }
    Ok(())
}

/// Removes every token that came from paths below a prefix.
pub(crate) fn revoke_by_path(cx: &mut Cx<'_>, prefix: &str) -> Result<()> {
    for hash in cx.txn.list("sys/token/id/") {
        if let Some(token) = cx.txn.get::<Token>(&id_key(&hash))?
            && token.path.starts_with(prefix)
        {
            revoke(cx, &hash, false)?;
        }
    }
    Ok(())
}

/// Hash and entry of every stored token.
pub(crate) fn all(txn: &mut Txn<'_>) -> Result<Vec<(String, Token)>> {
    let mut tokens = Vec::new();
    for hash in txn.list("sys/token/id/") {
        if let Some(token) = txn.get(id_key(&hash))? {
            tokens.push((hash, token));
        }
    }
    Ok(tokens)
}
