//! What a run may be given.

use serde::Serialize;

/// A parameter of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Its name, also of the environment variable.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What may be given.
    #[serde(flatten)]
    pub kind: ParameterKind,
}

/// What a parameter takes, and what it is if nothing is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ParameterKind {
    /// A line.
    String {
        /// Used if nothing is given.
        default: String,
    },
    /// Several lines.
    Text {
        /// Used if nothing is given.
        default: String,
    },
    /// `true` or `false`.
    Boolean {
        /// Used if nothing is given.
        default: bool,
    },
    /// One of several.
    Choice {
        /// What may be chosen.
        choices: Vec<String>,
        /// Used if nothing is given; one of them.
        default: String,
    },
    /// A line that is masked wherever it would be seen.
    Password {
        /// Used if nothing is given. Read, never shown.
        #[serde(skip_serializing)]
        default: String,
    },
}

impl Parameter {
    /// The value if nothing is given.
    #[must_use]
    pub fn default_value(&self) -> String {
        match &self.kind {
            ParameterKind::String { default }
            | ParameterKind::Text { default }
            | ParameterKind::Choice { default, .. }
            | ParameterKind::Password { default } => default.clone(),
            ParameterKind::Boolean { default } => default.to_string(),
        }
    }

    /// Whether its value must not be seen.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, ParameterKind::Password { .. })
    }
}
