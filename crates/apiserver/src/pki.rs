//! The cluster's own certificate authority and the key that signs service account tokens.
//!
//! Only the authority and the token key are kept (`DIR/state/pki`, 0600); the server's and the administrator's
//! certificates are issued anew at each start. Must not decide who may do what.

use herder_base::Clock;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A key or certificate.
    #[error("cannot make or read the certificate {what}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// The reason.
        source: rcgen::Error,
    },
    /// TLS would not take them.
    #[error("cannot set up TLS with the cluster's certificates")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The authority, and what it issued for this run.
pub struct Pki {
    /// The authority's certificate.
    pub ca_pem: String,
    /// The administrator's certificate and key.
    pub admin: (String, String),
    /// The key that signs tokens, PKCS #8.
    pub token_key: Vec<u8>,
    /// Signs for services inside the cluster.
    pub authority: Authority,
    server: (CertificateDer<'static>, Vec<u8>),
    ca_der: CertificateDer<'static>,
}

/// The authority's power to sign, for services that the control plane itself has inside the cluster.
#[derive(Clone)]
pub struct Authority(Arc<Issuer<'static, KeyPair>>);

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authority").finish()
    }
}

impl Authority {
    /// TLS for a service of `namespace`, under its names in the cluster and its address; pods trust it by the `ca.crt` of
    /// their service account.
    ///
    /// # Errors
    /// [`PkiError`] if no certificate can be made.
    pub fn service_tls(
        &self,
        name: &str,
        namespace: &str,
        address: IpAddr,
        clock: &dyn Clock,
    ) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let names = ["", ".svc", ".svc.cluster.local"]
            .map(|suffix| format!("{name}.{namespace}{suffix}"))
            .into_iter()
            .chain([address.to_string()])
            .collect();
        let service_key = key("of a service")?;
        let mut service = params(names, &format!("{name}.{namespace}.svc"), 365, clock.now())?;
        service.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        service.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let service = service
            .signed_by(&service_key, &self.0)
            .map_err(certificate("of a service"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| PkiError::Tls(error.into()))?
            .with_no_client_auth()
            .with_single_cert(
                vec![service.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(service_key.serialize_der())),
            )
            .map_err(|error| PkiError::Tls(error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").finish_non_exhaustive()
    }
}

/// Writes a file wholly or not at all, readable by the owner only.
///
/// # Errors
/// If the file system refuses.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), PkiError> {
    let wrap = |source| PkiError::Io {
        path: path.to_owned(),
        source,
    };
    let part = path.with_extension("part");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .map_err(wrap)?;
    file.write_all(contents).map_err(wrap)?;
    file.sync_all().map_err(wrap)?;
    std::fs::rename(&part, path).map_err(wrap)
}

fn read_if_there(path: &Path) -> Result<Option<String>, PkiError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn certificate(what: &'static str) -> impl Fn(rcgen::Error) -> PkiError {
    move |source| PkiError::Certificate { what, source }
}

fn key(what: &'static str) -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(certificate(what))
}

fn kept_key(dir: &Path, name: &'static str) -> Result<KeyPair, PkiError> {
    let path = dir.join(name);
    if let Some(pem) = read_if_there(&path)? {
        return KeyPair::from_pem(&pem).map_err(certificate(name));
    }
    let fresh = key(name)?;
    write_private(&path, fresh.serialize_pem().as_bytes())?;
    Ok(fresh)
}

fn params(
    names: Vec<String>,
    common_name: &str,
    days: i64,
    now: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(names).map_err(certificate("request"))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let date = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    let hours = |hours: i64| {
        now.saturating_add(jiff::SignedDuration::from_hours(hours))
            .unwrap_or(now)
    };
    params.not_before = date(hours(-24));
    params.not_after = date(hours(24 * days));
    Ok(params)
}

impl Pki {
    /// Reads or makes the authority in `dir`, and issues this run's certificates, the server's for `addresses` too.
    ///
    /// # Errors
    /// [`PkiError`] if a file or a key cannot be used.
    pub fn open(dir: &Path, addresses: &[IpAddr], clock: &dyn Clock) -> Result<Self, PkiError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| PkiError::Io {
                path: dir.to_owned(),
                source,
            })?;
        let now = clock.now();
        let ca_key = kept_key(dir, "ca.key")?;
        let token_key = kept_key(dir, "sa.key")?;
        let ca_path = dir.join("ca.crt");
        let ca_pem = if let Some(pem) = read_if_there(&ca_path)? {
            pem
        } else {
            let mut ca = params(Vec::new(), "herder-cluster-ca", 3650, now)?;
            ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            ca.key_usages = vec![
                KeyUsagePurpose::KeyCertSign,
                KeyUsagePurpose::CrlSign,
                KeyUsagePurpose::DigitalSignature,
            ];
            let pem = ca
                .self_signed(&ca_key)
                .map_err(certificate("of the authority"))?
                .pem();
            write_private(&ca_path, pem.as_bytes())?;
            pem
        };
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key).map_err(certificate("of the authority"))?;
        let ca_der = pem_to_der(&ca_pem)?;

        let mut names: Vec<String> = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "127.0.0.1",
            "::1",
            "10.96.0.1",
        ]
        .map(str::to_owned)
        .to_vec();
        for address in addresses {
            let name = address.to_string();
            if !address.is_unspecified() && !names.contains(&name) {
                names.push(name);
            }
        }
        let server_key = key("of the server")?;
        let mut server = params(names, "kube-apiserver", 365, now)?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let server = server
            .signed_by(&server_key, &issuer)
            .map_err(certificate("of the server"))?;

        let admin_key = key("of the administrator")?;
        let mut admin = params(Vec::new(), "kubernetes-admin", 365, now)?;
        admin
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        admin.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let admin = admin
            .signed_by(&admin_key, &issuer)
            .map_err(certificate("of the administrator"))?;

        Ok(Self {
            admin: (admin.pem(), admin_key.serialize_pem()),
            server: (server.der().clone(), server_key.serialize_der()),
            token_key: token_key.serialize_der(),
            authority: Authority(Arc::new(issuer)),
            ca_der,
            ca_pem,
        })
    }

    /// TLS for the server: our certificate, client certificates of our authority accepted but not required.
    ///
    /// # Errors
    /// [`PkiError::Tls`] if TLS would not take them.
    pub fn tls(&self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(self.ca_der.clone())
            .map_err(|error| PkiError::Tls(error.into()))?;
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        )
        .allow_unauthenticated()
        .build()
        .map_err(|error| PkiError::Tls(error.into()))?;
        let (certificate, key) = &self.server;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| PkiError::Tls(error.into()))?
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![certificate.clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone())),
            )
            .map_err(|error| PkiError::Tls(error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn pem_to_der(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| PkiError::Tls(error.into()))
}
