//! What can keep the platform from starting or make it stop.

use std::path::PathBuf;
use thiserror::Error;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the platform as a whole.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or directory below the data directory could not be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried, a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Another herder uses the data directory.
    #[error("another herder (process {pid}) uses {}: stop it, or choose another directory with --dir", dir.display())]
    Busy {
        /// The directory.
        dir: PathBuf,
        /// Who holds it, as its lock file says.
        pid: String,
    },
    /// An address could not be listened on.
    #[error("cannot listen on {address} for {what}")]
    Listen {
        /// For what.
        what: &'static str,
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A part did not start.
    #[error("{part} did not start")]
    Start {
        /// Which part.
        part: &'static str,
        /// Why not.
        #[source]
        source: Source,
    },
    /// The Vault that was asked for cannot be used.
    #[error("the Vault at {address} cannot be used: check --vault-addr, --vault-token-file and --vault-ca")]
    Vault {
        /// Its address.
        address: String,
        /// Why not.
        #[source]
        source: Source,
    },
    /// A part that the platform cannot do without has ended.
    #[error("a part of the platform failed (see the log above)")]
    PartFailed,
    /// Tasks that did not end in time.
    #[error("cut off after the grace period: {0}")]
    CutOff(String),
}

/// An error of a part, whichever it is.
pub(crate) fn boxed<E: std::error::Error + Send + Sync + 'static>(
    error: E,
) -> Box<dyn std::error::Error + Send + Sync> {
    Box::new(error)
}

impl Error {
    /// A part did not start.
    pub(crate) fn start(part: &'static str) -> impl Fn(Source) -> Self {
        move |source| Self::Start { part, source }
    }

    /// A path could not be used.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
