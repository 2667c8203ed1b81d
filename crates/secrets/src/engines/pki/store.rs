//! The stored forms of issuers, keys, certificates and settings, and finding them by id, name or `default`.

use super::key::Key;
use crate::core::context::Cx;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A certificate authority as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Issuer {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Empty if the key is elsewhere.
    pub(crate) key_id: String,
    /// PEM.
    pub(crate) certificate: String,
    pub(crate) serial: String,
    pub(crate) usage: String,
    pub(crate) leaf_not_after_behavior: String,
    #[serde(default)]
    pub(crate) manual_chain: Vec<String>,
    #[serde(default)]
    pub(crate) revoked: Option<Timestamp>,
}

impl Issuer {
    pub(crate) fn der(&self) -> Vec<u8> {
        super::der::read_pem(&self.certificate)
            .into_iter()
            .next()
            .map(|(_, der)| der.to_vec())
            .unwrap_or_default()
    }
}

/// An issued certificate as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Issued {
    /// Base64 of DER.
    pub(crate) der: String,
    pub(crate) issuer: String,
    pub(crate) expires: Timestamp,
    pub(crate) revoked: Option<Timestamp>,
}

impl Issued {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        STANDARD.decode(&self.der).unwrap_or_default()
    }
}

/// Addresses written into certificates.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Urls {
    pub(crate) issuing_certificates: Vec<String>,
    pub(crate) crl_distribution_points: Vec<String>,
    pub(crate) ocsp_servers: Vec<String>,
    pub(crate) enable_templating: bool,
}

pub(crate) fn urls(cx: &mut Cx<'_>) -> Result<Urls> {
    Ok(cx.get("config/urls")?.unwrap_or_default())
}

/// Which issuer and key are meant by `default`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Defaults {
    pub(crate) issuer: String,
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) follows_latest: bool,
}

pub(crate) fn defaults(cx: &mut Cx<'_>) -> Result<Defaults> {
    Ok(cx.get("config/defaults")?.unwrap_or_default())
}

/// Every issuer.
pub(crate) fn issuers(cx: &mut Cx<'_>) -> Result<Vec<Issuer>> {
    let mut all = Vec::new();
    for id in cx.list("issuer/") {
        all.extend(cx.get::<Issuer>(&format!("issuer/{id}"))?);
    }
    Ok(all)
}

/// Every key.
pub(crate) fn keys(cx: &mut Cx<'_>) -> Result<Vec<Key>> {
    let mut all = Vec::new();
    for id in cx.list("key/") {
        all.extend(cx.get::<Key>(&format!("key/{id}"))?);
    }
    Ok(all)
}

/// An issuer by id, name or `default`.
pub(crate) fn issuer(cx: &mut Cx<'_>, reference: &str) -> Result<Issuer> {
    let reference = if reference.is_empty() || reference == "default" {
        let default = defaults(cx)?.issuer;
        if default.is_empty() {
            return Err(Error::invalid(
                "no default issuer currently configured: generate or import a CA first",
            ));
        }
        default
    } else {
        reference.to_owned()
    };
    if let Some(issuer) = cx.get::<Issuer>(&format!("issuer/{reference}"))? {
        return Ok(issuer);
    }
    issuers(cx)?
        .into_iter()
        .find(|issuer| issuer.name == reference)
        .ok_or_else(|| Error::Failed(format!("unable to find PKI issuer for reference: {reference}")))
}

/// A key by id, name or `default`.
pub(crate) fn key(cx: &mut Cx<'_>, reference: &str) -> Result<Key> {
    let reference = if reference.is_empty() || reference == "default" {
        defaults(cx)?.key
    } else {
        reference.to_owned()
    };
    if !reference.is_empty() {
        if let Some(key) = cx.get::<Key>(&format!("key/{reference}"))? {
            return Ok(key);
        }
        if let Some(key) = keys(cx)?.into_iter().find(|key| key.name == reference) {
            return Ok(key);
        }
    }
    Err(Error::invalid(format!(
        "unable to find PKI key for reference: {reference}"
    )))
}

/// An issuer with its key.
pub(crate) fn signer(cx: &mut Cx<'_>, reference: &str) -> Result<(Issuer, Key)> {
    let issuer = issuer(cx, reference)?;
    if issuer.revoked.is_some() {
        return Err(Error::invalid(format!(
            "the issuer {} is revoked and signs nothing any more",
            issuer.id
        )));
    }
    if issuer.key_id.is_empty() {
        return Err(Error::invalid(format!(
            "the issuer {} has no key here, so it cannot sign",
            issuer.id
        )));
    }
    let key = key(cx, &issuer.key_id.clone())?;
    Ok((issuer, key))
}

/// Where an issued certificate is: serial numbers are hex with colons outside, with dashes inside.
pub(crate) fn cert_key(serial: &str) -> String {
    format!("cert/{}", serial.to_ascii_lowercase().replace(':', "-"))
}

/// `1a:2b:…`
pub(crate) fn show_serial(bytes: &[u8]) -> String {
    let mut bytes = bytes;
    while let [0, rest @ ..] = bytes
        && !rest.is_empty()
    {
        bytes = rest;
    }
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// The issuer's certificates from itself up to a root, PEM.
pub(crate) fn chain(cx: &mut Cx<'_>, issuer: &Issuer) -> Result<Vec<String>> {
    use x509_parser::prelude::FromDer;
    let all = issuers(cx)?;
    let mut chain = vec![issuer.certificate.clone()];
    let mut seen = vec![issuer.id.clone()];
    let mut current = issuer.clone();
    loop {
        let der = current.der();
        let Ok((_, certificate)) = x509_parser::certificate::X509Certificate::from_der(&der) else {
            break;
        };
        if certificate.issuer() == certificate.subject() {
            break;
        }
        let above = all.iter().find(|candidate| {
            let der = candidate.der();
            !seen.contains(&candidate.id)
                && x509_parser::certificate::X509Certificate::from_der(&der).is_ok_and(|(_, parent)| {
                    parent.subject() == certificate.issuer()
                        && certificate.verify_signature(Some(parent.public_key())).is_ok()
                })
        });
        let Some(above) = above else { break };
        chain.push(above.certificate.clone());
        seen.push(above.id.clone());
        current = above.clone();
    }
    Ok(chain)
}
