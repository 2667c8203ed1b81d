//! Certificates by server name: those of the routes first, then the one given.

use crate::routes::Routes;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// A certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The certificate part is no PEM.
    #[error("holds no PEM certificate")]
    Certificate,
    /// The key part is no PEM.
    #[error("holds no PEM private key")]
    Key,
    /// The key is of a kind that TLS cannot use, or belongs to another certificate.
    #[error("holds a key that does not fit its certificate")]
    Mismatch(#[source] rustls::Error),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made")]
    Make(#[source] rcgen::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// A certificate chain and its key from PEM.
///
/// # Errors
/// If either is missing or they do not belong together.
pub fn certified_key(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, CertificateError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Certificate)?;
    if chain.is_empty() {
        return Err(CertificateError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::Key)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(CertificateError::Mismatch)
}

/// Always the same certificate.
#[must_use]
pub fn single_certificate(key: CertifiedKey) -> Arc<dyn ResolvesServerCert> {
    Arc::new(rustls::sign::SingleCertAndKey::from(key))
}

/// A certificate that the edge signs itself, for machines where nobody gives it one.
///
/// # Errors
/// If a name cannot be in a certificate.
pub fn self_signed(names: Vec<String>) -> Result<Arc<dyn ResolvesServerCert>, CertificateError> {
    let made = rcgen::generate_simple_self_signed(names).map_err(CertificateError::Make)?;
    certified_key(
        made.cert.pem().as_bytes(),
        made.signing_key.serialize_pem().as_bytes(),
    )
    .map(single_certificate)
}

/// Looks into the current routes for each handshake.
struct ByName {
    routes: Arc<ArcSwap<Routes>>,
    fallback: Arc<dyn ResolvesServerCert>,
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByName")
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello
            .server_name()
            .and_then(|name| self.routes.load().certificate(name).cloned());
        named.or_else(|| self.fallback.resolve(hello))
    }
}

/// The server's side of TLS, offering HTTP/2 and HTTP/1.1.
pub(crate) fn server_config(
    routes: Arc<ArcSwap<Routes>>,
    fallback: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { routes, fallback }));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
