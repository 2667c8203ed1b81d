//! The log in methods: which paths need no token, and the dispatch by kind.

pub(crate) mod kubernetes;
pub(crate) mod token;

use crate::core::context::Cx;
use crate::core::request::{Op, Request, Response};
use crate::{Result, engines};

/// Whether a path needs no token.
pub(crate) fn is_public(kind: &str, path: &str, op: Op) -> bool {
    op == Op::Write && kind != "token" && (path == "login" || path.starts_with("login/"))
}

/// Whether a role or user is there, so that creating and updating can be told apart.
pub(crate) fn exists(cx: &mut Cx<'_>, path: &str) -> Option<bool> {
    let (kind, name) = path.split_once('/')?;
    let stored = match (cx.mount.kind.as_str(), kind) {
        ("token", _) | (_, "login") => return None,
        (_, "role" | "users" | "user" | "certs") if !name.contains('/') => format!("{kind}/{name}"),
        _ => return None,
    };
    Some(cx.exists(&stored))
}

/// Answers a request below `auth/`.
pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    match cx.mount.kind.as_str() {
        "token" => token::handle(cx, request, path),
        "kubernetes" => kubernetes::handle(cx, request, path),
        _ => Err(engines::unsupported_path()),
    }
}
