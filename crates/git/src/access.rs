//! What one remote needs to be spoken to: its address without credentials, and these apart, for git's credential
//! protocol. Owns how they reach git: by the environment of that one call, so that they are in no argument list, no
//! file and no other remote's call.

use herder_base::{AllowedRemote, Secret, Url, scrub_urls};
use tokio::process::Command;

/// Answers git's question for credentials with those of this remote, whoever it is asked for: redirects are off, so it
/// is only ever this one.
const HELPER: &str = r#"!f() { test "$1" = get || exit 0; printf 'username=%s\npassword=%s\n' "$HERDER_GIT_USER" "$HERDER_GIT_PASSWORD"; }; f"#;

/// How to speak to a remote.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    address: String,
    credentials: Option<(String, Secret<String>)>,
    secrets: Vec<Secret<String>>,
    protocols: &'static str,
}

impl Access {
    pub(crate) fn new(remote: &AllowedRemote) -> Self {
        Self::of(remote.url())
    }

    fn of(url: &Url) -> Self {
        let (address, credentials) = url.split_credentials();
        let scheme = address
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        // Whatever the machine's own configuration makes of an address (`insteadOf`): what was a remote never becomes a
        // place on this machine, what was encrypted stays so.
        let protocols = match scheme.as_deref() {
            Some("http") => "http:https",
            Some("git") => "git:https:ssh",
            Some("file") => "file",
            None if address.starts_with('/') => "file",
            _ => "https:ssh",
        };
        Self {
            secrets: url.secrets(),
            address,
            credentials,
            protocols,
        }
    }

    /// What git is given as the remote.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Lets a command speak to the remote and to nothing else.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.env("GIT_ALLOW_PROTOCOL", self.protocols);
        if let Some((user, password)) = &self.credentials {
            command.env("HERDER_GIT_USER", user);
            command.env("HERDER_GIT_PASSWORD", password.expose());
            // Through the environment as well: these come after every file, and the empty one forgets all helpers before.
            command.env("GIT_CONFIG_COUNT", "2");
            for (index, value) in ["", HELPER].into_iter().enumerate() {
                command.env(format!("GIT_CONFIG_KEY_{index}"), "credential.helper");
                command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
            }
        }
    }

    /// Git's words without anything that opens a remote.
    pub(crate) fn clean(&self, said: &str) -> String {
        let mut said = scrub_urls(said);
        for secret in &self.secrets {
            said = said.replace(secret.expose().as_str(), "***");
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_stays_where_it_is() {
        for (url, address, protocols) in [
            ("https://me:pw@h/x", "https://h/x", "https:ssh"),
            ("HTTP://h/x", "HTTP://h/x", "http:https"),
            ("git@h:x", "git@h:x", "https:ssh"),
            ("ssh://git@h/x", "ssh://git@h/x", "https:ssh"),
            ("/srv/x", "/srv/x", "file"),
            ("file:///srv/x", "file:///srv/x", "file"),
        ] {
            let access = Access::of(&url.into());
            assert_eq!((access.address(), access.protocols), (address, protocols));
        }
        let access = Access::of(&"https://me:hunter22@h/x".into());
        assert_eq!(
            access.clean("no hunter22 at https://a:b@h"),
            "no *** at https://h"
        );
        assert!(!format!("{access:?}").contains("hunter22"));
    }
}
