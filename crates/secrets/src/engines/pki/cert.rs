//! Certificates: building them, and listing, reading and revoking issued ones.

use super::crl;
use super::der;
use super::key::Key;
use super::store::{self, Issued, Urls, cert_key, show_serial};
use crate::core::barrier::random;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::{Error, Result};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName, DnType,
    DnValue, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyUsagePurpose, NameConstraints,
    PublicKeyData, SanType, SerialNumber,
};
use serde_json::json;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a certificate says.
#[derive(Debug, Clone, Default)]
pub(crate) struct CertificateSpec {
    pub(crate) common_name: String,
    pub(crate) organization: Vec<String>,
    pub(crate) unit: Vec<String>,
    pub(crate) country: Vec<String>,
    pub(crate) locality: Vec<String>,
    pub(crate) province: Vec<String>,
    pub(crate) street: Vec<String>,
    pub(crate) postal_code: Vec<String>,
    pub(crate) sans: Vec<SanType>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) capped: bool,
    pub(crate) key_usage: Vec<String>,
    pub(crate) extended: Vec<String>,
    /// A certificate authority, with the most authorities below it if limited.
    pub(crate) ca: Option<Option<u8>>,
    pub(crate) permitted: Vec<String>,
}

fn broken(error: &rcgen::Error) -> Error {
    Error::invalid(format!("the certificate cannot be made: {error}"))
}

/// A DNS name or e-mail address.
pub(crate) fn name_san(name: &str) -> Result<SanType> {
    let wrong = |_| Error::invalid(format!("{name:?} has letters a certificate's name cannot have"));
    if name.contains('@') {
        return Ok(SanType::Rfc822Name(name.try_into().map_err(wrong)?));
    }
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    Ok(SanType::DnsName(name.try_into().map_err(wrong)?))
}

pub(crate) fn common_name(name: &DistinguishedName) -> Option<String> {
    match name.get(&DnType::CommonName)? {
        DnValue::Utf8String(text) => Some(text.clone()),
        DnValue::PrintableString(text) => Some(text.as_str().to_owned()),
        DnValue::Ia5String(text) => Some(text.as_str().to_owned()),
        DnValue::TeletexString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// When a certificate begins.
pub(crate) fn not_before(der: &[u8]) -> Result<Timestamp> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| Error::invalid("the certificate cannot be read"))?;
    Ok(Timestamp::from_second(certificate.validity().not_before.timestamp()).unwrap_or(Timestamp::MIN))
}

/// When a certificate ends.
pub(crate) fn not_after(der: &[u8]) -> Result<Timestamp> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| Error::invalid("the certificate cannot be read"))?;
    Ok(Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX))
}

impl CertificateSpec {
    fn name(&self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        for (kind, values) in [
            (DnType::CountryName, &self.country),
            (DnType::StateOrProvinceName, &self.province),
            (DnType::LocalityName, &self.locality),
            (DnType::CustomDnType(vec![2, 5, 4, 9]), &self.street),
            (DnType::CustomDnType(vec![2, 5, 4, 17]), &self.postal_code),
            (DnType::OrganizationName, &self.organization),
            (DnType::OrganizationalUnitName, &self.unit),
        ] {
            if !values.is_empty() {
                name.push(kind, values.join(", "));
            }
        }
        if !self.common_name.is_empty() {
            name.push(DnType::CommonName, self.common_name.clone());
        }
        name
    }

    /// For rcgen, with a new serial number.
    pub(crate) fn params(&self, urls: &Urls) -> Result<(CertificateParams, String)> {
        let mut serial = random(20)?;
        if let Some(first) = serial.first_mut() {
            // Positive and never shorter than it looks.
            *first = *first & 0x7f | 0x40;
        }
        let mut params = CertificateParams::default();
        params.not_before = crl::time!(self.not_before);
        params.not_after = crl::time!(self.not_after);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.subject_alt_names.clone_from(&self.sans);
        params.distinguished_name = self.name();
        params.use_authority_key_identifier_extension = true;
        params.is_ca = match self.ca {
            None => IsCa::ExplicitNoCa,
            Some(None) => IsCa::Ca(BasicConstraints::Unconstrained),
            Some(Some(below)) => IsCa::Ca(BasicConstraints::Constrained(below)),
        };
        params.key_usages = if self.ca.is_some() {
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]
        } else {
            self.key_usage
                .iter()
                .filter_map(|usage| key_usage(usage))
                .collect()
        };
        params.extended_key_usages = self
            .extended
            .iter()
            .filter_map(|usage| extended_usage(usage))
            .collect();
        if !self.permitted.is_empty() {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: self
                    .permitted
                    .iter()
                    .map(|name| GeneralSubtree::DnsName(name.clone()))
                    .collect(),
                excluded_subtrees: Vec::new(),
            });
        }
        if !urls.crl_distribution_points.is_empty() {
            params.crl_distribution_points = vec![CrlDistributionPoint {
                uris: urls.crl_distribution_points.clone(),
            }];
        }
        if let Some(access) = der::authority_access(&urls.ocsp_servers, &urls.issuing_certificates) {
            params.custom_extensions = vec![CustomExtension::from_oid_content(
                &[1, 3, 6, 1, 5, 5, 7, 1, 1],
                access,
            )];
        }
        Ok((params, show_serial(&serial)))
    }

    /// The certificate in DER and its serial number.
    pub(crate) fn signed_by(
        &self,
        public: &impl PublicKeyData,
        authority: &[u8],
        signing: &Key,
        urls: &Urls,
    ) -> Result<(Vec<u8>, String)> {
        let (params, serial) = self.params(urls)?;
        let issuer =
            Issuer::from_ca_cert_der(&authority.into(), signing.pair()?).map_err(|error| broken(&error))?;
        let certificate = params
            .signed_by(public, &issuer)
            .map_err(|error| broken(&error))?;
        Ok((certificate.der().to_vec(), serial))
    }
}

fn key_usage(name: &str) -> Option<KeyUsagePurpose> {
    Some(
        match name.trim_start_matches("KeyUsage").to_ascii_lowercase().as_str() {
            "digitalsignature" => KeyUsagePurpose::DigitalSignature,
            "contentcommitment" => KeyUsagePurpose::ContentCommitment,
            "keyencipherment" => KeyUsagePurpose::KeyEncipherment,
            "dataencipherment" => KeyUsagePurpose::DataEncipherment,
            "keyagreement" => KeyUsagePurpose::KeyAgreement,
            "certsign" => KeyUsagePurpose::KeyCertSign,
            "crlsign" => KeyUsagePurpose::CrlSign,
            "encipheronly" => KeyUsagePurpose::EncipherOnly,
            "decipheronly" => KeyUsagePurpose::DecipherOnly,
            _ => return None,
        },
    )
}

fn extended_usage(name: &str) -> Option<ExtendedKeyUsagePurpose> {
    Some(
        match name
            .trim_start_matches("ExtKeyUsage")
            .to_ascii_lowercase()
            .as_str()
        {
            "any" => ExtendedKeyUsagePurpose::Any,
            "serverauth" => ExtendedKeyUsagePurpose::ServerAuth,
            "clientauth" => ExtendedKeyUsagePurpose::ClientAuth,
            "codesigning" => ExtendedKeyUsagePurpose::CodeSigning,
            "emailprotection" => ExtendedKeyUsagePurpose::EmailProtection,
            "timestamping" => ExtendedKeyUsagePurpose::TimeStamping,
            "ocspsigning" => ExtendedKeyUsagePurpose::OcspSigning,
            _ => return None,
        },
    )
}

pub(crate) fn list(cx: &mut Cx<'_>, revoked: bool) -> Result<Response> {
    let mut serials = Vec::new();
    for name in cx.list("cert/") {
        if !revoked
            || cx
                .get::<Issued>(&format!("cert/{name}"))?
                .is_some_and(|issued| issued.revoked.is_some())
        {
            serials.push(name.replace('-', ":"));
        }
    }
    Response::keys(serials)
}

pub(crate) fn read(cx: &mut Cx<'_>, name: &str, rest: &[&str]) -> Result<Response> {
    let (bytes, revoked, issuer) = match name {
        "ca" => (
            store::issuer(cx, "default").map_err(|_| Error::NotFound)?.der(),
            None,
            String::new(),
        ),
        "ca_chain" => {
            let issuer = store::issuer(cx, "default").map_err(|_| Error::NotFound)?;
            let chain = store::chain(cx, &issuer)?.join("\n");
            return Ok(Response::data(
                json!({ "certificate": chain, "ca_chain": chain, "revocation_time": 0 }),
            ));
        }
        "crl" | "delta-crl" => {
            let der = crl::current(cx, None)?;
            return Ok(Response::data(
                json!({ "certificate": der::pem("X509 CRL", &der), "revocation_time": 0 }),
            ));
        }
        serial => {
            let issued: Issued = cx.get(&cert_key(serial))?.ok_or(Error::NotFound)?;
            (issued.bytes(), issued.revoked, issued.issuer)
        }
    };
    match rest {
        ["raw"] => Ok(Response::raw("application/pkix-cert", bytes)),
        ["raw", "pem"] => Ok(Response::raw(
            "application/pem-certificate-chain",
            der::pem("CERTIFICATE", &bytes),
        )),
        [] => Ok(Response::data(json!({
            "certificate": der::pem("CERTIFICATE", &bytes),
            "revocation_time": revoked.map_or(0, |at| at.as_second()),
            "revocation_time_rfc3339": revoked.map(|at| at.to_string()).unwrap_or_default(),
            "issuer_id": issuer,
        }))),
        _ => Err(crate::engines::unsupported_path()),
    }
}

pub(crate) fn revoke(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let serial = match request
        .data
        .text("serial_number")
        .filter(|serial| !serial.is_empty())
    {
        Some(serial) => serial,
        None => {
            let pem = request.data.text("certificate").ok_or_else(|| {
                Error::invalid("the serial number or certificate to revoke must be provided")
            })?;
            let (_, der) = der::read_pem(&pem)
                .into_iter()
                .next()
                .ok_or_else(|| Error::invalid("certificate: no PEM found"))?;
            let (_, certificate) = X509Certificate::from_der(&der)
                .map_err(|_| Error::invalid("the certificate cannot be read"))?;
            show_serial(certificate.raw_serial())
        }
    };
    let at = revoke_serial(cx, &serial)?;
    Ok(Response::data(json!({
        "revocation_time": at.as_second(),
        "revocation_time_rfc3339": at.to_string(),
        "state": "revoked",
    })))
}

/// Revokes once; again is no error.
pub(crate) fn revoke_serial(cx: &mut Cx<'_>, serial: &str) -> Result<Timestamp> {
    let key = cert_key(serial);
    let mut issued: Issued = cx
        .get(&key)?
        .ok_or_else(|| Error::invalid(format!("certificate with serial {serial} not found")))?;
    if let Some(at) = issued.revoked {
        return Ok(at);
    }
    if store::issuers(cx)?.iter().any(|issuer| {
        issuer.serial.eq_ignore_ascii_case(&serial.replace('-', ":")) && issuer.id == issued.issuer
    }) {
        return Err(Error::invalid("adding issuer to its own CRL is not allowed"));
    }
    issued.revoked = Some(cx.now);
    cx.put(&key, &issued)?;
    crl::rebuild(cx, &issued.issuer)?;
    Ok(cx.now)
}

/// Forgets certificates that ended long enough ago.
pub(crate) fn tidy(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let buffer = request.data.seconds("safety_buffer")?.unwrap_or(72 * 3600);
    let stored = request.data.flag("tidy_cert_store")?.unwrap_or(false);
    let revoked = request.data.flag("tidy_revoked_certs")?.unwrap_or(false)
        || request.data.flag("tidy_revocation_list")?.unwrap_or(false);
    let (mut from_store, mut from_revoked) = (0, 0);
    for name in cx.list("cert/") {
        let key = format!("cert/{name}");
        let Some(issued) = cx.get::<Issued>(&key)? else {
            continue;
        };
        if crate::core::token::after(issued.expires, buffer) >= cx.now {
            continue;
        }
        match issued.revoked {
            Some(_) if revoked => from_revoked += 1,
            None if stored => from_store += 1,
            _ => continue,
        }
        cx.delete(&key);
    }
    cx.put(
        "tidy-status",
        &json!({
            "state": "Finished",
            "cert_store_deleted_count": from_store,
            "revoked_cert_deleted_count": from_revoked,
            "safety_buffer": buffer,
            "tidy_cert_store": stored,
            "tidy_revoked_certs": revoked,
            "time_started": cx.now.to_string(),
            "time_finished": cx.now.to_string(),
            "error": null,
        }),
    )?;
    if from_revoked > 0 {
        crl::rebuild_all(cx)?;
    }
    let mut response = Response::empty()
        .warn("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.");
    response.status = Some(202);
    Ok(response)
}

/// A certificate's serial number.
pub(crate) fn serial_of(der: &[u8]) -> Result<String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| Error::invalid("the certificate cannot be read"))?;
    Ok(show_serial(certificate.raw_serial()))
}
