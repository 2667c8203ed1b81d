//! One HTTP exchange: URL, headers, TLS, size and time limits. Knows nothing of Vault's meaning.

use super::Config;
use super::forward::strip;
use crate::error::BuildError;
use herder_base::Secret;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{ConfigBuilderExt, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;

/// Answers larger than this are refused.
const LIMIT: usize = 32 << 20;

/// Vault's verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Create or update.
    Post,
    /// Create or update, as some paths want it.
    Put,
    /// Merge into what is there.
    Patch,
    /// Delete.
    Delete,
    /// Names below a path.
    List,
}

impl Method {
    /// The capability that a policy must grant for it.
    pub(super) fn capability(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::Post | Self::Put => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }

    fn verb(self) -> http::Method {
        match self {
            // LIST as a query parameter: proxies in between often refuse unknown verbs.
            Self::Get | Self::List => http::Method::GET,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Patch => http::Method::PATCH,
            Self::Delete => http::Method::DELETE,
        }
    }
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no reply.
pub(super) enum Failure {
    /// No connection: nothing was sent.
    Connect(Boxed),
    /// It broke in between.
    Exchange(Boxed),
    /// It took too long.
    Timeout(u64),
    /// The path is not valid in a URL.
    Path,
    /// The body is no JSON.
    NotJson,
    /// The body is too large.
    TooLarge,
}

/// A reply.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Json,
}

pub(super) struct Transport {
    client: Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    namespace: Option<HeaderValue>,
    timeout: Duration,
}

impl Transport {
    pub(super) fn new(address: &str, config: &Config) -> Result<Self, BuildError> {
        let bad = || BuildError::Address(config.address.clone());
        let uri: http::Uri = address.parse().map_err(|_| bad())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
            return Err(bad());
        }
        let namespace = match &config.namespace {
            Some(name) => Some(HeaderValue::from_str(name).map_err(|_| bad())?),
            None => None,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connect = config.connect_timeout.unwrap_or(Duration::from_secs(5));
        tcp.set_connect_timeout(Some(config.timeout.min(connect)));
        let tls = tls(uri.scheme_str() == Some("https"), config)?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let builder = match &config.server_name {
            Some(name) => {
                let name = ServerName::try_from(name.clone()).map_err(|_| bad())?;
                builder.with_server_name_resolver(FixedServerNameResolver::new(name))
            }
            None => builder,
        };
        let connector = builder.enable_http1().wrap_connector(tcp);
        let client = Hyper::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self {
            client,
            base: address.to_owned(),
            namespace,
            timeout: config.timeout,
        })
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        token: Option<&Secret<String>>,
        wrap: Option<Duration>,
    ) -> Result<Reply, Failure> {
        tokio::time::timeout(self.timeout, self.exchange(method, path, body, token, wrap))
            .await
            .unwrap_or(Err(Failure::Timeout(self.timeout.as_secs())))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        token: Option<&Secret<String>>,
        wrap: Option<Duration>,
    ) -> Result<Reply, Failure> {
        let mut url = format!("{}/v1/{}", self.base, escape(path));
        if method == Method::List {
            url.push_str(if path.contains('?') {
                "&list=true"
            } else {
                "?list=true"
            });
        }
        let mut request = http::Request::builder()
            .method(method.verb())
            .uri(url)
            .header("x-vault-request", "true");
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose().trim()).map_err(|_| Failure::Path)?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace.clone());
        }
        if let Some(ttl) = wrap {
            request = request.header("x-vault-wrap-ttl", ttl.as_secs());
        }
        let bytes = match body {
            Some(json) => {
                let kind = if method == Method::Patch {
                    "application/merge-patch+json"
                } else {
                    "application/json"
                };
                request = request.header(CONTENT_TYPE, kind);
                Bytes::from(serde_json::to_vec(json).map_err(|_| Failure::NotJson)?)
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes)).map_err(|_| Failure::Path)?;
        let (parts, bytes) = self.whole(request).await?.into_parts();
        let status = parts.status.as_u16();
        let body = if bytes.is_empty() {
            Json::Null
        } else {
            match serde_json::from_slice(&bytes) {
                Ok(json) => json,
                // A proxy's error page: the status says enough.
                Err(_) if status >= 400 => Json::Null,
                Err(_) => return Err(Failure::NotJson),
            }
        };
        Ok(Reply { status, body })
    }
}

impl Transport {
    /// One exchange whose request and answer are somebody else's.
    pub(super) async fn relay(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, Failure> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| Failure::Path)?;
        parts.version = http::Version::HTTP_11;
        strip(&mut parts.headers);
        if let Some(namespace) = &self.namespace
            && !parts.headers.contains_key("x-vault-namespace")
        {
            parts.headers.insert("x-vault-namespace", namespace.clone());
        }
        let request = http::Request::from_parts(parts, Full::new(body));
        let mut response = tokio::time::timeout(self.timeout, self.whole(request))
            .await
            .unwrap_or(Err(Failure::Timeout(self.timeout.as_secs())))?;
        strip(response.headers_mut());
        Ok(response)
    }

    /// Sends a request and reads the answer to its end.
    async fn whole(&self, request: http::Request<Full<Bytes>>) -> Result<http::Response<Bytes>, Failure> {
        let response = self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                Failure::Connect(Box::new(error))
            } else {
                Failure::Exchange(Box::new(error))
            }
        })?;
        let (parts, body) = response.into_parts();
        let bytes = Limited::new(body, LIMIT).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failure::TooLarge
            } else {
                Failure::Exchange(error)
            }
        })?;
        Ok(http::Response::from_parts(parts, bytes.to_bytes()))
    }
}

fn tls(wanted: bool, config: &Config) -> Result<rustls::ClientConfig, BuildError> {
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(BuildError::Tls)?;
    let mut roots = rustls::RootCertStore::empty();
    let builder = match &config.ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots
                    .add(certificate.map_err(|_| BuildError::Ca)?)
                    .map_err(|_| BuildError::Ca)?;
            }
            if roots.is_empty() {
                return Err(BuildError::Ca);
            }
            builder.with_root_certificates(roots)
        }
        None if wanted => builder.with_native_roots().map_err(|_| BuildError::NoRoots)?,
        None => builder.with_root_certificates(roots),
    };
    let Some((certificate, key)) = &config.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| BuildError::ClientCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| BuildError::ClientCertificate)?;
    builder.with_client_auth_cert(chain, key).map_err(BuildError::Tls)
}

/// Percent-encodes what a URL path cannot hold; a query stays. Slashes too many, which people write and servers refuse,
/// are left out, as Vault's own client does.
fn escape(path: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(path.len());
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut last = b'/';
    let path = path.trim_end_matches('/').bytes().filter(move |byte| {
        let before = std::mem::replace(&mut last, *byte);
        *byte != b'/' || before != b'/'
    });
    for byte in path.chain(query.bytes()) {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'~'
            | b'/'
            | b'?'
            | b'='
            | b'&'
            | b':'
            | b'@'
            | b'+'
            | b','
            | b'%' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
