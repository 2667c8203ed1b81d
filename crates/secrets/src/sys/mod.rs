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
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};

/// Whether a path needs no token.
pub(crate) fn is_public(path: &str, op: Op) -> bool {
    path == "wrapping/lookup" && matches!(op, Op::Read | Op::Write)
        || path == "wrapping/pubkey"
        // The mounts one may see are filtered by the handler.
        || (path == "internal/ui/mounts" || path.starts_with("internal/ui/mounts/")) && op == Op::Read
}

/// Whether a path needs sudo besides the capability: Vault's list, and what it guards elsewhere.
pub(crate) fn needs_sudo(path: &str, op: Op) -> bool {
    let segments = segments(path);
    match segments.as_slice() {
        ["audit" | "raw", ..]
        | ["seal" | "step-down" | "remount" | "leases"]
        | ["rotate" | "rotate-recovery-key"]
        | ["rotate", "keyring" | "root" | "recovery"]
        | ["config", "cors"]
        | ["config", "auditing" | "ui", ..]
        | ["revoke-prefix" | "revoke-force", ..]
        | ["leases", "revoke-prefix" | "revoke-force", ..]
        | ["leases", "tidy"]
        | ["internal", "inspect" | "counters", ..]
        | ["plugins", "catalog" | "runtimes", _, ..]
        | ["replication", ..]
        | ["storage", "raft", "snapshot-auto", ..]
        // One method; their list is for everybody who may read it.
        | ["auth", _, ..]
        | ["leases", "lookup", _, ..] => true,
        ["leases", "lookup"] => op == Op::List,
        _ => false,
    }
}

/// Answers a request below `sys/`.
pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
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
