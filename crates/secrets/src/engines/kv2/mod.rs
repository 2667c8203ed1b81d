//! KV version 2: versions, check-and-set, soft deletion, metadata. Owns the paths; the entries are in `entry`.

mod data;
mod entry;
mod metadata;
mod versions;

use crate::core::context::Cx;
use crate::core::fields::{Fields, go_duration};
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Settings of a mount.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) max_versions: i64,
    pub(crate) cas_required: bool,
    pub(crate) delete_version_after: i64,
}

fn config(cx: &mut Cx<'_>) -> Result<Config> {
    Ok(cx.get("config")?.unwrap_or_default())
}

pub(crate) fn exists(cx: &mut Cx<'_>, path: &str) -> Result<Option<bool>> {
    Ok(match path.split_once('/') {
        Some(("data" | "metadata", name)) => Some(entry::peek(cx, name)?.is_some()),
        _ => None,
    })
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    if path == "config" {
        return settings(cx, request);
    }
    let (kind, name) = path.split_once('/').unwrap_or((path, ""));
    match (kind, request.op) {
        ("metadata", Op::List) => Response::keys(cx.list(&format!("meta/{}", super::kv1::folder(name)))),
        ("metadata" | "data" | "delete" | "undelete" | "destroy" | "subkeys", _)
            if name.is_empty() || name.ends_with('/') =>
        {
            Err(Error::Unsupported)
        }
        ("data", Op::Read) => data::read(cx, request, name),
        ("data", Op::Write) => data::write(cx, request, name),
        ("data", Op::Patch) => data::patch(cx, request, name),
        ("data", Op::Delete) => data::delete_latest(cx, name),
        ("subkeys", Op::Read) => data::subkeys(cx, request, name),
        ("delete", Op::Write) => data::mark(cx, request, name, data::Mark::Delete),
        ("undelete", Op::Write) => data::mark(cx, request, name, data::Mark::Undelete),
        ("destroy", Op::Write) => data::mark(cx, request, name, data::Mark::Destroy),
        ("metadata", Op::Read) => metadata::read(cx, name),
        ("metadata", Op::Write) => metadata::write(cx, request, name),
        ("metadata", Op::Patch) => metadata::patch(cx, request, name),
        ("metadata", Op::Delete) => metadata::delete(cx, name),
        ("data" | "delete" | "undelete" | "destroy" | "subkeys", _) => Err(Error::Unsupported),
        _ if matches!(request.op, Op::Read | Op::Write) => Ok(wrong_path(request)),
        _ => Err(super::unsupported_path()),
    }
}

/// The commonest mistake with this engine deserves a sentence.
fn wrong_path(request: &Request) -> Response {
    let mut response = Response::empty().warn(format!(
        "Invalid path for a versioned K/V secrets engine: {:?}. See the API docs for the appropriate API endpoints to use. \
         If using the Vault CLI, use 'vault kv get' for this operation.",
        request.path.as_str()
    ));
    response.status = Some(404);
    response
}

fn settings(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let mut config = config(cx)?;
    match request.op {
        Op::Read => Ok(Response::data(json!({
            "max_versions": config.max_versions,
            "cas_required": config.cas_required,
            "delete_version_after": go_duration(config.delete_version_after),
        }))),
        Op::Write => {
            config.max_versions = request
                .data
                .int("max_versions")?
                .unwrap_or(config.max_versions)
                .max(0);
            config.cas_required = request.data.flag("cas_required")?.unwrap_or(config.cas_required);
            config.delete_version_after = request
                .data
                .seconds("delete_version_after")?
                .unwrap_or(config.delete_version_after);
            cx.put("config", &config)?;
            Ok(Response::empty())
        }
        _ => Err(Error::Unsupported),
    }
}
