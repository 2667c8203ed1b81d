//! One made-up user: created with its lease, renewed and dropped with it. The entry that drops it is stored before it is
//! created, so no crash leaves a user without a lease.

use super::connection::{self, Connection, answer};
use super::role::{self, Role};
use super::statement::{self, Fill};
use crate::core::context::Cx;
use crate::core::lease::{self, Lease};
use crate::core::outbox::{self, Undo};
use crate::core::request::{self, Request, Response};
use crate::core::token::{after, alphanumeric};
use crate::external::{Made, Question};
use crate::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

/// Seconds within which a creation must have come to its end; then its user is dropped again.
const PATIENCE: i64 = 60;
/// Seconds a user may outlive its lease in the database's own count, so that clocks may differ.
const GRACE: i64 = 30;
/// The longest name PostgreSQL keeps whole.
const LONGEST_NAME: usize = 63;

/// What a lease needs to renew and to drop its user.
#[derive(Serialize, Deserialize)]
struct Internal {
    role: String,
    db_name: String,
    username: String,
    revocation: Vec<String>,
    renew: Vec<String>,
    /// If the connection is gone by then.
    connection: Connection,
}

/// Letters, digits and dashes only: such a text needs no quoting in SQL.
fn plain(text: &str, length: usize) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(length)
        .collect()
}

/// A password with every kind of letter that databases ask for, and none that needs quoting.
pub(super) fn password() -> Result<Zeroizing<String>> {
    Ok(Zeroizing::new(["A1a-", &alphanumeric(20)?].concat()))
}

fn undo(cx: &Cx<'_>, internal: &Internal, due: Timestamp) -> Undo {
    let fill = Fill {
        name: &internal.username,
        password: "",
        until: due,
    };
    Undo {
        due,
        tries: 0,
        connection: cx.key(&connection::key(&internal.db_name)),
        url: internal.connection.url.clone(),
        username: internal.connection.username.clone(),
        password: internal.connection.password.clone(),
        statements: fill
            .all(&internal.revocation, statement::REVOKE)
            .iter()
            .map(|statement| statement.to_string())
            .collect(),
        // Somebody's own statements are one transaction, as in Vault.
        separate: internal.revocation.is_empty(),
    }
}

/// The entry to be stored before a question is asked, if it is one that makes something.
pub(crate) fn announced(question: &Question) -> Result<Option<(String, Undo)>> {
    let Question::Sql(question) = question else {
        return Ok(None);
    };
    let Some((id, undo)) = &question.made.undo else {
        return Ok(None);
    };
    serde_json::from_str(undo)
        .map(|undo| Some((id.clone(), undo)))
        .map_err(|_| Error::Internal("an outbox entry could not be read back"))
}

/// `creds/NAME`.
pub(super) fn create(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let role: Role = cx
        .get(&role::key(name))?
        .ok_or_else(|| Error::invalid(format!("unknown role: {name}")))?;
    let connection = connection::need(cx, &role.db_name)?;
    connection.check(name)?;
    let max = match role.max_ttl {
        0 => cx.mount.max_ttl(),
        seconds => seconds.min(cx.mount.max_ttl()),
    }
    .min(lease::longest(cx)?);
    let ttl = match role.default_ttl {
        0 => cx.mount.default_ttl(),
        seconds => seconds,
    }
    .min(max);
    let internal = |username: &str| Internal {
        role: name.to_owned(),
        db_name: role.db_name.clone(),
        username: username.to_owned(),
        revocation: role.revocation.clone(),
        renew: role.renew.clone(),
        connection: connection.clone(),
    };
    let about = format!("create {}{name}", cx.mount.path);
    match answer(request, &about) {
        None => {
            let who = cx
                .token
                .as_ref()
                .map(|holder| plain(&holder.token.display_name, 8))
                .unwrap_or_default();
            let mut username = format!(
                "v-{who}-{}-{}-{}",
                plain(name, 8),
                alphanumeric(20)?,
                cx.now.as_second()
            );
            username.truncate(LONGEST_NAME);
            let until = after(cx.now, ttl + GRACE);
            let password = password()?;
            let entry = undo(cx, &internal(&username), after(cx.now, PATIENCE));
            let entry = serde_json::to_string(&entry)
                .map_err(|_| Error::Internal("an outbox entry could not be written as JSON"))?;
            let fill = Fill {
                name: &username,
                password: &password,
                until,
            };
            let statements = fill.all(&role.creation, &[]);
            let made = Made {
                undo: Some((username.clone(), entry)),
                username,
                password,
                until,
                ..Made::default()
            };
            Err(Error::Needs(Box::new(Question::Sql(
                connection.ask(about, statements, made),
            ))))
        }
        Some((_, Err(reason))) => Err(Error::Failed(format!(
            "1 error occurred:\n\t* failed to execute query: {reason}\n\n"
        ))),
        Some((question, Ok(()))) => {
            let made = &question.made;
            outbox::forget(cx, &made.username);
            let internal = serde_json::to_value(internal(&made.username))
                .map_err(|_| Error::Internal("a lease could not be written as JSON"))?;
            let mut response = Response::data(json!({
                "username": made.username,
                "password": *made.password,
            }));
            response.lease = Some(request::Lease {
                ttl,
                max_ttl: max,
                renewable: true,
                internal,
                id: String::new(),
            });
            Ok(response)
        }
    }
}

/// Lets the user live longer; asks until that is done.
pub(crate) fn renewed(
    cx: &mut Cx<'_>,
    request: &Request,
    id: &str,
    lease: &Lease,
    until: Timestamp,
) -> Result<()> {
    let internal: Internal =
        serde_json::from_value(lease.internal.clone()).map_err(|_| Error::Corrupt(id.to_owned()))?;
    let about = format!("renew {id}");
    match answer(request, &about) {
        None => {
            let connection = cx
                .get(&connection::key(&internal.db_name))?
                .unwrap_or(internal.connection);
            let fill = Fill {
                name: &internal.username,
                password: "",
                until: after(until, GRACE),
            };
            let statements = fill.all(&internal.renew, statement::RENEW);
            Err(Error::Needs(Box::new(Question::Sql(connection.ask(
                about,
                statements,
                Made::default(),
            )))))
        }
        Some((_, Err(reason))) => Err(Error::Failed(format!("failed to renew: {reason}"))),
        Some((_, Ok(()))) => Ok(()),
    }
}

/// Notes that the user is to be dropped, in the transaction that ends the lease.
pub(crate) fn revoke(cx: &mut Cx<'_>, lease: &Lease) -> Result<()> {
    let internal: Internal =
        serde_json::from_value(lease.internal.clone()).map_err(|_| Error::Corrupt(lease.path.clone()))?;
    let entry = undo(cx, &internal, cx.now);
    outbox::put(cx, &internal.username, &entry)
}
