//! Answers templates from Vault, files and the environment, and remembers how long the answers hold.

use crate::client::{Client, Method};
use crate::error::Error;
use herder_base::{Clock, chain};
use herder_template::{Error as TemplateError, Evaluation, Known, Rendered, Request, Template};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many rounds of asking a template gets.
const ROUNDS: usize = 64;

/// Fetches what templates ask for and keeps it until it is told to forget.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    clock: Arc<dyn Clock>,
    known: Arc<Known>,
    leases: BTreeMap<Request, Lease>,
}

/// Something that ends.
#[derive(Debug, Clone)]
struct Lease {
    id: String,
    duration: Duration,
    renewable: bool,
    due: Instant,
}

/// Why a template has no text.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Vault has no answer.
    #[error("{what}")]
    Vault {
        /// The template and what it needs.
        what: String,
        /// Vault's reason.
        #[source]
        source: Error,
    },
}

impl Fetcher {
    /// Answers with this client's token.
    #[must_use]
    pub fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            clock,
            known: Arc::default(),
            leases: BTreeMap::new(),
        }
    }

    /// Renders, fetching what is not known yet.
    ///
    /// # Errors
    /// If the template is wrong or something it needs cannot be had.
    pub async fn render(&mut self, template: &Template) -> Result<Rendered, RenderError> {
        for _ in 0..ROUNDS {
            let Evaluation {
                text,
                missing,
                used,
                files,
            } = template.evaluate(Arc::clone(&self.known));
            if missing.is_empty() {
                return Ok(Rendered {
                    text: text?,
                    used,
                    files,
                });
            }
            for request in missing {
                let answer = self.fetch(&request).await.map_err(|failure| match failure {
                    Fetch::Vault(source) => RenderError::Vault {
                        what: format!("template {} needs {request}", template.name()),
                        source,
                    },
                    Fetch::Local(reason) => RenderError::Template(template.source_error(&request, reason)),
                })?;
                self.learn(request, answer);
            }
        }
        Err(RenderError::Template(TemplateError {
            name: template.name().to_owned(),
            line: 0,
            column: 0,
            kind: herder_template::ErrorKind::Endless(ROUNDS),
        }))
    }

    /// A secret's fields, or the value of `path#key`, kept as long as its lease holds.
    ///
    /// # Errors
    /// If it is denied, not there, or Vault cannot be reached.
    pub async fn value(&mut self, reference: &str) -> Result<Json, Error> {
        let (path, key) = reference
            .split_once('#')
            .map_or((reference, None), |(path, key)| (path, Some(key)));
        let request = Request::Secret {
            path: path.to_owned(),
        };
        if self.known.get(&request).is_none() {
            let answer = self.client.read(path).await?;
            self.learn(request.clone(), answer);
        }
        let answer = self.known.get(&request).unwrap_or(&Json::Null);
        let fields = crate::kv::fields_of(answer).ok_or(Error::Malformed {
            path: path.to_owned(),
            what: "it has no data",
        })?;
        match key {
            None => Ok(Json::Object(fields.clone())),
            Some(key) => fields.get(key).cloned().ok_or_else(|| Error::NoKey {
                path: path.to_owned(),
                key: key.to_owned(),
                keys: fields.keys().cloned().collect(),
            }),
        }
    }

    fn learn(&mut self, request: Request, answer: Json) {
        let duration = Duration::from_secs(answer.get("lease_duration").and_then(Json::as_u64).unwrap_or(0));
        let id = answer
            .get("lease_id")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned();
        let end = match &request {
            Request::PkiCert { .. } => answer
                .get("Expiration")
                .and_then(Json::as_i64)
                .map(|at| Duration::from_secs(u64::try_from(at - self.clock.now().as_second()).unwrap_or(0))),
            _ if !id.is_empty() && !duration.is_zero() => Some(duration),
            _ => None,
        };
        if let Some(duration) = end {
            let renewable = answer.get("renewable").and_then(Json::as_bool).unwrap_or(false);
            let due = Instant::now() + duration.mul_f64(0.6 + 0.2 * crate::jitter::unit());
            self.leases.insert(
                request.clone(),
                Lease {
                    id,
                    duration,
                    renewable,
                    due,
                },
            );
        }
        if let Some(known) = Arc::get_mut(&mut self.known) {
            known.insert(request, answer);
        }
    }

    async fn fetch(&self, request: &Request) -> Result<Json, Fetch> {
        let vault = Fetch::Vault;
        Ok(match request {
            Request::Secret { path } => self.client.read(path).await.map_err(vault)?,
            Request::Write { path, data } => self.client.write(path, &json!(data)).await.map_err(vault)?,
            Request::List { path } => json!(self.client.list(path).await.map_err(vault)?),
            Request::PkiCert { path, data } => {
                let issued = self
                    .client
                    .call(Method::Post, path, Some(&json!(data)))
                    .await
                    .map_err(vault)?;
                let field = |name: &str| {
                    issued
                        .pointer(&format!("/data/{name}"))
                        .cloned()
                        .unwrap_or(Json::Null)
                };
                json!({
                    "Cert": field("certificate"), "Key": field("private_key"), "CA": field("issuing_ca"),
                    "CAChain": field("ca_chain"), "Expiration": field("expiration"),
                })
            }
            Request::File { path } => match tokio::fs::read_to_string(path).await {
                Ok(text) => Json::String(text),
                Err(error) => return Err(Fetch::Local(chain(&error).to_string())),
            },
            Request::Env { name } => std::env::var(name).map_or(Json::Null, Json::String),
            Request::Now => json!(self.clock.now().as_second()),
        })
    }

    /// Forgets what has no lease, so that the next rendering reads it again.
    pub fn forget_unleased(&mut self) {
        let leased: Vec<Request> = self.leases.keys().cloned().collect();
        let mut kept = Known::default();
        if let Some(known) = Arc::get_mut(&mut self.known) {
            for request in leased {
                if let Some(answer) = known.remove(&request) {
                    kept.insert(request, answer);
                }
            }
        }
        self.known = Arc::new(kept);
    }

    /// Forgets everything but certificates: leases die with the token that they were made with.
    pub fn forget_all(&mut self) {
        self.leases
            .retain(|request, _| matches!(request, Request::PkiCert { .. }));
        self.forget_unleased();
    }

    /// When the first lease or certificate wants attention.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.due).min()
    }

    /// Renews what is due; what cannot be renewed any more is forgotten and so read anew by the next rendering.
    ///
    /// # Errors
    /// If Vault cannot be reached; nothing is forgotten then.
    pub async fn renew_due(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let due: Vec<(Request, Lease)> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.due <= now)
            .map(|(r, l)| (r.clone(), l.clone()))
            .collect();
        for (request, lease) in due {
            let renewed = if lease.renewable && !lease.id.is_empty() {
                let body = json!({"lease_id": lease.id, "increment": lease.duration.as_secs()});
                match self
                    .client
                    .call(Method::Put, "sys/leases/renew", Some(&body))
                    .await
                {
                    Ok(answer) => answer
                        .get("lease_duration")
                        .and_then(Json::as_u64)
                        .map(Duration::from_secs),
                    Err(error) if error.is_transient() => return Err(error),
                    Err(_) => None,
                }
            } else {
                None
            };
            match renewed {
                // A lease near its maximum comes back shorter: get a new one while the old still works.
                Some(duration) if duration >= lease.duration / 2 => {
                    let due = now + duration.mul_f64(0.6 + 0.2 * crate::jitter::unit());
                    self.leases.insert(request, Lease { due, ..lease });
                }
                _ => {
                    self.leases.remove(&request);
                    if let Some(known) = Arc::get_mut(&mut self.known) {
                        known.remove(&request);
                    }
                }
            }
        }
        Ok(())
    }
}

enum Fetch {
    Vault(Error),
    Local(String),
}

impl RenderError {
    /// Whether trying again later can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Vault { source, .. } if source.is_transient())
    }

    /// Whether logging in again helps.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        matches!(self, Self::Vault { source, .. } if source.needs_login())
    }
}
