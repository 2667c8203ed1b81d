//! Revocation lists, one per issuer, made anew with every revocation.

use super::der;
use super::store::{self, Issued};
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Op, Request, Response};
use crate::core::token::after;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct List {
    number: u64,
    der: String,
    until: Timestamp,
}

/// rcgen's time type, reached without importing the crate it is from.
macro_rules! time {
    ($at:expr) => {{
        let seconds = u64::try_from($at.as_second().max(0)).unwrap_or(0);
        // 9999-12-31: the last day certificates know.
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds.min(253_402_300_799))
    }};
}
pub(super) use time;

fn settings(cx: &mut Cx<'_>) -> Result<Map<String, Value>> {
    let default = json!({
        "auto_rebuild": false,
        "auto_rebuild_grace_period": "12h",
        "cross_cluster_revocation": false,
        "delta_rebuild_interval": "15m",
        "disable": false,
        "enable_delta": false,
        "expiry": "72h",
        "max_crl_entries": 100_000,
        "ocsp_disable": false,
        "ocsp_expiry": "12h",
        "unified_crl": false,
        "unified_crl_on_existing_paths": false,
    });
    let mut map = default.as_object().cloned().unwrap_or_default();
    map.extend(cx.get::<Map<String, Value>>("config/crl")?.unwrap_or_default());
    Ok(map)
}

pub(crate) fn config(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let mut settings = settings(cx)?;
    match request.op {
        Op::Read => Ok(Response::data(Value::Object(settings))),
        Op::Write => {
            if request
                .data
                .seconds("expiry")?
                .is_some_and(|seconds| seconds < 60)
            {
                return Err(Error::invalid(
                    "expiry: a revocation list must hold for at least a minute",
                ));
            }
            for (key, value) in &mut settings {
                let Some(given) = request.data.get(key) else {
                    continue;
                };
                *value = match value {
                    Value::Bool(_) => json!(request.data.flag(key)?.unwrap_or(false)),
                    Value::Number(_) => json!(request.data.int(key)?.unwrap_or(0)),
                    _ => given.clone(),
                };
            }
            cx.put("config/crl", &settings)?;
            rebuild_all(cx)?;
            Ok(Response::data(Value::Object(settings)))
        }
        _ => Err(Error::Unsupported),
    }
}

/// Makes every issuer's list anew.
pub(crate) fn rebuild_all(cx: &mut Cx<'_>) -> Result<()> {
    for issuer in store::issuers(cx)? {
        if !issuer.key_id.is_empty() {
            rebuild(cx, &issuer.id)?;
        }
    }
    Ok(())
}

/// Makes an issuer's list anew.
pub(crate) fn rebuild(cx: &mut Cx<'_>, id: &str) -> Result<()> {
    // An issuer that is gone, or has no key, cannot sign a list any more.
    let Ok((issuer, key)) = store::signer(cx, id) else {
        return Ok(());
    };
    let settings = settings(cx)?;
    let lifetime = settings
        .get("expiry")
        .and_then(crate::core::fields::duration)
        .unwrap_or(72 * 3600);
    let disabled = settings.get("disable").and_then(Value::as_bool).unwrap_or(false);
    let number = cx
        .get::<List>(&format!("crl/{id}"))?
        .map_or(1, |list| list.number + 1);
    let mut revoked_certs = Vec::new();
    for name in cx.list("cert/") {
        let Some(issued) = cx.get::<Issued>(&format!("cert/{name}"))? else {
            continue;
        };
        if let Some(at) = issued.revoked
            && issued.issuer == id
            && !disabled
        {
            let serial: Vec<u8> = name
                .split('-')
                .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
                .collect();
            revoked_certs.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: time!(at),
                reason_code: None,
                invalidity_date: None,
            });
        }
    }
    let until = after(cx.now, lifetime);
    let params = CertificateRevocationListParams {
        this_update: time!(cx.now),
        next_update: time!(until),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let failed =
        |error: rcgen::Error| Error::invalid(format!("the revocation list cannot be signed: {error}"));
    let der = issuer.der();
    let signer = Issuer::from_ca_cert_der(&der.as_slice().into(), key.pair()?).map_err(failed)?;
    let list = params.signed_by(&signer).map_err(failed)?;
    cx.put(
        &format!("crl/{id}"),
        &List {
            number,
            der: STANDARD.encode(list.der()),
            until,
        },
    )
}

/// An issuer's present list in DER; signed anew when it has run out.
pub(crate) fn current(cx: &mut Cx<'_>, reference: Option<&str>) -> Result<Vec<u8>> {
    let issuer = store::issuer(cx, reference.unwrap_or("default")).map_err(|_| Error::NotFound)?;
    let key = format!("crl/{}", issuer.id);
    let now = cx.now;
    if cx.get::<List>(&key)?.is_none_or(|list| list.until <= now) {
        rebuild(cx, &issuer.id)?;
    }
    let list: List = cx.get(&key)?.ok_or(Error::NotFound)?;
    Ok(STANDARD.decode(list.der).unwrap_or_default())
}

pub(crate) fn read(cx: &mut Cx<'_>, issuer: Option<&str>, rest: &[&str]) -> Result<Response> {
    let der = current(cx, issuer)?;
    match (issuer, rest) {
        (None, ["pem"] | ["delta", "pem"]) | (Some(_), ["pem"]) => Ok(Response::raw(
            "application/x-pem-file",
            der::pem("X509 CRL", &der),
        )),
        (None, [] | ["delta"]) | (Some(_), ["der"]) => Ok(Response::raw("application/pkix-crl", der)),
        (Some(_), []) => Ok(Response::data(json!({ "crl": der::pem("X509 CRL", &der) }))),
        _ => Err(crate::engines::unsupported_path()),
    }
}
