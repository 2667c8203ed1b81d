//! What a job does.

use serde::Serialize;
use std::collections::BTreeMap;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// A script, run by `/bin/sh -xe` or by what its first line names.
    Shell {
        /// For the log; its first telling line if empty.
        #[serde(skip_serializing_if = "String::is_empty")]
        name: String,
        /// The script.
        text: String,
        /// Variables of this step alone.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    },
    /// Something the platform itself does.
    Action(Action),
}

impl Step {
    /// A script without a name.
    pub fn shell(text: impl Into<String>) -> Self {
        Self::Shell {
            name: String::new(),
            text: text.into(),
            env: BTreeMap::new(),
        }
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Shell { name, .. } => Some(name.as_str()).filter(|name| !name.is_empty()),
            Self::Action(_) => None,
        }
    }
}

/// What the platform itself does as a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Reads the fleet repository and makes the set of jobs match it.
    UpdateJobs,
}
