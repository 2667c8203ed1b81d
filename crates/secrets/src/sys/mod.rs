//! `sys/…` for an open server: dispatch, and which paths need no token or need sudo.

mod audit;
mod leases;
mod mounts;
pub(crate) mod outside;
mod policies;
mod tools;

pub use outside::decode_root_token;
pub(crate) use tools::{tool_hash, tool_random};

use crate::Result;
use crate::core::context::Cx;
use crate::core::request::{Op, Request, Response};

/// Whether a path needs no token.
pub(crate) fn is_public(path: &str, op: Op) -> bool {
    path == "wrapping/lookup" && matches!(op, Op::Read | Op::Write)
        || path == "wrapping/pubkey"
        // The mounts one may see are filtered by the handler.
        || (path == "internal/ui/mounts" || path.starts_with("internal/ui/mounts/")) && op == Op::Read
}

/// Whether a path needs sudo besides the capability.
pub(crate) fn needs_sudo(path: &str, op: Op) -> bool {
    let Some(rest) = path.strip_prefix("sys/") else {
        return path.trim_end_matches('/') == "auth/token/accessors"
            || path.starts_with("auth/token/revoke-orphan");
    };
    let rest = rest.trim_end_matches('/');
    match rest {
        "audit" | "seal" | "step-down" | "rotate" | "remount" | "revoke-prefix" | "revoke-force"
        | "config/cors" => true,
        "auth" | "mounts" => false,
        _ => {
            rest.starts_with("audit/")
                || rest.starts_with("raw")
                || rest.starts_with("auth/")
                || rest.starts_with("config/auditing/")
                || rest.starts_with("revoke-prefix/")
                || rest.starts_with("revoke-force/")
                || rest.starts_with("leases/revoke-prefix/")
                || rest.starts_with("leases/revoke-force/")
                || rest.starts_with("leases/lookup/") && op == Op::List
                || rest == "leases/tidy"
                || rest.starts_with("plugins/catalog/")
        }
    }
}

/// Answers a request below `sys/`.
pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["mounts" | "auth" | "remount", ..] => mounts::handle(cx, request, path),
        ["internal", "ui", ..] => mounts::ui(cx, request, &segments),
        ["policy" | "policies", ..] => policies::handle(cx, request, path),
        ["capabilities" | "capabilities-self" | "capabilities-accessor"] => {
            policies::capabilities(cx, request, path)
        }
        [
            "leases" | "renew" | "revoke" | "revoke-prefix" | "revoke-force",
            ..,
        ] => leases::handle(cx, request, path),
        ["audit" | "audit-hash", ..] => audit::handle(cx, request, path),
        _ => tools::handle(cx, request, &segments),
    }
}
