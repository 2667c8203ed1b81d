//! Issuers and keys: generating roots and intermediates, signing, importing, naming, removing.

use super::cert::{CertificateSpec, serial_of};
use super::crl;
use super::der;
use super::issue;
use super::key::Key;
use super::store::{self, Defaults, Issued, Issuer, Urls, cert_key};
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Op, Request, Response};
use crate::core::token::after;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The subject and lifetime of an authority, from a request; only a signing request may leave its name to whoever signs.
fn spec(cx: &Cx<'_>, request: &Request, named: bool) -> Result<CertificateSpec> {
    let data = &request.data;
    let name = data.text("common_name").unwrap_or_default();
    if named && name.is_empty() {
        return Err(Error::invalid("the common_name field is required"));
    }
    let mut sans = issue::given_sans(data)?;
    if !name.is_empty()
        && !data.flag("exclude_cn_from_sans")?.unwrap_or(false)
        && !name.contains(' ')
        && let Ok(san) = super::cert::name_san(&name)
        && !sans.contains(&san)
    {
        sans.insert(0, san);
    }
    let (not_after, capped) = issue::end(cx, data, "", cx.mount.default_ttl(), cx.mount.max_ttl())?;
    let below = match data.int("max_path_length")? {
        None | Some(-1) => None,
        Some(below) => {
            Some(u8::try_from(below).map_err(|_| Error::invalid("max_path_length: write -1 or 0 to 255"))?)
        }
    };
    Ok(CertificateSpec {
        common_name: name,
        organization: data.list("organization").unwrap_or_default(),
        unit: data.list("ou").unwrap_or_default(),
        country: data.list("country").unwrap_or_default(),
        locality: data.list("locality").unwrap_or_default(),
        province: data.list("province").unwrap_or_default(),
        street: data.list("street_address").unwrap_or_default(),
        postal_code: data.list("postal_code").unwrap_or_default(),
        sans,
        not_before: after(cx.now, -30),
        not_after,
        capped,
        key_usage: Vec::new(),
        extended: Vec::new(),
        ca: Some(below),
        permitted: data.list("permitted_dns_domains").unwrap_or_default(),
    })
}

fn check_kind(kind: &str) -> Result<bool> {
    match kind {
        "exported" => Ok(true),
        "internal" | "existing" => Ok(false),
        _ => Err(Error::invalid(format!(
            "generate {kind}: write internal, exported or existing"
        ))),
    }
}

/// The key for a new authority: made, or an existing one.
fn new_key(cx: &mut Cx<'_>, request: &Request, kind: &str) -> Result<(Key, KeyPair)> {
    if kind == "existing" {
        let key = store::key(cx, &request.data.text("key_ref").unwrap_or_default())?;
        let pair = key.pair()?;
        return Ok((key, pair));
    }
    let made = Key::generate(
        &request.data.text("key_type").unwrap_or_default(),
        request.data.int("key_bits")?.unwrap_or(0),
        request.data.text("key_name").unwrap_or_default(),
    )?;
    save_key(cx, &made.0)?;
    Ok(made)
}

fn save_key(cx: &mut Cx<'_>, key: &Key) -> Result<()> {
    if !key.name.is_empty()
        && (key.name == "default" || store::keys(cx)?.iter().any(|other| other.name == key.name))
    {
        return Err(Error::invalid("key name already in use or reserved"));
    }
    cx.put(&format!("key/{}", key.id), key)?;
    let mut defaults = store::defaults(cx)?;
    if defaults.key.is_empty() {
        defaults.key.clone_from(&key.id);
        cx.put("config/defaults", &defaults)?;
    }
    Ok(())
}

/// Stores a certificate as an issuer, with its key if that is here.
fn save_issuer(cx: &mut Cx<'_>, der: &[u8], name: String, key_id: String) -> Result<Issuer> {
    if !name.is_empty() && (name == "default" || store::issuers(cx)?.iter().any(|other| other.name == name)) {
        return Err(Error::invalid("issuer name already in use or reserved"));
    }
    let issuer = Issuer {
        id: uuid::Uuid::new_v4().to_string(),
        name,
        key_id,
        certificate: der::pem("CERTIFICATE", der),
        serial: serial_of(der)?,
        usage: "crl-signing,issuing-certificates,ocsp-signing,read-only".to_owned(),
        leaf_not_after_behavior: "err".to_owned(),
        manual_chain: Vec::new(),
        revoked: None,
    };
    cx.put(&format!("issuer/{}", issuer.id), &issuer)?;
    let issued = Issued {
        der: STANDARD.encode(der),
        issuer: issuer.id.clone(),
        expires: super::cert::not_after(der)?,
        revoked: None,
    };
    cx.put(&cert_key(&issuer.serial), &issued)?;
    let mut defaults = store::defaults(cx)?;
    if !issuer.key_id.is_empty() && (defaults.issuer.is_empty() || defaults.follows_latest) {
        defaults.issuer.clone_from(&issuer.id);
        cx.put("config/defaults", &defaults)?;
    }
    if !issuer.key_id.is_empty() {
        crl::rebuild(cx, &issuer.id)?;
    }
    Ok(issuer)
}

pub(crate) fn generate_root(cx: &mut Cx<'_>, request: &Request, kind: &str) -> Result<Response> {
    let exported = check_kind(kind)?;
    let spec = spec(cx, request, true)?;
    let (key, pair) = new_key(cx, request, kind)?;
    let (params, serial) = spec.params(&Urls::default())?;
    let certificate = params
        .self_signed(&pair)
        .map_err(|error| Error::invalid(format!("the root cannot be made: {error}")))?;
    let name = request.data.text("issuer_name").unwrap_or_default();
    let issuer = save_issuer(cx, certificate.der(), name, key.id.clone())?;
    let mut data = issue::answer(
        request,
        certificate.der(),
        &serial,
        &issuer,
        &[],
        spec.not_after,
        exported.then_some(&key),
    )?;
    for (field, value) in [
        ("issuer_id", &issuer.id),
        ("issuer_name", &issuer.name),
        ("key_id", &key.id),
        ("key_name", &key.name),
    ] {
        data.insert(field.to_owned(), json!(value));
    }
    let mut response = Response::data(Value::Object(data));
    if spec.capped {
        response
            .warnings
            .push("TTL was longer than the mount's maximum and was shortened: tune max_lease_ttl".to_owned());
    }
    Ok(response)
}

pub(crate) fn generate_intermediate(cx: &mut Cx<'_>, request: &Request, kind: &str) -> Result<Response> {
    let exported = check_kind(kind)?;
    let spec = spec(cx, request, false)?;
    let (key, pair) = new_key(cx, request, kind)?;
    let (mut params, _) = spec.params(&Urls::default())?;
    params.serial_number = None;
    params.crl_distribution_points = Vec::new();
    params.use_authority_key_identifier_extension = false;
    params.is_ca = rcgen::IsCa::NoCa;
    params.key_usages = Vec::new();
    params.name_constraints = None;
    let csr = params
        .serialize_request(&pair)
        .map_err(|error| Error::invalid(format!("the signing request cannot be made: {error}")))?;
    let format = request.data.text("format").unwrap_or_default();
    let text = if format == "der" {
        STANDARD.encode(csr.der())
    } else {
        der::pem("CERTIFICATE REQUEST", csr.der())
    };
    let mut data = Map::from_iter([
        ("csr".to_owned(), json!(text)),
        ("key_id".to_owned(), json!(key.id)),
    ]);
    if exported {
        key.show(
            &format,
            &request.data.text("private_key_format").unwrap_or_default(),
            &mut data,
        )?;
    }
    Ok(Response::data(Value::Object(data)))
}

/// A signing request for a key that is here already, so that another authority vouches for it too.
pub(crate) fn cross_sign(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    generate_intermediate(cx, request, "existing")
}

pub(crate) fn sign_intermediate(
    cx: &mut Cx<'_>,
    request: &Request,
    issuer: Option<&str>,
) -> Result<Response> {
    let csr = issue::csr(request)?;
    let mut with_name = request.clone();
    if request.data.flag("use_csr_values")?.unwrap_or(false)
        && let Some(name) = super::cert::common_name(&csr.params.distinguished_name)
    {
        with_name.data.insert("common_name".to_owned(), json!(name));
    }
    let (authority, signing) = store::signer(cx, issuer.unwrap_or("default"))?;
    let mut spec = spec(cx, &with_name, true)?;
    let end = super::cert::not_after(&authority.der())?;
    if spec.not_after > end {
        spec.not_after = end;
        spec.capped = true;
    }
    let urls = store::urls(cx)?;
    let (der, serial) = spec.signed_by(&csr.public_key, &authority.der(), &signing, &urls)?;
    cx.put(
        &cert_key(&serial),
        &Issued {
            der: STANDARD.encode(&der),
            issuer: authority.id.clone(),
            expires: spec.not_after,
            revoked: None,
        },
    )?;
    let chain = store::chain(cx, &authority)?;
    let mut data = issue::answer(request, &der, &serial, &authority, &chain, spec.not_after, None)?;
    data.insert("ca_chain".to_owned(), json!(chain));
    Ok(Response::data(Value::Object(data)))
}

pub(crate) fn sign_self_issued(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let pem = request.data.need("certificate")?;
    let (_, der) = der::read_pem(&pem)
        .into_iter()
        .next()
        .ok_or_else(|| Error::invalid("certificate: no PEM found"))?;
    let (_, certificate) =
        X509Certificate::from_der(&der).map_err(|_| Error::invalid("certificate: it cannot be read"))?;
    if certificate.subject() != certificate.issuer() {
        return Err(Error::invalid("the provided certificate is not self-issued"));
    }
    if !certificate.is_ca() {
        return Err(Error::invalid("the provided certificate is not a CA certificate"));
    }
    let (authority, signing) = store::signer(cx, "default")?;
    let public = rcgen::SubjectPublicKeyInfo::from_der(certificate.public_key().raw)
        .map_err(|error| Error::invalid(format!("certificate: its key cannot be used: {error}")))?;
    let spec = CertificateSpec {
        common_name: certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .unwrap_or_default()
            .to_owned(),
        not_before: after(cx.now, -30),
        not_after: jiff::Timestamp::from_second(certificate.validity().not_after.timestamp())
            .unwrap_or(cx.now)
            .min(super::cert::not_after(&authority.der())?),
        ca: Some(None),
        ..CertificateSpec::default()
    };
    let urls = store::urls(cx)?;
    let (signed, _) = spec.signed_by(&public, &authority.der(), &signing, &urls)?;
    Ok(Response::data(json!({
        "certificate": der::pem("CERTIFICATE", &signed),
        "issuing_ca": authority.certificate,
    })))
}

/// Null instead of an empty list, as Vault has it.
fn filled(ids: Vec<String>) -> Option<Vec<String>> {
    (!ids.is_empty()).then_some(ids)
}

/// Takes over certificates and keys from PEM, joining those that belong together.
pub(crate) fn import(cx: &mut Cx<'_>, request: &Request, must_have_key: bool) -> Result<Response> {
    let text = request
        .data
        .text("pem_bundle")
        .or_else(|| request.data.text("certificate"))
        .filter(|text| !text.is_empty())
        .ok_or_else(|| {
            Error::invalid("no certificate provided in the \"certificate\" or \"pem_bundle\" parameter")
        })?;
    let blocks = der::read_pem(&text);
    if blocks.is_empty() {
        return Err(Error::invalid(
            "no PEM data was found: provided PEM bundle contained no valid blocks",
        ));
    }
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    for key in store::keys(cx)? {
        pairs.push((key.id.clone(), key.pair()?.subject_public_key_info()));
    }
    let (mut new_keys, mut new_issuers, mut mapping) = (Vec::new(), Vec::new(), Map::new());
    let (mut old_keys, mut old_issuers) = (Vec::new(), Vec::new());
    for (label, bytes) in blocks.iter().filter(|(label, _)| label.ends_with("PRIVATE KEY")) {
        let (key, pair) = Key::import(label, bytes, String::new())?;
        let public = pair.subject_public_key_info();
        if let Some((there, _)) = pairs.iter().find(|(_, there)| *there == public) {
            if !new_keys.contains(there) {
                old_keys.push(there.clone());
            }
            continue;
        }
        save_key(cx, &key)?;
        new_keys.push(key.id.clone());
        pairs.push((key.id, public));
    }
    if must_have_key && pairs.is_empty() {
        return Err(Error::invalid(
            "unable to import CA: the bundle has no private key",
        ));
    }
    for (label, bytes) in &blocks {
        if label != "CERTIFICATE" {
            continue;
        }
        let (_, certificate) = X509Certificate::from_der(bytes)
            .map_err(|_| Error::invalid("a certificate in the bundle cannot be read"))?;
        if !certificate.is_ca() {
            return Err(Error::invalid(
                "the given certificate is not marked for CA use and cannot be used with this backend",
            ));
        }
        let public = certificate.public_key().raw;
        let key_id = pairs
            .iter()
            .find(|(_, there)| there == public)
            .map(|(id, _)| id.clone())
            .unwrap_or_default();
        let present = store::issuers(cx)?
            .into_iter()
            .find(|issuer| issuer.der() == **bytes);
        let issuer = match present {
            Some(issuer) => {
                if !new_issuers.contains(&issuer.id) {
                    old_issuers.push(issuer.id.clone());
                }
                issuer
            }
            None => {
                let issuer = save_issuer(cx, bytes, String::new(), key_id.clone())?;
                new_issuers.push(issuer.id.clone());
                issuer
            }
        };
        mapping.insert(issuer.id, json!(key_id));
    }
    Ok(Response::data(json!({
        "imported_issuers": filled(new_issuers),
        "imported_keys": filled(new_keys),
        "existing_issuers": filled(old_issuers),
        "existing_keys": filled(old_keys),
        "mapping": mapping,
    })))
}

pub(crate) fn delete_all(cx: &mut Cx<'_>) -> Result<Response> {
    for folder in ["issuer/", "key/", "crl/"] {
        let prefix = cx.key(folder);
        cx.txn.delete_all(&prefix);
    }
    cx.put("config/defaults", &Defaults::default())?;
    Ok(Response::empty())
}

pub(crate) fn replace(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    set_default(
        cx,
        &request.data.text("default").unwrap_or_else(|| "next".to_owned()),
    )
}

fn set_default(cx: &mut Cx<'_>, reference: &str) -> Result<Response> {
    let issuer = store::issuer(cx, reference)?;
    let mut defaults = store::defaults(cx)?;
    defaults.issuer.clone_from(&issuer.id);
    cx.put("config/defaults", &defaults)?;
    Ok(Response::data(
        json!({ "default": issuer.id, "default_follows_latest_issuer": defaults.follows_latest }),
    ))
}

pub(crate) fn config_issuers(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    if request.op == Op::Write {
        if let Some(flag) = request.data.flag("default_follows_latest_issuer")? {
            let mut defaults = store::defaults(cx)?;
            defaults.follows_latest = flag;
            cx.put("config/defaults", &defaults)?;
        }
        return set_default(cx, &request.data.need("default")?);
    }
    let defaults = store::defaults(cx)?;
    Ok(Response::data(
        json!({ "default": defaults.issuer, "default_follows_latest_issuer": defaults.follows_latest }),
    ))
}

pub(crate) fn list_issuers(cx: &mut Cx<'_>) -> Result<Response> {
    let default = store::defaults(cx)?.issuer;
    let issuers = store::issuers(cx)?;
    let info: Map<String, Value> = issuers
        .iter()
        .map(|issuer| {
            let shown = json!({
                "issuer_name": issuer.name,
                "is_default": issuer.id == default,
                "key_id": issuer.key_id,
                "serial_number": issuer.serial,
            });
            (issuer.id.clone(), shown)
        })
        .collect();
    let mut response = Response::keys(issuers.into_iter().map(|issuer| issuer.id).collect())?;
    if let Some(data) = &mut response.data {
        data.insert("key_info".to_owned(), Value::Object(info));
    }
    Ok(response)
}

fn show_issuer(cx: &mut Cx<'_>, issuer: &Issuer) -> Result<Response> {
    Ok(Response::data(json!({
        "issuer_id": issuer.id,
        "issuer_name": issuer.name,
        "key_id": issuer.key_id,
        "certificate": issuer.certificate,
        "manual_chain": if issuer.manual_chain.is_empty() { Value::Null } else { json!(issuer.manual_chain) },
        "ca_chain": store::chain(cx, issuer)?,
        "leaf_not_after_behavior": issuer.leaf_not_after_behavior,
        "usage": issuer.usage,
        "revocation_signature_algorithm": "",
        "revoked": issuer.revoked.is_some(),
        "issuing_certificates": [],
        "crl_distribution_points": [],
        "ocsp_servers": [],
        "enable_aia_url_templating": false,
    })))
}

pub(crate) fn issuer(cx: &mut Cx<'_>, request: &Request, reference: &str) -> Result<Response> {
    let mut issuer = store::issuer(cx, reference)?;
    match request.op {
        Op::Read => show_issuer(cx, &issuer),
        Op::Write | Op::Patch => {
            if let Some(name) = request.data.text("issuer_name") {
                if !name.is_empty()
                    && store::issuers(cx)?
                        .iter()
                        .any(|other| other.name == name && other.id != issuer.id)
                {
                    return Err(Error::invalid("issuer name already in use"));
                }
                issuer.name = name;
            }
            if let Some(behavior) = request.data.text("leaf_not_after_behavior") {
                if !matches!(behavior.as_str(), "err" | "truncate" | "permit") {
                    return Err(Error::invalid(
                        "leaf_not_after_behavior: write err, truncate or permit",
                    ));
                }
                issuer.leaf_not_after_behavior = behavior;
            }
            if let Some(usage) = request.data.list("usage") {
                issuer.usage = usage.join(",");
            }
            if let Some(chain) = request.data.list("manual_chain") {
                issuer.manual_chain = chain;
            }
            cx.put(&format!("issuer/{}", issuer.id), &issuer)?;
            show_issuer(cx, &issuer)
        }
        Op::Delete => {
            let mut defaults = store::defaults(cx)?;
            let mut response = Response::empty();
            if defaults.issuer == issuer.id {
                defaults.issuer.clear();
                cx.put("config/defaults", &defaults)?;
                response = response.warn("Deleted the default issuer; this mount has none until one is set");
            }
            cx.delete(&format!("issuer/{}", issuer.id));
            cx.delete(&format!("crl/{}", issuer.id));
            Ok(response)
        }
        Op::List => Err(Error::Unsupported),
    }
}

/// Marks an issuer as not to be used any more; its certificate cannot be on its own list.
pub(crate) fn revoke_issuer(cx: &mut Cx<'_>, reference: &str) -> Result<Response> {
    let mut issuer = store::issuer(cx, reference)?;
    if issuer.revoked.is_none() {
        issuer.revoked = Some(cx.now);
        issuer.usage = "crl-signing,ocsp-signing,read-only".to_owned();
        cx.put(&format!("issuer/{}", issuer.id), &issuer)?;
        crl::rebuild(cx, &issuer.id)?;
    }
    let mut response = show_issuer(cx, &issuer)?;
    if let (Some(data), Some(at)) = (&mut response.data, issuer.revoked) {
        data.insert("revocation_time".to_owned(), json!(at.as_second()));
        data.insert("revocation_time_rfc3339".to_owned(), json!(at.to_string()));
    }
    Ok(response)
}

pub(crate) fn issuer_form(cx: &mut Cx<'_>, reference: &str, form: &str) -> Result<Response> {
    let issuer = store::issuer(cx, reference)?;
    Ok(match form {
        "pem" => Response::raw("application/pem-certificate-chain", issuer.certificate),
        "der" => Response::raw("application/pkix-cert", issuer.der()),
        _ => Response::data(json!({
            "issuer_id": issuer.id,
            "issuer_name": issuer.name,
            "certificate": issuer.certificate,
            "ca_chain": store::chain(cx, &issuer)?,
        })),
    })
}

pub(crate) fn list_keys(cx: &mut Cx<'_>) -> Result<Response> {
    let default = store::defaults(cx)?.key;
    let keys = store::keys(cx)?;
    let info: Map<String, Value> = keys
        .iter()
        .map(|key| {
            (
                key.id.clone(),
                json!({ "key_name": key.name, "is_default": key.id == default }),
            )
        })
        .collect();
    let mut response = Response::keys(keys.into_iter().map(|key| key.id).collect())?;
    if let Some(data) = &mut response.data {
        data.insert("key_info".to_owned(), Value::Object(info));
    }
    Ok(response)
}

pub(crate) fn key(cx: &mut Cx<'_>, request: &Request, reference: &str) -> Result<Response> {
    let mut key = store::key(cx, reference)?;
    match request.op {
        Op::Read => {}
        Op::Write => {
            if let Some(name) = request.data.text("key_name") {
                key.name = name;
                cx.put(&format!("key/{}", key.id), &key)?;
            }
        }
        Op::Delete => {
            if store::issuers(cx)?.iter().any(|issuer| issuer.key_id == key.id) {
                return Err(Error::invalid(
                    "the key is in use by an issuer: delete the issuer first",
                ));
            }
            cx.delete(&format!("key/{}", key.id));
            return Ok(Response::empty());
        }
        _ => return Err(Error::Unsupported),
    }
    Ok(Response::data(
        json!({ "key_id": key.id, "key_name": key.name, "key_type": key.kind }),
    ))
}

pub(crate) fn generate_key(cx: &mut Cx<'_>, request: &Request, kind: &str) -> Result<Response> {
    let exported = check_kind(kind)?;
    let (key, _) = new_key(cx, request, if kind == "existing" { "internal" } else { kind })?;
    let mut data = Map::from_iter([
        ("key_id".to_owned(), json!(key.id)),
        ("key_name".to_owned(), json!(key.name)),
        ("key_type".to_owned(), json!(key.kind)),
    ]);
    if exported {
        key.show("pem", "", &mut data)?;
    }
    Ok(Response::data(Value::Object(data)))
}

/// The default authority's certificate, or nothing (204) before there is one.
pub(crate) fn default_ca(cx: &mut Cx<'_>, pem: bool) -> Result<Response> {
    let Ok(issuer) = store::issuer(cx, "default") else {
        return Ok(Response::raw("application/pkix-cert", Vec::new()));
    };
    Ok(if pem {
        Response::raw("application/pem-certificate-chain", issuer.certificate)
    } else {
        Response::raw("application/pkix-cert", issuer.der())
    })
}

pub(crate) fn chain_raw(cx: &mut Cx<'_>) -> Result<Response> {
    let Ok(issuer) = store::issuer(cx, "default") else {
        return Ok(Response::raw("application/pkix-cert", Vec::new()));
    };
    let chain = store::chain(cx, &issuer)?.join("\n");
    Ok(Response::raw("application/pem-certificate-chain", chain))
}
