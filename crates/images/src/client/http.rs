//! Requests to registries: TLS per host, bodies from memory or files, challenges answered, redirects followed without
//! credentials, and registries' own words for what went wrong.

use super::config::{Endpoint, Tls};
use super::credentials::Credential;
use base64::Engine as _;
use bytes::Bytes;
use herder_base::{Secret, chain};
use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a connection, an answer's head, or the next part of a body may take.
const CONNECT: Duration = Duration::from_secs(10);
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an error or a token at most.
const WORDS: usize = 1 << 20;
const REDIRECTS: usize = 5;

/// Why a registry could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Who.
        host: String,
        /// Why.
        why: String,
    },
    /// An answer that is no success.
    #[error("{host} answered {status}: {words}")]
    Refused {
        /// Who.
        host: String,
        /// The status.
        status: StatusCode,
        /// In its own words.
        words: String,
    },
    /// An answer that makes no sense.
    #[error("{host} {why}")]
    Odd {
        /// Who.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// Certificates.
    #[error("certificates for {host}: {why}")]
    Tls {
        /// For whom.
        host: String,
        /// What is wrong.
        why: String,
    },
}

impl RegistryError {
    /// Whether trying again may help.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// What is sent.
pub(super) enum Sent {
    /// From memory.
    Bytes(Option<Bytes>),
    /// So many bytes of a file.
    File(File, u64),
}

impl Sent {
    pub(super) fn nothing() -> Self {
        Self::Bytes(None)
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(match self.get_mut() {
            Self::Bytes(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::File(_, 0) => None,
            Self::File(file, left) => {
                let mut buffer = Vec::new();
                let part = (*left).min(256 << 10);
                match file.take(part).read_to_end(&mut buffer) {
                    Ok(0) => Some(Err(std::io::ErrorKind::UnexpectedEof.into())),
                    Ok(count) => {
                        *left = left.saturating_sub(u64::try_from(count).unwrap_or(*left));
                        Some(Ok(Frame::data(buffer.into())))
                    }
                    Err(error) => Some(Err(error)),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Bytes(None) | Self::File(_, 0))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Bytes(bytes) => bytes
                .as_ref()
                .map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(0)),
            Self::File(_, left) => *left,
        })
    }
}

type HttpClient = Pool<HttpsConnector<HttpConnector>, Sent>;

/// Connections, by whose certificates are believed.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<BTreeMap<Tls, HttpClient>>>);

impl Connections {
    fn client(&self, host: &str, tls: &Tls) -> Result<HttpClient, RegistryError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(tls) {
            return Ok(client.clone());
        }
        let config = trust(tls).map_err(|why| RegistryError::Tls {
            host: host.to_owned(),
            why,
        })?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Pool::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        known.insert(tls.clone(), client.clone());
        Ok(client)
    }
}

fn trust(tls: &Tls) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if tls.insecure_skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(unverified::Anybody(provider)))
    } else {
        let mut roots = rustls::RootCertStore::empty();
        // One that cannot be read is one that nobody is believed by.
        let (_added, _ignored) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = &tls.ca_file {
            let shown = file.display();
            let found = CertificateDer::pem_file_iter(file).map_err(|error| format!("{shown}: {error}"))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| format!("{shown}: {error}"))?;
                roots
                    .add(certificate)
                    .map_err(|error| format!("{shown}: {error}"))?;
            }
        }
        builder.with_root_certificates(roots)
    };
    match (&tls.cert_file, &tls.key_file) {
        (Some(certificate), Some(key)) => {
            let shown = certificate.display();
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect)
                .map_err(|error| format!("{shown}: {error}"))?;
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("{shown}: {error}"))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err("cert_file and key_file belong together".to_owned()),
    }
}

mod unverified {
    //! For `insecure_skip_verify: true`, which somebody has to write.

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
    use std::sync::Arc;

    #[derive(Debug)]
    pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(
                message,
                certificate,
                signed,
                &self.0.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(
                message,
                certificate,
                signed,
                &self.0.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

/// A registry, as somebody, for one repository.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) endpoint: Endpoint,
    connections: Connections,
    credential: Option<Credential>,
    /// `pull`, or `pull,push`.
    actions: &'static str,
    /// What was found to be accepted.
    authorization: Arc<Mutex<Option<Secret<String>>>>,
}

impl Session {
    pub(super) fn new(
        endpoint: Endpoint,
        connections: Connections,
        credential: Option<Credential>,
        actions: &'static str,
    ) -> Self {
        Self {
            endpoint,
            connections,
            credential,
            actions,
            authorization: Arc::default(),
        }
    }

    pub(super) fn odd(&self, why: impl Into<String>) -> RegistryError {
        RegistryError::Odd {
            host: self.endpoint.host.clone(),
            why: why.into(),
        }
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> RegistryError {
        RegistryError::Unreachable {
            host: self.endpoint.host.clone(),
            why: chain(error).to_string(),
        }
    }

    /// Where something of this repository is.
    pub(super) fn url(&self, path: &str) -> String {
        let Endpoint {
            base,
            repository,
            stands_for,
            ..
        } = &self.endpoint;
        match stands_for {
            Some(registry) => format!("{base}/{repository}/{path}?ns={registry}"),
            None => format!("{base}/{repository}/{path}"),
        }
    }

    /// Sends a request; a challenge is answered once, redirects are followed. `make` makes the body, again if need be.
    pub(super) async fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &HeaderMap,
        make: impl Fn() -> Result<Sent, RegistryError>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let own = self.endpoint.base.parse::<Uri>().ok();
        let mut url: Uri = url
            .parse()
            .map_err(|_| self.odd(format!("leads to {url:?}, which is no address")))?;
        let mut challenged = false;
        let mut redirects = 0;
        loop {
            let same = own
                .as_ref()
                .is_some_and(|own| own.authority() == url.authority() && own.scheme() == url.scheme());
            let authorization = {
                let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
                known.clone().filter(|_| same)
            };
            let response = self.once(method, &url, headers, make()?, authorization).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && same && !challenged {
                challenged = true;
                self.answer_challenge(response.headers()).await?;
                continue;
            }
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED && redirects < REDIRECTS {
                redirects += 1;
                let location = response
                    .headers()
                    .get(LOCATION)
                    .and_then(|value| value.to_str().ok());
                let location = location.ok_or_else(|| self.odd("redirects to nowhere"))?;
                let next = self.absolute(&url.to_string(), location)?;
                if url.scheme_str() == Some("https") && !next.starts_with("https://") {
                    return Err(self.odd("redirects from https to http"));
                }
                url = next
                    .parse()
                    .map_err(|_| self.odd("redirects to what is no address"))?;
                continue;
            }
            return Ok(response);
        }
    }

    async fn once(
        &self,
        method: &Method,
        url: &Uri,
        headers: &HeaderMap,
        body: Sent,
        authorization: Option<Secret<String>>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers.clone();
        let agent = HeaderValue::from_static(concat!("herder/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(http::header::USER_AGENT, agent);
        if let Some(value) = authorization {
            let mut value =
                HeaderValue::from_str(value.expose()).map_err(|_| self.odd("gave a token that is none"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let client = self.connections.client(&self.endpoint.host, &self.endpoint.tls)?;
        // A body takes as long as it takes; without one the answer comes soon.
        let long = !request.body().is_end_stream();
        let patience = if long { Duration::from_secs(3600) } else { PATIENCE };
        match tokio::time::timeout(patience, client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.unreachable(&error)),
            Err(_) => Err(RegistryError::Unreachable {
                host: self.endpoint.host.clone(),
                why: format!("no answer within {} s", patience.as_secs()),
            }),
        }
    }

    /// A location as an address.
    pub(super) fn absolute(&self, from: &str, location: &str) -> Result<String, RegistryError> {
        if location.starts_with("https://") || location.starts_with("http://") {
            return Ok(location.to_owned());
        }
        let uri: Uri = from.parse().map_err(|_| self.odd("gave no address"))?;
        let (scheme, authority) = (uri.scheme_str().unwrap_or("https"), uri.authority());
        let authority = authority.ok_or_else(|| self.odd("gave no address"))?;
        if let Some(other) = location.strip_prefix("//") {
            return Ok(format!("{scheme}://{other}"));
        }
        let slash = if location.starts_with('/') { "" } else { "/" };
        Ok(format!("{scheme}://{authority}{slash}{location}"))
    }

    async fn answer_challenge(&self, headers: &HeaderMap) -> Result<(), RegistryError> {
        let challenges: Vec<&str> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let with = |scheme: &str| {
            challenges.iter().find_map(|challenge| {
                let (found, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
                found.eq_ignore_ascii_case(scheme).then_some(rest)
            })
        };
        let basic = self.credential.as_ref().map(|credential| {
            let pair = format!("{}:{}", credential.username, credential.password.expose());
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            Secret::new(format!("Basic {encoded}"))
        });
        let value = if let Some(parameters) = with("bearer") {
            let parameters = parameters_of(parameters);
            let get = |key: &str| parameters.get(key).cloned();
            let realm = get("realm").ok_or_else(|| self.odd("wants a token and does not say from where"))?;
            if self.endpoint.base.starts_with("https://") && !realm.starts_with("https://") {
                return Err(self.odd(format!("wants a token from {realm}, without TLS")));
            }
            let scope = format!("repository:{}:{}", self.endpoint.repository, self.actions);
            let mut query = vec![("scope", scope)];
            query.extend(get("service").map(|service| ("service", service)));
            let query: Vec<String> = query
                .iter()
                .map(|(key, value)| format!("{key}={}", percent(value)))
                .collect();
            let join = if realm.contains('?') { '&' } else { '?' };
            let url = format!("{realm}{join}{}", query.join("&"));
            let url: Uri = url
                .parse()
                .map_err(|_| self.odd("wants a token from what is no address"))?;
            let response = self
                .once(&Method::GET, &url, &HeaderMap::new(), Sent::nothing(), basic)
                .await?;
            let document = self.success(response).await?;
            let document: serde_json::Value =
                serde_json::from_slice(&document).map_err(|_| self.odd("gave a token that is no JSON"))?;
            let token = ["token", "access_token"]
                .iter()
                .find_map(|key| document.get(key)?.as_str())
                .ok_or_else(|| self.odd("gave no token"))?;
            Secret::new(format!("Bearer {token}"))
        } else if let (Some(_), Some(basic)) = (with("basic"), basic) {
            basic
        } else {
            // Its refusal will say so.
            return Ok(());
        };
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    /// The body of a success; everything else is an error with the registry's words.
    pub(super) async fn success(&self, response: Response<Incoming>) -> Result<Bytes, RegistryError> {
        let response = self.check(response).await?;
        self.body(response, WORDS * 4).await
    }

    async fn body(&self, response: Response<Incoming>, most: usize) -> Result<Bytes, RegistryError> {
        let collected = Limited::new(response.into_body(), most).collect();
        match tokio::time::timeout(PATIENCE, collected).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.unreachable(&*error)),
            Err(_) => Err(self.odd("did not finish its answer")),
        }
    }

    /// The response, if it is a success.
    pub(super) async fn check(
        &self,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response, WORDS).await.unwrap_or_default();
        Err(RegistryError::Refused {
            host: self.endpoint.host.clone(),
            status,
            words: words(status, &body),
        })
    }

    /// The next part of a body.
    pub(super) async fn part(&self, body: &mut Incoming) -> Result<Option<Bytes>, RegistryError> {
        loop {
            match tokio::time::timeout(PATIENCE, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Ok(Some(Err(error))) => return Err(self.unreachable(&error)),
                Err(_) => {
                    return Err(RegistryError::Unreachable {
                        host: self.endpoint.host.clone(),
                        why: format!("nothing came for {} s", PATIENCE.as_secs()),
                    });
                }
            }
        }
    }
}

/// `{"errors": [{"code", "message", "detail"}]}`, or the first line of what came, or what the status means.
fn words(status: StatusCode, body: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = document.get("errors").and_then(serde_json::Value::as_array);
    let said: Vec<String> = errors
        .into_iter()
        .flatten()
        .map(|error| {
            let text = |key: &str| {
                error
                    .get(key)
                    .and_then(serde_json::Value::as_str)
                    .unwrap_or_default()
            };
            match (text("code"), text("message")) {
                (code, "") => code.to_owned(),
                ("", message) => message.to_owned(),
                (code, message) => format!("{}: {message}", code.to_lowercase().replace('_', " ")),
            }
        })
        .filter(|text| !text.is_empty())
        .collect();
    let text = if said.is_empty() {
        let text = String::from_utf8_lossy(body);
        text.lines().next().unwrap_or_default().trim().to_owned()
    } else {
        said.join("; ")
    };
    let printable: String = text.chars().filter(|c| !c.is_control()).take(500).collect();
    if printable.is_empty() {
        status
            .canonical_reason()
            .unwrap_or("it gave no reason")
            .to_owned()
    } else {
        printable
    }
}

/// `key="value",key=value`.
fn parameters_of(mut text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    while let Some((key, rest)) = text.split_once('=') {
        let key = key.trim_matches([' ', ',']).to_lowercase();
        let value = if let Some(quoted) = rest.strip_prefix('"') {
            let (value, rest) = quoted.split_once('"').unwrap_or((quoted, ""));
            text = rest;
            value
        } else {
            let (value, rest) = rest.split_once(',').unwrap_or((rest, ""));
            text = rest;
            value.trim()
        };
        all.insert(key, value.to_owned());
    }
    all
}

pub(super) fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_and_words() {
        let found = parameters_of(r#"realm="https://auth.example/token",service="reg, one",scope=x"#);
        assert_eq!(found["realm"], "https://auth.example/token");
        assert_eq!(
            (found["service"].as_str(), found["scope"].as_str()),
            ("reg, one", "x")
        );
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
        assert_eq!(
            words(StatusCode::NOT_FOUND, body),
            "manifest unknown: manifest unknown"
        );
        assert_eq!(words(StatusCode::BAD_GATEWAY, b""), "Bad Gateway");
        assert_eq!(words(StatusCode::BAD_GATEWAY, b"<html>\x1b[2J\nx"), "<html>[2J");
        assert_eq!(percent("a/b:c"), "a%2Fb%3Ac");
    }
}
