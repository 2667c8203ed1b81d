//! What the agent is told, as JSON in `HERDER_AGENT`. Paths only, never a secret.

use serde::Deserialize;
use std::path::PathBuf;
use thiserror::Error;

/// The agent's task.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Vault's address.
    pub vault: String,
    /// Its CA: PEM text or a file's path.
    #[serde(default)]
    pub ca: Option<String>,
    /// How to log in.
    pub auth: Auth,
    /// Files to write.
    #[serde(default)]
    pub files: Vec<FileOutput>,
    /// Certificates to get.
    #[serde(default)]
    pub tls: Vec<TlsOutput>,
    /// Variables for `herder agent exec`.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// Where the variables are written.
    #[serde(default = "env_file")]
    pub env_file: PathBuf,
    /// The service account's token.
    #[serde(default = "service_account_token")]
    pub token_file: PathBuf,
    /// How often secrets without a lease are read again.
    #[serde(default = "refresh")]
    pub refresh: String,
    /// How long `init` waits for a Vault that cannot be reached or is sealed.
    #[serde(default = "wait")]
    pub wait: String,
}

/// How to log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// With the pod's service account.
    Kubernetes(KubernetesAuth),
}

/// A role of the Kubernetes login.
#[derive(Debug, Clone, Deserialize)]
pub struct KubernetesAuth {
    /// The role.
    pub role: String,
    /// Where the login method is mounted.
    #[serde(default = "kubernetes")]
    pub mount: String,
}

/// A file from a template or from one value.
#[derive(Debug, Clone, Deserialize)]
pub struct FileOutput {
    /// Where.
    pub path: PathBuf,
    /// The template's text.
    #[serde(default)]
    pub template: Option<String>,
    /// `path#key`; without `#key` the whole secret as JSON.
    #[serde(default)]
    pub secret: Option<String>,
    /// The permission bits in octal.
    #[serde(default = "mode")]
    pub mode: String,
}

/// A certificate and its key.
#[derive(Debug, Clone, Deserialize)]
pub struct TlsOutput {
    /// The issuing path, such as `pki/issue/shop`.
    pub issue: String,
    /// The name in the certificate.
    pub common_name: String,
    /// More names.
    #[serde(default)]
    pub alt_names: Vec<String>,
    /// Addresses.
    #[serde(default)]
    pub ip_sans: Vec<String>,
    /// How long it should be valid.
    #[serde(default)]
    pub ttl: Option<String>,
    /// Where the certificate goes, followed by its intermediates.
    pub cert: PathBuf,
    /// Where the key goes.
    pub key: PathBuf,
    /// Where the issuing CA goes.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The permission bits in octal.
    #[serde(default = "mode")]
    pub mode: String,
}

/// A variable from a secret.
#[derive(Debug, Clone, Deserialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// `path#key`.
    pub secret: String,
}

/// The configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It is no such JSON.
    #[error("HERDER_AGENT is not what an agent understands: {0}")]
    Json(String),
    /// A field is wrong.
    #[error("HERDER_AGENT: {0}")]
    Field(String),
}

impl Config {
    /// Reads and checks the JSON.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        let config: Self =
            serde_json::from_str(json).map_err(|error| ConfigError::Json(error.to_string()))?;
        let field = |message: String| Err(ConfigError::Field(message));
        for file in &config.files {
            if file.template.is_some() == file.secret.is_some() {
                return field(format!(
                    "file {} needs either a template or a secret",
                    file.path.display()
                ));
            }
            octal(&file.mode)
                .ok_or_else(|| ConfigError::Field(format!("mode `{}` is not octal", file.mode)))?;
        }
        for tls in &config.tls {
            octal(&tls.mode)
                .ok_or_else(|| ConfigError::Field(format!("mode `{}` is not octal", tls.mode)))?;
        }
        for variable in &config.env {
            let mut chars = variable.name.chars();
            let good = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !good {
                return field(format!("`{}` is no variable name", variable.name));
            }
            if !variable.secret.contains('#') {
                return field(format!(
                    "variable {} needs a secret of the form path#key",
                    variable.name
                ));
            }
        }
        for text in [&config.refresh, &config.wait] {
            herder_base::parse_duration(text).map_err(|error| ConfigError::Field(error.to_string()))?;
        }
        Ok(config)
    }
}

/// Octal permission bits.
pub(super) fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0o"), 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
}

fn env_file() -> PathBuf {
    "/herder/secrets/env".into()
}

fn service_account_token() -> PathBuf {
    "/var/run/secrets/kubernetes.io/serviceaccount/token".into()
}

fn refresh() -> String {
    "1m".to_owned()
}

fn wait() -> String {
    "1m".to_owned()
}

fn kubernetes() -> String {
    "kubernetes".to_owned()
}

fn mode() -> String {
    "0640".to_owned()
}
