//! Makes Vault's policies and Kubernetes roles what git says: writes only differences, removes only what it made. Each
//! policy and role stands alone: one that Vault refuses keeps no other from being written.
//!
//! What it made is noted in a policy of its own (`herder-owned-OWNER`) whose text is a list in comments and a rule that
//! grants nothing, so that ownership needs no secrets engine and is seen by everyone who lists policies. The note is
//! widened before anything is written and narrowed after everything is removed, so that an interruption loses nothing.

use crate::client::{Client, Method};
use crate::error::Error;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// A policy as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name; Vault keeps names in lower case.
    pub name: String,
    /// Its text, HCL or JSON.
    pub text: String,
}

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

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A policy that is missing or different is written.
    WritePolicy(String),
    /// A policy that is no longer wanted is removed.
    RemovePolicy(String),
    /// A role that is missing or different is written.
    WriteRole(String),
    /// A role that is no longer wanted is removed.
    RemoveRole(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WritePolicy(name) => write!(f, "write policy `{name}`"),
            Self::RemovePolicy(name) => write!(f, "remove policy `{name}`"),
            Self::WriteRole(name) => write!(f, "write role `{name}`"),
            Self::RemoveRole(name) => write!(f, "remove role `{name}`"),
        }
    }
}

/// What there is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The policies.
    pub policies: Vec<Policy>,
    /// The roles.
    pub roles: Vec<KubernetesRole>,
    /// Some policies could not be read: none is removed, because a missing one may only be unreadable.
    pub keep_policies: bool,
    /// The same for roles.
    pub keep_roles: bool,
}

/// What was done, and what was not.
#[derive(Debug, Default)]
pub struct Synced {
    /// The differences that were written.
    pub changes: Vec<Change>,
    /// Those that Vault, or the rules for names, refused, with the reason. They are as they were.
    pub refused: Vec<(Change, String)>,
}

/// Synchronising stopped; what was written stays and the next run goes on from there.
#[derive(Debug, Error)]
pub enum SyncError {
    /// The comparison could not be made.
    #[error("Vault's policies and roles cannot be compared")]
    Read(#[source] Error),
    /// One difference could not be written.
    #[error("could not {0}")]
    Write(Change, #[source] Error),
    /// One difference was refused.
    #[error("could not {0}: {1}")]
    Refused(Change, String),
}

/// [`sync_with`] in the default scope, where nothing may be refused.
///
/// # Errors
/// As [`sync_with`], and with the first refusal.
pub async fn sync(
    client: &Client,
    policies: &[Policy],
    roles: &[KubernetesRole],
) -> Result<Vec<Change>, SyncError> {
    let wanted = Wanted {
        policies: policies.to_vec(),
        roles: roles.to_vec(),
        ..Wanted::default()
    };
    let synced = sync_with(client, &Scope::default(), &wanted).await?;
    match synced.refused.into_iter().next() {
        Some((change, why)) => Err(SyncError::Refused(change, why)),
        None => Ok(synced.changes),
    }
}

/// Writes the differences and says which there were; none on a second run.
///
/// # Errors
/// If Vault cannot be reached or read; what was done until then stays, and the next run goes on from there.
pub async fn sync_with(client: &Client, scope: &Scope, wanted: &Wanted) -> Result<Synced, SyncError> {
    let mut synced = Synced::default();
    let wanted = named(scope, wanted, &mut synced.refused);
    let (changes, owned) = compare(client, scope, &wanted).await?;
    let mut present = Owned {
        policies: wanted.policies.iter().map(|policy| policy.name.clone()).collect(),
        roles: wanted.roles.iter().map(|role| role.name.clone()).collect(),
    };
    let both = Owned {
        policies: &owned.policies | &present.policies,
        roles: &owned.roles | &present.roles,
    };
    if both != owned {
        note(client, scope, &both).await?;
    }
    for change in changes {
        match apply(client, scope, &wanted, &change).await {
            Ok(()) => synced.changes.push(change),
            Err(error @ (Error::Refused { .. } | Error::Denied(_) | Error::Path { .. })) => {
                // What was not removed is still ours to remove.
                match &change {
                    Change::RemovePolicy(name) => _ = present.policies.insert(name.clone()),
                    Change::RemoveRole(name) => _ = present.roles.insert(name.clone()),
                    Change::WritePolicy(_) | Change::WriteRole(_) => {}
                }
                synced
                    .refused
                    .push((change, herder_base::chain(&error).to_string()));
            }
            Err(error) => return Err(SyncError::Write(change, error)),
        }
    }
    if wanted.keep_policies {
        present.policies.extend(owned.policies.iter().cloned());
    }
    if wanted.keep_roles {
        present.roles.extend(owned.roles.iter().cloned());
    }
    if present != both {
        note(client, scope, &present).await?;
    }
    Ok(synced)
}

/// What has names that Vault takes, each once; the rest is refused. A refused one is not removed either.
fn named(scope: &Scope, wanted: &Wanted, refused: &mut Vec<(Change, String)>) -> Wanted {
    let mut kept = wanted.clone();
    let own = note_name(scope);
    let mut seen = BTreeSet::new();
    kept.policies.retain(|policy| {
        let fault = fault_of(&policy.name, &own, seen.insert(policy.name.clone()));
        let change = || Change::WritePolicy(policy.name.clone());
        refused.extend(fault.iter().map(|why| (change(), why.clone())));
        fault.is_none()
    });
    let mut seen = BTreeSet::new();
    kept.roles.retain(|role| {
        let fault = fault_of(&role.name, "", seen.insert(role.name.clone()));
        let change = || Change::WriteRole(role.name.clone());
        refused.extend(fault.iter().map(|why| (change(), why.clone())));
        fault.is_none()
    });
    kept
}

fn fault_of(name: &str, reserved: &str, first: bool) -> Option<String> {
    let good = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
        && name != "root"
        && name != reserved;
    if !good {
        return Some(format!(
            "`{name}` cannot be the name of a policy or role: use lower-case letters, digits, `-` and `_`"
        ));
    }
    (!first).then(|| format!("`{name}` is defined twice; the first one counts"))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Owned {
    policies: BTreeSet<String>,
    roles: BTreeSet<String>,
}

async fn compare(client: &Client, scope: &Scope, wanted: &Wanted) -> Result<(Vec<Change>, Owned), SyncError> {
    let Wanted {
        policies,
        roles,
        keep_policies,
        keep_roles,
    } = wanted;
    let read = |path: String| async move {
        match client.call(Method::Get, &path, None).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(SyncError::Read(error)),
        }
    };
    let text = |answer: &Json| {
        let text = answer
            .pointer("/data/policy")
            .or_else(|| answer.pointer("/data/rules"));
        text.and_then(Json::as_str).unwrap_or_default().trim().to_owned()
    };
    let owned = read(policy_path(&note_name(scope)))
        .await?
        .map(|answer| read_note(&text(&answer)))
        .unwrap_or_default();
    let mut changes = Vec::new();
    for policy in policies {
        let present = read(policy_path(&policy.name)).await?.map(|answer| text(&answer));
        if present.as_deref() != Some(policy.text.trim()) {
            changes.push(Change::WritePolicy(policy.name.clone()));
        }
    }
    for role in roles {
        let present = read(role_path(scope, &role.name)).await?;
        let same = present
            .and_then(|answer| answer.get("data").map(|data| same_role(role, data)))
            .unwrap_or(false);
        if !same {
            changes.push(Change::WriteRole(role.name.clone()));
        }
    }
    let unwanted_role = |name: &&String| roles.iter().all(|role| role.name != **name);
    let unwanted_policy = |name: &&String| policies.iter().all(|policy| policy.name != **name);
    changes.extend(
        owned
            .roles
            .iter()
            .filter(|_| !keep_roles)
            .filter(unwanted_role)
            .cloned()
            .map(Change::RemoveRole),
    );
    changes.extend(
        owned
            .policies
            .iter()
            .filter(|_| !keep_policies)
            .filter(unwanted_policy)
            .cloned()
            .map(Change::RemovePolicy),
    );
    Ok((changes, owned))
}

async fn apply(client: &Client, scope: &Scope, wanted: &Wanted, change: &Change) -> Result<(), Error> {
    let (method, path, body) = match change {
        Change::WritePolicy(name) => {
            let Some(policy) = wanted.policies.iter().find(|policy| policy.name == *name) else {
                return Ok(());
            };
            (
                Method::Post,
                policy_path(name),
                Some(json!({"policy": policy.text})),
            )
        }
        Change::WriteRole(name) => {
            let Some(role) = wanted.roles.iter().find(|role| role.name == *name) else {
                return Ok(());
            };
            (Method::Post, role_path(scope, name), Some(role_body(role)))
        }
        Change::RemovePolicy(name) => (Method::Delete, policy_path(name), None),
        Change::RemoveRole(name) => (Method::Delete, role_path(scope, name), None),
    };
    match client.call(method, &path, body.as_ref()).await {
        Ok(_) => Ok(()),
        Err(Error::NotFound { .. }) if method == Method::Delete => Ok(()),
        Err(error) => Err(error),
    }
}

fn policy_path(name: &str) -> String {
    format!("sys/policies/acl/{name}")
}

fn role_path(scope: &Scope, name: &str) -> String {
    format!("auth/{}/role/{name}", scope.mount)
}

fn role_body(role: &KubernetesRole) -> Json {
    json!({
        "bound_service_account_names": role.service_accounts,
        "bound_service_account_namespaces": role.namespaces,
        "token_policies": role.policies,
        "token_ttl": role.ttl.map_or(0, |ttl| ttl.as_secs()),
        "token_max_ttl": role.max_ttl.map_or(0, |ttl| ttl.as_secs()),
        "audience": role.audience.as_deref().unwrap_or(""),
    })
}

/// Compares what a role says with what Vault echoes: lists as sets, an absent field as its default.
fn same_role(role: &KubernetesRole, present: &Json) -> bool {
    let wanted = role_body(role);
    let Some(wanted) = wanted.as_object() else {
        return false;
    };
    wanted
        .iter()
        .all(|(field, want)| match (want, present.get(field)) {
            (Json::Array(want), Some(Json::Array(have))) => {
                let set = |items: &[Json]| items.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
                set(want) == set(have)
            }
            (want, None | Some(Json::Null)) => *want == json!(0) || *want == json!("") || *want == json!([]),
            (want, Some(have)) => want == have,
        })
}

fn note_name(scope: &Scope) -> String {
    format!("herder-owned-{}", scope.owner)
}

async fn note(client: &Client, scope: &Scope, owned: &Owned) -> Result<(), SyncError> {
    let name = note_name(scope);
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
    let result = client
        .call(Method::Post, &policy_path(&name), Some(&json!({"policy": text})))
        .await;
    result
        .map(drop)
        .map_err(|error| SyncError::Write(Change::WritePolicy(name), error))
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
        assert!(same_role(&role, &present));
        present["token_policies"] = json!(["shop", "more"]);
        assert!(!same_role(&role, &present));
    }

    #[test]
    fn names_are_checked_one_by_one() {
        let policy = |name: &str| Policy {
            name: name.to_owned(),
            text: String::new(),
        };
        let wanted = Wanted {
            policies: ["a", "b-1", "A", "a", "root", "a/b", "herder-owned-fleet"]
                .map(policy)
                .to_vec(),
            ..Wanted::default()
        };
        let mut refused = Vec::new();
        let kept = named(&Scope::default(), &wanted, &mut refused);
        let names: Vec<&str> = kept.policies.iter().map(|policy| policy.name.as_str()).collect();
        assert_eq!(names, ["a", "b-1"]);
        assert_eq!(refused.len(), 5);
    }
}
