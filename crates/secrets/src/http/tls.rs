//! TLS for listeners: certificates from PEM, client certificates asked for but judged by the `cert` log in method, and a
//! throw-away authority for development.

use rustls::ServerConfig;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, RootCertStore};
use rustls::{DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// What to do about clients' certificates.
#[derive(Debug, Clone, Default)]
pub enum ClientCertificates {
    /// Ask; any is let in, and the `cert` log in method decides what it is worth.
    #[default]
    Request,
    /// Do not ask.
    Ignore,
    /// Only clients with a certificate from these authorities (PEM) are let in.
    Require(String),
}

/// A listener's TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The PEM text.
    #[error("the {0} is no PEM text of the right kind")]
    Pem(&'static str, #[source] rustls_pki_types::pem::Error),
    /// They do not fit together.
    #[error("the certificate and its key cannot be used")]
    Use(#[source] TlsError),
    /// The authorities for clients.
    #[error("the authorities for clients' certificates cannot be used")]
    Clients(#[source] rustls::server::VerifierBuilderError),
    /// Making a certificate failed.
    #[error("a certificate for development cannot be made")]
    Make(#[source] rcgen::Error),
}

/// TLS settings of a listener.
///
/// # Errors
/// [`TlsSetupError`] says which part is wrong.
pub fn server_tls(
    certificates_pem: &str,
    key_pem: &str,
    clients: &ClientCertificates,
) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let chain = CertificateDer::pem_slice_iter(certificates_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsSetupError::Pem("certificate", source))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|source| TlsSetupError::Pem("private key", source))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsSetupError::Use)?;
    let builder = match clients {
        ClientCertificates::Ignore => builder.with_no_client_auth(),
        ClientCertificates::Request => {
            builder.with_client_cert_verifier(Arc::new(AskOnly(provider.signature_verification_algorithms)))
        }
        ClientCertificates::Require(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate =
                    certificate.map_err(|source| TlsSetupError::Pem("clients' authority", source))?;
                roots.add(certificate).map_err(TlsSetupError::Use)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                Arc::<CryptoProvider>::clone(&provider),
            )
            .build()
            .map_err(TlsSetupError::Clients)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsSetupError::Use)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Accepts any certificate whose key the client has. What it is worth is decided at log in, against configured roots.
#[derive(Debug)]
struct AskOnly(WebPkiSupportedAlgorithms);

impl AskOnly {
    /// By hand, because the usual way refuses certificates of version 1, which old clients still have.
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        let key = parsed.public_key();
        let bad = TlsError::InvalidCertificate(CertificateError::BadSignature);
        let (_, candidates) = self
            .0
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signature.scheme)
            .ok_or_else(|| bad.clone())?;
        candidates
            .iter()
            .any(|algorithm| {
                algorithm
                    .verify_signature(&key.subject_public_key.data, message, signature.signature())
                    .is_ok()
            })
            .then(HandshakeSignatureValid::assertion)
            .ok_or(bad)
    }
}

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verify(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// A certificate for development.
pub struct DevCertificate {
    /// PEM of the authority clients must trust.
    pub ca: String,
    /// PEM of the server's certificate.
    pub certificate: String,
    /// PEM of its key.
    pub key: Zeroizing<String>,
}

/// Makes an authority and a certificate for the given names.
///
/// # Errors
/// [`TlsSetupError::Make`].
pub fn dev_certificate(names: &[String]) -> Result<DevCertificate, TlsSetupError> {
    let make = || -> Result<DevCertificate, rcgen::Error> {
        let ca_key = rcgen::KeyPair::generate()?;
        let mut ca = rcgen::CertificateParams::new(Vec::new())?;
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(rcgen::DnType::CommonName, "Herder development CA");
        let issuer = rcgen::CertifiedIssuer::self_signed(ca, ca_key)?;
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        Ok(DevCertificate {
            ca: issuer.pem(),
            certificate: certificate.pem(),
            key: Zeroizing::new(key.serialize_pem()),
        })
    };
    make().map_err(TlsSetupError::Make)
}
