//! What consul-template can be told, with its defaults. Where several say something, the last one counts.

use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// A configuration that cannot be used, and where it says so. Never repeats a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// `file:line`, a flag, or a variable.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Templates in order.
    pub templates: Vec<TemplateSettings>,
    /// How to reach Vault.
    pub vault: Vault,
    /// The program to look after.
    pub exec: Exec,
    /// Quiescence for all templates.
    pub wait: Option<Wait>,
    /// Which signal ends it [SIGINT].
    pub kill_signal: Option<Signal>,
    /// Which signal makes it read everything again [SIGHUP].
    pub reload_signal: Option<Signal>,
    /// What is logged.
    pub log_level: Option<String>,
    /// Where to.
    pub log_file: Option<PathBuf>,
    /// Where the process number is written.
    pub pid_file: Option<PathBuf>,
    /// What begins an action.
    pub left_delimiter: Option<String>,
    /// What ends an action.
    pub right_delimiter: Option<String>,
    /// Whether a template's error ends everything, for all templates.
    pub template_error_fatal: Option<bool>,
    /// What was said and has no effect, for people.
    pub warnings: Vec<String>,
}

/// A `template` block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateSettings {
    /// Its file.
    pub source: Option<PathBuf>,
    /// Its text.
    pub contents: Option<String>,
    /// Where the result goes.
    pub destination: Option<PathBuf>,
    /// Whether the old file is kept as `.bak`.
    pub backup: Option<bool>,
    /// What runs after a change.
    pub command: Vec<String>,
    /// How long it may run [30 s].
    pub command_timeout: Option<Duration>,
    /// Whether missing directories are made [yes].
    pub create_dest_dirs: Option<bool>,
    /// Whether a missing key is an error [no].
    pub error_on_missing_key: Option<bool>,
    /// Whether an error ends everything [yes].
    pub error_fatal: Option<bool>,
    /// The command as a block.
    pub exec: Exec,
    /// Permission bits [the old file's, else 0600].
    pub perms: Option<u32>,
    /// Owner by name.
    pub user: Option<String>,
    /// Owner by number.
    pub uid: Option<u32>,
    /// Group by name.
    pub group: Option<String>,
    /// Group by number.
    pub gid: Option<u32>,
    /// Quiescence.
    pub wait: Option<Wait>,
    /// What begins an action.
    pub left_delimiter: Option<String>,
    /// What ends an action.
    pub right_delimiter: Option<String>,
    /// Functions that may not be used.
    pub function_denylist: Vec<String>,
    /// The directory that `file` and `writeToFile` are held to.
    pub sandbox_path: Option<PathBuf>,
}

/// How long a change must rest before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wait {
    /// Without a further change.
    pub min: Duration,
    /// At most, even with further changes.
    pub max: Duration,
    /// Switched off although times are given.
    pub disabled: bool,
}

/// An `exec` block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    /// One text for a shell, or a program with its arguments.
    pub command: Vec<String>,
    /// Whether it is run.
    pub enabled: Option<bool>,
    /// Variables it sees: none of ours.
    pub pristine: Option<bool>,
    /// Variables of its own.
    pub custom: Vec<String>,
    /// Of ours only these.
    pub allowlist: Vec<String>,
    /// Of ours not these.
    pub denylist: Vec<String>,
    /// Ends it [SIGINT].
    pub kill_signal: Option<Signal>,
    /// Before it is ended for certain [30 s].
    pub kill_timeout: Option<Duration>,
    /// Makes it read its files again; otherwise it is started anew.
    pub reload_signal: Option<Signal>,
    /// A random part of this passes before it is ended or started anew.
    pub splay: Option<Duration>,
    /// How long it may run; for templates' commands.
    pub timeout: Option<Duration>,
}

/// The `vault` block.
#[derive(Clone, Default)]
pub struct Vault {
    /// Its address.
    pub address: Option<String>,
    /// Whether it is used at all.
    pub enabled: Option<bool>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The token.
    pub token: Option<herder_base::Secret<String>>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// Whether the token is kept alive [yes, unless it comes from a file].
    pub renew_token: Option<bool>,
    /// Whether the token given only wraps the real one.
    pub unwrap_token: Option<bool>,
    /// Whether failures are tried again [yes].
    pub retry_enabled: Option<bool>,
    /// How often [12]; 0 is for ever.
    pub retry_attempts: Option<u32>,
    /// The first pause [250 ms].
    pub retry_backoff: Option<Duration>,
    /// The longest pause [1 min]; 0 is without a limit.
    pub retry_max_backoff: Option<Duration>,
    /// Whether TLS is used; refused if it contradicts the address.
    pub ssl_enabled: Option<bool>,
    /// Whether the server's certificate is checked; only yes.
    pub ssl_verify: Option<bool>,
    /// The CA's file.
    pub ca_cert: Option<PathBuf>,
    /// The CA itself.
    pub ca_cert_bytes: Option<String>,
    /// A directory of CAs.
    pub ca_path: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name the server's certificate must have.
    pub server_name: Option<String>,
    /// How long connecting may take.
    pub dial_timeout: Option<Duration>,
    /// How often secrets without a lease are read again [5 min].
    pub default_lease_duration: Option<Duration>,
    /// At which part of a lease or certificate it is replaced [0.9].
    pub lease_renewal_threshold: Option<f64>,
    /// Log in as this role of the Kubernetes method.
    pub k8s_role: Option<String>,
    /// The service account's token file.
    pub k8s_token_path: Option<PathBuf>,
    /// The service account's token.
    pub k8s_token: Option<herder_base::Secret<String>>,
    /// Where the method is mounted [kubernetes].
    pub k8s_mount: Option<String>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Wait {
    /// The time to hold a change, if any.
    pub(super) fn active(self) -> Option<Self> {
        (!self.disabled && !self.min.is_zero()).then_some(self)
    }
}

impl Exec {
    /// What ends it.
    pub(super) fn kill_signal(&self) -> Signal {
        self.kill_signal.unwrap_or(Signal::SIGINT)
    }

    /// How long it may take to end.
    pub(super) fn kill_timeout(&self) -> Duration {
        self.kill_timeout.unwrap_or(Duration::from_secs(30))
    }
}
