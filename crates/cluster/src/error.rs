//! What can go wrong with a cluster, in words for people.

use std::path::PathBuf;
use thiserror::Error;

/// Why a cluster did not do what was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer.
    #[error(
        "the cluster at {server} does not answer ({what}); is it running, and may this machine reach it?"
    )]
    Unreachable {
        /// Its address.
        server: String,
        /// What was asked.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refused.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// Kubernetes' reason, such as `Forbidden`.
        reason: String,
        /// Its message.
        message: String,
    },
    /// The answer is no JSON.
    #[error("the cluster's answer to {what} cannot be read")]
    Answer {
        /// What was asked.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The kind is not served.
    #[error("the cluster does not serve {kind}; install its CustomResourceDefinition first")]
    Unserved {
        /// `cert-manager.io/v1 Certificate`.
        kind: String,
    },
    /// The object lacks what identifies it.
    #[error("the object has no apiVersion, kind or metadata.name")]
    Nameless,
    /// The watches did not come up.
    #[error("cannot watch {kinds}: {why}")]
    Watch {
        /// Which kinds.
        kinds: String,
        /// The first reason.
        why: String,
    },
}

impl Error {
    /// Whether the server says that there is no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether the object was there already.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason == "AlreadyExists")
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}
