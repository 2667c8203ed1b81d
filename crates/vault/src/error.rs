//! What Vault's answers mean for people. No message holds a token or a secret value.

use thiserror::Error;

/// A client cannot be made from its configuration.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The address is no http or https URL.
    #[error("Vault address `{0}` is not of the form http://host:port or https://host:port")]
    Address(String),
    /// The CA is no PEM certificate.
    #[error("the CA for Vault holds no PEM certificate")]
    Ca,
    /// Our own certificate or its key is no PEM.
    #[error("the certificate or key to show Vault is no PEM")]
    ClientCertificate,
    /// The machine has no root certificates, and no CA was given.
    #[error("no root certificates to check Vault's with: give its CA")]
    NoRoots,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// A request to Vault failed.
#[derive(Debug, Error)]
pub enum Error {
    /// No answer came.
    #[error("Vault at {address} cannot be reached")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer came in time.
    #[error("Vault at {address} did not answer within {seconds} s")]
    Timeout {
        /// Where.
        address: String,
        /// How long was waited.
        seconds: u64,
    },
    /// It is sealed.
    #[error("Vault at {address} is sealed: unseal it, then this goes on")]
    Sealed {
        /// Where.
        address: String,
    },
    /// The token may not do this.
    #[error(transparent)]
    Denied(Box<Denial>),
    /// Nothing is there.
    #[error("Vault has nothing at `{path}`")]
    NotFound {
        /// The path.
        path: String,
    },
    /// The secret lacks the key.
    #[error("Vault secret `{path}` has no key `{key}`{}", if keys.is_empty() { String::new() } else { format!(" (it has {})", keys.join(", ")) })]
    NoKey {
        /// The path.
        path: String,
        /// The key that was wanted.
        key: String,
        /// The keys there are.
        keys: Vec<String>,
    },
    /// It refused for another reason.
    #[error("Vault answered {status} for `{path}`: {reason}")]
    Refused {
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// A login failed.
    #[error("login to Vault at auth/{mount} as role `{role}` failed: {reason}")]
    Login {
        /// Where the login method is mounted.
        mount: String,
        /// The role.
        role: String,
        /// Vault's words.
        reason: String,
    },
    /// The answer is not what the API promises.
    #[error("Vault's answer for `{path}` makes no sense: {what}")]
    Malformed {
        /// The path.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file with the token cannot be read.
    #[error("the token in {} cannot be read", path.display())]
    TokenFile {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The path or a field cannot be sent.
    #[error("`{path}` is no Vault path")]
    Path {
        /// The path.
        path: String,
    },
}

impl Error {
    /// Whether Vault said no to just this, so that asking again soon is of no use.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Denied(_) | Self::Path { .. })
    }
}

/// A denied request: what was wanted, by whom, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", denied(path, operation, role.as_deref(), policies, reason))]
pub struct Denial {
    /// The path.
    pub path: String,
    /// The right that was wanted, such as `read`.
    pub operation: &'static str,
    /// The role that logged in, if it was a role.
    pub role: Option<String>,
    /// The token's policies.
    pub policies: Vec<String>,
    /// Why, as far as Vault says.
    pub reason: DeniedReason,
}

/// Why a request was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeniedReason {
    /// No policy of the token has a rule for the path.
    NoRule,
    /// The policies allow other things.
    Only(Vec<String>),
    /// The token itself is not accepted any more.
    InvalidToken,
    /// There is no token.
    NoToken,
    /// Vault did not say.
    Unknown,
}

impl Error {
    /// Whether trying again later can help without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Sealed { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }

    /// The same error with its paths, and Vault's words, as `change` would have them.
    #[must_use]
    pub(crate) fn with_paths(mut self, change: &dyn Fn(&str) -> String) -> Self {
        match &mut self {
            Self::Denied(denial) => denial.path = change(&denial.path),
            Self::NotFound { path } | Self::Malformed { path, .. } | Self::Path { path } => {
                *path = change(path)
            }
            Self::Refused { path, reason, .. } => (*path, *reason) = (change(path), change(reason)),
            Self::NoKey { path, key, .. } => (*path, *key) = (change(path), change(key)),
            _ => {}
        }
        self
    }

    /// Whether the token is of no use any more, so that logging in again helps.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        matches!(self, Self::Denied(denial)
            if matches!(denial.reason, DeniedReason::InvalidToken | DeniedReason::NoToken))
    }
}

fn denied(
    path: &str,
    operation: &str,
    role: Option<&str>,
    policies: &[String],
    reason: &DeniedReason,
) -> String {
    let who = role.map_or_else(|| "this token".to_owned(), |role| format!("role `{role}`"));
    let named: Vec<String> = policies
        .iter()
        .filter(|policy| *policy != "default")
        .map(|policy| format!("`{policy}`"))
        .collect();
    let policies = match named.as_slice() {
        [] => None,
        [one] => Some((format!("policy {one}"), "has", "allows")),
        many => Some((format!("policies {}", many.join(", ")), "have", "allow")),
    };
    let why = match (reason, policies) {
        (DeniedReason::InvalidToken, _) => "its token is not valid any more".to_owned(),
        (DeniedReason::NoToken, _) => {
            return format!("Vault path `{path}` needs a token, and there is none: log in first");
        }
        (DeniedReason::NoRule, Some((names, have, _))) => format!("{names} {have} no rule for it"),
        (DeniedReason::Only(rights), Some((names, _, allow)))
            if rights.iter().any(|right| right == operation) =>
        {
            format!("{names} {allow} {operation} there only with other fields, or with another wrapping TTL")
        }
        (DeniedReason::Only(rights), Some((names, _, allow))) => {
            format!("{names} {allow} {} there, not {operation}", rights.join(", "))
        }
        (DeniedReason::NoRule | DeniedReason::Only(_), None) => {
            "no policy is attached to it but `default`".to_owned()
        }
        (DeniedReason::Unknown, Some((names, have, _))) => {
            format!("{names} {have} no right to {operation} it")
        }
        (DeniedReason::Unknown, None) => format!("it may not {operation} it"),
    };
    format!("Vault path `{path}` is denied to {who}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_path_role_and_policy() {
        let error = |policies: &[&str], reason| {
            Denial {
                path: "secret/data/shop/db".into(),
                operation: "read",
                role: Some("shop".into()),
                policies: policies.iter().map(|&p| p.to_owned()).collect(),
                reason,
            }
            .to_string()
        };
        let start = "Vault path `secret/data/shop/db` is denied to role `shop`: ";
        for (policies, reason, expected) in [
            (
                &["default", "shop"][..],
                DeniedReason::NoRule,
                "policy `shop` has no rule for it",
            ),
            (
                &["a", "b"][..],
                DeniedReason::NoRule,
                "policies `a`, `b` have no rule for it",
            ),
            (
                &["shop"][..],
                DeniedReason::Only(vec!["list".into()]),
                "policy `shop` allows list there, not read",
            ),
            (
                &["shop"][..],
                DeniedReason::Only(vec!["list".into(), "read".into()]),
                "policy `shop` allows read there only with other fields, or with another wrapping TTL",
            ),
            (
                &["default"][..],
                DeniedReason::NoRule,
                "no policy is attached to it but `default`",
            ),
            (
                &[][..],
                DeniedReason::InvalidToken,
                "its token is not valid any more",
            ),
        ] {
            assert_eq!(error(policies, reason), format!("{start}{expected}"));
        }
    }
}
