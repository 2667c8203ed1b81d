//! AppRole: machines log in with a role id and a secret id. Owns roles and log in; secret ids are in `secret`.

mod secret;

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::params::{Login, TokenParams, cidr_allows, parse_cidrs};
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A role as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) role_id: String,
    pub(crate) bind_secret_id: bool,
    pub(crate) secret_id_bound_cidrs: Vec<String>,
    pub(crate) secret_id_num_uses: i64,
    pub(crate) secret_id_ttl: i64,
    pub(crate) local_secret_ids: bool,
    pub(crate) token: TokenParams,
}

fn load(cx: &mut Cx<'_>, name: &str) -> Result<Option<Role>> {
    cx.get(&format!("role/{name}"))
}

fn need(cx: &mut Cx<'_>, name: &str) -> Result<Role> {
    load(cx, name)?.ok_or_else(|| Error::NoRoute(format!("role {name:?} does not exist")))
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match (request.op, segments.as_slice()) {
        (Op::Write, ["login"]) => login(cx, request),
        (Op::List, ["role"]) => Response::keys(cx.list("role/")),
        (Op::Write, ["tidy", "secret-id"]) => secret::tidy(cx),
        (Op::Read, ["role", name]) => {
            let role = load(cx, &name.to_lowercase())?.ok_or(Error::NotFound)?;
            Ok(Response::data(Value::Object(show(&role))))
        }
        (Op::Write, ["role", name]) => write(cx, request, &name.to_lowercase()),
        (Op::Delete, ["role", name]) => delete(cx, &name.to_lowercase()),
        (op, ["role", name, rest @ ..]) => {
            let name = name.to_lowercase();
            match (op, rest) {
                (Op::Write, ["secret-id"]) => secret::create(cx, request, &name, false),
                (Op::Write, ["custom-secret-id"]) => secret::create(cx, request, &name, true),
                (Op::List, ["secret-id"]) => secret::list(cx, &name),
                (_, ["secret-id", verb]) => secret::by_id(cx, request, &name, verb),
                (_, ["secret-id-accessor", verb]) => secret::by_accessor(cx, request, &name, verb),
                (_, [field]) => field_of(cx, request, &name, field),
                _ => Err(crate::engines::unsupported_path()),
            }
        }
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn show(role: &Role) -> Map<String, Value> {
    let mut data = Map::from_iter([
        ("bind_secret_id".to_owned(), json!(role.bind_secret_id)),
        (
            "secret_id_bound_cidrs".to_owned(),
            if role.secret_id_bound_cidrs.is_empty() {
                Value::Null
            } else {
                json!(role.secret_id_bound_cidrs)
            },
        ),
        ("secret_id_num_uses".to_owned(), json!(role.secret_id_num_uses)),
        ("secret_id_ttl".to_owned(), json!(role.secret_id_ttl)),
        ("local_secret_ids".to_owned(), json!(role.local_secret_ids)),
    ]);
    role.token.show(&mut data);
    data
}

fn apply(role: &mut Role, data: &Map<String, Value>) -> Result<()> {
    if let Some(flag) = data.flag("bind_secret_id")? {
        role.bind_secret_id = flag;
    }
    if let Some(cidrs) = data
        .list("secret_id_bound_cidrs")
        .or_else(|| data.list("bound_cidr_list"))
    {
        role.secret_id_bound_cidrs = parse_cidrs(cidrs)?;
    }
    if let Some(uses) = data.int("secret_id_num_uses")? {
        if uses < 0 {
            return Err(Error::invalid("secret_id_num_uses cannot be negative"));
        }
        role.secret_id_num_uses = uses;
    }
    if let Some(ttl) = data.seconds("secret_id_ttl")? {
        role.secret_id_ttl = ttl;
    }
    if let Some(flag) = data.flag("local_secret_ids")? {
        role.local_secret_ids = flag;
    }
    role.token.update(data)?;
    if !role.bind_secret_id && role.secret_id_bound_cidrs.is_empty() && role.token.cidrs.is_empty() {
        return Err(Error::invalid(
            "at least one constraint should be enabled on the role",
        ));
    }
    Ok(())
}

fn set_role_id(cx: &mut Cx<'_>, name: &str, role: &mut Role, id: String) -> Result<()> {
    if id.is_empty() || id.contains('/') || id.len() > 4096 {
        return Err(Error::invalid("invalid role_id supplied"));
    }
    if let Some(owner) = cx.get::<String>(&format!("role-id/{id}"))?
        && owner != name
    {
        return Err(Error::invalid("role_id already in use"));
    }
    if !role.role_id.is_empty() {
        cx.delete(&format!("role-id/{}", role.role_id));
    }
    cx.put(&format!("role-id/{id}"), &name)?;
    role.role_id = id;
    Ok(())
}

fn write(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let mut role = match load(cx, name)? {
        Some(role) => role,
        None => {
            let mut role = Role {
                role_id: String::new(),
                bind_secret_id: true,
                secret_id_bound_cidrs: Vec::new(),
                secret_id_num_uses: 0,
                secret_id_ttl: 0,
                local_secret_ids: false,
                token: TokenParams::default(),
            };
            set_role_id(cx, name, &mut role, uuid::Uuid::new_v4().to_string())?;
            role
        }
    };
    apply(&mut role, &request.data)?;
    if let Some(id) = request.data.text("role_id").filter(|id| !id.is_empty()) {
        set_role_id(cx, name, &mut role, id)?;
    }
    cx.put(&format!("role/{name}"), &role)?;
    Ok(Response::empty())
}

fn delete(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    if let Some(role) = load(cx, name)? {
        secret::delete_all(cx, name)?;
        cx.delete(&format!("role-id/{}", role.role_id));
        cx.delete(&format!("role/{name}"));
    }
    Ok(Response::empty())
}

/// One field of a role as a path of its own.
fn field_of(cx: &mut Cx<'_>, request: &Request, name: &str, path: &str) -> Result<Response> {
    let mut role = need(cx, name)?;
    let field = match path {
        "role-id" => "role_id",
        "policies" => "token_policies",
        "period" => "token_period",
        "bound-cidr-list" => "secret_id_bound_cidrs",
        "bind-secret-id" => "bind_secret_id",
        "secret-id-num-uses" => "secret_id_num_uses",
        "secret-id-ttl" => "secret_id_ttl",
        "secret-id-bound-cidrs" => "secret_id_bound_cidrs",
        "token-bound-cidrs" => "token_bound_cidrs",
        "token-num-uses" => "token_num_uses",
        "token-ttl" => "token_ttl",
        "token-max-ttl" => "token_max_ttl",
        "local-secret-ids" => "local_secret_ids",
        _ => return Err(crate::engines::unsupported_path()),
    };
    match request.op {
        Op::Read if field == "role_id" => Ok(Response::data(json!({ "role_id": role.role_id }))),
        Op::Read => {
            let value = show(&role).remove(field).unwrap_or_default();
            let mut data = Map::from_iter([(field.to_owned(), value.clone())]);
            if path == "policies" {
                data.insert("policies".to_owned(), value);
            }
            Ok(Response::data(Value::Object(data)))
        }
        Op::Write if field == "role_id" => {
            let id = request.data.need("role_id")?;
            set_role_id(cx, name, &mut role, id)?;
            cx.put(&format!("role/{name}"), &role)?;
            Ok(Response::empty())
        }
        Op::Write => {
            apply(&mut role, &request.data)?;
            cx.put(&format!("role/{name}"), &role)?;
            Ok(Response::empty())
        }
        Op::Delete => {
            let default = match field {
                "bind_secret_id" => json!(true),
                "local_secret_ids" => json!(false),
                "token_policies" | "secret_id_bound_cidrs" | "token_bound_cidrs" => json!([]),
                _ => json!(0),
            };
            apply(&mut role, &Map::from_iter([(field.to_owned(), default)]))?;
            cx.put(&format!("role/{name}"), &role)?;
            Ok(Response::empty())
        }
        _ => Err(Error::Unsupported),
    }
}

fn login(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let wrong = || Error::invalid("invalid role or secret ID");
    let id = request
        .data
        .text("role_id")
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Error::invalid("missing role_id"))?;
    let guard = format!("{}{id}", cx.mount.path);
    if !cx.core.throttle.allows(&guard, cx.now) {
        return Err(Error::TooMany);
    }
    let name: String = cx.get(&format!("role-id/{id}"))?.ok_or_else(wrong)?;
    let role = load(cx, &name)?.ok_or_else(wrong)?;
    let mut metadata = std::collections::BTreeMap::new();
    let mut bound = Vec::new();
    if role.bind_secret_id {
        let secret = request
            .data
            .text("secret_id")
            .filter(|secret| !secret.is_empty())
            .ok_or_else(|| Error::invalid("missing secret_id"))?;
        match secret::redeem(cx, &role, &name, &secret, request.remote)? {
            Some(found) => (metadata, bound) = found,
            None => {
                cx.core.throttle.record(&guard, false, cx.now);
                return Err(wrong());
            }
        }
        cx.core.throttle.record(&guard, true, cx.now);
    }
    if !cidr_allows(&role.secret_id_bound_cidrs, request.remote) {
        return Err(Error::invalid(
            "source address is not allowed by the role's bound CIDRs",
        ));
    }
    metadata.insert("role_name".to_owned(), name.clone());
    let login = Login {
        display_name: cx.mount.path.trim_end_matches('/').to_owned(),
        alias: role.role_id.clone(),
        metadata,
        role: String::new(),
    };
    let auth = if bound.is_empty() {
        role.token.log_in(cx, &request.path, request.remote, login)?
    } else {
        // As in Vault: the token is for other addresses, whoever fetches it.
        role.token.give(cx, &request.path, &bound, login)?
    };
    Ok(Response {
        auth: Some(auth),
        ..Response::default()
    })
}
