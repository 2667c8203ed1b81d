//! Entities, aliases and groups: the stored forms, which entity a log in belongs to, which policies it brings, and
//! filling policy templates. The HTTP paths are in `engines::identity`.

use super::context::Cx;
use super::params::Login;
use super::policy::{Policy, capability};
use super::txn::Txn;
use crate::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody or something that logs in, by whatever methods.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Entity {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) policies: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) disabled: bool,
    pub(crate) aliases: Vec<String>,
    pub(crate) merged: Vec<String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

/// A name on one log in method.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Alias {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Entity or group.
    pub(crate) canonical_id: String,
    pub(crate) mount_accessor: String,
    pub(crate) mount_path: String,
    pub(crate) mount_type: String,
    /// What the log in method says.
    pub(crate) metadata: BTreeMap<String, String>,
    /// What people say.
    #[serde(default)]
    pub(crate) custom_metadata: BTreeMap<String, String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

/// Entities and groups together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) external: bool,
    pub(crate) policies: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) members: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) alias: String,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

/// A kind of thing stored under an id, with a unique name.
pub(crate) trait Named:
    Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static
{
    const FOLDER: &'static str;
    fn id(&self) -> &str;
    /// What must be unique.
    fn unique(&self) -> String;
}

impl Named for Entity {
    const FOLDER: &'static str = "identity/entity";
    fn id(&self) -> &str {
        &self.id
    }
    fn unique(&self) -> String {
        self.name.to_lowercase()
    }
}

impl Named for Group {
    const FOLDER: &'static str = "identity/group";
    fn id(&self) -> &str {
        &self.id
    }
    fn unique(&self) -> String {
        self.name.to_lowercase()
    }
}

/// An entity's alias; a group's has a folder of its own.
impl Named for Alias {
    const FOLDER: &'static str = "identity/alias";
    fn id(&self) -> &str {
        &self.id
    }
    fn unique(&self) -> String {
        format!("{}:{}", self.mount_accessor, self.name)
    }
}

/// Where it is stored.
pub(crate) fn key<T: Named>(id: &str) -> String {
    format!("{}/id/{id}", T::FOLDER)
}

fn name_key<T: Named>(unique: &str) -> String {
    // Names are whatever a log in says; the hex form cannot be mistaken for a path.
    format!("{}/name/{}", T::FOLDER, hex::encode(unique))
}

/// By id.
pub(crate) fn load<T: Named>(txn: &mut Txn<'_>, id: &str) -> Result<Option<T>> {
    if id.is_empty() || id.contains('/') {
        return Ok(None);
    }
    let found = txn.cached::<T>(&key::<T>(id), |bytes| serde_json::from_slice(bytes).ok())?;
    Ok(found.map(|found| T::clone(&found)))
}

/// By what is unique about it.
pub(crate) fn by_unique<T: Named>(txn: &mut Txn<'_>, unique: &str) -> Result<Option<T>> {
    match txn.get::<String>(&name_key::<T>(unique))? {
        Some(id) => load(txn, &id),
        None => Ok(None),
    }
}

/// Every one.
pub(crate) fn all<T: Named>(txn: &mut Txn<'_>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for id in txn.list(&format!("{}/id/", T::FOLDER)) {
        found.extend(load(txn, &id)?);
    }
    Ok(found)
}

/// Stores it and its name; frees the name it had.
pub(crate) fn save<T: Named>(txn: &mut Txn<'_>, value: &T) -> Result<()> {
    if let Some(before) = load::<T>(txn, value.id())?
        && before.unique() != value.unique()
    {
        txn.delete(&name_key::<T>(&before.unique()));
    }
    txn.put(&name_key::<T>(&value.unique()), &value.id())?;
    txn.put(&key::<T>(value.id()), value)
}

/// Removes it and frees its name.
pub(crate) fn remove<T: Named>(txn: &mut Txn<'_>, value: &T) {
    txn.delete(&name_key::<T>(&value.unique()));
    txn.delete(&key::<T>(value.id()));
}

/// The entity of a log in; made at the first one.
pub(crate) fn entity_for_login(cx: &mut Cx<'_>, login: &Login) -> Result<Option<Entity>> {
    if login.alias.is_empty() {
        return Ok(None);
    }
    let accessor = cx.mount.accessor.clone();
    let found: Option<Alias> = by_unique(&mut cx.txn, &format!("{accessor}:{}", login.alias))?;
    if let Some(alias) = found
        && let Some(entity) = load::<Entity>(&mut cx.txn, &alias.canonical_id)?
    {
        return if entity.disabled {
            Err(crate::Error::Denied)
        } else {
            Ok(Some(entity))
        };
    }
    let mut entity = Entity {
        id: uuid::Uuid::new_v4().to_string(),
        created: cx.now,
        updated: cx.now,
        ..Entity::default()
    };
    entity.name = format!("entity_{}", entity.id.get(..8).unwrap_or_default());
    let alias = Alias {
        id: uuid::Uuid::new_v4().to_string(),
        name: login.alias.clone(),
        canonical_id: entity.id.clone(),
        mount_accessor: accessor,
        mount_path: cx.mount.full_path(),
        mount_type: cx.mount.kind.clone(),
        metadata: login.metadata.clone(),
        custom_metadata: BTreeMap::new(),
        created: cx.now,
        updated: cx.now,
    };
    entity.aliases.push(alias.id.clone());
    save(&mut cx.txn, &entity)?;
    save(&mut cx.txn, &alias)?;
    Ok(Some(entity))
}

/// An entity by its id; none for the empty id.
pub(crate) fn by_id(cx: &mut Cx<'_>, id: &str) -> Result<Option<Entity>> {
    load(&mut cx.txn, id)
}

/// The groups an entity is in, directly or by other groups.
pub(crate) fn groups_of(txn: &mut Txn<'_>, entity: &str) -> Result<(Vec<Group>, Vec<Group>)> {
    let all: Vec<Group> = all(txn)?;
    let direct: Vec<Group> = all
        .iter()
        .filter(|group| group.members.iter().any(|id| id == entity))
        .cloned()
        .collect();
    let mut seen: BTreeSet<String> = direct.iter().map(|group| group.id.clone()).collect();
    let mut todo: Vec<String> = seen.iter().cloned().collect();
    let mut inherited = Vec::new();
    while let Some(id) = todo.pop() {
        for above in all.iter().filter(|group| group.groups.contains(&id)) {
            if seen.insert(above.id.clone()) {
                inherited.push(above.clone());
                todo.push(above.id.clone());
            }
        }
    }
    Ok((direct, inherited))
}

/// Policies an entity brings by itself and by its groups.
pub(crate) fn policies_of(cx: &mut Cx<'_>, entity: &Entity) -> Result<Vec<String>> {
    let (direct, inherited) = groups_of(&mut cx.txn, &entity.id)?;
    let mut policies = entity.policies.clone();
    policies.extend(
        direct
            .into_iter()
            .chain(inherited)
            .flat_map(|group| group.policies),
    );
    policies.sort();
    policies.dedup();
    // Nobody becomes root by an entity or a group.
    policies.retain(|policy| policy != "root");
    Ok(policies)
}

/// A policy with `{{identity.…}}` filled in. Rules that allow are left out if they cannot be filled, or if what they would
/// be filled with is more than one segment or a pattern. One that denies is filled with whatever there is: nobody gets
/// around it by their name.
pub(crate) fn fill(policy: &Policy, entity: Option<&Entity>, aliases: &[Alias]) -> Policy {
    let rules = policy
        .rules
        .iter()
        .filter_map(|rule| {
            let mut rule = rule.clone();
            let denies = rule.permissions.bits & capability::DENY != 0;
            rule.path = fill_text(&rule.path, entity, aliases, denies)?;
            Some(rule)
        })
        .collect();
    Policy { rules }
}

fn fill_text(text: &str, entity: Option<&Entity>, aliases: &[Alias], denies: bool) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}")?;
        let value = lookup(name.trim(), entity?, aliases)?;
        // A value that changes what the path matches must not come from outside.
        if value.is_empty() || !denies && (value.contains(['*', '+', '/']) || value.contains("..")) {
            return None;
        }
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn lookup<'e>(name: &str, entity: &'e Entity, aliases: &'e [Alias]) -> Option<&'e str> {
    let name = name.strip_prefix("identity.entity.")?;
    match name {
        "id" => return Some(&entity.id),
        "name" => return Some(&entity.name),
        _ => {}
    }
    if let Some(field) = name.strip_prefix("metadata.") {
        return entity.metadata.get(field).map(String::as_str);
    }
    let (accessor, field) = name.strip_prefix("aliases.")?.split_once('.')?;
    let alias = aliases.iter().find(|alias| alias.mount_accessor == accessor)?;
    match field {
        "id" => Some(&alias.id),
        "name" => Some(&alias.name),
        _ => match field.strip_prefix("custom_metadata.") {
            Some(name) => alias.custom_metadata.get(name),
            None => alias.metadata.get(field.strip_prefix("metadata.")?),
        }
        .map(String::as_str),
    }
}
