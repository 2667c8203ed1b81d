//! Log in with a name and a password. Passwords are stored stretched (PBKDF2-HMAC-SHA256); guessing is slowed down.

use crate::core::barrier::random;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::params::{Login, TokenParams};
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// OWASP's advice for this function, 2023.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct User {
    salt: String,
    hash: String,
    token: TokenParams,
}

impl User {
    fn set(&mut self, password: &str) -> Result<()> {
        if password.is_empty() {
            return Err(Error::invalid("missing password"));
        }
        let salt = random(16)?;
        let mut hash = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            &salt,
            password.as_bytes(),
            &mut hash,
        );
        self.salt = STANDARD.encode(&*salt);
        self.hash = STANDARD.encode(hash);
        Ok(())
    }

    /// In constant time for a given password.
    fn fits(&self, password: &str) -> bool {
        let salt = STANDARD.decode(&self.salt).unwrap_or_default();
        let hash = STANDARD.decode(&self.hash).unwrap_or_default();
        pbkdf2::verify(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            &salt,
            password.as_bytes(),
            &hash,
        )
        .is_ok()
    }
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match (request.op, segments.as_slice()) {
        (Op::Write, ["login", name]) => login(cx, request, &name.to_lowercase()),
        (Op::List, ["users"]) => Response::keys(cx.list("users/")),
        (op, ["users", name, rest @ ..]) => user(cx, request, op, &name.to_lowercase(), rest),
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn user(cx: &mut Cx<'_>, request: &Request, op: Op, name: &str, rest: &[&str]) -> Result<Response> {
    let key = format!("users/{name}");
    let stored: Option<User> = cx.get(&key)?;
    match (op, rest) {
        (Op::Read, []) => {
            let mut data = Map::new();
            stored.ok_or(Error::NotFound)?.token.show(&mut data);
            Ok(Response::data(Value::Object(data)))
        }
        (Op::Delete, []) => {
            cx.delete(&key);
            Ok(Response::empty())
        }
        (Op::Write, []) => {
            let mut user = stored.unwrap_or_default();
            match request.data.text("password") {
                Some(password) => user.set(&password)?,
                None if user.hash.is_empty() => return Err(Error::invalid("missing password")),
                None => {}
            }
            user.token.update(&request.data)?;
            cx.put(&key, &user)?;
            Ok(Response::empty())
        }
        (Op::Write, ["password"]) => {
            let mut user = stored.ok_or_else(|| Error::invalid("username does not exist"))?;
            user.set(&request.data.need("password")?)?;
            cx.put(&key, &user)?;
            Ok(Response::empty())
        }
        (Op::Write, ["policies"]) => {
            let mut user = stored.ok_or_else(|| Error::invalid("username does not exist"))?;
            user.token.update(&request.data)?;
            cx.put(&key, &user)?;
            Ok(Response::empty())
        }
        _ => Err(Error::Unsupported),
    }
}

fn login(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let password = request
        .data
        .text("password")
        .filter(|password| !password.is_empty())
        .ok_or_else(|| Error::invalid("missing password"))?;
    let guard = format!("{}{name}", cx.mount.path);
    if !cx.core.throttle.allows(&guard, cx.now) {
        return Err(Error::TooMany);
    }
    let user: Option<User> = cx.get(&format!("users/{name}"))?;
    // An unknown name takes as long as a wrong password.
    let known = user.is_some();
    let user = user.unwrap_or_default();
    if !user.fits(&password) || !known {
        cx.core.throttle.record(&guard, false, cx.now);
        return Err(Error::invalid("invalid username or password"));
    }
    cx.core.throttle.record(&guard, true, cx.now);
    let login = Login {
        display_name: format!("{}-{name}", cx.mount.path.trim_end_matches('/')),
        alias: name.to_owned(),
        metadata: BTreeMap::from([("username".to_owned(), name.to_owned())]),
        role: String::new(),
    };
    let auth = user.token.log_in(cx, &request.path, request.remote, login)?;
    Ok(Response {
        auth: Some(auth),
        ..Response::default()
    })
}
