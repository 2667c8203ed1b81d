//! How to reach a database: address, the administering user, which roles may use it. The password is never shown.

use super::PLUGIN;
use super::statement::{self, Fill};
use crate::core::barrier::random;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::core::txn::Txn;
use crate::external::{Answer, Made, Question, Rotates, SqlQuestion};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// Without a name and password.
    pub(super) url: String,
    /// As it was written.
    shown: String,
    pub(super) username: String,
    pub(super) password: String,
    allowed_roles: Vec<String>,
    rotation: Vec<String>,
    /// Passwords the database was asked to take, of which nobody knows yet whether it did.
    #[serde(default)]
    next: Vec<String>,
}

pub(super) fn key(name: &str) -> String {
    format!("config/{name}")
}

pub(super) fn need(cx: &mut Cx<'_>, name: &str) -> Result<Connection> {
    cx.get(&key(name))?.ok_or_else(|| {
        Error::invalid(format!(
            "failed to find entry for connection with name: {name:?}: write config/{name} first"
        ))
    })
}

/// A question that only connects, by where the connection is stored.
pub(crate) fn reach(txn: &mut Txn<'_>, at: &str) -> Result<Option<SqlQuestion>> {
    Ok(txn
        .get::<Connection>(at)?
        .map(|connection| connection.ask(String::new(), Vec::new(), Made::default())))
}

impl Connection {
    /// A question to this database.
    pub(super) fn ask(&self, about: String, statements: Vec<Zeroizing<String>>, made: Made) -> SqlQuestion {
        SqlQuestion {
            about,
            url: self.url.clone(),
            username: self.username.clone(),
            password: Zeroizing::new(self.password.clone()),
            others: self.next.iter().cloned().map(Zeroizing::new).collect(),
            statements,
            made,
            ..SqlQuestion::default()
        }
    }

    /// Remembers a password before the database is asked to take it.
    pub(crate) fn propose(&mut self, password: &str) {
        if !self.next.iter().any(|next| next == password) {
            self.next.push(password.to_owned());
        }
    }

    /// The database took a password for the administering user.
    pub(super) fn took(&mut self, password: &str) {
        password.clone_into(&mut self.password);
        self.next.clear();
    }

    /// Refuses roles that are not to use this connection.
    pub(super) fn check(&self, role: &str) -> Result<()> {
        if self.allows(role) {
            return Ok(());
        }
        Err(Error::Failed(format!(
            "1 error occurred:\n\t* {role:?} is not an allowed role\n\n"
        )))
    }

    /// What is known after the database did not say that it took a password. Whoever logged in did so with the present
    /// one, so of the others only the new one may count; if nobody did, the new one never reached the database.
    pub(crate) fn unproven(&mut self, proposed: &str, accepted: Option<&str>) {
        match accepted {
            Some(password) => {
                self.password = password.to_owned();
                self.next = vec![proposed.to_owned()];
            }
            None => self.next.retain(|next| next != proposed),
        }
    }

    fn allows(&self, role: &str) -> bool {
        self.allowed_roles
            .iter()
            .any(|pattern| crate::auth::wild(pattern, role))
    }
}

/// What became of the question about something, if it has been asked.
pub(super) fn answer<'r>(
    request: &'r Request,
    about: &str,
) -> Option<(&'r SqlQuestion, std::result::Result<(), &'r str>)> {
    request.answers.iter().find_map(|Answer { to, reply }| match to {
        Question::Sql(question) if question.about == about => Some((
            question,
            match reply {
                Ok(_) => Ok(()),
                Err(reason) => Err(reason.as_str()),
            },
        )),
        _ => None,
    })
}

/// Takes the user out of an address, where it must be in its places.
fn split(shown: &str) -> Result<String> {
    let wrong = |text: &str| Err(Error::invalid(format!("connection_url: {text}")));
    let Some((scheme, rest)) = shown
        .split_once("://")
        .filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"))
    else {
        return wrong("write postgresql://{{username}}:{{password}}@HOST:PORT/DATABASE");
    };
    // There they would win over the fields, and be shown with the address. A percent sign would hide their names.
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    for pair in query.split('&') {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if matches!(name, "user" | "password") || name.contains('%') {
            return wrong("name and password have their own fields, username and password");
        }
    }
    match rest.rsplit_once('@') {
        Some(("{{username}}:{{password}}", host)) => Ok(format!("{scheme}://{host}")),
        Some(_) => {
            wrong("write {{username}}:{{password}} before the host, and the values in their own fields")
        }
        None => Ok(format!("{scheme}://{rest}")),
    }
}

pub(super) fn read(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let connection: Connection = cx.get(&key(name))?.ok_or(Error::NotFound)?;
    Ok(Response::data(json!({
        "plugin_name": PLUGIN,
        "plugin_version": "",
        "allowed_roles": connection.allowed_roles,
        "connection_details": { "connection_url": connection.shown, "username": connection.username },
        "password_policy": "",
        "root_credentials_rotate_statements": connection.rotation,
    })))
}

pub(super) fn write(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let data = &request.data;
    let stored: Option<Connection> = cx.get(&key(name))?;
    if let Some(plugin) = data.text("plugin_name").filter(|plugin| plugin != PLUGIN) {
        return Err(Error::invalid(format!(
            "plugin {plugin:?} is not here: this server has {PLUGIN:?}"
        )));
    }
    if stored.is_none() && data.text("plugin_name").is_none() {
        return Err(Error::invalid("plugin_name is required"));
    }
    let mut connection = stored.unwrap_or_default();
    if let Some(shown) = data.text("connection_url") {
        connection.url = split(&shown)?;
        connection.shown = shown;
    }
    if let Some(username) = data.text("username") {
        if username.contains(['"', '\'']) {
            return Err(Error::invalid("username: quotes are not possible here"));
        }
        connection.username = username;
    }
    if let Some(password) = data.text("password") {
        connection.password = password;
        connection.next.clear();
    }
    if let Some(roles) = data.list("allowed_roles") {
        connection.allowed_roles = roles;
    }
    if let Some(statements) = statement::list(request, "root_rotation_statements") {
        connection.rotation = statements;
    }
    if connection.url.is_empty() {
        return Err(Error::invalid("connection_url is required"));
    }
    if data.flag("verify_connection")?.unwrap_or(true) {
        let about = format!("verify {}{name}", cx.mount.path);
        match answer(request, &about) {
            None => {
                let question = connection.ask(about, Vec::new(), Made::default());
                return Err(Error::Needs(Box::new(Question::Sql(question))));
            }
            Some((_, Err(reason))) => {
                return Err(Error::invalid(format!(
                    "error creating database object: error verifying connection: {reason}"
                )));
            }
            Some((_, Ok(()))) => {}
        }
    }
    cx.put(&key(name), &connection)?;
    Ok(Response::empty())
}

/// A new password for the administering user, known to nobody but this server. Whoever asks the question stores the
/// password before the database hears of it (see `crate::core::rotation`), so that no crash and no lost answer loses it.
pub(super) fn rotate(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let mut connection = need(cx, name)?;
    let about = format!("rotate {}{name}", cx.mount.path);
    match answer(request, &about) {
        None => {
            let made = Made {
                username: connection.username.clone(),
                password: Zeroizing::new(hex::encode(&*random(24)?)),
                rotates: Some(Rotates {
                    connection: Some(cx.key(&key(name))),
                    ..Rotates::default()
                }),
                ..Made::default()
            };
            let fill = Fill {
                name: &made.username,
                password: &made.password,
                until: cx.now,
            };
            let statements = fill.all(&connection.rotation, statement::ROTATE);
            let question = connection.ask(about, statements, made);
            Err(Error::Needs(Box::new(Question::Sql(question))))
        }
        Some((_, Err(reason))) => Err(Error::Failed(format!("unable to rotate: {reason}"))),
        Some((question, Ok(()))) => {
            connection.took(&question.made.password);
            cx.put(&key(name), &connection)?;
            Ok(Response::empty())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_address_names_no_user() {
        for good in [
            "postgresql://{{username}}:{{password}}@db:5432/x?sslmode=disable",
            "postgres://db/x",
        ] {
            split(good).unwrap();
        }
        for bad in [
            "postgresql://{{username}}:{{password}}@db/x?user=eve",
            "postgresql://db/x?sslmode=disable&password=p",
            "postgresql://db/x?%75ser=eve",
            "postgresql://root:pw@db/x",
            "mysql://db/x",
        ] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
