//! Reads from a certificate how long it is good for.

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::time::Duration;

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
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

/// Whether a certificate signed itself, so that it has no place in a chain.
pub(super) fn is_root(pem: &str) -> bool {
    CertificateDer::from_pem_slice(pem.as_bytes()).is_ok_and(|der| {
        x509_parser::parse_x509_certificate(&der).is_ok_and(|(_, found)| found.subject() == found.issuer())
    })
}
