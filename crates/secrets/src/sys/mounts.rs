//! `sys/mounts`, `sys/auth`, `sys/remount` and `sys/internal/ui/mounts`.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::handle::acl_of;
use crate::core::mounts::{Mount, Mounts};
use crate::core::path::CanonicalPath;
use crate::core::request::{Op, Request, Response};
use crate::core::{lease, token};
use crate::{Error, Result, engines};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let (root, rest) = path.split_once('/').unwrap_or((path, ""));
    let rest = rest.trim_matches('/');
    if root == "remount" {
        return remount(cx, request, rest);
    }
    let auth = root == "auth";
    if rest.is_empty() {
        return match request.op {
            Op::Read => {
                let mounts = Mounts::load(&mut cx.txn)?;
                let all: Map<String, Value> = mounts
                    .table(auth)
                    .iter()
                    .map(|(path, mount)| (path.clone(), mount.describe()))
                    .collect();
                Ok(Response::data(Value::Object(all)))
            }
            _ => Err(Error::Unsupported),
        };
    }
    if let Some(name) = rest.strip_suffix("/tune") {
        return tune(cx, request, auth, &format!("{name}/"));
    }
    let name = format!("{rest}/");
    match request.op {
        Op::Read => {
            let mounts = Mounts::load(&mut cx.txn)?;
            let mount = mounts
                .table(auth)
                .get(&name)
                .ok_or_else(|| no_mount(auth, &name))?;
            Ok(Response::data(mount.describe()))
        }
        Op::Write => mount(cx, request, auth, &name),
        Op::Delete => unmount(cx, auth, &name),
        _ => Err(Error::Unsupported),
    }
}

fn no_mount(auth: bool, name: &str) -> Error {
    if auth {
        Error::invalid(format!("No auth engine at {name}"))
    } else {
        Error::invalid(format!("No secret engine mount at {name}"))
    }
}

fn mount(cx: &mut Cx<'_>, request: &Request, auth: bool, name: &str) -> Result<Response> {
    let data = &request.data;
    let mut kind = data
        .text("type")
        .filter(|kind| !kind.is_empty())
        .ok_or_else(|| Error::invalid("backend type must be specified as a string"))?;
    if kind == "plugin" {
        kind = data.text("plugin_name").unwrap_or(kind);
    }
    let mut version = None;
    if !auth && kind == "kv-v2" {
        (kind, version) = ("kv".to_owned(), Some("2".to_owned()));
    }
    let known: &[&str] = if auth { &engines::AUTH } else { &engines::SECRET };
    if !known.contains(&kind.as_str()) {
        let hint = herder_base::suggest(&kind, known.iter().copied())
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default();
        return Err(Error::invalid(format!(
            "plugin not found in the catalog: {kind}{hint} (known here: {})",
            known.join(", ")
        )));
    }
    check_name(name)?;
    let mut mounts = Mounts::clone(&*Mounts::load(&mut cx.txn)?);
    if !auth && name.starts_with("auth/") {
        return Err(Error::invalid("cannot mount in the auth namespace"));
    }
    if let Some(there) = mounts.conflict(name, auth) {
        return Err(Error::invalid(if there == name {
            format!("path is already in use at {there}")
        } else {
            format!("existing mount at {there}")
        }));
    }
    let mut mount = Mount::new(name, &kind, auth);
    mount.description = data.text("description").unwrap_or_default();
    mount.options = data.strings("options").filter(|options| !options.is_empty());
    if let Some(version) = version {
        mount
            .options
            .get_or_insert_default()
            .insert("version".to_owned(), version);
    }
    mount.local = data.flag("local")?.unwrap_or(false);
    mount.seal_wrap = data.flag("seal_wrap")?.unwrap_or(false);
    if let Some(config) = data.object("config") {
        mount.tune(config)?;
    }
    if kind == "kv"
        && !matches!(
            mount
                .options
                .as_ref()
                .and_then(|o| o.get("version"))
                .map(String::as_str),
            None | Some("1" | "2")
        )
    {
        return Err(Error::invalid(
            "options.version: the kv engine has versions 1 and 2",
        ));
    }
    mounts.table_mut(auth).insert(name.to_owned(), Arc::new(mount));
    mounts.save(&mut cx.txn)?;
    Ok(Response::empty())
}

/// Refuses a mount where no request could reach it, or one of other characters than a policy can name.
fn check_name(name: &str) -> Result<()> {
    CanonicalPath::new(Op::List, name).map_err(|refused| Error::invalid(refused.to_string()))?;
    if name.len() > 256 || name.split('/').any(|part| part == "+" || part.contains('*')) {
        return Err(Error::invalid(format!(
            "the path {name:?} cannot be mounted: it is longer than 256 bytes or has the characters of patterns"
        )));
    }
    Ok(())
}

fn unmount(cx: &mut Cx<'_>, auth: bool, name: &str) -> Result<Response> {
    let mut mounts = Mounts::clone(&*Mounts::load(&mut cx.txn)?);
    let Some(mount) = mounts.table(auth).get(name).cloned() else {
        return Ok(Response::empty());
    };
    if mount.is_protected() {
        return Err(Error::invalid(format!(
            "cannot unmount {name:?}: it is part of every server"
        )));
    }
    let full = mount.full_path();
    lease::revoke_prefix(cx, &full, true)?;
    if auth {
        token::revoke_by_path(cx, &full)?;
    }
    cx.txn.delete_all(&mount.prefix());
    mounts.table_mut(auth).remove(name);
    mounts.save(&mut cx.txn)?;
    Ok(Response::empty())
}

fn tune(cx: &mut Cx<'_>, request: &Request, auth: bool, name: &str) -> Result<Response> {
    let mut mounts = Mounts::clone(&*Mounts::load(&mut cx.txn)?);
    let mut mount = Mount::clone(mounts.table(auth).get(name).ok_or_else(|| {
        Error::invalid(format!(
            "cannot fetch sysview for path {name:?}: nothing is mounted there"
        ))
    })?);
    match request.op {
        Op::Read => {
            let shown = mount.describe();
            let mut data = shown
                .get("config")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            data.insert("description".to_owned(), json!(mount.description));
            // A mount that says nothing uses the server's bounds.
            data.insert("default_lease_ttl".to_owned(), json!(mount.default_ttl()));
            data.insert("max_lease_ttl".to_owned(), json!(mount.max_ttl()));
            if let Some(options) = &mount.options {
                data.insert("options".to_owned(), json!(options));
            }
            Ok(Response::data(Value::Object(data)))
        }
        Op::Write => {
            mount.tune(&request.data)?;
            mounts.table_mut(auth).insert(name.to_owned(), Arc::new(mount));
            mounts.save(&mut cx.txn)?;
            Ok(Response::empty())
        }
        _ => Err(Error::Unsupported),
    }
}

/// The last mounts that were moved, as id, source and target: who moved them may ask, and no more is kept than that.
const MOVED: &str = "core/moved-mounts";
const MOVED_KEPT: usize = 32;
type Moved = VecDeque<(String, String, String)>;

fn remount(cx: &mut Cx<'_>, request: &Request, rest: &str) -> Result<Response> {
    if let Some(id) = rest.strip_prefix("status/").filter(|_| request.op == Op::Read) {
        let moved: Moved = cx.txn.get(MOVED)?.unwrap_or_default();
        let (_, from, to) = moved
            .iter()
            .find(|(there, _, _)| there == id)
            .ok_or(Error::NotFound)?;
        let info = json!({ "source_mount": from, "target_mount": to, "status": "success" });
        return Ok(Response::data(
            json!({ "migration_id": id, "migration_info": info }),
        ));
    }
    if request.op != Op::Write || !rest.is_empty() {
        return Err(engines::unsupported_path());
    }
    let side = |key: &str| -> Result<(bool, String)> {
        let text = request.data.need(key)?;
        let text = text.trim_matches('/');
        Ok(match text.strip_prefix("auth/") {
            Some(rest) => (true, format!("{rest}/")),
            None => (false, format!("{text}/")),
        })
    };
    let ((auth, from), (to_auth, to)) = (side("from")?, side("to")?);
    if auth != to_auth {
        return Err(Error::invalid("cannot remount between secret and auth mounts"));
    }
    check_name(&to)?;
    if !auth && to == "auth/" {
        return Err(Error::invalid("cannot mount in the auth namespace"));
    }
    let mut mounts = Mounts::clone(&*Mounts::load(&mut cx.txn)?);
    let mut mount = Mount::clone(
        mounts
            .table(auth)
            .get(&from)
            .ok_or_else(|| Error::invalid(format!("no matching mount at {from:?}")))?,
    );
    if mount.is_protected() {
        return Err(Error::invalid(format!("cannot remount {from:?}")));
    }
    lease::revoke_prefix(cx, &mount.full_path(), true)?;
    mounts.table_mut(auth).remove(&from);
    if let Some(there) = mounts.conflict(&to, auth) {
        return Err(Error::invalid(format!("path in use at {there:?}")));
    }
    let source = mount.full_path();
    mount.path.clone_from(&to);
    let target = mount.full_path();
    mounts.table_mut(auth).insert(to, Arc::new(mount));
    mounts.save(&mut cx.txn)?;
    let id = uuid::Uuid::new_v4().to_string();
    let mut moved: Moved = cx.txn.get(MOVED)?.unwrap_or_default();
    moved.push_back((id.clone(), source, target));
    moved.drain(..moved.len().saturating_sub(MOVED_KEPT));
    cx.txn.put(MOVED, &moved)?;
    Ok(Response::data(json!({ "migration_id": id })))
}

/// What graphical and command line clients ask first.
pub(crate) fn ui(cx: &mut Cx<'_>, request: &Request, segments: &[&str]) -> Result<Response> {
    if request.op != Op::Read {
        return Err(Error::Unsupported);
    }
    let acl = match cx.token.clone() {
        Some(holder) => Some(acl_of(cx, &holder)?),
        None => None,
    };
    match segments {
        ["internal", "ui", "resultant-acl"] => {
            let acl = acl.ok_or(Error::Denied)?;
            Ok(Response::data(acl.describe()))
        }
        ["internal", "ui", "mounts"] => {
            let mounts = Mounts::load(&mut cx.txn)?;
            let side = |auth: bool| -> Map<String, Value> {
                mounts
                    .table(auth)
                    .iter()
                    .filter(|(_, mount)| {
                        mount
                            .config
                            .get("listing_visibility")
                            .is_some_and(|value| value == "unauth")
                            || acl.as_ref().is_some_and(|acl| acl.reaches(&mount.full_path()))
                    })
                    .map(|(path, mount)| (path.clone(), brief(mount)))
                    .collect()
            };
            Ok(Response::data(
                json!({ "secret": side(false), "auth": side(true) }),
            ))
        }
        ["internal", "ui", "mounts", rest @ ..] => {
            let acl = acl.ok_or(Error::Denied)?;
            let path = CanonicalPath::new(Op::Read, rest.join("/")).map_err(|_| Error::Denied)?;
            let mounts = Mounts::load(&mut cx.txn)?;
            let (mount, _) = mounts.find(&path).ok_or(Error::Denied)?;
            if !acl.reaches(&mount.full_path()) {
                return Err(Error::Denied);
            }
            let mut data = brief(mount);
            if let Some(data) = data.as_object_mut() {
                data.insert("path".to_owned(), json!(mount.full_path()));
            }
            Ok(Response::data(data))
        }
        _ => Err(engines::unsupported_path()),
    }
}

fn brief(mount: &Mount) -> Value {
    json!({
        "accessor": mount.accessor,
        "description": mount.description,
        "options": mount.options,
        "type": mount.kind,
        "uuid": mount.uuid,
        "local": mount.local,
        "seal_wrap": mount.seal_wrap,
        "external_entropy_access": false,
        "config": mount.describe().get("config"),
    })
}
