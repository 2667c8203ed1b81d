//! The credentials of node agents: random words, known to this process only as hashes and only while their agent runs.
//!
//! Nothing signs them and nothing stores them, so no token that anybody can ask for, and no key that is kept, turns
//! into a node: a credential is an entry here or it is nothing. It ends with its agent; the next one gets another.

use super::{TokenError, User};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What credentials of agents begin with. No JSON web token does.
const PREFIX: &str = "herder-node.";
/// The user name of a node, before the node's name.
pub(super) const USER: &str = "system:node:";
/// The group of all nodes.
pub(super) const GROUP: &str = "system:nodes";

/// Gives and takes back credentials of agents.
#[derive(Default)]
pub struct Agents {
    /// By hash, the node. By hash, because comparing hashes tells nothing about the words by how long it takes.
    known: Mutex<HashMap<[u8; 32], String>>,
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agents").finish_non_exhaustive()
    }
}

impl Agents {
    /// A credential for the agent of a node; an earlier one of that node ends.
    ///
    /// # Errors
    /// [`TokenError::Key`] if there is no randomness.
    pub fn issue(&self, node: &str) -> Result<String, TokenError> {
        let mut bytes = [0_u8; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| TokenError::Key)?;
        let token = format!("{PREFIX}{}", B64.encode(bytes));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, own| own != node);
        known.insert(Sha256::digest(&token).into(), node.to_owned());
        Ok(token)
    }

    /// Ends the credential of a node whose agent ended.
    pub fn revoke(&self, node: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, own| own != node);
    }

    /// Whether a bearer token looks like one of an agent; such a one is nothing else.
    #[must_use]
    pub(crate) fn are_meant(token: &str) -> bool {
        token.starts_with(PREFIX)
    }

    /// The node whose living agent has this credential.
    #[must_use]
    pub(crate) fn user(&self, token: &str) -> Option<User> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let node = known.get(&hash)?;
        Some(User::known(format!("{USER}{node}"), vec![GROUP.to_owned()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_ends_with_its_agent() {
        let agents = Agents::default();
        let first = agents.issue("n1").unwrap();
        let other = agents.issue("n2").unwrap();
        assert_eq!(agents.user(&first).unwrap().node(), Some("n1"));
        let second = agents.issue("n1").unwrap();
        assert_eq!(agents.user(&first), None, "replaced");
        assert_eq!(agents.user(&second).unwrap().name, "system:node:n1");
        agents.revoke("n1");
        assert_eq!(agents.user(&second), None, "its agent ended");
        assert!(agents.user(&other).is_some() && Agents::are_meant(&other));
        assert_eq!(agents.user(""), None);
        assert_eq!(agents.user(PREFIX), None);
    }
}
