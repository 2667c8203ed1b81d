//! What a template can ask for, and the trait that answers.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;

/// One thing a template asks for. The order is stable, so that sets of them are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// `secret "path"`: the whole Vault response (`data`, `lease_id`, …) as JSON.
    Secret {
        /// The path as written, perhaps with `?version=N`.
        path: String,
    },
    /// `secret "path" "key=value" …`: a write whose response is used.
    Write {
        /// The path to write to.
        path: String,
        /// The fields to write.
        data: BTreeMap<String, String>,
    },
    /// `secrets "path"`: the names below a path, as a JSON list.
    List {
        /// The path to list.
        path: String,
    },
    /// `pkiCert "path" "key=value" …`: a certificate, as JSON with `Cert`, `Key`, `CA` and `CAChain`.
    PkiCert {
        /// The issuing path.
        path: String,
        /// The request's fields.
        data: BTreeMap<String, String>,
    },
    /// `file "path"`: a file's text as a JSON string, or its bytes as a list of numbers if it is no text.
    File {
        /// The path as written.
        path: String,
    },
    /// `env "NAME"`: a variable as a JSON string, null when unset.
    Env {
        /// The variable's name.
        name: String,
    },
    /// `timestamp`: seconds since 1970 as a JSON number.
    Now,
    /// Sprig's random functions: at least 32 random letters as a JSON string, from which all that a template has of
    /// chance is drawn. The same answer gives the same values, in each round and each rendering.
    Seed,
}

impl Request {
    /// The Vault path it is about, if it is about Vault.
    #[must_use]
    pub fn vault_path(&self) -> Option<&str> {
        match self {
            Self::Secret { path }
            | Self::Write { path, .. }
            | Self::List { path }
            | Self::PkiCert { path, .. } => Some(path),
            Self::File { .. } | Self::Env { .. } | Self::Now | Self::Seed => None,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { path } => write!(f, "secret `{path}`"),
            Self::Write { path, .. } => write!(f, "the response to writing `{path}`"),
            Self::List { path } => write!(f, "the list `{path}`"),
            Self::PkiCert { path, .. } => write!(f, "a certificate from `{path}`"),
            Self::File { path } => write!(f, "file `{path}`"),
            Self::Env { name } => write!(f, "environment variable `{name}`"),
            Self::Now => f.write_str("the time"),
            Self::Seed => f.write_str("randomness"),
        }
    }
}

/// Why a source has no answer, for people and without any secret value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError(pub String);

/// Answers what templates ask for.
pub trait Sources {
    /// The answer, in the JSON form that [`Request`] documents.
    ///
    /// # Errors
    /// If there is none; rendering ends with this reason.
    fn get(&mut self, request: &Request) -> Result<Json, SourceError>;
}

/// A file that the template wants written besides its output (`writeToFile`).
#[derive(Clone, PartialEq, Eq)]
pub struct FileWrite {
    /// Where.
    pub path: String,
    /// The owner's name or number, empty for unchanged.
    pub user: String,
    /// The group's name or number, empty for unchanged.
    pub group: String,
    /// The permission bits.
    pub mode: u32,
    /// Whether to append rather than replace.
    pub append: bool,
    /// What to write.
    pub content: Vec<u8>,
}

impl fmt::Debug for FileWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FileWrite({}, {:o}, {} bytes)",
            self.path,
            self.mode,
            self.content.len()
        )
    }
}
