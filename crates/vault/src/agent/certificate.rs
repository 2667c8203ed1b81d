//! Reads from a certificate how long it is good for.

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::time::Duration;

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Validity {
    /// Of the first certificate in PEM.
    pub(super) fn of(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
        })
    }

    /// How long from `now` until it should be replaced; `spread` in 0..1 keeps a thousand of them apart.
    pub(super) fn replace_in(self, now: Timestamp, spread: f64) -> Duration {
        let lifetime = u64::try_from(self.until - self.from).unwrap_or(0);
        let at = Duration::from_secs(lifetime).mul_f64(0.6 + 0.2 * spread);
        let age = u64::try_from(now.as_second() - self.from).unwrap_or(0);
        at.saturating_sub(Duration::from_secs(age))
    }
}

/// A certificate with its key, as a template wrote it into a file.
pub(crate) struct Present {
    /// With `Cert`, `Key`, `CA` and `CAChain`.
    pub(crate) json: serde_json::Value,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// Finds the first certificate that is no authority, and a key, among the PEM blocks of a text.
pub(crate) fn in_file(text: &str) -> Option<Present> {
    let (mut own, mut key, mut chain) = (None, None, Vec::new());
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN ") {
        let block = rest.get(start..)?;
        let kind = block.get(11..)?.split("-----").next()?;
        let mark = format!("-----END {kind}-----");
        let end = block.find(&mark)? + mark.len();
        let pem = block.get(..end)?.to_owned();
        rest = block.get(end..)?;
        if kind.ends_with("PRIVATE KEY") {
            key.get_or_insert(pem);
        } else if kind == "CERTIFICATE" {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
            let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
            if certificate.is_ca() {
                chain.push(pem);
            } else {
                own.get_or_insert(pem);
            }
        }
    }
    let own = own?;
    let validity = Validity::of(own.as_bytes())?;
    Some(Present {
        json: serde_json::json!({
            "Cert": own, "Key": key?, "CA": chain.first().cloned().unwrap_or_default(), "CAChain": chain,
        }),
        from: validity.from,
        until: validity.until,
    })
}

/// Whether a certificate signed itself, so that it has no place in a chain.
pub(super) fn is_root(pem: &str) -> bool {
    CertificateDer::from_pem_slice(pem.as_bytes()).is_ok_and(|der| {
        x509_parser::parse_x509_certificate(&der).is_ok_and(|(_, found)| found.subject() == found.issuer())
    })
}
