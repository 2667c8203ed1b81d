//! Issuing and signing certificates under a role. Owns the checks of names and lifetimes; signing itself is rcgen's.

use super::cert::CertificateSpec;
use super::der;
use super::key::Key;
use super::role::Role;
use super::store::{self, Issued, Issuer};
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Lease, Request, Response};
use crate::core::token::after;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{CertificateSigningRequestParams, PublicKeyData, SanType};
use serde_json::{Map, Value, json};

fn role(cx: &mut Cx<'_>, name: &str) -> Result<Role> {
    cx.get(&format!("role/{name}"))?
        .ok_or_else(|| Error::invalid(format!("unknown role: {name}")))
}

pub(crate) fn issue(
    cx: &mut Cx<'_>,
    request: &Request,
    name: &str,
    issuer: Option<&str>,
) -> Result<Response> {
    let role = role(cx, name)?;
    if role.text("key_type") == "any" {
        return Err(Error::invalid(
            "role key type \"any\" not allowed for issuing certificates, only signing",
        ));
    }
    let reference = reference(request, &role, issuer);
    let (authority, signing) = store::signer(cx, &reference)?;
    let spec = specify(cx, request, &role, &authority, None)?;
    let (key, pair) = Key::generate(role.text("key_type"), role.int("key_bits"), String::new())?;
    finish(cx, request, &role, &authority, &signing, &spec, &pair, Some(&key))
}

/// Which issuer a request means: the path's, the role's.
fn reference(request: &Request, role: &Role, path: Option<&str>) -> String {
    let _ = request;
    path.unwrap_or_else(|| role.text("issuer_ref")).to_owned()
}

/// Longest signing request: several times what the largest key and a hundred names need.
const LONGEST_CSR: usize = 64 << 10;

/// A certificate signing request, verified.
pub(crate) fn csr(request: &Request) -> Result<CertificateSigningRequestParams> {
    let text = request
        .data
        .need("csr")
        .map_err(|_| Error::invalid("\"csr\" is empty"))?;
    if text.len() > LONGEST_CSR {
        return Err(Error::invalid(format!(
            "certificate request is too long: {LONGEST_CSR} bytes are the most"
        )));
    }
    CertificateSigningRequestParams::from_pem(text.trim())
        .map_err(|error| Error::invalid(format!("certificate request could not be parsed: {error}")))
}

pub(crate) fn sign(
    cx: &mut Cx<'_>,
    request: &Request,
    name: Option<&str>,
    issuer: Option<&str>,
) -> Result<Response> {
    let role = role(cx, name.unwrap_or_default())?;
    sign_with(cx, request, &role, issuer)
}

pub(crate) fn sign_verbatim(
    cx: &mut Cx<'_>,
    request: &Request,
    name: Option<&str>,
    issuer: Option<&str>,
) -> Result<Response> {
    let mut lax = Role::lax().with(
        &request.data,
        &["key_usage", "ext_key_usage", "ttl", "not_before_duration"],
    )?;
    if let Some(name) = name {
        let named = role(cx, name)?;
        lax = lax.with(
            &named.0,
            &["ttl", "max_ttl", "generate_lease", "no_store", "issuer_ref"],
        )?;
        lax = lax.with(&request.data, &["ttl"])?;
    }
    sign_with(cx, request, &lax, issuer)
}

fn sign_with(cx: &mut Cx<'_>, request: &Request, role: &Role, issuer: Option<&str>) -> Result<Response> {
    let csr = csr(request)?;
    check_key(role, &csr)?;
    let (authority, signing) = store::signer(cx, &reference(request, role, issuer))?;
    let spec = specify(cx, request, role, &authority, Some(&csr))?;
    finish(
        cx,
        request,
        role,
        &authority,
        &signing,
        &spec,
        &csr.public_key,
        None,
    )
}

fn check_key(role: &Role, csr: &CertificateSigningRequestParams) -> Result<()> {
    let algorithm = format!("{:?}", csr.public_key.algorithm());
    let kind = if algorithm.contains("RSA") {
        "rsa"
    } else if algorithm.contains("ED25519") {
        "ed25519"
    } else {
        "ec"
    };
    match role.text("key_type") {
        "any" => Ok(()),
        wanted if wanted == kind => Ok(()),
        wanted => Err(Error::invalid(format!(
            "role requires keys of type {wanted}, and the request has one of type {kind}"
        ))),
    }
}

/// What the certificate will say.
fn specify(
    cx: &mut Cx<'_>,
    request: &Request,
    role: &Role,
    authority: &Issuer,
    csr: Option<&CertificateSigningRequestParams>,
) -> Result<CertificateSpec> {
    let data = &request.data;
    let display = cx
        .token
        .as_ref()
        .map(|holder| holder.token.display_name.clone())
        .unwrap_or_default();
    let mut name = data.text("common_name").unwrap_or_default();
    let mut sans: Vec<SanType> = Vec::new();
    if let Some(csr) = csr {
        if role.flag("use_csr_common_name")
            && let Some(found) = super::cert::common_name(&csr.params.distinguished_name)
        {
            name = found;
        }
        if role.flag("use_csr_sans") {
            sans.clone_from(&csr.params.subject_alt_names);
        }
    }
    if csr.is_none() || !role.flag("use_csr_sans") {
        sans.extend(given_sans(data)?);
    }
    if name.is_empty() && role.flag("require_cn") {
        return Err(Error::invalid(
            "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to true, unless \"require_cn\" is set to false",
        ));
    }
    let refuse =
        |what: &str, name: &str| Err(Error::invalid(format!("{what} {name} not allowed by this role")));
    if !name.is_empty()
        && !role.list("cn_validations").contains(&"disabled")
        && !role.allows_name(&name, &display)
    {
        return refuse("common name", &name);
    }
    if !name.is_empty() && !data.flag("exclude_cn_from_sans")?.unwrap_or(false) {
        let san = super::cert::name_san(&name)?;
        if !sans.contains(&san) && (name.contains('@') || !name.contains(' ')) {
            sans.insert(0, san);
        }
    }
    for san in &sans {
        match san {
            SanType::DnsName(dns) if !role.allows_name(dns.as_str(), &display) => {
                return refuse("subject alternate name", dns.as_str());
            }
            SanType::Rfc822Name(mail) if !role.allows_name(mail.as_str(), &display) => {
                return refuse("email address", mail.as_str());
            }
            SanType::IpAddress(_) if !role.flag("allow_ip_sans") => {
                return Err(Error::invalid(
                    "IP Subject Alternative Names are not allowed in this role",
                ));
            }
            SanType::URI(uri) if !role.allows_uri(uri.as_str()) => {
                return refuse("URI Subject Alternative Name", uri.as_str());
            }
            SanType::OtherName(_) => {
                return Err(Error::invalid(
                    "other subject alternative names are not allowed by this role",
                ));
            }
            _ => {}
        }
    }
    let (expires, capped) = lifetime(cx, data, role, authority)?;
    Ok(CertificateSpec {
        common_name: name,
        organization: owned(role.list("organization")),
        unit: owned(role.list("ou")),
        country: owned(role.list("country")),
        locality: owned(role.list("locality")),
        province: owned(role.list("province")),
        street: owned(role.list("street_address")),
        postal_code: owned(role.list("postal_code")),
        sans,
        // Nothing is older than who signed it.
        not_before: after(cx.now, -role.int("not_before_duration").max(0))
            .max(super::cert::not_before(&authority.der())?.min(cx.now)),
        not_after: expires,
        capped,
        key_usage: owned(role.list("key_usage")),
        extended: extended(role),
        ca: None,
        permitted: Vec::new(),
    })
}

fn owned(list: Vec<&str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

fn extended(role: &Role) -> Vec<String> {
    let mut usages = owned(role.list("ext_key_usage"));
    for (flag, usage) in [
        ("server_flag", "ServerAuth"),
        ("client_flag", "ClientAuth"),
        ("code_signing_flag", "CodeSigning"),
        ("email_protection_flag", "EmailProtection"),
    ] {
        if role.flag(flag) && !usages.iter().any(|there| there == usage) {
            usages.push(usage.to_owned());
        }
    }
    usages
}

/// Alternative names given as parameters.
pub(crate) fn given_sans(data: &Map<String, Value>) -> Result<Vec<SanType>> {
    let mut sans = Vec::new();
    for name in data.list("alt_names").unwrap_or_default() {
        sans.push(super::cert::name_san(&name)?);
    }
    for ip in data.list("ip_sans").unwrap_or_default() {
        let address = ip
            .parse()
            .map_err(|_| Error::invalid(format!("the value {ip:?} is not a valid IP address")))?;
        sans.push(SanType::IpAddress(address));
    }
    for uri in data.list("uri_sans").unwrap_or_default() {
        let text = uri
            .as_str()
            .try_into()
            .map_err(|_| Error::invalid(format!("the provided URI {uri:?} is not a valid URI")))?;
        sans.push(SanType::URI(text));
    }
    Ok(sans)
}

/// When the certificate ends, and whether that was shortened.
fn lifetime(
    cx: &Cx<'_>,
    data: &Map<String, Value>,
    role: &Role,
    authority: &Issuer,
) -> Result<(Timestamp, bool)> {
    let max = match role.int("max_ttl") {
        0 => cx.mount.max_ttl(),
        seconds => seconds,
    };
    let ttl = match role.int("ttl") {
        0 => cx.mount.default_ttl(),
        seconds => seconds,
    };
    let (mut end, mut capped) = end(cx, data, role.text("not_after"), ttl, max)?;
    let authority_end = super::cert::not_after(&authority.der())?;
    if end > authority_end {
        if authority.leaf_not_after_behavior == "err" {
            return Err(Error::invalid(format!(
                "cannot satisfy request, as TTL would result in notAfter of {end} that is beyond the expiration of the CA certificate at {authority_end}"
            )));
        }
        if authority.leaf_not_after_behavior == "truncate" {
            end = authority_end;
            capped = true;
        }
    }
    Ok((end, capped))
}

/// When something ends as a request wants it, or else by a fixed time or after some seconds, but never after more than
/// `max`; and whether that shortened what was asked for. A date is as much a lifetime as a number of seconds.
pub(crate) fn end(
    cx: &Cx<'_>,
    data: &Map<String, Value>,
    fixed: &str,
    ttl: i64,
    max: i64,
) -> Result<(Timestamp, bool)> {
    let latest = after(cx.now, max);
    let asked = data.seconds("ttl")?.filter(|seconds| *seconds > 0);
    let date = data.text("not_after").filter(|text| !text.is_empty());
    if asked.is_some() && date.is_some() {
        return Err(Error::invalid(
            "either ttl or not_after should be provided: both should not be provided in the same request",
        ));
    }
    let date = date.or_else(|| (asked.is_none() && !fixed.is_empty()).then(|| fixed.to_owned()));
    let (end, wished) = match date {
        // The end of all certificates is later than the last moment that can be reckoned with.
        Some(text) if text.starts_with("9999-12-31T") => (Timestamp::MAX, true),
        Some(text) => {
            let end: Timestamp = text.parse().map_err(|_| {
                Error::invalid(format!(
                    "not_after: {text:?} is no time such as 2030-01-31T00:00:00Z"
                ))
            })?;
            if end <= cx.now {
                return Err(Error::invalid(format!("not_after: {text} is past")));
            }
            (end, true)
        }
        None => (after(cx.now, asked.unwrap_or(ttl)), asked.is_some()),
    };
    Ok((end.min(latest), wished && end > latest))
}

/// Signs, stores and answers.
#[expect(
    clippy::too_many_arguments,
    reason = "these are the parts of one certificate, gathered by two callers"
)]
fn finish(
    cx: &mut Cx<'_>,
    request: &Request,
    role: &Role,
    authority: &Issuer,
    signing: &Key,
    spec: &CertificateSpec,
    public: &impl PublicKeyData,
    private: Option<&Key>,
) -> Result<Response> {
    let urls = store::urls(cx)?;
    let (der, serial) = spec.signed_by(public, &authority.der(), signing, &urls)?;
    let issued = Issued {
        der: STANDARD.encode(&der),
        issuer: authority.id.clone(),
        expires: spec.not_after,
        revoked: None,
    };
    if !role.flag("no_store") {
        cx.put(&store::cert_key(&serial), &issued)?;
    }
    let chain = store::chain(cx, authority)?;
    let mut data = answer(request, &der, &serial, authority, &chain, spec.not_after, private)?;
    data.insert("ca_chain".to_owned(), chain_value(request, &chain));
    let mut response = Response::data(Value::Object(data));
    if spec.capped {
        response
            .warnings
            .push("TTL was longer than the role's or the issuer's maximum and was shortened".to_owned());
    }
    if role.flag("generate_lease") {
        response.lease = Some(Lease {
            ttl: spec.not_after.duration_since(cx.now).as_secs(),
            max_ttl: 0,
            renewable: false,
            internal: json!({ "serial_number": serial }),
            id: String::new(),
        });
    }
    Ok(response)
}

fn chain_value(request: &Request, chain: &[String]) -> Value {
    if request.data.text("format").as_deref() == Some("der") {
        return chain
            .iter()
            .flat_map(|pem| der::read_pem(pem))
            .map(|(_, der)| json!(STANDARD.encode(&*der)))
            .collect();
    }
    json!(chain)
}

/// The answer all issuing paths share, in the format asked for.
pub(crate) fn answer(
    request: &Request,
    certificate: &[u8],
    serial: &str,
    authority: &Issuer,
    chain: &[String],
    expires: Timestamp,
    private: Option<&Key>,
) -> Result<Map<String, Value>> {
    let format = request.data.text("format").unwrap_or_else(|| "pem".to_owned());
    if !matches!(format.as_str(), "pem" | "der" | "pem_bundle") {
        return Err(Error::invalid(
            "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\"",
        ));
    }
    let private_format = request.data.text("private_key_format").unwrap_or_default();
    let mut data = Map::new();
    if let Some(key) = private {
        key.show(&format, &private_format, &mut data)?;
    }
    let (mut text, issuing) = if format == "der" {
        (STANDARD.encode(certificate), STANDARD.encode(authority.der()))
    } else {
        (
            der::pem("CERTIFICATE", certificate),
            authority.certificate.clone(),
        )
    };
    if format == "pem_bundle" {
        let key = data
            .get("private_key")
            .and_then(Value::as_str)
            .map(|key| format!("{key}\n"))
            .unwrap_or_default();
        text = format!("{key}{text}");
        for above in chain {
            text.push('\n');
            text.push_str(above);
        }
    }
    data.insert("certificate".to_owned(), json!(text));
    data.insert("issuing_ca".to_owned(), json!(issuing));
    data.insert("serial_number".to_owned(), json!(serial));
    data.insert("expiration".to_owned(), json!(expires.as_second()));
    Ok(data)
}
