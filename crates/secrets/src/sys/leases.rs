//! `sys/leases/…` and their old names.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::lease;
use crate::core::request::{self, Op, Request, Response};
use crate::core::token;
use crate::{Error, Result};
use serde_json::{Value, json};

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let path = path.strip_prefix("leases/").unwrap_or(path);
    let (verb, rest) = path.split_once('/').unwrap_or((path, ""));
    let id = || -> Result<String> {
        let given = request.data.text("lease_id").filter(|id| !id.is_empty());
        match given {
            // The policies were asked for the path's.
            Some(given) if !rest.is_empty() && given != rest => Err(Error::invalid(
                "lease_id is not the lease that the path names: give only one of them",
            )),
            Some(given) => Ok(given),
            None if rest.is_empty() => Err(Error::invalid("lease_id must be specified")),
            None => Ok(rest.to_owned()),
        }
    };
    match (request.op, verb) {
        (Op::List, "lookup") => {
            let mut names = lease::list(&cx.txn, &crate::engines::kv1::folder(rest));
            names.extend(token_leases(cx, rest)?);
            names.sort();
            names.dedup();
            Response::keys(names)
        }
        (Op::Write, "lookup") => {
            let id = id()?;
            let lease = lease::find(&mut cx.txn, &id, cx.now)?;
            Ok(Response::data(json!({
                "id": id,
                "issue_time": lease.issued.to_string(),
                "expire_time": lease.expires.to_string(),
                "last_renewal": lease.renewed.map(|at| at.to_string()),
                "renewable": lease.renewable,
                "ttl": lease.expires.duration_since(cx.now).as_secs(),
            })))
        }
        (Op::Write, "renew") => {
            let id = id()?;
            let increment = request.data.seconds("increment")?;
            let lease = lease::renew(cx, request, &id, increment)?;
            Ok(Response {
                lease: Some(request::Lease {
                    ttl: lease.expires.duration_since(cx.now).as_secs(),
                    max_ttl: 0,
                    renewable: lease.renewable,
                    internal: Value::Null,
                    id,
                }),
                ..Response::default()
            })
        }
        (Op::Write, "revoke") => {
            let id = id()?;
            lease::revoke(cx, &id, false)?;
            Ok(Response::empty())
        }
        (Op::Write, "revoke-prefix" | "revoke-force") if !rest.is_empty() => {
            let prefix = crate::engines::kv1::folder(rest);
            lease::revoke_prefix(cx, &prefix, verb == "revoke-force")?;
            if prefix.starts_with("auth/") {
                token::revoke_by_path(cx, &prefix)?;
            }
            Ok(Response::empty())
        }
        (Op::Write, "tidy") if rest.is_empty() => {
            let mut response = Response::empty()
                .warn("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.");
            response.status = Some(202);
            Ok(response)
        }
        (Op::Read, "count") if rest.is_empty() => Ok(Response::data(json!({
            "lease_count": lease::ids(&cx.txn, "").len(),
            "counts": {},
        }))),
        (_, "lookup" | "renew" | "revoke" | "revoke-prefix" | "revoke-force") => Err(Error::Unsupported),
        (_, "tidy" | "count") if rest.is_empty() => Err(Error::Unsupported),
        _ => Err(crate::engines::unsupported_path()),
    }
}

/// Tokens have leases, too: below the path they were created at.
fn token_leases(cx: &mut Cx<'_>, prefix: &str) -> Result<Vec<String>> {
    let prefix = crate::engines::kv1::folder(prefix);
    if !(prefix.is_empty() || prefix.starts_with("auth/")) {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for (hash, token) in token::all(&mut cx.txn)? {
        if token.expires.is_none() {
            continue;
        }
        let id = format!("{}/h{hash}", token.path);
        if let Some(rest) = id.strip_prefix(&prefix) {
            names.push(match rest.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => rest.to_owned(),
            });
        }
    }
    Ok(names)
}
