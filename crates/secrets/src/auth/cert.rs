//! Log in with a TLS client certificate that equals, or is signed by, one a role trusts.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::params::{Login, TokenParams};
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What may be required of a certificate besides who signed it.
const LISTS: [&str; 8] = [
    "allowed_names",
    "allowed_common_names",
    "allowed_dns_sans",
    "allowed_email_sans",
    "allowed_uri_sans",
    "allowed_organizational_units",
    "allowed_metadata_extensions",
    "required_extensions",
];

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Role {
    certificate: String,
    display_name: String,
    lists: BTreeMap<String, Vec<String>>,
    token: TokenParams,
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match (request.op, segments.as_slice()) {
        (Op::Write, ["login"]) => login(cx, request),
        (Op::List, ["certs"]) => Response::keys(cx.list("certs/")),
        (Op::Read, ["certs", name]) => {
            let role: Role = cx.get(&format!("certs/{name}"))?.ok_or(Error::NotFound)?;
            let mut data = Map::from_iter([
                ("certificate".to_owned(), json!(role.certificate)),
                ("display_name".to_owned(), json!(role.display_name)),
            ]);
            for list in LISTS {
                data.insert(
                    list.to_owned(),
                    json!(role.lists.get(list).cloned().unwrap_or_default()),
                );
            }
            role.token.show(&mut data);
            Ok(Response::data(Value::Object(data)))
        }
        (Op::Write, ["certs", name]) => write(cx, request, name),
        (Op::Delete, ["certs", name]) => {
            cx.delete(&format!("certs/{name}"));
            Ok(Response::empty())
        }
        (Op::Read, ["config"]) => {
            let config = cx.get::<Value>("config")?;
            Ok(Response::data(config.unwrap_or_else(
                || json!({ "disable_binding": false, "enable_identity_alias_metadata": false }),
            )))
        }
        (Op::Write, ["config"]) => {
            let config = json!({
                "disable_binding": request.data.flag("disable_binding")?.unwrap_or(false),
                "enable_identity_alias_metadata": request.data.flag("enable_identity_alias_metadata")?.unwrap_or(false),
            });
            cx.put("config", &config)?;
            Ok(Response::empty())
        }
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn write(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let key = format!("certs/{name}");
    let mut role: Role = cx.get(&key)?.unwrap_or_default();
    if let Some(certificate) = request.data.text("certificate") {
        role.certificate = certificate;
    }
    if trusted(&role).is_empty() {
        return Err(Error::invalid("failed to parse certificate: write it as PEM"));
    }
    role.display_name = match request.data.text("display_name").filter(|name| !name.is_empty()) {
        Some(name) => name,
        None if role.display_name.is_empty() => name.to_owned(),
        None => role.display_name,
    };
    for list in LISTS {
        if let Some(items) = request.data.list(list) {
            role.lists.insert(list.to_owned(), items);
        }
    }
    if role
        .lists
        .get("required_extensions")
        .is_some_and(|list| !list.is_empty())
    {
        return Err(Error::invalid(
            "required_extensions is not supported: use the allowed_* lists",
        ));
    }
    role.token.update(&request.data)?;
    cx.put(&key, &role)?;
    Ok(Response::empty())
}

fn trusted(role: &Role) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(role.certificate.as_bytes())
        .filter_map(|certificate| Some(certificate.ok()?.to_vec()))
        .filter(|der| X509Certificate::from_der(der).is_ok())
        .collect()
}

fn login(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let Some(leaf) = request.peer.first() else {
        return Err(Error::invalid("client certificate must be supplied"));
    };
    let (_, certificate) = X509Certificate::from_der(leaf)
        .map_err(|_| Error::invalid("the client certificate cannot be read"))?;
    let now = cx.now.as_second();
    let asked = request.data.text("name").filter(|name| !name.is_empty());
    let names = match &asked {
        Some(name) if name.contains('/') => Vec::new(),
        Some(name) => vec![name.clone()],
        None => cx.list("certs/"),
    };
    for name in names {
        let Some(role) = cx.get::<Role>(&format!("certs/{name}"))? else {
            continue;
        };
        if !(is_valid(&certificate, now)
            && signed(&role, &request.peer, now)
            && permitted(&role, &certificate))
        {
            continue;
        }
        let common_name = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .unwrap_or_default()
            .to_owned();
        let login = Login {
            display_name: role.display_name.clone(),
            alias: common_name.clone(),
            metadata: BTreeMap::from([
                ("cert_name".to_owned(), name.clone()),
                ("common_name".to_owned(), common_name),
                ("serial_number".to_owned(), certificate.raw_serial_as_string()),
            ]),
            role: String::new(),
        };
        let auth = role.token.log_in(cx, &request.path, request.remote, login)?;
        return Ok(Response {
            auth: Some(auth),
            ..Response::default()
        });
    }
    Err(Error::invalid(
        "invalid certificate or no client certificate supplied",
    ))
}

fn is_valid(certificate: &X509Certificate<'_>, now: i64) -> bool {
    certificate.validity().not_before.timestamp() <= now
        && now <= certificate.validity().not_after.timestamp()
}

/// Whether a chain leads from the leaf to a certificate the role trusts.
fn signed(role: &Role, peer: &[Vec<u8>], now: i64) -> bool {
    let trusted = trusted(role);
    let Some(leaf) = peer.first() else { return false };
    // A trusted certificate that is no authority is trusted as itself only.
    if trusted.contains(leaf) {
        return true;
    }
    let client = X509Certificate::from_der(leaf).is_ok_and(|(_, leaf)| match leaf.extended_key_usage() {
        Ok(Some(usage)) => usage.value.client_auth || usage.value.any,
        Ok(None) => true,
        Err(_) => false,
    });
    if !client {
        return false;
    }
    let mut current = leaf;
    for _ in 0..8 {
        let signer_of = |candidates: &'_ [Vec<u8>]| -> Option<usize> {
            let (_, below) = X509Certificate::from_der(current).ok()?;
            candidates.iter().position(|candidate| {
                X509Certificate::from_der(candidate).is_ok_and(|(_, above)| {
                    above.is_ca()
                        && is_valid(&above, now)
                        && above.subject() == below.issuer()
                        && below.verify_signature(Some(above.public_key())).is_ok()
                })
            })
        };
        if signer_of(&trusted).is_some() {
            return true;
        }
        match signer_of(peer).and_then(|at| peer.get(at)) {
            Some(next) if next != current => current = next,
            _ => return false,
        }
    }
    false
}

fn permitted(role: &Role, certificate: &X509Certificate<'_>) -> bool {
    let list = |key: &str| role.lists.get(key).map(Vec::as_slice).unwrap_or_default();
    let fits = |key: &str, values: &[String]| {
        let patterns = list(key);
        patterns.is_empty()
            || values
                .iter()
                .any(|value| patterns.iter().any(|pattern| super::wild(pattern, value)))
    };
    let common: Vec<String> = certificate
        .subject()
        .iter_common_name()
        .filter_map(|name| Some(name.as_str().ok()?.to_owned()))
        .collect();
    let units: Vec<String> = certificate
        .subject()
        .iter_organizational_unit()
        .filter_map(|name| Some(name.as_str().ok()?.to_owned()))
        .collect();
    let (mut dns, mut mail, mut uri) = (Vec::new(), Vec::new(), Vec::new());
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in &names.value.general_names {
            match name {
                GeneralName::DNSName(name) => dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => mail.push((*name).to_owned()),
                GeneralName::URI(name) => uri.push((*name).to_owned()),
                _ => {}
            }
        }
    }
    let all: Vec<String> = common.iter().chain(&dns).chain(&mail).cloned().collect();
    fits("allowed_names", &all)
        && fits("allowed_common_names", &common)
        && fits("allowed_dns_sans", &dns)
        && fits("allowed_email_sans", &mail)
        && fits("allowed_uri_sans", &uri)
        && fits("allowed_organizational_units", &units)
}
