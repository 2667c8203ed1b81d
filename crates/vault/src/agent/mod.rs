//! The agent inside a pod: logs in with the pod's service account, writes secrets and certificates into files that
//! only live in memory, and keeps them and its token fresh. The token itself is never written anywhere.

pub(crate) mod certificate;
mod config;
mod files;
mod init;
mod outputs;
mod run;

pub use config::{Auth, Config, ConfigError, EnvVar, FileOutput, KubernetesAuth, TlsOutput};
pub use files::{WriteError, parse_env_file, write_atomically};
pub use init::init;
pub use outputs::AgentError;
pub use run::run;
