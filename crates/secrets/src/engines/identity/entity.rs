//! Entities: creating, updating, listing, merging, deleting.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::identity::{self, Alias, Entity};
use crate::core::params::clean_policies;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use serde_json::{Map, Value, json};

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request, path: &[&str]) -> Result<Response> {
    match (request.op, path) {
        (Op::Write, []) => {
            let id = request.data.text("id").filter(|id| !id.is_empty());
            let name = request.data.text("name").filter(|name| !name.is_empty());
            write(cx, request, id, name)
        }
        (Op::Write, ["id", id]) => write(
            cx,
            request,
            Some((*id).to_owned()),
            request.data.text("name").filter(|name| !name.is_empty()),
        ),
        (Op::Write, ["name", name]) => write(cx, request, None, Some((*name).to_owned())),
        (Op::List, ["id"]) => {
            let mut info = Map::new();
            for entity in identity::all::<Entity>(&mut cx.txn)? {
                let aliases = aliases(cx, &entity)?;
                info.insert(
                    entity.id.clone(),
                    json!({ "name": entity.name, "aliases": aliases }),
                );
            }
            super::keys_with(info)
        }
        (Op::List, ["name"]) => Response::keys(
            identity::all::<Entity>(&mut cx.txn)?
                .into_iter()
                .map(|entity| entity.name)
                .collect(),
        ),
        (Op::Read, ["id", id]) => {
            let entity: Entity = identity::load(&mut cx.txn, id)?.ok_or(Error::NotFound)?;
            show(cx, &entity)
        }
        (Op::Read, ["name", name]) => {
            let entity: Entity =
                identity::by_unique(&mut cx.txn, &name.to_lowercase())?.ok_or(Error::NotFound)?;
            show(cx, &entity)
        }
        (Op::Delete, ["id", id]) => {
            let entity = identity::load(&mut cx.txn, id)?;
            delete(cx, entity)
        }
        (Op::Delete, ["name", name]) => {
            let entity = identity::by_unique(&mut cx.txn, &name.to_lowercase())?;
            delete(cx, entity)
        }
        (Op::Write, ["batch-delete"]) => {
            for id in request.data.list("entity_ids").unwrap_or_default() {
                let entity = identity::load(&mut cx.txn, &id)?;
                delete(cx, entity)?;
            }
            Ok(Response::empty())
        }
        (Op::Write, ["merge"]) => merge(cx, request),
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn write(cx: &mut Cx<'_>, request: &Request, id: Option<String>, name: Option<String>) -> Result<Response> {
    let present: Option<Entity> = match (&id, &name) {
        (Some(id), _) => {
            Some(identity::load(&mut cx.txn, id)?.ok_or_else(|| Error::invalid("entity not found from id"))?)
        }
        (None, Some(name)) => identity::by_unique(&mut cx.txn, &name.to_lowercase())?,
        (None, None) => None,
    };
    let fresh = present.is_none();
    let mut entity = present.unwrap_or_else(|| Entity {
        id: uuid::Uuid::new_v4().to_string(),
        created: cx.now,
        ..Entity::default()
    });
    if let Some(name) = name {
        if let Some(other) = identity::by_unique::<Entity>(&mut cx.txn, &name.to_lowercase())?
            && other.id != entity.id
        {
            return Err(Error::invalid("entity name is already in use"));
        }
        entity.name = name;
    }
    if entity.name.is_empty() {
        entity.name = format!("entity_{}", entity.id.get(..8).unwrap_or_default());
    }
    if let Some(policies) = request.data.list("policies") {
        entity.policies = clean_policies(policies);
        if entity.policies.iter().any(|policy| policy == "root") {
            return Err(Error::invalid("policies cannot contain root"));
        }
    }
    if let Some(metadata) = request.data.strings("metadata") {
        entity.metadata = metadata;
    }
    if let Some(flag) = request.data.flag("disabled")? {
        entity.disabled = flag;
    }
    entity.updated = cx.now;
    identity::save(&mut cx.txn, &entity)?;
    if !fresh {
        return Ok(Response::empty());
    }
    Ok(Response::data(
        json!({ "id": entity.id, "name": entity.name, "aliases": null }),
    ))
}

fn aliases(cx: &mut Cx<'_>, entity: &Entity) -> Result<Vec<Value>> {
    let mut shown = Vec::new();
    for id in &entity.aliases {
        if let Some(alias) = identity::load::<Alias>(&mut cx.txn, id)? {
            shown.push(super::alias::describe(&alias));
        }
    }
    Ok(shown)
}

pub(super) fn show(cx: &mut Cx<'_>, entity: &Entity) -> Result<Response> {
    let (direct, inherited) = identity::groups_of(&mut cx.txn, &entity.id)?;
    let ids = |groups: &[identity::Group]| groups.iter().map(|group| group.id.clone()).collect::<Vec<_>>();
    let aliases = aliases(cx, entity)?;
    Ok(Response::data(json!({
        "id": entity.id,
        "name": entity.name,
        "policies": entity.policies,
        "metadata": if entity.metadata.is_empty() { Value::Null } else { json!(entity.metadata) },
        "disabled": entity.disabled,
        "aliases": aliases,
        "creation_time": entity.created.to_string(),
        "last_update_time": entity.updated.to_string(),
        "merged_entity_ids": if entity.merged.is_empty() { Value::Null } else { json!(entity.merged) },
        "group_ids": ids(&direct).into_iter().chain(ids(&inherited)).collect::<Vec<_>>(),
        "direct_group_ids": ids(&direct),
        "inherited_group_ids": ids(&inherited),
        "namespace_id": "root",
    })))
}

fn delete(cx: &mut Cx<'_>, entity: Option<Entity>) -> Result<Response> {
    let Some(entity) = entity else {
        return Ok(Response::empty());
    };
    for id in &entity.aliases {
        if let Some(alias) = identity::load::<Alias>(&mut cx.txn, id)? {
            identity::remove(&mut cx.txn, &alias);
        }
    }
    for mut group in identity::all::<identity::Group>(&mut cx.txn)? {
        if group.members.contains(&entity.id) {
            group.members.retain(|id| *id != entity.id);
            identity::save(&mut cx.txn, &group)?;
        }
    }
    identity::remove(&mut cx.txn, &entity);
    Ok(Response::empty())
}

fn merge(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let from = request.data.list("from_entity_ids").unwrap_or_default();
    let to = request.data.text("to_entity_id").unwrap_or_default();
    if from.is_empty() || to.is_empty() {
        return Err(Error::invalid("from_entity_ids and to_entity_id are needed"));
    }
    let mut target: Entity = identity::load(&mut cx.txn, &to)?
        .ok_or_else(|| Error::invalid("entity id to merge to is invalid"))?;
    let keep = request
        .data
        .list("conflicting_alias_ids_to_keep")
        .unwrap_or_default();
    for id in from {
        if id == to {
            return Err(Error::invalid(
                "to_entity_id should not be present in from_entity_ids",
            ));
        }
        let source: Entity = identity::load(&mut cx.txn, &id)?
            .ok_or_else(|| Error::invalid("entity id to merge from is invalid"))?;
        for alias_id in &source.aliases {
            let Some(mut alias) = identity::load::<Alias>(&mut cx.txn, alias_id)? else {
                continue;
            };
            let mut rival = None;
            for mine in &target.aliases {
                if let Some(other) = identity::load::<Alias>(&mut cx.txn, mine)?
                    && other.mount_accessor == alias.mount_accessor
                {
                    rival = Some(other);
                }
            }
            if let Some(rival) = rival {
                if keep.contains(&alias.id) {
                    target.aliases.retain(|id| *id != rival.id);
                    identity::remove(&mut cx.txn, &rival);
                } else if keep.contains(&rival.id) {
                    identity::remove(&mut cx.txn, &alias);
                    continue;
                } else {
                    return Err(Error::invalid(format!(
                        "conflicting alias: both entities have one on the mount {}; name the one to keep in conflicting_alias_ids_to_keep",
                        alias.mount_accessor
                    )));
                }
            }
            alias.canonical_id.clone_from(&target.id);
            alias.updated = cx.now;
            identity::save(&mut cx.txn, &alias)?;
            target.aliases.push(alias.id);
        }
        for mut group in identity::all::<identity::Group>(&mut cx.txn)? {
            if group.members.contains(&id) {
                group.members.retain(|member| *member != id && *member != to);
                group.members.push(to.clone());
                identity::save(&mut cx.txn, &group)?;
            }
        }
        target.policies.extend(source.policies.iter().cloned());
        target.policies = clean_policies(std::mem::take(&mut target.policies));
        target.merged.push(source.id.clone());
        identity::remove(&mut cx.txn, &source);
    }
    target.updated = cx.now;
    identity::save(&mut cx.txn, &target)?;
    Ok(Response::empty())
}
