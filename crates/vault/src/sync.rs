//! What Vault holds of a fleet's policies and Kubernetes roles: looks, writes one thing at a time, and keeps the note of
//! what is the fleet's. Decides nothing: what is to be written is somebody's plan.
//!
//! What was made is noted in a policy of its own (`herder-owned-OWNER`) whose text is a list in comments and a rule that
//! grants nothing, so that ownership needs no secrets engine and is seen by everyone who lists policies. Whoever writes
//! widens the note before and narrows it after, so that an interruption loses nothing.

use crate::client::{Client, Method};
use crate::error::Error;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use tokio::task::JoinSet;

/// How many questions at a time.
const AT_ONCE: usize = 16;

/// A role of the Kubernetes login as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KubernetesRole {
    /// Its name.
    pub name: String,
    /// The service accounts that may log in, `*` for any.
    pub service_accounts: Vec<String>,
    /// Their namespaces, `*` for any.
    pub namespaces: Vec<String>,
    /// The policies they get.
    pub policies: Vec<String>,
    /// How long a token lives before it must be renewed.
    pub ttl: Option<Duration>,
    /// How long it can be renewed for.
    pub max_ttl: Option<Duration>,
    /// The audience that the service account's token must have.
    pub audience: Option<String>,
}

impl KubernetesRole {
    /// What is written for it: equal texts mean equal roles, in whatever order their lists were.
    #[must_use]
    pub fn text(&self) -> String {
        let list = |items: &[String]| items.iter().cloned().collect::<BTreeSet<_>>();
        let body = json!({
            "bound_service_account_names": list(&self.service_accounts),
            "bound_service_account_namespaces": list(&self.namespaces),
            "token_policies": list(&self.policies),
            "token_ttl": self.ttl.map_or(0, |ttl| ttl.as_secs()),
            "token_max_ttl": self.max_ttl.map_or(0, |ttl| ttl.as_secs()),
            "audience": self.audience.as_deref().unwrap_or(""),
        });
        body.to_string()
    }
}

/// What belongs together: only things of the same scope are ever removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Who owns what is made, for example the fleet's name. Lower-case letters, digits and dashes.
    pub owner: String,
    /// Where the Kubernetes login is mounted.
    pub mount: String,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            owner: "fleet".to_owned(),
            mount: "kubernetes".to_owned(),
        }
    }
}

impl Scope {
    fn note_name(&self) -> String {
        format!("herder-owned-{}", self.owner)
    }

    fn role_path(&self, name: &str) -> String {
        format!("auth/{}/role/{name}", self.mount)
    }

    /// Why something cannot have a name, if so. Names are part of paths.
    #[must_use]
    pub fn name_fault(&self, name: &str) -> Option<String> {
        let good = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
            && name != "root"
            && name != self.note_name();
        (!good).then(|| {
            format!(
                "`{name}` cannot be the name of a policy or role: use lower-case letters, digits, `-` and `_`"
            )
        })
    }
}

/// Names of policies and roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    /// Of policies.
    pub policies: BTreeSet<String>,
    /// Of roles.
    pub roles: BTreeSet<String>,
}

/// What Vault holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Texts of policies, without space around them.
    pub policies: BTreeMap<String, String>,
    /// Texts of roles, as [`KubernetesRole::text`] has them.
    pub roles: BTreeMap<String, String>,
    /// What is noted as the scope's.
    pub owned: Owned,
}

/// One thing to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// A policy with its text, HCL or JSON.
    Policy(&'a str, &'a str),
    /// A role with its text, see [`KubernetesRole::text`].
    Role(&'a str, &'a str),
    /// The removal of a policy.
    RemovePolicy(&'a str),
    /// The removal of a role.
    RemoveRole(&'a str),
}

impl fmt::Display for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(name, _) => write!(f, "write policy `{name}`"),
            Self::RemovePolicy(name) => write!(f, "remove policy `{name}`"),
            Self::Role(name, _) => write!(f, "write role `{name}`"),
            Self::RemoveRole(name) => write!(f, "remove role `{name}`"),
        }
    }
}

/// Reads these policies and roles, and all that are noted as the scope's.
///
/// # Errors
/// If Vault cannot be reached or does not let us read.
pub async fn look(client: &Client, scope: &Scope, names: &Owned) -> Result<Held, Error> {
    let mut held = Held {
        owned: read(client, &policy_path(&scope.note_name()))
            .await?
            .map(|answer| read_note(&policy_text(&answer)))
            .unwrap_or_default(),
        ..Held::default()
    };
    let policies = (&names.policies | &held.owned.policies).into_iter();
    let policies = policies.map(|name| (policy_path(&name), name)).collect();
    for (name, answer) in read_all(client, policies).await? {
        held.policies.insert(name, policy_text(&answer));
    }
    let roles = (&names.roles | &held.owned.roles).into_iter();
    let roles = roles.map(|name| (scope.role_path(&name), name)).collect();
    for (name, answer) in read_all(client, roles).await? {
        held.roles
            .insert(name, role_text(answer.get("data").unwrap_or(&Json::Null)));
    }
    Ok(held)
}

/// Notes what is the scope's.
///
/// # Errors
/// If Vault cannot be reached or refuses.
pub async fn note(client: &Client, scope: &Scope, owned: &Owned) -> Result<(), Error> {
    let lines = owned
        .policies
        .iter()
        .map(|name| format!("# policy {name}\n"))
        .chain(owned.roles.iter().map(|name| format!("# role {name}\n")))
        .collect::<String>();
    let text = format!(
        "# What herder made here for `{}` and removes when git no longer has it. Do not attach this policy.\n{lines}\
         path \"herder/nothing\" {{\n  capabilities = [\"deny\"]\n}}\n",
        scope.owner
    );
    write(client, scope, Write::Policy(&scope.note_name(), &text)).await
}

/// Writes one thing. To remove what is not there is no fault.
///
/// # Errors
/// If Vault cannot be reached or refuses; [`Error::is_refusal`] tells which.
pub async fn write(client: &Client, scope: &Scope, change: Write<'_>) -> Result<(), Error> {
    let (method, path, body) = match change {
        Write::Policy(name, text) => (Method::Post, policy_path(name), Some(json!({"policy": text}))),
        Write::Role(name, text) => {
            let body = serde_json::from_str(text).unwrap_or(Json::Null);
            (Method::Post, scope.role_path(name), Some(body))
        }
        Write::RemovePolicy(name) => (Method::Delete, policy_path(name), None),
        Write::RemoveRole(name) => (Method::Delete, scope.role_path(name), None),
    };
    match client.call(method, &path, body.as_ref()).await {
        Ok(_) => Ok(()),
        Err(Error::NotFound { .. }) if method == Method::Delete => Ok(()),
        Err(error) => Err(error),
    }
}

async fn read(client: &Client, path: &str) -> Result<Option<Json>, Error> {
    match client.call(Method::Get, path, None).await {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads many things, some at a time: paths with names. What is not there is left out.
async fn read_all(client: &Client, wanted: Vec<(String, String)>) -> Result<Vec<(String, Json)>, Error> {
    let mut wanted = wanted.into_iter();
    let mut asked = JoinSet::new();
    let mut found = Vec::new();
    loop {
        while asked.len() < AT_ONCE
            && let Some((path, name)) = wanted.next()
        {
            let client = client.clone();
            asked.spawn(async move { Ok::<_, Error>((name, read(&client, &path).await?)) });
        }
        match asked.join_next().await {
            None => return Ok(found),
            Some(Ok(answer)) => {
                let (name, answer) = answer?;
                found.extend(answer.map(|answer| (name, answer)));
            }
            // Cut off only where the runtime ends, and with it whoever asked.
            Some(Err(error)) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

fn policy_text(answer: &Json) -> String {
    let text = answer
        .pointer("/data/policy")
        .or_else(|| answer.pointer("/data/rules"));
    text.and_then(Json::as_str).unwrap_or_default().trim().to_owned()
}

fn policy_path(name: &str) -> String {
    format!("sys/policies/acl/{name}")
}

/// What Vault echoes of a role, as it would be written: lists as sets, an absent field as its default.
fn role_text(present: &Json) -> String {
    let plain = serde_json::from_str(&KubernetesRole::default().text()).unwrap_or_default();
    let fields: Map<String, Json> = plain;
    let found = fields.into_iter().map(|(field, default)| {
        let value = match present.get(&field) {
            None | Some(Json::Null) => default,
            Some(Json::Array(items)) => {
                let set: BTreeSet<&str> = items.iter().filter_map(Json::as_str).collect();
                json!(set)
            }
            Some(value) => value.clone(),
        };
        (field, value)
    });
    Json::Object(found.collect()).to_string()
}

fn read_note(text: &str) -> Owned {
    let mut owned = Owned::default();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# policy ") {
            owned.policies.insert(name.trim().to_owned());
        } else if let Some(name) = line.strip_prefix("# role ") {
            owned.roles.insert(name.trim().to_owned());
        }
    }
    owned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_compared_by_meaning() {
        let role = KubernetesRole {
            name: "shop".into(),
            service_accounts: vec!["b".into(), "a".into()],
            namespaces: vec!["*".into()],
            policies: vec!["shop".into()],
            ttl: Some(Duration::from_secs(3600)),
            ..KubernetesRole::default()
        };
        let mut present = json!({
            "bound_service_account_names": ["a", "b"], "bound_service_account_namespaces": ["*"],
            "token_policies": ["shop"], "token_ttl": 3600, "token_type": "default", "alias_name_source": "x",
        });
        assert_eq!(role_text(&present), role.text());
        present["token_policies"] = json!(["shop", "more"]);
        assert_ne!(role_text(&present), role.text());
        present["token_policies"] = json!(["shop"]);
        present["token_max_ttl"] = json!(1);
        assert_ne!(role_text(&present), role.text());
    }

    #[test]
    fn names_are_parts_of_paths() {
        let scope = Scope::default();
        let fine: Vec<&str> = ["a", "b-1", "A", "root", "a/b", "herder-owned-fleet", "", "a b"]
            .into_iter()
            .filter(|name| scope.name_fault(name).is_none())
            .collect();
        assert_eq!(fine, ["a", "b-1"]);
    }
}
