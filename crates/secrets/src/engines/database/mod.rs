//! Users of PostgreSQL made on demand and dropped with their leases, and users that stay and get new passwords. Owns the
//! paths and the dispatch; connections are in `connection`, roles in `role`, making, renewing and dropping users in
//! `user`, users that stay in `fixed`. Opens no connection itself.

mod connection;
mod fixed;
mod role;
mod statement;
mod user;

pub(crate) use connection::{Connection, reach};
pub(crate) use fixed::{STATIC, StaticRole, rotation};
pub(crate) use user::{announced, renewed, revoke};

use crate::core::context::Cx;
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};

pub(crate) const PLUGIN: &str = "postgresql-database-plugin";

/// Whether a connection or role is there.
pub(crate) fn exists(cx: &mut Cx<'_>, path: &str) -> Option<bool> {
    match path.split_once('/') {
        Some(("config", name)) => Some(cx.exists(&connection::key(name))),
        Some(("roles", name)) => Some(cx.exists(&role::key(name))),
        Some(("static-roles", name)) => Some(fixed::exists(cx, name)),
        _ => None,
    }
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match (request.op, segments.as_slice()) {
        (Op::List, ["config"]) => Response::keys(cx.list("config/")),
        (Op::Read, ["config", name]) => connection::read(cx, name),
        (Op::Write, ["config", name]) => connection::write(cx, request, name),
        (Op::Delete, ["config", name]) => {
            cx.delete(&connection::key(name));
            Ok(Response::empty())
        }
        // Every use opens a connection of its own, so there is nothing to reset but a name to check.
        (Op::Write, ["reset", name]) => connection::need(cx, name).map(|_| Response::empty()),
        (Op::Write, ["rotate-root", name]) => connection::rotate(cx, request, name),
        (Op::List, ["roles"]) => Response::keys(cx.list("roles/")),
        (Op::Read, ["roles", name]) => role::read(cx, name),
        (Op::Write, ["roles", name]) => role::write(cx, request, name),
        (Op::Delete, ["roles", name]) => {
            cx.delete(&role::key(name));
            Ok(Response::empty())
        }
        (Op::Read, ["creds", name]) => user::create(cx, request, name),
        (Op::List, ["static-roles"]) => Response::keys(cx.list(STATIC)),
        (Op::Read, ["static-roles", name]) => fixed::read(cx, name),
        (Op::Write, ["static-roles", name]) => fixed::write(cx, request, name),
        (Op::Delete, ["static-roles", name]) => fixed::delete(cx, name),
        (Op::Read, ["static-creds", name]) => fixed::creds(cx, name),
        (Op::Write, ["rotate-role", name]) => fixed::rotate(cx, request, name),
        (
            _,
            [
                "config" | "roles" | "creds" | "reset" | "rotate-root" | "static-roles" | "static-creds"
                | "rotate-role",
                ..,
            ],
        ) => Err(Error::Unsupported),
        _ => Err(super::unsupported_path()),
    }
}
