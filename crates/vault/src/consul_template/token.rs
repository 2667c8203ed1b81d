//! Vault's token: where it comes from, and keeping it alive. It is never written anywhere.

use super::settings::{ConfigError, Vault};
use crate::client::{Client, Config, Method};
use crate::error::Error;
use herder_base::Secret;
use serde_json::Value as Json;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// A client for the settings, and the environment where they are silent.
pub(super) fn connect(vault: &Vault) -> Result<Client, ConfigError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let fail = |place: &str, message: String| ConfigError {
        place: place.to_owned(),
        message,
    };
    let read = |path: &PathBuf| {
        std::fs::read(path)
            .map_err(|error| fail(&path.display().to_string(), format!("cannot be read: {error}")))
    };
    let address = vault.address.clone().or_else(|| variable("VAULT_ADDR"));
    let address = address.unwrap_or_else(|| "http://127.0.0.1:8200".to_owned());
    if vault.ssl_verify == Some(false)
        || variable("VAULT_SKIP_VERIFY").is_some_and(|v| v == "true" || v == "1")
    {
        return Err(fail(
            "vault.ssl.verify",
            "a certificate that is not checked protects nothing: give its CA in ca_cert instead".to_owned(),
        ));
    }
    if vault.ssl_enabled == Some(true) && address.starts_with("http://") {
        return Err(fail(
            "vault.ssl",
            "is enabled, but the address begins with http://".to_owned(),
        ));
    }
    let mut config = Config::new(address);
    config.namespace = vault.namespace.clone().or_else(|| variable("VAULT_NAMESPACE"));
    config.server_name = vault
        .server_name
        .clone()
        .or_else(|| variable("VAULT_TLS_SERVER_NAME"));
    // This repeats what fails itself, and says so.
    config.retries = 0;
    config.connect_timeout = vault.dial_timeout.filter(|limit| !limit.is_zero());
    let file = |set: &Option<PathBuf>, name: &str| set.clone().or_else(|| variable(name).map(PathBuf::from));
    config.ca = match (&vault.ca_cert_bytes, file(&vault.ca_cert, "VAULT_CACERT")) {
        (Some(pem), _) => Some(pem.clone().into_bytes()),
        (None, Some(path)) => Some(read(&path)?),
        (None, None) => match file(&vault.ca_path, "VAULT_CAPATH") {
            Some(directory) => {
                let entries = std::fs::read_dir(&directory).map_err(|error| {
                    fail(
                        &directory.display().to_string(),
                        format!("cannot be read: {error}"),
                    )
                })?;
                let mut pem = Vec::new();
                for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
                    pem.extend(read(&entry.path())?);
                    pem.push(b'\n');
                }
                Some(pem)
            }
            None => None,
        },
    };
    config.client_certificate = match (
        file(&vault.cert, "VAULT_CLIENT_CERT"),
        file(&vault.key, "VAULT_CLIENT_KEY"),
    ) {
        (Some(cert), Some(key)) => Some((read(&cert)?, Secret::new(read(&key)?))),
        // A key may stand in the certificate's file.
        (Some(cert), None) => Some((read(&cert)?, Secret::new(read(&cert)?))),
        (None, _) => None,
    };
    Client::new(&config).map_err(|error| fail("vault", herder_base::chain(&error).to_string()))
}

/// Where the token comes from.
enum Origin {
    /// It was given; a new one is not to be had.
    Given,
    /// A file, which whoever writes it keeps fresh.
    File(PathBuf, Option<std::time::SystemTime>),
    /// The Kubernetes method.
    Kubernetes,
    /// There is none.
    None,
}

/// Keeps the client's token.
pub(super) struct Keeper {
    client: Client,
    settings: Vault,
    origin: Origin,
    renew_at: Option<Instant>,
    full: Duration,
}

impl Keeper {
    pub(super) fn new(client: Client, settings: Vault) -> Self {
        Self {
            client,
            settings,
            origin: Origin::None,
            renew_at: None,
            full: Duration::ZERO,
        }
    }

    /// Gets the token. To be called again after a failure.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(role) = &self.settings.k8s_role {
            let path = self
                .settings
                .k8s_token_path
                .clone()
                .unwrap_or_else(|| "/var/run/secrets/kubernetes.io/serviceaccount/token".into());
            let jwt = match &self.settings.k8s_token {
                Some(token) => Secret::new(token.expose().clone()),
                None => read_token(&path)?,
            };
            let mount = self.settings.k8s_mount.as_deref().unwrap_or("kubernetes");
            let mount = mount.trim_matches('/').trim_start_matches("auth/").to_owned();
            let identity = self.client.login_kubernetes(&mount, role, &jwt).await?;
            self.origin = Origin::Kubernetes;
            self.schedule(identity.lifetime);
            return Ok(());
        }
        let mut token = None;
        if let Some(path) = &self.settings.token_file {
            token = Some(read_token(path)?);
            self.origin = Origin::File(path.clone(), modified(path));
        } else if let Some(given) = &self.settings.token {
            token = Some(Secret::new(given.expose().trim().to_owned()));
            self.origin = Origin::Given;
        } else if let Some(given) = variable("VAULT_TOKEN") {
            token = Some(Secret::new(given.trim().to_owned()));
            self.origin = Origin::Given;
        } else if let Some(path) = variable("HOME").map(|home| PathBuf::from(home).join(".vault-token"))
            && let Ok(found) = read_token(&path)
        {
            token = Some(found);
            self.origin = Origin::Given;
        }
        let Some(token) = token else { return Ok(()) };
        self.client.set_token(token);
        if self.settings.unwrap_token.unwrap_or(false) {
            self.unwrap().await?;
        }
        self.renew_at = None;
        if self.renews() {
            // A token that may not look itself up still may do its work.
            match self.client.lookup_self().await {
                Ok(identity) if identity.renewable => self.schedule(identity.lifetime),
                Ok(_) | Err(Error::Denied(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn unwrap(&mut self) -> Result<(), Error> {
        const PATH: &str = "sys/wrapping/unwrap";
        let answer = self.client.call(Method::Post, PATH, None).await?;
        let token = answer
            .pointer("/auth/client_token")
            .or_else(|| answer.pointer("/data/token"))
            .and_then(Json::as_str)
            .ok_or(Error::Malformed {
                path: PATH.to_owned(),
                what: "it wraps no token",
            })?;
        // Unwrapped once, it is what counts from now on.
        self.settings.unwrap_token = Some(false);
        self.settings.token = Some(Secret::from(token));
        self.settings.token_file = None;
        self.client.set_token(Secret::from(token));
        self.origin = Origin::Given;
        Ok(())
    }

    fn renews(&self) -> bool {
        // Whoever writes a token file renews what is in it.
        self.settings
            .renew_token
            .unwrap_or(self.settings.token_file.is_none())
    }

    fn schedule(&mut self, lifetime: Duration) {
        let lifetime = lifetime.min(crate::LONGEST);
        self.full = self.full.max(lifetime);
        self.renew_at = (!lifetime.is_zero())
            .then(|| Instant::now() + lifetime.mul_f64(0.5 + 0.16 * crate::jitter::unit()));
    }

    /// When it wants attention.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.renew_at
    }

    /// The file that holds the token changed.
    fn file_changed(&self) -> bool {
        matches!(&self.origin, Origin::File(path, seen) if modified(path) != *seen)
    }

    /// Renews what is due. True if there is a new token now: what was leased with the old one must be had anew.
    pub(super) async fn tend(&mut self) -> Result<bool, Error> {
        if self.file_changed() {
            tracing::info!("the file with vault's token changed");
            self.full = Duration::ZERO;
            self.begin().await?;
            return Ok(true);
        }
        if self.renew_at.is_none_or(|at| at > Instant::now()) {
            return Ok(false);
        }
        let renewed = if self.client.identity().renewable {
            match self.client.renew_self(self.full).await {
                Ok(lifetime) => lifetime,
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => Duration::ZERO,
            }
        } else {
            Duration::ZERO
        };
        // Less than half of what it had: its maximum is near, and leases end with their token.
        if renewed >= self.full / 2 && !renewed.is_zero() {
            self.schedule(renewed);
            return Ok(false);
        }
        match &self.origin {
            Origin::Kubernetes => {
                self.full = Duration::ZERO;
                self.begin().await?;
                tracing::info!("logged in again, before the old token ends");
                Ok(true)
            }
            _ if renewed.is_zero() => {
                tracing::warn!(
                    "vault's token cannot be renewed any more, and ends soon: a new one is needed"
                );
                self.renew_at = None;
                Ok(false)
            }
            _ => {
                self.schedule(renewed.max(Duration::from_secs(2)));
                Ok(false)
            }
        }
    }
}

fn read_token(path: &std::path::Path) -> Result<Secret<String>, Error> {
    crate::keep::read_token(path).map_err(|source| Error::TokenFile {
        path: path.to_owned(),
        source,
    })
}

fn modified(path: &std::path::Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}
