//! What a request can fail with, and the HTTP status clients expect for it. Owns no message that contains a secret.

use crate::core::path::NotCanonical;
use herder_store::TxnError;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token may not do this, or there is no valid token. Deliberately says no more.
    #[error("permission denied")]
    Denied,
    /// There is a right, but not for this one; the text says why.
    #[error("{0}")]
    Forbidden(String),
    /// The path is not in the one form that paths have.
    #[error(transparent)]
    NotCanonical(Box<NotCanonical>),
    /// The body's content type is not one that the operation knows.
    #[error("{0}")]
    MediaType(String),
    /// Too much of what is costly is under way.
    #[error("too many costly requests are under way: try again")]
    Busy,
    /// The barrier is closed.
    #[error("Vault is sealed")]
    Sealed,
    /// The server has no keys yet.
    #[error("Vault is not initialized")]
    NotInitialised,
    /// The request is wrong; the text says how.
    #[error("{0}")]
    Invalid(String),
    /// The request is wrong in a way Vault reports as its own failure, and clients expect that.
    #[error("{0}")]
    Failed(String),
    /// There is nothing at the path.
    #[error("not found")]
    NotFound,
    /// Nothing is mounted there, or the engine has no such path.
    #[error("{0}")]
    NoRoute(String),
    /// The path exists, the operation does not.
    #[error("unsupported operation")]
    Unsupported,
    /// Too many failed attempts.
    #[error("too many failed login attempts: wait a little and try again")]
    TooMany,
    /// A log in method's other side could not be asked.
    #[error("{0}")]
    Upstream(String),
    /// The storage refused.
    #[error("the secret storage could not be written")]
    Storage(#[source] TxnError),
    /// Stored bytes do not open or do not parse.
    #[error("the stored entry {0:?} is damaged or was moved: restore it from a backup")]
    Corrupt(String),
    /// No audit device took the entry, so the request was refused.
    #[error("no audit device could record the request, so it was refused: check the audit devices' files")]
    Audit,
    /// A primitive failed.
    #[error("{0}")]
    Internal(&'static str),
    /// Not a failure: something outside must be asked before the request can go on.
    #[error("an answer from outside is needed")]
    Needs(Box<crate::external::Question>),
}

impl Error {
    /// A wrong request.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Denied | Self::Forbidden(_) => 403,
            Self::NotCanonical(refused) if refused.redirect().is_some() => 301,
            Self::NotCanonical(_) => 400,
            Self::MediaType(_) => 415,
            Self::Sealed | Self::NotInitialised | Self::Busy => 503,
            Self::Invalid(_) => 400,
            Self::NotFound | Self::NoRoute(_) => 404,
            Self::Unsupported => 405,
            Self::TooMany => 429,
            Self::Upstream(_) => 502,
            Self::Failed(_)
            | Self::Storage(_)
            | Self::Corrupt(_)
            | Self::Audit
            | Self::Internal(_)
            | Self::Needs(_) => 500,
        }
    }

    /// The texts of the `errors` list, in the form Vault's clients match on.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::NotFound => Vec::new(),
            Self::Denied | Self::Unsupported => vec![format!("1 error occurred:\n\t* {self}\n\n")],
            other => vec![herder_base::chain(other).to_string()],
        }
    }
}

impl From<TxnError> for Error {
    fn from(error: TxnError) -> Self {
        Self::Storage(error)
    }
}

/// What handlers return.
pub type Result<T> = std::result::Result<T, Error>;
