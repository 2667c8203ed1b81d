//! What a job's steps may ask the platform for, beyond what their service account may do in the cluster.

use herder_base::wildcard;
use serde::Serialize;

/// What a job may do. Nothing unless its definition says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct May {
    /// Bring developer environments up and down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Scope>,
    /// Promote applications to environments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote: Option<Scope>,
    /// Start jobs and read their runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Scope>,
}

/// Of what a job may do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// Its own: the environment it deploys to. A job that deploys nowhere is the platform's: all of them are its own.
    Own,
    /// Those whose name matches one of these, in which `*` is anything.
    These(Vec<String>),
}

impl May {
    /// Whether it may do nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Self { env, promote, run } = self;
        env.is_none() && promote.is_none() && run.is_none()
    }
}

impl Scope {
    /// Whether `name` is one of these; `own` says whether it is the job's own.
    #[must_use]
    pub fn holds(&self, name: &str, own: bool) -> bool {
        match self {
            Self::Own => own,
            Self::These(patterns) => patterns.iter().any(|pattern| wildcard(pattern, name)),
        }
    }

    /// Adds one name.
    pub fn add(scope: &mut Option<Self>, name: &str) {
        match scope {
            Some(Self::These(names)) if names.iter().any(|known| known == name) => {}
            Some(Self::These(names)) => names.push(name.to_owned()),
            _ => *scope = Some(Self::These(vec![name.to_owned()])),
        }
    }
}
