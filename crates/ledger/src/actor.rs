//! Who did something: what was shown to prove it, and what was only said.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name that anybody may claim.
const LONGEST: usize = 64;
const SAYS: &str = " (unverified: ";

/// By what somebody was let in. Whoever signs people in adds a variant for a person; nothing else has to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Principal {
    /// The platform itself.
    Herder,
    /// The holder of the platform's token.
    Token,
    /// A signed-in browser, by the first digits of the digest of its session's id.
    Session {
        /// The digits.
        id: String,
    },
    /// A run of a job, by its own token.
    Run {
        /// The job.
        job: String,
        /// The run's number.
        number: u64,
    },
    /// As older versions recorded it, who proved nothing.
    Unknown {
        /// What was recorded.
        name: String,
    },
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What was proved.
    #[serde(flatten)]
    pub principal: Principal,
    /// The name that came with it, which nobody checked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub claim: Option<String>,
}

impl Actor {
    /// Somebody who claims nothing.
    #[must_use]
    pub const fn new(principal: Principal) -> Self {
        Self {
            principal,
            claim: None,
        }
    }

    /// The platform itself.
    #[must_use]
    pub const fn herder() -> Self {
        Self::new(Principal::Herder)
    }

    /// The same with a name that is only claimed; an empty one changes nothing.
    #[must_use]
    pub fn claiming(mut self, name: &str) -> Self {
        let name: String = name
            .chars()
            .filter(|c| !c.is_control() && !"()".contains(*c))
            .take(LONGEST)
            .collect();
        let name = name.trim();
        if !name.is_empty() {
            self.claim = Some(name.to_owned());
        }
        self
    }

    /// A short name for people, such as an author of a commit.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.claim, &self.principal) {
            (Some(claim), _) => claim.clone(),
            (None, Principal::Session { .. }) => "the board".to_owned(),
            (None, Principal::Token) => "somebody".to_owned(),
            (None, principal) => principal.to_string(),
        }
    }

    /// From what the chain holds.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (proved, claim) = match text.split_once(SAYS) {
            Some((proved, claim)) => (proved, claim.strip_suffix(')').map(str::to_owned)),
            None => (text, None),
        };
        let unknown = || Principal::Unknown {
            name: text.to_owned(),
        };
        let principal = if proved == "herder" {
            Principal::Herder
        } else if proved == "token" {
            Principal::Token
        } else if let Some(id) = proved.strip_prefix("session ") {
            Principal::Session { id: id.to_owned() }
        } else if let Some((job, number)) = proved.strip_prefix("run ").and_then(|run| run.rsplit_once(" #"))
        {
            number.parse().map_or_else(
                |_| unknown(),
                |number| Principal::Run {
                    job: job.to_owned(),
                    number,
                },
            )
        } else {
            unknown()
        };
        Self { principal, claim }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Herder => f.write_str("herder"),
            Self::Token => f.write_str("token"),
            Self::Session { id } => write!(f, "session {id}"),
            Self::Run { job, number } => write!(f, "run {job} #{number}"),
            Self::Unknown { name } => f.write_str(name),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.principal)?;
        match &self.claim {
            Some(claim) => write!(f, "{SAYS}{claim})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_never_taken_for_a_proof() {
        let actor = Actor::new(Principal::Token).claiming("herder) \n(session 1");
        assert_eq!(actor.to_string(), "token (unverified: herder session 1)");
        for actor in [
            actor,
            Actor::herder(),
            Actor::new(Principal::Session { id: "ab12".into() }),
            Actor::new(Principal::Run {
                job: "team/a #b".into(),
                number: 3,
            })
            .claiming("ada"),
        ] {
            assert_eq!(Actor::parse(&actor.to_string()), actor);
        }
        let old = Actor::parse("the board");
        assert_eq!(
            old.principal,
            Principal::Unknown {
                name: "the board".into()
            }
        );
        assert_eq!(Actor::new(Principal::Token).claiming(" \t").claim, None);
    }
}
