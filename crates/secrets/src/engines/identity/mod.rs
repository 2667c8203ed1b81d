//! `identity/…`: entities, their aliases, groups, and signed identity tokens. Owns the paths; the stored forms of
//! entities and groups are in `core::identity`.

mod alias;
mod entity;
mod group;
mod oidc;

use crate::Result;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::identity::{self, Alias, Entity, Group};
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use serde_json::{Map, Value};

/// Whether a path needs no token.
pub(crate) fn is_public(path: &str, op: Op) -> bool {
    op == Op::Read && path.starts_with("oidc/.well-known/")
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match segments.as_slice() {
        ["entity", rest @ ..] => entity::handle(cx, request, rest),
        ["entity-alias" | "alias", rest @ ..] => alias::handle(cx, request, rest, false),
        ["group", rest @ ..] => group::handle(cx, request, rest),
        ["group-alias", rest @ ..] => alias::handle(cx, request, rest, true),
        ["lookup", "entity"] if request.op == Op::Write => lookup_entity(cx, request),
        ["lookup", "group"] if request.op == Op::Write => lookup_group(cx, request),
        ["oidc", rest @ ..] => oidc::handle(cx, request, rest),
        _ => Err(super::unsupported_path()),
    }
}

fn lookup_entity(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let data = &request.data;
    let text = |key: &str| data.text(key).filter(|text| !text.is_empty());
    let found: Option<Entity> = if let Some(id) = text("id") {
        identity::load(&mut cx.txn, &id)?
    } else if let Some(name) = text("name") {
        identity::by_unique(&mut cx.txn, &name.to_lowercase())?
    } else {
        let alias: Option<Alias> = if let Some(id) = text("alias_id") {
            identity::load(&mut cx.txn, &id)?
        } else if let (Some(name), Some(accessor)) = (text("alias_name"), text("alias_mount_accessor")) {
            identity::by_unique(&mut cx.txn, &format!("{accessor}:{name}"))?
        } else {
            return Err(crate::Error::invalid(
                "query parameter not supplied: give id, name, alias_id, or alias_name and alias_mount_accessor",
            ));
        };
        match alias {
            Some(alias) => identity::load(&mut cx.txn, &alias.canonical_id)?,
            None => None,
        }
    };
    match found {
        Some(found) => entity::show(cx, &found),
        None => Ok(Response::empty()),
    }
}

fn lookup_group(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let data = &request.data;
    let text = |key: &str| data.text(key).filter(|text| !text.is_empty());
    let found: Option<Group> = if let Some(id) = text("id") {
        identity::load(&mut cx.txn, &id)?
    } else if let Some(name) = text("name") {
        identity::by_unique(&mut cx.txn, &name.to_lowercase())?
    } else {
        let alias = if let Some(id) = text("alias_id") {
            alias::group_alias(cx, &id)?
        } else if let (Some(name), Some(accessor)) = (text("alias_name"), text("alias_mount_accessor")) {
            alias::group_alias_by_name(cx, &accessor, &name)?
        } else {
            return Err(crate::Error::invalid(
                "query parameter not supplied: give id, name, alias_id, or alias_name and alias_mount_accessor",
            ));
        };
        match alias {
            Some(alias) => identity::load(&mut cx.txn, &alias.canonical_id)?,
            None => None,
        }
    };
    match found {
        Some(found) => group::show(cx, &found),
        None => Ok(Response::empty()),
    }
}

/// `keys` with `key_info`.
fn keys_with(info: Map<String, Value>) -> Result<Response> {
    let mut response = Response::keys(info.keys().cloned().collect())?;
    if let Some(data) = &mut response.data {
        data.insert("key_info".to_owned(), Value::Object(info));
    }
    Ok(response)
}
