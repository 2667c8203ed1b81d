//! The certificate authority: issuers, keys, roles, issued certificates, revocation lists. Owns the paths; making
//! certificates is in `issue`, the stored forms are in `store`.

mod ca;
mod cert;
mod crl;
mod der;
mod issue;
mod key;
mod role;
mod store;

pub(crate) use der::{inner_key, pem, read_pem};

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use serde_json::{Value, json};

/// Whether a path needs no token.
pub(crate) fn is_public(path: &str, op: Op) -> bool {
    if op != Op::Read {
        return false;
    }
    let segments: Vec<&str> = path.split('/').collect();
    matches!(
        segments.as_slice(),
        ["ca" | "ca_chain" | "crl"]
            | ["ca" | "crl", "pem"]
            | ["crl", "delta"]
            | ["cert", _]
            | ["cert", _, "raw"]
            | ["cert", _, "raw", "pem"]
            | ["issuer", _, "json" | "der" | "pem"]
            | ["issuer", _, "crl"]
            | ["issuer", _, "crl", "der" | "pem"]
    )
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match (request.op, segments.as_slice()) {
        (Op::List, ["roles"]) => Response::keys(cx.list("role/")),
        (_, ["roles", name]) => role::handle(cx, request, name),
        (Op::Write, ["issue", role]) => issue::issue(cx, request, role, None),
        (Op::Write, ["issuer", issuer, "issue", role]) => issue::issue(cx, request, role, Some(issuer)),
        (Op::Write, ["sign", role]) => issue::sign(cx, request, Some(role), None),
        (Op::Write, ["issuer", issuer, "sign", role]) => issue::sign(cx, request, Some(role), Some(issuer)),
        (Op::Write, ["sign-verbatim"]) => issue::sign_verbatim(cx, request, None, None),
        (Op::Write, ["sign-verbatim", role]) => issue::sign_verbatim(cx, request, Some(role), None),
        (Op::Write, ["issuer", issuer, "sign-verbatim"]) => {
            issue::sign_verbatim(cx, request, None, Some(issuer))
        }
        (Op::Write, ["root", "generate", kind] | ["issuers", "generate", "root", kind]) => {
            ca::generate_root(cx, request, kind)
        }
        (Op::Write, ["root", "rotate", kind]) => ca::generate_root(cx, request, kind),
        (Op::Delete, ["root"]) => ca::delete_all(cx),
        (Op::Write, ["root", "replace"]) => ca::replace(cx, request),
        (Op::Write, ["root", "sign-intermediate"]) => ca::sign_intermediate(cx, request, None),
        (Op::Write, ["issuer", issuer, "sign-intermediate"]) => {
            ca::sign_intermediate(cx, request, Some(issuer))
        }
        (Op::Write, ["root", "sign-self-issued"]) => ca::sign_self_issued(cx, request),
        (Op::Write, ["intermediate", "generate", kind] | ["issuers", "generate", "intermediate", kind]) => {
            ca::generate_intermediate(cx, request, kind)
        }
        (
            Op::Write,
            ["intermediate", "set-signed"] | ["config", "ca"] | ["issuers", "import", "bundle" | "cert"],
        ) => ca::import(cx, request, segments.first() == Some(&"config")),
        (Op::Write, ["intermediate", "cross-sign"]) => ca::cross_sign(cx, request),
        (Op::List, ["issuers"]) => ca::list_issuers(cx),
        (Op::Write, ["issuer", issuer, "revoke"]) => ca::revoke_issuer(cx, issuer),
        (_, ["issuer", issuer]) => ca::issuer(cx, request, issuer),
        (Op::Read, ["issuer", issuer, form @ ("json" | "pem" | "der")]) => ca::issuer_form(cx, issuer, form),
        (Op::Read, ["issuer", issuer, "crl", rest @ ..]) => crl::read(cx, Some(issuer), rest),
        (Op::List, ["keys"]) => ca::list_keys(cx),
        (_, ["key", key]) => ca::key(cx, request, key),
        (Op::Write, ["keys", "generate", kind]) => ca::generate_key(cx, request, kind),
        (_, ["config", "issuers"]) => ca::config_issuers(cx, request),
        (_, ["config", "urls"]) => urls(cx, request),
        (_, ["config", "crl"]) => crl::config(cx, request),
        (_, ["config", "cluster"]) => cluster(cx, request),
        (Op::Read, ["ca"]) => ca::default_ca(cx, false),
        (Op::Read, ["ca", "pem"]) => ca::default_ca(cx, true),
        (Op::Read, ["ca_chain"]) => ca::chain_raw(cx),
        (Op::Read | Op::Write, ["crl", "rotate" | "rotate-delta"]) => {
            crl::rebuild_all(cx)?;
            Ok(Response::data(json!({ "success": true })))
        }
        (Op::Read, ["crl", rest @ ..]) => crl::read(cx, None, rest),
        (Op::List, ["certs"]) => cert::list(cx, false),
        (Op::List, ["certs", "revoked"]) => cert::list(cx, true),
        (Op::Read, ["cert", name, rest @ ..]) => cert::read(cx, name, rest),
        (Op::Write, ["revoke"]) => cert::revoke(cx, request),
        (Op::Write, ["tidy"]) => cert::tidy(cx, request),
        (Op::Read, ["tidy-status"]) => Ok(Response::data(
            cx.get::<Value>("tidy-status")?
                .unwrap_or_else(|| json!({ "state": "Inactive" })),
        )),
        _ => Err(super::unsupported_path()),
    }
}

fn urls(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let mut urls = store::urls(cx)?;
    match request.op {
        Op::Read => {}
        Op::Write => {
            for (key, field) in [
                ("issuing_certificates", &mut urls.issuing_certificates),
                ("crl_distribution_points", &mut urls.crl_distribution_points),
                ("ocsp_servers", &mut urls.ocsp_servers),
            ] {
                if let Some(list) = request.data.list(key) {
                    for url in &list {
                        if !url.contains("://") {
                            return Err(Error::invalid(format!("invalid URL found in {key}: {url}")));
                        }
                    }
                    *field = list;
                }
            }
            if let Some(flag) = request.data.flag("enable_templating")? {
                urls.enable_templating = flag;
            }
            cx.put("config/urls", &urls)?;
        }
        _ => return Err(Error::Unsupported),
    }
    Ok(Response::data(json!(urls)))
}

fn cluster(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let mut config = cx
        .get::<Value>("config/cluster")?
        .unwrap_or_else(|| json!({ "path": "", "aia_path": "" }));
    if request.op == Op::Write {
        for key in ["path", "aia_path"] {
            if let (Some(text), Some(map)) = (request.data.text(key), config.as_object_mut()) {
                map.insert(key.to_owned(), json!(text));
            }
        }
        cx.put("config/cluster", &config)?;
    }
    Ok(Response::data(config))
}

/// A lease of an issued certificate ended.
pub(crate) fn revoke_lease(cx: &mut Cx<'_>, internal: &Value) -> Result<()> {
    match internal.get("serial_number").and_then(Value::as_str) {
        Some(serial) => cert::revoke_serial(cx, serial).map(drop),
        None => Ok(()),
    }
}
