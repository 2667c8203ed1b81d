//! The HTTP client: one address, one token, retries where nothing can have happened twice unwanted.

mod forward;
mod login;
mod transport;

use crate::error::{BuildError, Denial, DeniedReason, Error};
use crate::jitter::backoff;
use crate::kv::Mount;
use herder_base::Secret;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use transport::{Failure, Reply, Transport};

pub use transport::Method;

/// How to reach a Vault.
#[derive(Debug)]
pub struct Config {
    /// `http://host:port` or `https://host:port`.
    pub address: String,
    /// The CA's certificates in PEM; without it the machine's roots count.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key in PEM, for Vaults that ask for one.
    pub client_certificate: Option<(Vec<u8>, Secret<Vec<u8>>)>,
    /// The name that Vault's certificate must have, if not the address's.
    pub server_name: Option<String>,
    /// The namespace header, for Vaults that have namespaces.
    pub namespace: Option<String>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long connecting may take, as part of an attempt; without it five seconds.
    pub connect_timeout: Option<Duration>,
    /// How often to try again after a refused connection or a 5xx answer.
    pub retries: u32,
}

impl Config {
    /// The usual settings for an address.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            ca: None,
            client_certificate: None,
            server_name: None,
            namespace: None,
            timeout: Duration::from_secs(30),
            connect_timeout: None,
            retries: 4,
        }
    }
}

/// Who the token is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The role that logged in.
    pub role: Option<String>,
    /// The token's policies.
    pub policies: Vec<String>,
    /// The token's accessor, which may be shown.
    pub accessor: String,
    /// How long the token lives from when this was learnt; zero means for ever.
    pub lifetime: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
}

struct Session {
    token: Option<Arc<Secret<String>>>,
    identity: Identity,
}

struct Inner {
    address: String,
    transport: Transport,
    retries: u32,
    session: RwLock<Session>,
    mounts: Mutex<BTreeMap<String, Mount>>,
}

/// A client. Clones share connections, token and what is known of mounts.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.address)
    }
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// If the address is no URL or the CA no certificate.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let address = config.address.trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Inner {
            transport: Transport::new(&address, config)?,
            address,
            retries: config.retries,
            session: RwLock::new(Session {
                token: None,
                identity: Identity::default(),
            }),
            mounts: Mutex::default(),
        })))
    }

    /// The address, as given.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Uses this token from now on; who it is gets looked up when it matters.
    pub fn set_token(&self, token: Secret<String>) {
        self.set_session(Some(token), Identity::default());
    }

    /// Whether there is a token to send, good or not.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.token().is_some()
    }

    /// Who the token is, as far as is known.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.0
            .session
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .identity
            .clone()
    }

    fn set_session(&self, token: Option<Secret<String>>, identity: Identity) {
        let mut session = self.0.session.write().unwrap_or_else(PoisonError::into_inner);
        session.token = token.map(Arc::new);
        session.identity = identity;
    }

    fn set_identity(&self, identity: Identity) {
        self.0
            .session
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .identity = identity;
    }

    fn token(&self) -> Option<Arc<Secret<String>>> {
        self.0
            .session
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .token
            .clone()
    }

    /// What is remembered of mounts.
    pub(crate) fn mounts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Mount>> {
        self.0.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One API call below `/v1/`. Answers without a body are null.
    ///
    /// # Errors
    /// With what it means for the person who wants it to work.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Json, Error> {
        self.ask(method, path, body, None).await
    }

    /// As [`Self::call`], but Vault keeps the answer in a token that is good for one look within `ttl`, and tells
    /// only that token, in `wrap_info`. Answers without a body are not wrapped. Fractions of a second are dropped.
    ///
    /// # Errors
    /// With what it means for the person who wants it to work.
    pub async fn call_wrapped(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        ttl: Duration,
    ) -> Result<Json, Error> {
        self.ask(method, path, body, Some(ttl)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        wrap: Option<Duration>,
    ) -> Result<Json, Error> {
        match self.exchange(method, path, body, wrap).await? {
            (200..=299, answer) => Ok(answer),
            (403, _) => Err(self.explain_denial(method, path).await),
            (404, _) => Err(Error::NotFound {
                path: path.to_owned(),
            }),
            (503, answer) if reason(&answer).contains("sealed") => Err(Error::Sealed {
                address: self.0.address.clone(),
            }),
            (status, answer) => Err(Error::Refused {
                path: path.to_owned(),
                status,
                reason: reason(&answer),
            }),
        }
    }

    /// Sends, trying again after a refused connection or a 5xx answer.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        wrap: Option<Duration>,
    ) -> Result<(u16, Json), Error> {
        let mut attempt = 0;
        loop {
            let token = self.token();
            let result = self
                .0
                .transport
                .send(method, path, body, token.as_deref(), wrap)
                .await;
            let again = match &result {
                Ok(Reply { status, .. }) => matches!(*status, 500 | 502 | 503 | 504),
                Err(Failure::Connect(_)) => true,
                Err(_) => false,
            };
            if again && attempt < self.0.retries {
                let pause = backoff(Duration::from_millis(200), Duration::from_secs(5), attempt);
                // The path may be made of a secret; its mount says enough.
                let mount = path.split('/').next().unwrap_or_default();
                tracing::debug!(address = %self.0.address, mount, attempt, ?pause, "vault did not answer well, trying again");
                tokio::time::sleep(pause).await;
                attempt += 1;
                continue;
            }
            return result
                .map(|reply| (reply.status, reply.body))
                .map_err(|failure| self.failed(failure, path));
        }
    }

    /// Why there is no answer, for people.
    fn failed(&self, failure: Failure, path: &str) -> Error {
        let (address, path) = (self.0.address.clone(), path.to_owned());
        match failure {
            Failure::Connect(source) | Failure::Exchange(source) => Error::Unreachable { address, source },
            Failure::Timeout(seconds) => Error::Timeout { address, seconds },
            Failure::Path => Error::Path { path },
            Failure::NotJson => Error::Malformed {
                path,
                what: "it is no JSON",
            },
            Failure::TooLarge => Error::Malformed {
                path,
                what: "it is larger than 32 MiB",
            },
        }
    }

    /// Finds out why a path is denied: the token, its policies, or one missing right.
    async fn explain_denial(&self, method: Method, path: &str) -> Error {
        let denied = |identity: Identity, reason| {
            Error::Denied(Box::new(Denial {
                path: path.split('?').next().unwrap_or(path).to_owned(),
                operation: method.capability(),
                role: identity.role,
                policies: identity.policies,
                reason,
            }))
        };
        if self.token().is_none() {
            return denied(self.identity(), DeniedReason::NoToken);
        }
        let mut identity = self.identity();
        if identity.policies.is_empty() {
            match self
                .exchange(Method::Get, "auth/token/lookup-self", None, None)
                .await
            {
                Ok((200, answer)) => {
                    identity = Identity {
                        role: identity.role,
                        ..identity_of(answer.get("data"))
                    };
                    self.set_identity(identity.clone());
                }
                Ok((403, _)) => return denied(identity, DeniedReason::InvalidToken),
                _ => return denied(identity, DeniedReason::Unknown),
            }
        }
        let reason = match self.capabilities(path).await {
            Ok(rights) if rights.iter().all(|right| right == "deny") => DeniedReason::NoRule,
            Ok(rights) => DeniedReason::Only(rights),
            Err(Error::Refused { .. } | Error::Denied(_)) => DeniedReason::InvalidToken,
            Err(_) => DeniedReason::Unknown,
        };
        denied(identity, reason)
    }

    /// What the token may do at a path, for example `["read", "list"]`, or `["deny"]`.
    ///
    /// # Errors
    /// If Vault cannot be asked.
    pub async fn capabilities(&self, path: &str) -> Result<Vec<String>, Error> {
        const ASK: &str = "sys/capabilities-self";
        let path = path.split('?').next().unwrap_or(path);
        let (status, answer) = self
            .exchange(Method::Post, ASK, Some(&json!({"paths": [path]})), None)
            .await?;
        if status != 200 {
            return Err(Error::Refused {
                path: ASK.to_owned(),
                status,
                reason: reason(&answer),
            });
        }
        let rights = answer
            .pointer("/data/capabilities")
            .or_else(|| answer.get("capabilities"))
            .and_then(Json::as_array)
            .ok_or(Error::Malformed {
                path: ASK.to_owned(),
                what: "it has no capabilities",
            })?;
        Ok(rights
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect())
    }
}

/// Vault's error texts in one line.
fn reason(answer: &Json) -> String {
    let errors: Vec<String> = answer
        .get("errors")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(|error| error.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    if errors.is_empty() {
        "it gave no reason".to_owned()
    } else {
        errors.join("; ")
    }
}

/// Reads `auth` of a login or `data` of a token lookup.
fn identity_of(auth: Option<&Json>) -> Identity {
    let field = |names: &[&str]| names.iter().find_map(|name| auth.and_then(|auth| auth.get(name)));
    let policies = field(&["policies", "token_policies"])
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(str::to_owned)
        .collect();
    Identity {
        role: field(&["metadata", "meta"])
            .and_then(|meta| meta.get("role"))
            .and_then(Json::as_str)
            .map(str::to_owned),
        policies,
        accessor: field(&["accessor"])
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned(),
        lifetime: Duration::from_secs(
            field(&["lease_duration", "ttl"])
                .and_then(Json::as_u64)
                .unwrap_or(0),
        ),
        renewable: field(&["renewable"]).and_then(Json::as_bool).unwrap_or(false),
    }
}
