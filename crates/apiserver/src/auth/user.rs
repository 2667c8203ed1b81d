//! A user, and how a client certificate names one.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// Unique id, where there is one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// More, such as the pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Nobody in particular.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Self::default()
        }
    }

    /// A known user of these groups.
    #[must_use]
    pub fn known(name: impl Into<String>, mut groups: Vec<String>) -> Self {
        groups.push("system:authenticated".to_owned());
        Self {
            name: name.into(),
            groups,
            ..Self::default()
        }
    }

    /// Whether the user is in a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The node this is the agent of.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        let name = self.name.strip_prefix(super::agents::USER)?;
        (!name.is_empty() && self.is_in(super::agents::GROUP)).then_some(name)
    }

    /// As `authentication.k8s.io/v1 UserInfo`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({"username": self.name, "groups": self.groups});
        if let Some(map) = value.as_object_mut() {
            if !self.uid.is_empty() {
                map.insert("uid".to_owned(), json!(self.uid));
            }
            if !self.extra.is_empty() {
                map.insert("extra".to_owned(), json!(self.extra));
            }
        }
        value
    }
}

/// The user that a verified client certificate names: its common name, its organisations as groups.
#[must_use]
pub fn user_of_certificate(der: &[u8]) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok().map(str::to_owned))
        .collect();
    Some(User::known(name, groups))
}
