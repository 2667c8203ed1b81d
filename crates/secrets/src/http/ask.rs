//! Puts the core's questions to their addressees: one HTTPS request each, with a deadline and a bounded answer.

use crate::external::HttpQuestion;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

type HttpClient = Client<
    hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>,
    Full<bytes::Bytes>,
>;

const DEADLINE: Duration = Duration::from_secs(15);
const MOST_BYTES: usize = 1 << 20;

/// Clients by the certificates they trust; kept for their open connections.
#[derive(Default)]
pub(crate) struct Asker(Mutex<BTreeMap<String, HttpClient>>);

impl Asker {
    /// Asks; the error is a text for people.
    pub(crate) async fn ask(&self, question: &HttpQuestion) -> Result<(u16, Value), String> {
        let client = self.client(question.ca_pem.as_deref().unwrap_or_default())?;
        let (kind, body) = match &question.form {
            Some(form) => ("application/x-www-form-urlencoded", form.fields.to_string()),
            None => (
                "application/json",
                question.body.as_ref().map(Value::to_string).unwrap_or_default(),
            ),
        };
        let mut request = http::Request::builder()
            .method(question.method)
            .uri(&question.url)
            .header("accept", "application/json")
            .header("content-type", kind)
            .header("user-agent", "herder");
        if let Some(bearer) = &question.bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        if let Some(form) = &question.form {
            let both = Zeroizing::new(format!("{}:{}", form.client.0, *form.client.1));
            request = request.header(
                "authorization",
                format!("Basic {}", STANDARD.encode(both.as_bytes())),
            );
        }
        let request = request
            .body(Full::from(body))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = client
                .request(request)
                .await
                .map_err(|error| herder_base::chain(&error).to_string())?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MOST_BYTES)
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .map_err(|_| format!("no answer within {} seconds", DEADLINE.as_secs()))?
    }

    fn client(&self, ca_pem: &str) -> Result<HttpClient, String> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(ca_pem) {
            return Ok(client.clone());
        }
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
        let connector = hyper_rustls::HttpsConnectorBuilder::new();
        let connector = if ca_pem.is_empty() {
            connector
                .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
                .map_err(|error| format!("the machine's certificates cannot be read: {error}"))?
        } else {
            let mut roots = RootCertStore::empty();
            let mut pinned = Vec::new();
            for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
                let certificate = certificate
                    .map_err(|error| format!("the configured CA certificate is not PEM: {error}"))?;
                pinned.push(certificate.clone());
                roots
                    .add(certificate)
                    .map_err(|error| format!("the configured CA certificate cannot be used: {error}"))?;
            }
            let verifier = super::pinned::verifier(roots, pinned)?;
            connector.with_tls_config(
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(verifier)
                    .with_no_client_auth(),
            )
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector.https_or_http().enable_http1().build());
        if clients.len() >= 64 {
            clients.clear();
        }
        clients.insert(ca_pem.to_owned(), client.clone());
        Ok(client)
    }
}
