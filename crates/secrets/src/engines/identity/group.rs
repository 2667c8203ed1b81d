//! Groups of entities and of groups.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::identity::{self, Entity, Group};
use crate::core::params::clean_policies;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use serde_json::{Map, Value, json};

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request, path: &[&str]) -> Result<Response> {
    match (request.op, path) {
        (Op::Write, []) => {
            let id = request.data.text("id").filter(|id| !id.is_empty());
            write(
                cx,
                request,
                id,
                request.data.text("name").filter(|name| !name.is_empty()),
            )
        }
        (Op::Write, ["id", id]) => write(
            cx,
            request,
            Some((*id).to_owned()),
            request.data.text("name").filter(|name| !name.is_empty()),
        ),
        (Op::Write, ["name", name]) => write(cx, request, None, Some((*name).to_owned())),
        (Op::Read, ["id", id]) => {
            let group: Group = identity::load(&mut cx.txn, id)?.ok_or(Error::NotFound)?;
            show(cx, &group)
        }
        (Op::Read, ["name", name]) => {
            let group: Group =
                identity::by_unique(&mut cx.txn, &name.to_lowercase())?.ok_or(Error::NotFound)?;
            show(cx, &group)
        }
        (Op::List, ["id"]) => {
            let info: Map<String, Value> = identity::all::<Group>(&mut cx.txn)?
                .into_iter()
                .map(|group| {
                    let shown = json!({ "name": group.name, "num_member_entities": group.members.len(), "num_parent_groups": 0 });
                    (group.id, shown)
                })
                .collect();
            super::keys_with(info)
        }
        (Op::List, ["name"]) => Response::keys(
            identity::all::<Group>(&mut cx.txn)?
                .into_iter()
                .map(|group| group.name)
                .collect(),
        ),
        (Op::Delete, ["id", id]) => {
            let group = identity::load(&mut cx.txn, id)?;
            delete(cx, group)
        }
        (Op::Delete, ["name", name]) => {
            let group = identity::by_unique(&mut cx.txn, &name.to_lowercase())?;
            delete(cx, group)
        }
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn write(cx: &mut Cx<'_>, request: &Request, id: Option<String>, name: Option<String>) -> Result<Response> {
    let data = &request.data;
    let present: Option<Group> = match (&id, &name) {
        (Some(id), _) => {
            Some(identity::load(&mut cx.txn, id)?.ok_or_else(|| Error::invalid("invalid group ID"))?)
        }
        (None, Some(name)) => identity::by_unique(&mut cx.txn, &name.to_lowercase())?,
        (None, None) => None,
    };
    let fresh = present.is_none();
    let kind = data.text("type").filter(|kind| !kind.is_empty());
    if let Some(kind) = &kind
        && !matches!(kind.as_str(), "internal" | "external")
    {
        return Err(Error::invalid(format!("invalid group type {kind:?}")));
    }
    let external = kind.as_deref() == Some("external");
    let mut group = match present {
        Some(group) => {
            if kind.is_some() && group.external != external {
                return Err(Error::invalid("group type cannot be changed"));
            }
            group
        }
        None => Group {
            id: uuid::Uuid::new_v4().to_string(),
            external,
            created: cx.now,
            ..Group::default()
        },
    };
    if let Some(name) = name {
        if let Some(other) = identity::by_unique::<Group>(&mut cx.txn, &name.to_lowercase())?
            && other.id != group.id
        {
            return Err(Error::invalid("group name is already in use"));
        }
        group.name = name;
    }
    if group.name.is_empty() {
        group.name = format!("group_{}", group.id.get(..8).unwrap_or_default());
    }
    if let Some(policies) = data.list("policies") {
        group.policies = clean_policies(policies);
        if group.policies.iter().any(|policy| policy == "root") {
            return Err(Error::invalid("policies cannot contain root"));
        }
    }
    if let Some(metadata) = data.strings("metadata") {
        group.metadata = metadata;
    }
    if let Some(members) = data.list("member_entity_ids") {
        if group.external && !members.is_empty() {
            return Err(Error::invalid(
                "member entities can't be set manually for external groups",
            ));
        }
        for id in &members {
            if identity::load::<Entity>(&mut cx.txn, id)?.is_none() {
                return Err(Error::invalid(format!("invalid entity ID {id:?}")));
            }
        }
        group.members = members;
    }
    if let Some(groups) = data.list("member_group_ids") {
        for id in &groups {
            if identity::load::<Group>(&mut cx.txn, id)?.is_none() {
                return Err(Error::invalid(format!("invalid group ID {id:?}")));
            }
            if *id == group.id || contains(cx, id, &group.id)? {
                return Err(Error::invalid(
                    "a group cannot contain itself, not even by other groups",
                ));
            }
        }
        group.groups = groups;
    }
    group.updated = cx.now;
    identity::save(&mut cx.txn, &group)?;
    if fresh {
        Ok(Response::data(json!({ "id": group.id, "name": group.name })))
    } else {
        Ok(Response::empty())
    }
}

/// Whether a group contains another, at whatever depth.
fn contains(cx: &mut Cx<'_>, outer: &str, inner: &str) -> Result<bool> {
    let mut todo = vec![outer.to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(id) = todo.pop() {
        if id == inner {
            return Ok(true);
        }
        if seen.insert(id.clone())
            && let Some(group) = identity::load::<Group>(&mut cx.txn, &id)?
        {
            todo.extend(group.groups);
        }
    }
    Ok(false)
}

pub(super) fn show(cx: &mut Cx<'_>, group: &Group) -> Result<Response> {
    let parents: Vec<String> = identity::all::<Group>(&mut cx.txn)?
        .into_iter()
        .filter(|other| other.groups.contains(&group.id))
        .map(|other| other.id)
        .collect();
    let alias = super::alias::group_alias(cx, &group.alias)?;
    Ok(Response::data(json!({
        "id": group.id,
        "name": group.name,
        "type": if group.external { "external" } else { "internal" },
        "policies": group.policies,
        "metadata": if group.metadata.is_empty() { Value::Null } else { json!(group.metadata) },
        "member_entity_ids": if group.external && group.members.is_empty() { Value::Null } else { json!(group.members) },
        "member_group_ids": if group.external && group.groups.is_empty() { Value::Null } else { json!(group.groups) },
        "parent_group_ids": parents,
        "alias": alias.as_ref().map_or_else(|| json!({}), super::alias::describe),
        "creation_time": group.created.to_string(),
        "last_update_time": group.updated.to_string(),
        "modify_index": 1,
        "namespace_id": "root",
    })))
}

fn delete(cx: &mut Cx<'_>, group: Option<Group>) -> Result<Response> {
    let Some(group) = group else {
        return Ok(Response::empty());
    };
    for mut other in identity::all::<Group>(&mut cx.txn)? {
        if other.groups.contains(&group.id) {
            other.groups.retain(|id| *id != group.id);
            identity::save(&mut cx.txn, &other)?;
        }
    }
    super::alias::remove_group_alias(cx, &group.alias)?;
    identity::remove(&mut cx.txn, &group);
    Ok(Response::empty())
}
