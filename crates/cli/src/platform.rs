//! Talks to a running herder through its platform API. Which one it is, [`crate::locate`] says.

use crate::failing::Failing;
use crate::locate::foreign;
use crate::waiting::{self, LINES};
use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The data directory when none is named: the system-wide one of who has it, else the user's own.
pub(crate) fn default_dir() -> PathBuf {
    let home = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")));
    let shared = Path::new("/var/lib/herder");
    let own = nix::unistd::geteuid().as_raw();
    let ours = std::fs::metadata(shared)
        .is_ok_and(|found| found.is_dir() && std::os::unix::fs::MetadataExt::uid(&found) == own);
    match home {
        Some(home) if !ours => home.join("herder"),
        _ => shared.to_owned(),
    }
}

/// The contents of `DIR/endpoints.json`.
pub(crate) fn endpoints(dir: &Path) -> Result<Value> {
    let path = dir.join("endpoints.json");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        foreign(dir, &path, &error).unwrap_or_else(|| {
            Failing::unreachable(format!(
                "no herder runs with the data directory {}",
                dir.display()
            ))
            .hint("start one with `herder up FLEET` or `herder demo`, or name its directory with `--dir`")
            .into()
        })
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// The Vault that a platform uses, with the token it uses.
pub(crate) fn vault_of(endpoints: &Value) -> Result<herder_vault::Client> {
    let text = |pointer: &str| {
        endpoints
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let mut config = herder_vault::Config::new(text("/vault/addr").context("endpoints name no Vault")?);
    config.namespace = text("/vault/namespace");
    if let Some(file) = text("/vault/ca_file") {
        config.ca = Some(std::fs::read(&file).with_context(|| format!("cannot read {file}"))?);
    }
    let file = text("/vault/token_file").context("endpoints name no Vault token")?;
    let token = herder_vault::read_token(Path::new(&file))
        .with_context(|| format!("cannot read the token in {file}"))?;
    let client = herder_vault::Client::new(&config)?;
    client.set_token(token);
    Ok(client)
}

/// A connection to the platform API.
#[derive(Clone)]
pub(crate) struct Platform {
    base: String,
    token: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// How long nothing may be heard.
    patience: Duration,
}

/// The authority of the platform inside the cluster, where nothing else is said.
const CLUSTER_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

impl Platform {
    /// The platform at an address, with its token and the authority of its certificate.
    pub(crate) fn at(base: &str, token: &str, ca: Option<&Path>) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust(base.starts_with("https://"), ca)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            patience: waiting::patience()?,
        })
    }

    /// Its address, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Reads a resource.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Asks for something to be done.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        // As long as the other side says that it works, it is waited for.
        let mut last = None;
        let silent = |last: &Option<String>| {
            let waited = last.as_ref().map(|what| format!("; it was waiting for {what}"));
            Failing::unreachable(format!(
                "{}{path} has said nothing for {:?}{}",
                self.base,
                self.patience,
                waited.unwrap_or_default()
            ))
        };
        let response = tokio::time::timeout(self.patience, self.send(method, path, body));
        let mut response = response.await.map_err(|_| silent(&last))??;
        let lines = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == LINES);
        let mut bytes = Vec::new();
        loop {
            let frame = tokio::time::timeout(self.patience, response.body_mut().frame());
            let Some(frame) = frame.await.map_err(|_| silent(&last))? else {
                break;
            };
            if let Ok(data) = frame?.into_data() {
                bytes.extend_from_slice(&data);
            }
            while let Some(end) = bytes.iter().position(|byte| lines && *byte == b'\n') {
                let line: Vec<u8> = bytes.drain(..=end).collect();
                if let Some(answer) = waiting::line(&line, &mut last)? {
                    return Ok(answer);
                }
            }
        }
        if lines {
            return Err(silent(&last).hint("it was stopped meanwhile").into());
        }
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{}{path} did not answer with JSON", self.base))
    }

    /// Opens a stream, such as a log that is followed.
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming> {
        Ok(self.send(Method::GET, path, None).await?.into_body())
    }

    /// Hands over bytes.
    pub(crate) async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        let patience = crate::waiting::patience()?;
        let answer = tokio::time::timeout(patience, self.send_bytes(Method::PUT, path, bytes));
        answer
            .await
            .with_context(|| format!("{}{path} did not answer in {patience:?}", self.base))??;
        Ok(())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<Incoming>> {
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        self.send_bytes(method, path, bytes).await
    }

    async fn send_bytes(&self, method: Method, path: &str, bytes: Vec<u8>) -> Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("x-herder-user", claim())
            .header("content-type", "application/json")
            .header("accept", format!("application/json, {LINES}"))
            .body(Full::new(Bytes::from(bytes)))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| {
            Failing::unreachable(format!(
                "herder does not answer at {}: {}",
                self.base,
                herder_base::chain(&error)
            ))
            .hint("is it still running, and is the address right?")
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        Err(Failing::answered(status, &bytes).into())
    }
}

/// Whom to trust with TLS: the authority that was named, the cluster's own in a pod, the machine's elsewhere.
fn trust(needed: bool, ca: Option<&Path>) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let in_pod = Path::new(CLUSTER_CA);
    let file = ca.or_else(|| in_pod.exists().then_some(in_pod));
    let mut roots = rustls::RootCertStore::empty();
    match file {
        Some(file) if needed => {
            let shown = file.display();
            let pem = std::fs::read(file).with_context(|| {
                format!("cannot read the authority of the platform's certificate in {shown}: name its file in HERDER_CACERT")
            })?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.with_context(|| format!("{shown} holds no certificate"))?;
                let added = roots.add(certificate);
                added.with_context(|| format!("{shown} holds no authority"))?;
            }
        }
        None if needed => {
            return Ok(config
                .with_native_roots()
                .context("this machine trusts nobody: name the certificate's authority in HERDER_CACERT")?
                .with_no_client_auth());
        }
        Some(_) | None => {}
    }
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The name of who types, which nobody checks: the platform records it as a claim.
fn claim() -> String {
    let name = std::env::var("USER").unwrap_or_default();
    name.chars().filter(char::is_ascii_graphic).take(64).collect()
}

/// A link that signs a browser in, once and within minutes.
pub(crate) async fn login_link(platform: &Platform) -> Result<(String, u64)> {
    let answer = platform
        .post("/api/v1/login-codes", &Value::Object(serde_json::Map::new()))
        .await?;
    let path = answer.get("path").and_then(Value::as_str);
    let path = path.context("herder answered without a link: is it an older one?")?;
    let seconds = answer.get("seconds").and_then(Value::as_u64).unwrap_or_default();
    Ok((format!("{}/{path}", platform.base), seconds))
}

/// Escapes one path segment or query value.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
