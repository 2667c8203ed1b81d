//! The secret engines and log in methods, and which of them a mount is. Owns the dispatch by kind only.

pub(crate) mod cubbyhole;
pub(crate) mod database;
pub(crate) mod identity;
pub(crate) mod kv1;
pub(crate) mod kv2;
pub(crate) mod pki;
pub(crate) mod transit;

use crate::auth;
use crate::core::context::Cx;
use crate::core::expiry::Target;
use crate::core::mounts::{Mount, Mounts};
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::core::txn::Txn;
use crate::{Error, Result};
use jiff::Timestamp;

/// Kinds of secret engines that can be mounted.
pub(crate) const SECRET: [&str; 5] = ["database", "generic", "kv", "pki", "transit"];
/// Kinds of log in methods that can be enabled.
pub(crate) const AUTH: [&str; 7] = [
    "approle",
    "cert",
    "github",
    "jwt",
    "kubernetes",
    "oidc",
    "userpass",
];

/// Whether a path needs no token.
pub(crate) fn is_public(mount: &Mount, path: &str, op: Op) -> bool {
    match (mount.kind.as_str(), mount.auth) {
        ("system", false) => crate::sys::is_public(path, op),
        ("pki", false) => pki::is_public(path, op),
        ("identity", false) => identity::is_public(path, op),
        (kind, true) => auth::is_public(kind, path, op),
        _ => false,
    }
}

/// Whether a path needs sudo besides the capability.
pub(crate) fn needs_sudo(mount: &Mount, path: &str, op: Op) -> bool {
    match (mount.kind.as_str(), mount.auth) {
        ("system", false) => crate::sys::needs_sudo(path, op),
        ("token", true) => matches!(segments(path).as_slice(), ["accessors" | "revoke-orphan", ..]),
        ("pki", false) => matches!(segments(path).as_slice(), ["root"] | ["root", "sign-self-issued"]),
        _ => false,
    }
}

/// Whether a path has a name that is the same in any case: its policies must then be so, too.
pub(crate) fn folds(mount: &Mount, path: &str) -> bool {
    let below = |folder: &str| path.starts_with(folder);
    match (mount.kind.as_str(), mount.auth) {
        ("system", false) => below("policy/") || below("policies/"),
        ("identity", false) => below("entity/name/") || below("group/name/"),
        ("pki", false) => below("cert/"),
        ("approle", true) => below("role/"),
        ("userpass", true) => below("users/"),
        ("github", true) => below("map/"),
        _ => false,
    }
}

/// Whether a write would replace something; `None` if the engine does not tell.
pub(crate) fn exists(cx: &mut Cx<'_>, path: &str) -> Result<Option<bool>> {
    match (cx.mount.kind.as_str(), cx.mount.auth) {
        ("kv", false) if cx.mount.is_kv2() => kv2::exists(cx, path),
        ("kv" | "generic", false) => Ok(Some(cx.exists(path))),
        ("cubbyhole", false) => Ok(Some(cubbyhole::exists(cx, path))),
        ("database", false) => Ok(database::exists(cx, path)),
        (_, true) => Ok(auth::exists(cx, path)),
        // Encrypting with a new name makes the key, which is creating.
        ("transit", false) => Ok(path
            .strip_prefix("encrypt/")
            .map(|name| cx.exists(&format!("key/{name}")))),
        _ => Ok(None),
    }
}

/// Answers a request to anything but `sys/`.
pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    match (cx.mount.kind.as_str(), cx.mount.auth) {
        ("kv", false) if cx.mount.is_kv2() => kv2::handle(cx, request, path),
        ("kv" | "generic", false) => kv1::handle(cx, request, path),
        ("cubbyhole", false) => cubbyhole::handle(cx, request, path),
        ("pki", false) => pki::handle(cx, request, path),
        ("transit", false) => transit::handle(cx, request, path),
        ("identity", false) => identity::handle(cx, request, path),
        ("database", false) => database::handle(cx, request, path),
        (_, true) => auth::handle(cx, request, path),
        _ => Err(unsupported_path()),
    }
}

/// Undoes what a lease stands for.
pub(crate) fn revoke(cx: &mut Cx<'_>, lease: &crate::core::lease::Lease) -> Result<()> {
    let mounts = Mounts::load(&mut cx.txn)?;
    let Some(mount) = mounts.of_lease(&lease.path) else {
        return Ok(());
    };
    let before = std::mem::replace(&mut cx.mount, std::sync::Arc::clone(mount));
    let result = match cx.mount.kind.as_str() {
        "pki" => pki::revoke_lease(cx, &lease.internal),
        "database" => database::revoke(cx, lease),
        _ => Ok(()),
    };
    cx.mount = before;
    result
}

/// Extends what a lease stands for.
pub(crate) fn renew(
    cx: &mut Cx<'_>,
    request: &Request,
    id: &str,
    lease: &crate::core::lease::Lease,
    until: jiff::Timestamp,
) -> Result<()> {
    let mounts = Mounts::load(&mut cx.txn)?;
    let Some(mount) = mounts.of_lease(&lease.path) else {
        return Ok(());
    };
    let before = std::mem::replace(&mut cx.mount, std::sync::Arc::clone(mount));
    let result = match cx.mount.kind.as_str() {
        "database" => database::renewed(cx, request, id, lease, until),
        _ => Ok(()),
    };
    cx.mount = before;
    result
}

/// A password or key that is replaced by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Where its entry is stored.
    pub(crate) at: String,
    pub(crate) due: Timestamp,
    /// The path whose writing replaces it.
    pub(crate) path: String,
    /// What it must wait for, by any name: rotations with the same one may hold up each other, but no others.
    pub(crate) place: String,
}

/// The rotation of what is stored at a key, if it is replaced by itself.
pub(crate) fn rotation(txn: &mut Txn<'_>, at: &str) -> Result<Option<Rotation>> {
    let mounts = Mounts::load(txn)?;
    let mut found = mounts.secret.values();
    let found = found.find_map(|mount| Some((mount, at.strip_prefix(&mount.prefix())?)));
    match found {
        Some((mount, rest)) if mount.kind == "database" => database::rotation(txn, mount, rest),
        Some((mount, rest)) if mount.kind == "transit" => transit::rotation(txn, mount, rest),
        _ => Ok(None),
    }
}

/// Everything that is replaced by itself, and when.
pub(crate) fn rotations(txn: &mut Txn<'_>) -> Result<Vec<(Timestamp, Target)>> {
    let mut all = Vec::new();
    for mount in Mounts::load(txn)?.secret.values() {
        let below = match mount.kind.as_str() {
            "database" => database::STATIC,
            "transit" => transit::KEYS,
            _ => continue,
        };
        for at in txn.keys(&mount.key(below)) {
            match rotation(txn, &at) {
                Ok(found) => all.extend(found.map(|found| (found.due, Target::Rotate(at)))),
                // Whoever reads the entry hears of it; everything else must open all the same.
                Err(error) => tracing::error!(error = %error, "an entry will not be replaced by itself"),
            }
        }
    }
    Ok(all)
}

/// The engine has no such path.
pub(crate) fn unsupported_path() -> Error {
    Error::NoRoute("1 error occurred:\n\t* unsupported path\n\n".to_owned())
}
