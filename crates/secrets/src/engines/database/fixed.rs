//! Static roles: a user that is in the database already, whose password this server replaces when its period is over. A
//! password is stored before the database hears of it (see `crate::core::rotation`) and is told again until it is known
//! to count; until then the one before it is the answer.

use super::connection::{self, answer};
use super::role::{self, SAME_NAME, only_passwords};
use super::statement::{self, Fill};
use super::user;
use crate::core::context::Cx;
use crate::core::expiry::Target;
use crate::core::fields::Fields;
use crate::core::mounts::Mount;
use crate::core::request::{Request, Response};
use crate::core::token::after;
use crate::core::txn::Txn;
use crate::engines::Rotation;
use crate::external::{Made, Question, Rotates};
use crate::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

/// What the keys of static roles begin with.
pub(crate) const STATIC: &str = "static/";
/// Seconds.
const SHORTEST_PERIOD: i64 = 5;

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct StaticRole {
    db_name: String,
    username: String,
    rotation: Vec<String>,
    period: i64,
    /// Empty until the first rotation.
    password: String,
    /// A password the database was asked to take, of which nobody knows yet whether it did; else empty.
    next: String,
    /// The last rotation; before the first, when the role was made.
    since: Timestamp,
    /// The first rotation waits for the end of the first period.
    skip_import: bool,
}

impl Drop for StaticRole {
    fn drop(&mut self) {
        self.password.zeroize();
        self.next.zeroize();
    }
}

impl StaticRole {
    /// Remembers a password before the database is asked to take it.
    pub(crate) fn propose(&mut self, password: &str) {
        password.clone_into(&mut self.next);
    }

    /// Whether making it came to its end. Before, it is there only so that its first password is not lost.
    pub(crate) fn is_made(&self) -> bool {
        !self.password.is_empty() || self.skip_import
    }

    /// When the password is to be replaced. A rotation that was begun is due at once.
    fn due(&self) -> Timestamp {
        if self.next.is_empty() && self.is_made() {
            after(self.since, self.period)
        } else {
            Timestamp::UNIX_EPOCH
        }
    }
}

pub(super) fn key(name: &str) -> String {
    [STATIC, name].concat()
}

/// Whether a role is there for a policy: one whose making goes on is still being made.
pub(super) fn exists(cx: &mut Cx<'_>, name: &str) -> bool {
    match cx.get::<StaticRole>(&key(name)) {
        Ok(role) => role.is_some_and(|role| role.is_made()),
        Err(_) => true,
    }
}

/// The rotation of the role stored at a key below the mount.
pub(crate) fn rotation(txn: &mut Txn<'_>, mount: &Mount, key: &str) -> Result<Option<Rotation>> {
    let Some(name) = key.strip_prefix(STATIC) else {
        return Ok(None);
    };
    let at = mount.key(key);
    Ok(txn.get::<StaticRole>(at.as_str())?.map(|role| Rotation {
        due: role.due(),
        path: format!("{}rotate-role/{name}", mount.full_path()),
        place: mount.key(&connection::key(&role.db_name)),
        at,
    }))
}

pub(super) fn read(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let role: StaticRole = cx.get(&key(name))?.ok_or(Error::NotFound)?;
    let mut data = json!({
        "db_name": role.db_name,
        "username": role.username,
        "rotation_statements": role.rotation,
        "rotation_period": role.period,
        "credential_type": "password",
        "skip_import_rotation": role.skip_import,
    });
    if let Some(data) = data.as_object_mut()
        && !role.password.is_empty()
    {
        data.insert("last_vault_rotation".to_owned(), json!(role.since.to_string()));
    }
    Ok(Response::data(data))
}

/// `static-creds/NAME`.
pub(super) fn creds(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let role: StaticRole = cx
        .get(&key(name))?
        .ok_or_else(|| Error::invalid(format!("unknown role: {name}")))?;
    connection::need(cx, &role.db_name)?.check(name)?;
    if role.password.is_empty() {
        return Err(Error::invalid(format!(
            "the password of {:?} is not known here before its first rotation: write rotate-role/{name}",
            role.username
        )));
    }
    let left = after(role.since, role.period).duration_since(cx.now).as_secs();
    Ok(Response::data(json!({
        "username": role.username,
        "password": role.password,
        "last_vault_rotation": role.since.to_string(),
        "rotation_period": role.period,
        "ttl": left.max(0),
    })))
}

/// Sets what cannot be changed later: the password belongs to one user of one database.
fn once(field: &mut String, given: Option<String>, missing: &str, changed: &str) -> Result<()> {
    match given.filter(|given| !given.is_empty()) {
        None if field.is_empty() => Err(Error::invalid(missing)),
        Some(given) if field.is_empty() => {
            *field = given;
            Ok(())
        }
        Some(given) if given != *field => Err(Error::invalid(changed)),
        _ => Ok(()),
    }
}

fn update(role: &mut StaticRole, request: &Request) -> Result<()> {
    let data = &request.data;
    once(
        &mut role.db_name,
        data.text("db_name"),
        "database name is a required field",
        "cannot update static account database name",
    )?;
    once(
        &mut role.username,
        data.text("username"),
        "username is a required field to create a static account",
        "cannot update static account username",
    )?;
    if role.username.contains(['"', '\'']) {
        return Err(Error::invalid("username: quotes are not possible here"));
    }
    for field in ["rotation_schedule", "rotation_window"] {
        if data
            .get(field)
            .is_some_and(|value| !matches!(value, Value::Null) && value != "" && value != 0)
        {
            return Err(Error::invalid(format!(
                "{field}: schedules are not possible here, write rotation_period"
            )));
        }
    }
    match data.seconds("rotation_period")? {
        Some(seconds) if seconds < SHORTEST_PERIOD => {
            return Err(Error::invalid(format!(
                "rotation_period must be {SHORTEST_PERIOD} seconds or more"
            )));
        }
        Some(seconds) => role.period = seconds,
        None if role.period == 0 => {
            return Err(Error::invalid(
                "rotation_period is required to create static accounts",
            ));
        }
        None => {}
    }
    only_passwords(request)?;
    if data
        .strings("credential_config")
        .is_some_and(|config| !config.is_empty())
    {
        return Err(Error::invalid(
            "credential_config: passwords have no options here, leave it out",
        ));
    }
    if let Some(statements) = statement::list(request, "rotation_statements") {
        role.rotation = statements;
    }
    if let Some(skip) = data.flag("skip_import_rotation")?
        && role.password.is_empty()
    {
        role.skip_import = skip;
    }
    Ok(())
}

pub(super) fn write(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    if cx.exists(&role::key(name)) {
        return Err(Error::invalid(SAME_NAME));
    }
    let stored: Option<StaticRole> = cx.get(&key(name))?;
    let there = stored.is_some();
    let mut role = stored.unwrap_or_default();
    update(&mut role, request)?;
    if !there {
        role.since = cx.now;
        connection::need(cx, &role.db_name)?.check(name)?;
    }
    if !role.is_made() {
        return replace(cx, request, name, role, true);
    }
    save(cx, name, &role)?;
    Ok(Response::empty())
}

/// `rotate-role/NAME`; the server itself only does what is due.
pub(super) fn rotate(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let role: StaticRole = cx
        .get(&key(name))?
        .ok_or_else(|| Error::invalid("no static role found for role name"))?;
    // Somebody else's rotation may have ended while this one waited for its turn. Once told, it must be gone on with.
    if request.own && request.answers.is_empty() && role.due() > cx.now {
        return Ok(Response::empty());
    }
    replace(cx, request, name, role, false)
}

/// A new password. `making`: the role is stored only with it.
fn replace(
    cx: &mut Cx<'_>,
    request: &Request,
    name: &str,
    mut role: StaticRole,
    making: bool,
) -> Result<Response> {
    let mut connection = connection::need(cx, &role.db_name)?;
    connection.check(name)?;
    // The administering user has its password in two places, which change together.
    let administers = role.username == connection.username;
    let about = format!("rotate-role {}{name}", cx.mount.path);
    match answer(request, &about) {
        None => {
            if role.next.is_empty() {
                role.propose(&user::password()?);
            }
            let fresh = if making {
                serde_json::to_string(&role)
                    .map_err(|_| Error::Internal("a static role could not be written as JSON"))?
            } else {
                String::new()
            };
            let made = Made {
                username: role.username.clone(),
                password: Zeroizing::new(role.next.clone()),
                rotates: Some(Rotates {
                    role: Some(cx.key(&key(name))),
                    fresh: Zeroizing::new(fresh),
                    connection: administers.then(|| cx.key(&connection::key(&role.db_name))),
                }),
                ..Made::default()
            };
            let fill = Fill {
                name: &made.username,
                password: &made.password,
                until: cx.now,
            };
            let statements = fill.all(&role.rotation, statement::ROTATE);
            Err(Error::Needs(Box::new(Question::Sql(
                connection.ask(about, statements, made),
            ))))
        }
        Some((_, Err(reason))) => Err(Error::Failed(format!(
            "unable to set the password of {:?}: {reason}",
            role.username
        ))),
        Some((question, Ok(()))) => {
            question.made.password.as_str().clone_into(&mut role.password);
            role.next.zeroize();
            role.since = cx.now;
            if administers {
                connection.took(&role.password);
                cx.put(&connection::key(&role.db_name), &connection)?;
            }
            save(cx, name, &role)?;
            Ok(Response::empty())
        }
    }
}

fn save(cx: &mut Cx<'_>, name: &str, role: &StaticRole) -> Result<()> {
    cx.put(&key(name), role)?;
    cx.schedule(role.due(), Target::Rotate(cx.key(&key(name))));
    Ok(())
}

/// Forgets a role and its password; the user stays in the database as it is.
pub(super) fn delete(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let role: Option<StaticRole> = cx.get(&key(name))?;
    cx.delete(&key(name));
    Ok(match role.filter(|role| !role.next.is_empty()) {
        Some(role) => Response::empty().warn(format!(
            "a rotation had not come to its end: the password of {:?} may be another than the last one that was read",
            role.username
        )),
        None => Response::empty(),
    })
}
