//! Verifies servers against configured certificates, as Go's clients do: by an authority among them, or by being one of
//! them. The usual verifier refuses the second when the certificate is marked as an authority, which self-signed ones
//! often are.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A verifier that trusts authorities, and exactly the given certificates.
pub(super) fn verifier(
    roots: RootCertStore,
    pinned: Vec<CertificateDer<'static>>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| format!("the configured CA certificate cannot be used: {error}"))?;
    Ok(Arc::new(Pinned { usual, pinned }))
}

#[derive(Debug)]
struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let refused = match self
            .usual
            .verify_server_cert(leaf, intermediates, name, ocsp, now)
        {
            Ok(verified) => return Ok(verified),
            Err(refused) => refused,
        };
        if !self.pinned.contains(leaf) {
            return Err(refused);
        }
        let (_, certificate) = X509Certificate::from_der(leaf)
            .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let valid = certificate.validity().not_before.timestamp() <= now
            && now <= certificate.validity().not_after.timestamp();
        if valid && names(&certificate, name) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refused)
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Whether the certificate is for this name or address.
fn names(certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return false;
    };
    alternatives
        .value
        .general_names
        .iter()
        .any(|alternative| match (alternative, name) {
            (GeneralName::DNSName(there), ServerName::DnsName(wanted)) => {
                there.eq_ignore_ascii_case(wanted.as_ref())
            }
            (GeneralName::IPAddress(there), ServerName::IpAddress(wanted)) => {
                match std::net::IpAddr::from(*wanted) {
                    std::net::IpAddr::V4(address) => *there == address.octets(),
                    std::net::IpAddr::V6(address) => *there == address.octets(),
                }
            }
            _ => false,
        })
}
