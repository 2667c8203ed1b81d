//! What users a role makes: on which connection, with which statements, for how long.

use super::{fixed, statement};
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Both kinds are in a connection's list of allowed roles, by name alone.
pub(super) const SAME_NAME: &str = "Role and Static Role names must be unique";

#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) db_name: String,
    pub(super) creation: Vec<String>,
    pub(super) revocation: Vec<String>,
    rollback: Vec<String>,
    pub(super) renew: Vec<String>,
    pub(super) default_ttl: i64,
    pub(super) max_ttl: i64,
}

pub(super) fn key(name: &str) -> String {
    format!("roles/{name}")
}

/// Refuses other credentials than passwords.
pub(super) fn only_passwords(request: &Request) -> Result<()> {
    match request.data.text("credential_type").as_deref() {
        None | Some("password") => Ok(()),
        Some(_) => Err(Error::invalid(
            "credential_type: only \"password\" is possible here",
        )),
    }
}

pub(super) fn read(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let role: Role = cx.get(&key(name))?.ok_or(Error::NotFound)?;
    Ok(Response::data(json!({
        "db_name": role.db_name,
        "creation_statements": role.creation,
        "revocation_statements": role.revocation,
        "rollback_statements": role.rollback,
        "renew_statements": role.renew,
        "default_ttl": role.default_ttl,
        "max_ttl": role.max_ttl,
        "credential_type": "password",
        "credential_config": null,
    })))
}

pub(super) fn write(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let data = &request.data;
    if cx.exists(&fixed::key(name)) {
        return Err(Error::invalid(SAME_NAME));
    }
    let mut role: Role = cx.get(&key(name))?.unwrap_or_default();
    if let Some(db_name) = data.text("db_name") {
        role.db_name = db_name;
    }
    only_passwords(request)?;
    for (field, key) in [
        (&mut role.creation, "creation_statements"),
        (&mut role.revocation, "revocation_statements"),
        (&mut role.rollback, "rollback_statements"),
        (&mut role.renew, "renew_statements"),
    ] {
        if let Some(statements) = statement::list(request, key) {
            *field = statements;
        }
    }
    if let Some(seconds) = data.seconds("default_ttl")? {
        role.default_ttl = seconds;
    }
    if let Some(seconds) = data.seconds("max_ttl")? {
        role.max_ttl = seconds;
    }
    if role.db_name.is_empty() {
        return Err(Error::invalid("empty database name attribute"));
    }
    if role.creation.is_empty() {
        return Err(Error::invalid("creation_statements are required"));
    }
    if role.max_ttl > 0 && role.default_ttl > role.max_ttl {
        return Err(Error::invalid("default_ttl is longer than max_ttl"));
    }
    cx.put(&key(name), &role)?;
    Ok(Response::empty())
}
