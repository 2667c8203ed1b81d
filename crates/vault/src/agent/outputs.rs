//! Gets everything the configuration names, and only then writes files, so that one denied path changes nothing.

use super::certificate::{Validity, is_root};
use super::config::{Auth, Config, ConfigError, TlsOutput, octal};
use super::files::{WriteError, env_file, write_atomically};
use crate::client::{Client, Config as ClientConfig, Method};
use crate::error::{BuildError, Error};
use crate::sources::{Fetcher, RenderError};
use herder_base::{Clock, Secret};
use herder_template::{Error as TemplateError, Options, Template};
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The agent cannot do its task.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Its configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A client cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A file it needs cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Vault refuses.
    #[error(transparent)]
    Vault(#[from] Error),
    /// A template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A template has no text.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl AgentError {
    /// Whether trying again later can help without anybody changing anything.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Vault(error) => error.is_transient(),
            Self::Render(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether logging in again helps.
    pub(super) fn needs_login(&self) -> bool {
        match self {
            Self::Vault(error) => error.needs_login(),
            Self::Render(error) => error.needs_login(),
            _ => false,
        }
    }
}

/// A file's new content.
struct Output {
    path: PathBuf,
    bytes: Secret<Vec<u8>>,
    mode: u32,
    append: bool,
}

/// The agent's state: its task, its client and what it has fetched.
pub(super) struct Agent {
    pub(super) config: Config,
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fetcher: Fetcher,
    templates: Vec<(Template, usize)>,
}

impl Agent {
    pub(super) fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self, AgentError> {
        let mut client = ClientConfig::new(config.vault.clone());
        client.ca = match &config.ca {
            None => None,
            Some(pem) if pem.contains("-----BEGIN") => Some(pem.clone().into_bytes()),
            Some(path) => Some(read(Path::new(path))?),
        };
        let client = Client::new(&client)?;
        let mut templates = Vec::new();
        for (index, file) in config.files.iter().enumerate() {
            if let Some(text) = &file.template {
                let name = file.path.display().to_string();
                templates.push((Template::parse(&name, text, &Options::default())?, index));
            }
        }
        let fetcher = Fetcher::new(client.clone(), Arc::clone(&clock));
        Ok(Self {
            config,
            client,
            clock,
            fetcher,
            templates,
        })
    }

    /// Logs in with the service account's token, which is read anew as the kubelet replaces it.
    pub(super) async fn login(&self) -> Result<(), AgentError> {
        let Auth::Kubernetes(auth) = &self.config.auth;
        let jwt = Secret::new(String::from_utf8_lossy(&read(&self.config.token_file)?).into_owned());
        self.client
            .login_kubernetes(&auth.mount, &auth.role, &jwt)
            .await?;
        Ok(())
    }

    /// Fetches everything and writes what is different. Certificates are replaced only when `due` says so.
    pub(super) async fn render(&mut self, due: impl Fn(&TlsOutput) -> bool) -> Result<usize, AgentError> {
        let mut outputs = Vec::new();
        for (template, index) in &self.templates {
            let rendered = self.fetcher.render(template).await?;
            if let Some(file) = self.config.files.get(*index) {
                outputs.push(Output {
                    path: file.path.clone(),
                    bytes: Secret::new(rendered.text),
                    mode: octal(&file.mode).unwrap_or(0o640),
                    append: false,
                });
            }
            outputs.extend(rendered.files.into_iter().map(|file| Output {
                path: file.path.into(),
                bytes: Secret::new(file.content),
                mode: file.mode,
                append: file.append,
            }));
        }
        for file in &self.config.files {
            let Some(reference) = &file.secret else { continue };
            let value = self.fetcher.value(reference).await?;
            outputs.push(Output {
                path: file.path.clone(),
                bytes: Secret::new(plain(value).into_bytes()),
                mode: octal(&file.mode).unwrap_or(0o640),
                append: false,
            });
        }
        let mut variables = Vec::new();
        for variable in &self.config.env {
            variables.push((
                variable.name.clone(),
                plain(self.fetcher.value(&variable.secret).await?),
            ));
        }
        if !variables.is_empty() {
            outputs.push(Output {
                path: self.config.env_file.clone(),
                bytes: Secret::new(env_file(&variables).into_bytes()),
                mode: 0o640,
                append: false,
            });
        }
        for tls in self.config.tls.iter().filter(|tls| due(tls)) {
            self.issue(tls, &mut outputs).await?;
        }
        let mut changed = 0;
        for output in outputs {
            let bytes = if output.append {
                let mut all = std::fs::read(&output.path).unwrap_or_default();
                if all.ends_with(output.bytes.expose()) {
                    continue;
                }
                all.extend_from_slice(output.bytes.expose());
                Secret::new(all)
            } else {
                output.bytes
            };
            changed += usize::from(write_atomically(&output.path, bytes.expose(), output.mode)?);
        }
        Ok(changed)
    }

    async fn issue(&self, tls: &TlsOutput, outputs: &mut Vec<Output>) -> Result<(), AgentError> {
        let mut body = Map::new();
        body.insert("common_name".to_owned(), json!(tls.common_name));
        for (field, items) in [("alt_names", &tls.alt_names), ("ip_sans", &tls.ip_sans)] {
            if !items.is_empty() {
                body.insert(field.to_owned(), json!(items.join(",")));
            }
        }
        if let Some(ttl) = &tls.ttl {
            body.insert("ttl".to_owned(), json!(ttl));
        }
        let body = Json::Object(body);
        let issued = self.client.call(Method::Post, &tls.issue, Some(&body)).await?;
        let text = |name: &'static str| {
            let found = issued.pointer(&format!("/data/{name}")).and_then(Json::as_str);
            found
                .map(|pem| format!("{}\n", pem.trim()))
                .ok_or(Error::Malformed {
                    path: tls.issue.clone(),
                    what: name,
                })
        };
        let mut chain = text("certificate")?;
        for link in issued
            .pointer("/data/ca_chain")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(pem) = link.as_str().filter(|pem| !is_root(pem)) {
                chain.push_str(&format!("{}\n", pem.trim()));
            }
        }
        let mode = octal(&tls.mode).unwrap_or(0o640);
        let mut push = |path: &Path, text: String| {
            outputs.push(Output {
                path: path.to_owned(),
                bytes: Secret::new(text.into_bytes()),
                mode,
                append: false,
            });
        };
        // The certificate last: who watches it finds the key that belongs to it.
        push(&tls.key, text("private_key")?);
        if let Some(ca) = &tls.ca {
            push(ca, text("issuing_ca")?);
        }
        push(&tls.cert, chain);
        Ok(())
    }

    /// How long until a certificate file wants replacing; at once if it is missing or unreadable.
    pub(super) fn certificate_due_in(&self, tls: &TlsOutput, spread: f64) -> std::time::Duration {
        let present = std::fs::read(&tls.cert).ok().filter(|_| tls.key.exists());
        present
            .and_then(|pem| Validity::of(&pem))
            .map_or(std::time::Duration::ZERO, |validity| {
                validity.replace_in(self.clock.now(), spread)
            })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, AgentError> {
    std::fs::read(path).map_err(|source| AgentError::Read {
        path: path.to_owned(),
        source,
    })
}

/// A value as a file holds it: strings as they are, everything else as JSON.
fn plain(value: Json) -> String {
    match value {
        Json::String(text) => text,
        other => other.to_string(),
    }
}
