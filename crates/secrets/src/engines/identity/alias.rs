//! Aliases of entities and of external groups.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::identity::{self, Alias, Entity, Group, Named};
use crate::core::mounts::Mounts;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A group's alias, kept apart from those of entities.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct GroupAlias(Alias);

impl Named for GroupAlias {
    const FOLDER: &'static str = "identity/group-alias";
    fn id(&self) -> &str {
        &self.0.id
    }
    fn unique(&self) -> String {
        self.0.unique()
    }
}

pub(super) fn group_alias(cx: &mut Cx<'_>, id: &str) -> Result<Option<Alias>> {
    Ok(identity::load::<GroupAlias>(&mut cx.txn, id)?.map(|alias| alias.0))
}

pub(super) fn group_alias_by_name(cx: &mut Cx<'_>, accessor: &str, name: &str) -> Result<Option<Alias>> {
    Ok(identity::by_unique::<GroupAlias>(&mut cx.txn, &format!("{accessor}:{name}"))?.map(|alias| alias.0))
}

pub(super) fn remove_group_alias(cx: &mut Cx<'_>, id: &str) -> Result<()> {
    if let Some(alias) = identity::load::<GroupAlias>(&mut cx.txn, id)? {
        identity::remove(&mut cx.txn, &alias);
    }
    Ok(())
}

fn load(cx: &mut Cx<'_>, id: &str, group: bool) -> Result<Option<Alias>> {
    if group {
        group_alias(cx, id)
    } else {
        identity::load(&mut cx.txn, id)
    }
}

fn save(cx: &mut Cx<'_>, alias: &Alias, group: bool) -> Result<()> {
    if group {
        identity::save(&mut cx.txn, &GroupAlias(alias.clone()))
    } else {
        identity::save(&mut cx.txn, alias)
    }
}

pub(super) fn describe(alias: &Alias) -> Value {
    json!({
        "id": alias.id,
        "name": alias.name,
        "canonical_id": alias.canonical_id,
        "mount_accessor": alias.mount_accessor,
        "mount_path": alias.mount_path,
        "mount_type": alias.mount_type,
        "metadata": if alias.metadata.is_empty() { Value::Null } else { json!(alias.metadata) },
        "custom_metadata": alias.custom_metadata,
        "local": false,
        "namespace_id": "root",
        "merged_from_canonical_ids": null,
        "creation_time": alias.created.to_string(),
        "last_update_time": alias.updated.to_string(),
    })
}

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request, path: &[&str], group: bool) -> Result<Response> {
    match (request.op, path) {
        (Op::Write, []) => write(
            cx,
            request,
            request.data.text("id").filter(|id| !id.is_empty()),
            group,
        ),
        (Op::Write, ["id", id]) => write(cx, request, Some((*id).to_owned()), group),
        (Op::Read, ["id", id]) => Ok(Response::data(describe(
            &load(cx, id, group)?.ok_or(Error::NotFound)?,
        ))),
        (Op::List, ["id"]) => {
            let all: Vec<Alias> = if group {
                identity::all::<GroupAlias>(&mut cx.txn)?
                    .into_iter()
                    .map(|alias| alias.0)
                    .collect()
            } else {
                identity::all(&mut cx.txn)?
            };
            let info: Map<String, Value> = all
                .iter()
                .map(|alias| (alias.id.clone(), describe(alias)))
                .collect();
            super::keys_with(info)
        }
        (Op::Delete, ["id", id]) => {
            if let Some(alias) = load(cx, id, group)? {
                detach(cx, &alias, group)?;
                if group {
                    identity::remove(&mut cx.txn, &GroupAlias(alias));
                } else {
                    identity::remove(&mut cx.txn, &alias);
                }
            }
            Ok(Response::empty())
        }
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn detach(cx: &mut Cx<'_>, alias: &Alias, group: bool) -> Result<()> {
    if group {
        if let Some(mut owner) = identity::load::<Group>(&mut cx.txn, &alias.canonical_id)? {
            owner.alias.clear();
            identity::save(&mut cx.txn, &owner)?;
        }
    } else if let Some(mut owner) = identity::load::<Entity>(&mut cx.txn, &alias.canonical_id)? {
        owner.aliases.retain(|id| *id != alias.id);
        identity::save(&mut cx.txn, &owner)?;
    }
    Ok(())
}

fn write(cx: &mut Cx<'_>, request: &Request, id: Option<String>, group: bool) -> Result<Response> {
    let data = &request.data;
    let mut alias = match &id {
        Some(id) => load(cx, id, group)?.ok_or_else(|| Error::invalid("invalid alias id"))?,
        None => Alias {
            id: uuid::Uuid::new_v4().to_string(),
            created: cx.now,
            ..Alias::default()
        },
    };
    let mut before = id.is_some().then(|| alias.clone());
    if let Some(name) = data.text("name").filter(|name| !name.is_empty()) {
        alias.name = name;
    }
    if alias.name.is_empty() {
        return Err(Error::invalid("missing alias name"));
    }
    if let Some(accessor) = data
        .text("mount_accessor")
        .filter(|accessor| !accessor.is_empty())
    {
        let mounts = Mounts::load(&mut cx.txn)?;
        let mount = mounts
            .auth
            .values()
            .find(|mount| mount.accessor == accessor)
            .ok_or_else(|| Error::invalid(format!("invalid mount accessor {accessor:?}")))?;
        alias.mount_path = mount.full_path();
        alias.mount_type.clone_from(&mount.kind);
        alias.mount_accessor = accessor;
    }
    if alias.mount_accessor.is_empty() {
        return Err(Error::invalid("missing mount_accessor"));
    }
    let metadata = data.strings("metadata");
    if let Some(metadata) = &metadata {
        alias.metadata.clone_from(metadata);
    }
    if let Some(custom) = data.strings("custom_metadata") {
        alias.custom_metadata = custom;
    }
    let taken = if group {
        group_alias_by_name(cx, &alias.mount_accessor, &alias.name)?
    } else {
        identity::by_unique(&mut cx.txn, &format!("{}:{}", alias.mount_accessor, alias.name))?
    };
    if let Some(other) = taken
        && other.id != alias.id
    {
        if id.is_some() {
            return Err(Error::invalid(
                "alias with combination of mount accessor and name already exists",
            ));
        }
        before = Some(other.clone());
        alias = Alias {
            metadata: metadata.unwrap_or_else(|| other.metadata.clone()),
            custom_metadata: alias.custom_metadata,
            ..other
        };
    }
    let owner = data
        .text("canonical_id")
        .or_else(|| data.text("entity_id"))
        .filter(|owner| !owner.is_empty())
        .unwrap_or_else(|| alias.canonical_id.clone());
    if let Some(before) = before.filter(|_| !group)
        && (&before.name, &before.mount_accessor) == (&alias.name, &alias.mount_accessor)
        && (&before.metadata, &before.custom_metadata) == (&alias.metadata, &alias.custom_metadata)
        && before.canonical_id == owner
    {
        // Vault says nothing to who changes nothing, and clients go by that.
        return Ok(Response::empty());
    }
    if alias.canonical_id != owner && !alias.canonical_id.is_empty() {
        detach(cx, &alias, group)?;
    }
    attach(cx, &mut alias, &owner, group)?;
    alias.updated = cx.now;
    save(cx, &alias, group)?;
    Ok(Response::data(
        json!({ "id": alias.id, "canonical_id": alias.canonical_id }),
    ))
}

fn attach(cx: &mut Cx<'_>, alias: &mut Alias, owner: &str, group: bool) -> Result<()> {
    if group {
        let mut owner: Group = if owner.is_empty() {
            let id = uuid::Uuid::new_v4().to_string();
            Group {
                name: format!("group_{}", id.get(..8).unwrap_or_default()),
                id,
                external: true,
                created: cx.now,
                updated: cx.now,
                ..Group::default()
            }
        } else {
            identity::load(&mut cx.txn, owner)?
                .ok_or_else(|| Error::invalid("invalid group ID given in 'canonical_id'"))?
        };
        if !owner.external {
            return Err(Error::invalid("alias can't be set on an internal group"));
        }
        owner.alias.clone_from(&alias.id);
        alias.canonical_id.clone_from(&owner.id);
        return identity::save(&mut cx.txn, &owner);
    }
    let mut owner: Entity = if owner.is_empty() {
        let id = uuid::Uuid::new_v4().to_string();
        Entity {
            name: format!("entity_{}", id.get(..8).unwrap_or_default()),
            id,
            created: cx.now,
            updated: cx.now,
            ..Entity::default()
        }
    } else {
        identity::load(&mut cx.txn, owner)?.ok_or_else(|| Error::invalid("invalid canonical ID"))?
    };
    if !owner.aliases.contains(&alias.id) {
        owner.aliases.push(alias.id.clone());
    }
    alias.canonical_id.clone_from(&owner.id);
    identity::save(&mut cx.txn, &owner)
}
