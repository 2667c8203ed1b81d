//! The rest of `sys/`: sealing, rotating, wrapping, key status, plugin lists, random bytes and hashes.

use crate::core::barrier::random;
use crate::core::context::{After, Cx};
use crate::core::fields::Fields;
use crate::core::request::{Op, Request, Response};
use crate::core::wrapping;
use crate::{Error, Result, engines};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, segments: &[&str]) -> Result<Response> {
    match (request.op, segments) {
        (Op::Write, ["seal"]) => {
            cx.after.push(After::Seal);
            Ok(Response::empty())
        }
        (Op::Write, ["step-down"]) => Ok(Response::empty()),
        (Op::Write, ["rotate"]) => {
            cx.after.push(After::Rotate);
            Ok(Response::empty())
        }
        (Op::Read, ["key-status"]) => {
            let (term, installed, encryptions) = cx.keyring.status();
            Ok(Response::data(json!({
                "term": term,
                "install_time": installed.map(|at| at.to_string()),
                "encryptions": encryptions,
            })))
        }
        (Op::Read, ["rotate", "config"]) => Ok(Response::data(json!({
            "enabled": true, "interval": 0, "max_operations": crate::core::barrier::MOST_ENCRYPTIONS,
        }))),
        (Op::Read, ["host-info" | "ha-status"]) => Ok(Response::data(json!({ "nodes": [] }))),
        (Op::Read | Op::List, ["plugins", "catalog"]) => Ok(Response::data(json!({
            "auth": engines::AUTH, "database": [engines::database::PLUGIN], "secret": engines::SECRET, "detailed": [],
        }))),
        (Op::Read | Op::List, ["plugins", "catalog", "auth"]) => {
            Ok(Response::data(json!({ "keys": engines::AUTH })))
        }
        (Op::Read | Op::List, ["plugins", "catalog", "secret"]) => {
            Ok(Response::data(json!({ "keys": engines::SECRET })))
        }
        (Op::Read | Op::List, ["plugins", "catalog", "database"]) => {
            Ok(Response::data(json!({ "keys": [engines::database::PLUGIN] })))
        }
        (Op::Read, ["config", "state", "sanitized"]) => {
            Ok(Response::data(json!({ "api_addr": cx.core.api_addr })))
        }
        (
            _,
            [
                what @ ("quotas" | "namespaces" | "replication" | "license" | "managed-keys" | "mfa"),
                ..,
            ],
        ) => Err(Error::invalid(format!(
            "sys/{what} is not supported by this server"
        ))),
        (_, ["wrapping", verb]) => wrap(cx, request, verb),
        (Op::Write, ["tools", "random", rest @ ..]) if rest.len() <= 2 => tool_random(request, rest),
        (Op::Write, ["tools", "hash", rest @ ..]) if rest.len() <= 1 => tool_hash(request, rest),
        _ => Err(engines::unsupported_path()),
    }
}

fn wrap(cx: &mut Cx<'_>, request: &Request, verb: &str) -> Result<Response> {
    let given = request
        .data
        .text("token")
        .filter(|id| !id.is_empty())
        .map(Zeroizing::new)
        .or_else(|| request.token.clone())
        .ok_or_else(|| Error::invalid("missing \"token\" value in input"));
    match (request.op, verb) {
        (Op::Write, "wrap") => {
            if request.wrap_ttl.unwrap_or(0) <= 0 {
                return Err(Error::invalid(
                    "endpoint requires response wrapping to be used: send X-Vault-Wrap-TTL",
                ));
            }
            Ok(Response::data(Value::Object(request.data.clone())))
        }
        (Op::Write | Op::Read, "lookup") => {
            let (_, stored) = wrapping::stored(cx, &given?)?;
            Ok(Response::data(json!({
                "creation_path": stored.creation_path,
                "creation_time": stored.creation_time,
                "creation_ttl": stored.creation_ttl,
            })))
        }
        (Op::Write, "unwrap") => Ok(Response::bare(wrapping::unwrap(cx, &given?)?)),
        (Op::Write, "rewrap") => {
            let id = given?;
            let (_, stored) = wrapping::stored(cx, &id)?;
            let ttl = stored.creation_ttl;
            let inner = wrapping::unwrap(cx, &id)?;
            let wrap = wrapping::wrap_value(cx, &stored.creation_path, inner, ttl, String::new())?;
            Ok(Response {
                wrap: Some(wrap),
                ..Response::default()
            })
        }
        _ => Err(Error::Unsupported),
    }
}

fn format(request: &Request, default: &str, bytes: &[u8]) -> Result<String> {
    match request
        .data
        .text("format")
        .unwrap_or_else(|| default.to_owned())
        .as_str()
    {
        "hex" => Ok(hex::encode(bytes)),
        "base64" => Ok(STANDARD.encode(bytes)),
        other => Err(Error::invalid(format!(
            "unsupported encoding format {other:?}; must be \"hex\" or \"base64\""
        ))),
    }
}

/// Random bytes; transit has the same.
pub(crate) fn tool_random(request: &Request, rest: &[&str]) -> Result<Response> {
    let count = match rest.iter().find_map(|part| part.parse::<usize>().ok()) {
        Some(count) => count,
        None => usize::try_from(request.data.int("bytes")?.unwrap_or(32)).unwrap_or(0),
    };
    if !(1..=131_072).contains(&count) {
        return Err(Error::invalid("\"bytes\" should be between 1 and 131072"));
    }
    let bytes = random(count)?;
    Ok(Response::data(
        json!({ "random_bytes": format(request, "base64", &bytes)? }),
    ))
}

/// A digest; transit has the same.
pub(crate) fn tool_hash(request: &Request, rest: &[&str]) -> Result<Response> {
    let algorithm = match rest.first() {
        Some(name) => (*name).to_owned(),
        None => request
            .data
            .text("algorithm")
            .unwrap_or_else(|| "sha2-256".to_owned()),
    };
    let input = STANDARD
        .decode(request.data.text("input").unwrap_or_default())
        .map_err(|_| Error::invalid("unable to decode input as base64"))?;
    let algorithm = match algorithm.as_str() {
        "sha2-224" => &digest::SHA224,
        "sha2-256" => &digest::SHA256,
        "sha2-384" => &digest::SHA384,
        "sha2-512" => &digest::SHA512,
        "sha3-256" => &digest::SHA3_256,
        "sha3-384" => &digest::SHA3_384,
        "sha3-512" => &digest::SHA3_512,
        other => return Err(Error::invalid(format!("unsupported algorithm {other}"))),
    };
    let sum = digest::digest(algorithm, &input);
    Ok(Response::data(
        json!({ "sum": format(request, "hex", sum.as_ref())? }),
    ))
}
