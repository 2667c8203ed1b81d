//! The server as Herder embeds it: initialised and unsealed without anybody, its unseal key and root token in files of
//! mode 0600 beside its storage, and the mounts every fleet needs. Whoever reads those files is root here; that is the
//! price of starting alone, and the documentation says so.

use crate::Error;
use crate::core::request::{Op, Request};
use crate::core::seal::SealConfig;
use crate::server::{Config, Server, Storage};
use herder_base::Clock;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// How the server asks the cluster whether a service account's token is good.
#[derive(Debug, Clone, Default)]
pub struct KubernetesReviewer {
    /// The API server, such as `https://127.0.0.1:6443`.
    pub host: String,
    /// PEM of the authority that signed the API server's certificate.
    pub ca_pem: String,
    /// A token that may create TokenReviews; empty to use the reviewed token itself.
    pub token: String,
}

/// What the embedded server needs.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The data directory; files go below `DIR/state`.
    pub dir: PathBuf,
    /// Where clients reach it, such as `http://127.0.0.1:8200`.
    pub api_addr: String,
    /// If given, `auth/kubernetes` is configured with it.
    pub kubernetes: Option<KubernetesReviewer>,
}

/// The embedded server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or directory.
    #[error("cannot prepare {}: check its owner, its mode and the free space", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The storage.
    #[error("the secrets' storage cannot be opened")]
    Open(#[from] herder_store::OpenError),
    /// The storage is not there, but its key is.
    #[error(
        "the secrets' storage {} is missing or empty, but {} and the root token are there, so it once held secrets: restore it from a backup, or move both files away to begin with no secrets at all",
        storage.display(),
        key.display()
    )]
    Lost {
        /// The storage.
        storage: PathBuf,
        /// The key file, which is left as it is.
        key: PathBuf,
    },
    /// The unseal key does not fit the storage.
    #[error("cannot unseal the secrets with the key in {}", path.display())]
    Unseal {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
    /// A first request failed.
    #[error("cannot set up the secrets server: {step}")]
    Setup {
        /// What was being done.
        step: &'static str,
        /// Why.
        source: Error,
    },
}

/// A running embedded server: unsealed, with its mounts. The caller serves [`Server::router`] and runs [`Server::run`].
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The server.
    pub server: Server,
    /// Where its root token is.
    pub token_file: PathBuf,
}

impl Embedded {
    /// Starts, initialising at the first time. Idempotent: what is there is kept.
    ///
    /// # Errors
    /// [`StartError`] with the file or step.
    pub async fn start(config: EmbeddedConfig, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let state = config.dir.join("state");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&state)
            .map_err(|source| StartError::File {
                path: state.clone(),
                source,
            })?;
        let (key_file, token_file) = (state.join("vault.unseal-key"), state.join("vault.root-token"));
        let storage = state.join("vault.redb");
        let lost = || StartError::Lost {
            storage: storage.clone(),
            key: key_file.clone(),
        };
        // Both are there only once a first start has come to its end.
        let before = key_file.exists() && token_file.exists();
        if before && fs::metadata(&storage).map_or(0, |file| file.len()) == 0 {
            // Not even opened: that would make a new one.
            return Err(lost());
        }
        let server = Server::open(Config {
            storage: Storage::File(storage.clone()),
            clock,
            api_addr: config.api_addr,
        })?;
        let initialised = server
            .core
            .seal_config()
            .map_err(|source| StartError::Setup {
                step: "reading the seal",
                source,
            })?
            .is_some();
        if before && !initialised {
            return Err(lost());
        }
        server
            .unseal_with_files(initialised, &key_file, &token_file)
            .await?;
        let embedded = Self { server, token_file };
        embedded.mounts(config.kubernetes).await?;
        Ok(embedded)
    }

    /// The root token.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn root_token(&self) -> Result<Zeroizing<String>, StartError> {
        read(&self.token_file)
    }

    /// Points `auth/kubernetes` at a cluster.
    ///
    /// # Errors
    /// If the server refuses the configuration.
    pub async fn set_kubernetes(&self, reviewer: &KubernetesReviewer) -> Result<(), StartError> {
        let token = self.root_token()?;
        let data = json!({
            "kubernetes_host": reviewer.host,
            "kubernetes_ca_cert": reviewer.ca_pem,
            "token_reviewer_jwt": reviewer.token,
        });
        self.request(
            &token,
            "configuring auth/kubernetes",
            "auth/kubernetes/config",
            data,
        )
        .await
    }

    async fn request(
        &self,
        token: &str,
        step: &'static str,
        path: &str,
        data: serde_json::Value,
    ) -> Result<(), StartError> {
        self.server
            .handle(Request::new(Op::Write, path).with(data).token(token))
            .await
            .map(drop)
            .map_err(|source| StartError::Setup { step, source })
    }

    async fn mounts(&self, kubernetes: Option<KubernetesReviewer>) -> Result<(), StartError> {
        let token = self.root_token()?;
        let mounted = |path: &'static str, auth: bool| {
            let (server, token) = (self.server.clone(), token.clone());
            async move {
                let path = if auth {
                    format!("sys/auth/{path}")
                } else {
                    format!("sys/mounts/{path}")
                };
                server
                    .handle(Request::new(Op::Read, &path).token(&token))
                    .await
                    .is_ok()
            }
        };
        if !mounted("secret", false).await {
            let data = json!({ "type": "kv", "options": { "version": "2" }, "description": "key/value secret storage" });
            self.request(&token, "mounting secret/", "sys/mounts/secret", data)
                .await?;
        }
        if !mounted("pki", false).await {
            let data = json!({ "type": "pki", "config": { "max_lease_ttl": "87600h" } });
            self.request(&token, "mounting pki/", "sys/mounts/pki", data)
                .await?;
        }
        let has_ca = self
            .server
            .handle(Request::new(Op::Read, "pki/ca/pem"))
            .await
            .is_ok_and(|response| response.raw.is_some_and(|raw| !raw.body.is_empty()));
        if !has_ca {
            // ECDSA: a root that is made in a millisecond, so that the first start is as quick as any other.
            let data = json!({ "common_name": "Herder Root CA", "ttl": "87600h", "key_type": "ec", "key_bits": 256, "issuer_name": "root" });
            self.request(&token, "making the root CA", "pki/root/generate/internal", data)
                .await?;
        }
        if !mounted("kubernetes", true).await {
            self.request(
                &token,
                "enabling auth/kubernetes",
                "sys/auth/kubernetes",
                json!({ "type": "kubernetes" }),
            )
            .await?;
        }
        match kubernetes {
            Some(reviewer) => self.set_kubernetes(&reviewer).await,
            None => Ok(()),
        }
    }
}

impl Server {
    /// Initialises if need be, and unseals with a key file. A first start interrupted half way is begun again: nothing
    /// can be in a storage whose key was never written.
    async fn unseal_with_files(
        &self,
        initialised: bool,
        key_file: &Path,
        token_file: &Path,
    ) -> Result<(), StartError> {
        let setup = |step| move |source| StartError::Setup { step, source };
        if !initialised {
            let one = SealConfig {
                shares: 1,
                threshold: 1,
            };
            // The key's file is written before anything is sealed with it, and never again: whatever it may open besides.
            let key = if key_file.exists() {
                crate::core::seal::read_share(&read(key_file)?).map_err(|source| StartError::Unseal {
                    path: key_file.to_owned(),
                    source,
                })?
            } else {
                let key = crate::core::barrier::random(32).map_err(setup("making the unseal key"))?;
                write(key_file, &hex::encode(&*key))?;
                key
            };
            let result = self
                .core
                .init_with(one, None, key)
                .await
                .map_err(setup("initialising"))?;
            write(token_file, &result.root_token)?;
        }
        let key = read(key_file)?;
        let unseal = |source| StartError::Unseal {
            path: key_file.to_owned(),
            source,
        };
        let key = crate::core::seal::read_share(&key).map_err(unseal)?;
        self.core.unseal(key).map_err(unseal)?;
        let valid = match read(token_file) {
            Ok(token) => self
                .handle(Request::new(Op::Read, "auth/token/lookup-self").token(&token))
                .await
                .is_ok(),
            Err(_) => false,
        };
        if !valid {
            let token = self
                .core
                .new_root_token()
                .await
                .map_err(setup("making a root token"))?;
            write(token_file, &token)?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, StartError> {
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|source| StartError::File {
        path: path.to_owned(),
        source,
    })?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Writes a file whole or not at all, readable by its owner only, and on disk when this returns.
fn write(path: &Path, text: &str) -> Result<(), StartError> {
    let failed = |source| StartError::File {
        path: path.to_owned(),
        source,
    };
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    if let Some(parent) = path.parent() {
        fs::File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(failed)?;
    }
    Ok(())
}
