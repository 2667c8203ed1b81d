//! `auth/token/…`: creating, looking up, renewing and revoking tokens, and token roles.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::params::{cidr_allows, clean_policies, parse_cidrs};
use crate::core::request::{Auth, Op, Request, Response};
use crate::core::token::{self, Holder, NewToken, Token};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Role {
    allowed_policies: Vec<String>,
    disallowed_policies: Vec<String>,
    allowed_policies_glob: Vec<String>,
    disallowed_policies_glob: Vec<String>,
    allowed_entity_aliases: Vec<String>,
    orphan: bool,
    renewable: bool,
    path_suffix: String,
    period: i64,
    explicit_max_ttl: i64,
    num_uses: i64,
    no_default_policy: bool,
    kind: String,
    cidrs: Vec<String>,
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments: Vec<&str> = path.split('/').collect();
    match (request.op, segments.as_slice()) {
        (Op::Write, ["create"]) => create(cx, request, None, false),
        (Op::Write, ["create-orphan"]) => create(cx, request, None, true),
        (Op::Write, ["create", role]) => create(cx, request, Some(role), false),
        (Op::Read | Op::Write, ["lookup-self"]) => {
            let holder = own(cx)?;
            let id = request
                .token
                .as_ref()
                .map(|id| id.to_string())
                .unwrap_or_default();
            Ok(show(cx, &holder.token, &id))
        }
        (Op::Read | Op::Write, ["lookup"]) => lookup(cx, &given(request)?),
        (Op::Read | Op::Write, ["lookup", id]) => lookup(cx, id),
        (Op::Write, ["lookup-accessor"]) => {
            let (_, token) = by_accessor(cx, request)?;
            Ok(show(cx, &token, ""))
        }
        (Op::Write, ["renew-self"]) => {
            let holder = own(cx)?;
            let id = request
                .token
                .as_ref()
                .map(|id| id.to_string())
                .unwrap_or_default();
            renew(cx, request, holder, &id)
        }
        (Op::Write, ["renew"]) => renew_given(cx, request, &given(request)?),
        (Op::Write, ["renew", id]) => renew_given(cx, request, id),
        (Op::Write, ["renew-accessor"]) => {
            let (hash, token) = by_accessor(cx, request)?;
            renew(cx, request, Holder { hash, token }, "")
        }
        (Op::Write, ["revoke-self"]) => {
            let holder = own(cx)?;
            revoke(cx, &holder, false)
        }
        (Op::Write, ["revoke"]) => revoke_given(cx, &given(request)?, false),
        (Op::Write, ["revoke", id]) => revoke_given(cx, id, false),
        (Op::Write, ["revoke-orphan"]) => revoke_given(cx, &given(request)?, true),
        (Op::Write, ["revoke-orphan", id]) => revoke_given(cx, id, true),
        (Op::Write, ["revoke-accessor"]) => {
            let (hash, token) = by_accessor(cx, request)?;
            revoke(cx, &Holder { hash, token }, false)
        }
        (Op::List, ["accessors"] | ["accessors", ""]) => Response::keys(token::accessors(&cx.txn)),
        (Op::List, ["roles"] | ["roles", ""]) => Response::keys(cx.list("roles/")),
        (Op::Read, ["roles", name]) => {
            let role: Role = cx.get(&format!("roles/{name}"))?.ok_or(Error::NotFound)?;
            Ok(show_role(name, &role))
        }
        (Op::Write, ["roles", name]) => write_role(cx, request, name),
        (Op::Delete, ["roles", name]) => {
            cx.delete(&format!("roles/{name}"));
            Ok(Response::empty())
        }
        (Op::Write, ["tidy"]) => tidy(cx),
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn own(cx: &Cx<'_>) -> Result<Holder> {
    cx.token.clone().ok_or(Error::Denied)
}

fn given(request: &Request) -> Result<String> {
    request
        .data
        .text("token")
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Error::invalid("missing token ID"))
}

fn by_accessor(cx: &mut Cx<'_>, request: &Request) -> Result<(String, Arc<Token>)> {
    let accessor = request.data.need("accessor")?;
    let wrong = || Error::invalid("invalid accessor");
    let hash = token::by_accessor(&mut cx.txn, &accessor)?.ok_or_else(wrong)?;
    let token = token::by_hash(&mut cx.txn, &hash, cx.now)?.ok_or_else(wrong)?;
    Ok((hash, token))
}

fn create(cx: &mut Cx<'_>, request: &Request, role: Option<&str>, orphan: bool) -> Result<Response> {
    let data = &request.data;
    let parent = own(cx)?;
    if parent.token.num_uses != 0 {
        return Err(Error::invalid(
            "restricted use token cannot generate child tokens",
        ));
    }
    if parent.token.batch {
        return Err(Error::invalid("batch tokens cannot create more tokens"));
    }
    let role: Option<(&str, Role)> = match role {
        None => None,
        Some(name) => Some((
            name,
            cx.get(&format!("roles/{name}"))?
                .ok_or_else(|| Error::invalid(format!("unknown role {name}")))?,
        )),
    };
    let role_ref = role.as_ref().map(|(_, role)| role);
    if let Some(role) = role_ref
        && !cidr_allows(&role.cidrs, request.remote)
    {
        return Err(Error::Denied);
    }
    let mut warnings = Vec::new();
    let sudo = cx.sudo;
    let policies = policies_for(data, &parent.token, role_ref, sudo)?;
    let root = policies.iter().any(|policy| policy == "root");
    if root && !parent.token.is_root() {
        return Err(Error::invalid(
            "root tokens may not be created without parent token being root",
        ));
    }
    let mut period = data.seconds("period")?.unwrap_or(0);
    if period > 0 && !sudo && role_ref.is_none() {
        return Err(Error::invalid(
            "root or sudo privileges required to create periodic token",
        ));
    }
    let mut explicit_max_ttl = data.seconds("explicit_max_ttl")?.unwrap_or(0);
    let mut num_uses = data.int("num_uses")?.unwrap_or(0);
    if num_uses < 0 {
        return Err(Error::invalid("number of uses cannot be negative"));
    }
    let mut kind = data.text("type").unwrap_or_default();
    let mut renewable = data.flag("renewable")?.unwrap_or(true);
    let no_parent = data.flag("no_parent")?.unwrap_or(false);
    if no_parent && !sudo {
        return Err(Error::invalid(
            "root or sudo privileges required to create orphan token",
        ));
    }
    let mut orphan = orphan || no_parent;
    let mut path = "auth/token/create".to_owned();
    let mut cidrs = parent.token.cidrs.clone();
    if let Some((name, role)) = &role {
        orphan = orphan || role.orphan;
        renewable = renewable && role.renewable;
        period = if role.period > 0 { role.period } else { period };
        explicit_max_ttl = match (explicit_max_ttl, role.explicit_max_ttl) {
            (0, limit) | (limit, 0) => limit,
            (a, b) => a.min(b),
        };
        num_uses = match (num_uses, role.num_uses) {
            (0, limit) | (limit, 0) => limit,
            (a, b) => a.min(b),
        };
        if matches!(role.kind.as_str(), "service" | "batch") || kind.is_empty() {
            kind = role.kind.trim_start_matches("default-").to_owned();
        }
        path = format!("auth/token/create/{name}{}", role.path_suffix);
        // A role is a way to other rights, so its addresses count instead of the parent's, never both: either alone is
        // narrower than both together.
        if !role.cidrs.is_empty() {
            cidrs.clone_from(&role.cidrs);
        }
    }
    let id = data.text("id").filter(|id| !id.is_empty());
    if let Some(id) = &id {
        if !sudo {
            return Err(Error::invalid(
                "root or sudo privileges required to specify token id",
            ));
        }
        if id.starts_with("hvb.") || id.starts_with("hvs.") || id.contains(['/', '.']) || id.len() > 256 {
            return Err(Error::invalid(
                "custom token ID cannot have the 'hvs.' or 'hvb.' prefix, nor contain '.' or '/'",
            ));
        }
        warnings.push("Supplying a custom ID for the token uses the weaker SHA1 hashing of older servers in Vault; here it is hashed as any other".to_owned());
    }
    let max_ttl = cx.mount.max_ttl();
    let mut ttl = match data.seconds("ttl")? {
        Some(ttl) => ttl,
        None => data.seconds("lease")?.unwrap_or(0),
    };
    if ttl == 0 && !root {
        ttl = cx.mount.default_ttl();
    }
    if ttl > max_ttl && period == 0 {
        warnings.push(format!(
            "TTL of {ttl}s exceeded the effective max_ttl of {max_ttl}s; TTL value is capped accordingly"
        ));
        ttl = max_ttl;
    }
    let batch = kind == "batch";
    if batch
        && (root
            || num_uses > 0
            || period > 0
            || explicit_max_ttl > 0 && ttl > explicit_max_ttl
            || id.is_some())
    {
        return Err(Error::invalid(
            "batch tokens cannot be root tokens, have limited uses, a period or a given ID",
        ));
    }
    if root && parent.token.expires.is_some() && ttl == 0 {
        return Err(Error::invalid(
            "expiring root tokens cannot create non-expiring root tokens",
        ));
    }
    let display = data.text("display_name").filter(|name| !name.is_empty());
    let auth = token::create(
        cx,
        NewToken {
            id,
            policies,
            path,
            meta: data
                .strings("meta")
                .or_else(|| data.strings("metadata"))
                .unwrap_or_default(),
            display_name: display
                .map_or_else(|| "token".to_owned(), |name| format!("token-{}", clean(&name))),
            num_uses,
            parent: (!orphan).then(|| parent.hash.clone()),
            ttl,
            max_ttl,
            explicit_max_ttl,
            period,
            batch,
            role: role
                .as_ref()
                .map(|(name, _)| (*name).to_owned())
                .unwrap_or_default(),
            entity_id: if orphan {
                String::new()
            } else {
                parent.token.entity_id.clone()
            },
            renewable,
            cidrs,
        },
    )?;
    Ok(Response {
        auth: Some(auth),
        warnings,
        ..Response::default()
    })
}

fn clean(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

fn policies_for(
    data: &Map<String, Value>,
    parent: &Token,
    role: Option<&Role>,
    sudo: bool,
) -> Result<Vec<String>> {
    let asked = data.list("policies").map(clean_policies).unwrap_or_default();
    let mut policies = asked.clone();
    if let Some(role) = role {
        let limited = !role.allowed_policies.is_empty() || !role.allowed_policies_glob.is_empty();
        if asked.is_empty() {
            policies = if limited {
                role.allowed_policies.clone()
            } else {
                parent.policies.clone()
            };
        } else if limited {
            let adds_default = !role.no_default_policy && !flag(data)?;
            for policy in asked
                .iter()
                .filter(|policy| *policy != "default" || !adds_default)
            {
                if !role.allowed_policies.contains(policy)
                    && !role
                        .allowed_policies_glob
                        .iter()
                        .any(|glob| super::wild(glob, policy))
                {
                    return Err(Error::invalid(format!(
                        "token policies ({asked:?}) must be subset of the role's allowed policies"
                    )));
                }
            }
        } else if role.disallowed_policies.is_empty() && role.disallowed_policies_glob.is_empty() {
            subset(&asked, parent, sudo)?;
        }
        for policy in &policies {
            if role.disallowed_policies.contains(policy)
                || role
                    .disallowed_policies_glob
                    .iter()
                    .any(|glob| super::wild(glob, policy))
            {
                return Err(Error::invalid(format!(
                    "token policy {policy:?} is disallowed by this role"
                )));
            }
        }
        if !role.no_default_policy
            && !role.disallowed_policies.iter().any(|policy| policy == "default")
            && !role
                .disallowed_policies_glob
                .iter()
                .any(|glob| super::wild(glob, "default"))
            && !flag(data)?
        {
            policies.push("default".to_owned());
        }
        return assignable(policies);
    }
    if asked.is_empty() {
        policies = parent.policies.clone();
    } else {
        subset(&asked, parent, sudo)?;
    }
    if flag(data)? {
        policies.retain(|policy| policy != "default");
    } else if !asked.is_empty()
        && !policies.iter().any(|policy| policy == "root")
        && (sudo || parent.policies.iter().any(|policy| policy == "default"))
    {
        // Nobody gets it by a child who does not have it.
        policies.push("default".to_owned());
    }
    assignable(policies)
}

/// What the server itself gives tokens is nobody's to give.
fn assignable(policies: Vec<String>) -> Result<Vec<String>> {
    if policies.iter().any(|policy| policy == "response-wrapping") {
        return Err(Error::invalid("cannot assign policy \"response-wrapping\""));
    }
    Ok(policies)
}

fn flag(data: &Map<String, Value>) -> Result<bool> {
    Ok(data.flag("no_default_policy")?.unwrap_or(false))
}

fn subset(asked: &[String], parent: &Token, sudo: bool) -> Result<()> {
    if sudo || asked.iter().all(|policy| parent.policies.contains(policy)) {
        return Ok(());
    }
    Err(Error::invalid("child policies must be subset of parent"))
}

fn show(cx: &Cx<'_>, token: &Token, id: &str) -> Response {
    let mut data = Map::from_iter([
        ("accessor".to_owned(), json!(token.accessor)),
        ("creation_time".to_owned(), json!(token.created.as_second())),
        ("creation_ttl".to_owned(), json!(token.ttl)),
        ("display_name".to_owned(), json!(token.display_name)),
        ("entity_id".to_owned(), json!(token.entity_id)),
        (
            "expire_time".to_owned(),
            json!(token.expires.map(|at| at.to_string())),
        ),
        ("explicit_max_ttl".to_owned(), json!(token.explicit_max_ttl)),
        ("id".to_owned(), json!(id)),
        (
            "meta".to_owned(),
            if token.meta.is_empty() {
                Value::Null
            } else {
                json!(token.meta)
            },
        ),
        ("num_uses".to_owned(), json!(token.num_uses.max(0))),
        ("orphan".to_owned(), json!(token.parent.is_none())),
        ("path".to_owned(), json!(token.path)),
        ("policies".to_owned(), json!(token.policies)),
        ("ttl".to_owned(), json!(token.left(cx.now))),
        (
            "type".to_owned(),
            json!(if token.batch { "batch" } else { "service" }),
        ),
    ]);
    if token.expires.is_some() {
        data.insert("issue_time".to_owned(), json!(token.created.to_string()));
        data.insert("renewable".to_owned(), json!(token.renewable));
    }
    if token.period > 0 {
        data.insert("period".to_owned(), json!(token.period));
    }
    if !token.role.is_empty() {
        data.insert("role".to_owned(), json!(token.role));
    }
    if !token.cidrs.is_empty() {
        data.insert("bound_cidrs".to_owned(), json!(token.cidrs));
    }
    if let Some(at) = token.renewed {
        data.insert("last_renewal".to_owned(), json!(at.to_string()));
        data.insert("last_renewal_time".to_owned(), json!(at.as_second()));
    }
    Response::data(Value::Object(data))
}

fn lookup(cx: &mut Cx<'_>, id: &str) -> Result<Response> {
    // Vault answers a bad token here like a denied request, and clients count on it.
    let holder = token::find(cx, id)?.ok_or(Error::Denied)?;
    Ok(show(cx, &holder.token, id))
}

fn renew_given(cx: &mut Cx<'_>, request: &Request, id: &str) -> Result<Response> {
    let holder = token::find(cx, id)?.ok_or_else(|| Error::invalid("token not found"))?;
    renew(cx, request, holder, id)
}

fn renew(cx: &mut Cx<'_>, request: &Request, holder: Holder, id: &str) -> Result<Response> {
    let increment = request.data.seconds("increment")?;
    let token = token::renew(cx, &holder.hash, (*holder.token).clone(), increment)?;
    Ok(respond(token::describe(&token, id.to_owned().into(), cx.now)))
}

fn respond(auth: Auth) -> Response {
    Response {
        auth: Some(auth),
        ..Response::default()
    }
}

fn revoke_given(cx: &mut Cx<'_>, id: &str, orphan: bool) -> Result<Response> {
    if orphan && !cx.sudo {
        return Err(Error::invalid(
            "root or sudo privileges required to revoke and orphan",
        ));
    }
    match token::find(cx, id)? {
        Some(holder) => revoke(cx, &holder, orphan),
        None => Ok(Response::empty().warn("no token found with this ID; nothing was revoked")),
    }
}

fn revoke(cx: &mut Cx<'_>, holder: &Holder, orphan: bool) -> Result<Response> {
    if holder.token.batch {
        return Err(Error::invalid("batch tokens cannot be revoked"));
    }
    token::revoke(cx, &holder.hash, orphan)?;
    Ok(Response::empty())
}

fn write_role(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let data = &request.data;
    let mut role: Role = cx.get(&format!("roles/{name}"))?.unwrap_or(Role {
        allowed_policies: Vec::new(),
        disallowed_policies: Vec::new(),
        allowed_policies_glob: Vec::new(),
        disallowed_policies_glob: Vec::new(),
        allowed_entity_aliases: Vec::new(),
        orphan: false,
        renewable: true,
        path_suffix: String::new(),
        period: 0,
        explicit_max_ttl: 0,
        num_uses: 0,
        no_default_policy: false,
        kind: "default-service".to_owned(),
        cidrs: Vec::new(),
    });
    for (key, field) in [
        ("allowed_policies", &mut role.allowed_policies),
        ("disallowed_policies", &mut role.disallowed_policies),
        ("allowed_policies_glob", &mut role.allowed_policies_glob),
        ("disallowed_policies_glob", &mut role.disallowed_policies_glob),
        ("allowed_entity_aliases", &mut role.allowed_entity_aliases),
    ] {
        if let Some(list) = data.list(key) {
            *field = clean_policies(list);
        }
    }
    for (key, field) in [
        ("orphan", &mut role.orphan),
        ("renewable", &mut role.renewable),
        ("token_no_default_policy", &mut role.no_default_policy),
    ] {
        if let Some(flag) = data.flag(key)? {
            *field = flag;
        }
    }
    for (keys, field) in [
        (["period", "token_period"], &mut role.period),
        (
            ["explicit_max_ttl", "token_explicit_max_ttl"],
            &mut role.explicit_max_ttl,
        ),
    ] {
        for key in keys {
            if let Some(seconds) = data.seconds(key)? {
                *field = seconds;
            }
        }
    }
    if let Some(uses) = data.int("token_num_uses")? {
        role.num_uses = uses.max(0);
    }
    if let Some(suffix) = data.text("path_suffix") {
        role.path_suffix = if suffix.is_empty() {
            suffix
        } else {
            format!("/{}", suffix.trim_start_matches('/'))
        };
    }
    if let Some(cidrs) = data
        .list("token_bound_cidrs")
        .or_else(|| data.list("bound_cidrs"))
    {
        role.cidrs = parse_cidrs(cidrs)?;
    }
    if let Some(kind) = data.text("token_type") {
        if !matches!(
            kind.as_str(),
            "service" | "batch" | "default-service" | "default-batch"
        ) {
            return Err(Error::invalid(format!("invalid 'token_type' value {kind:?}")));
        }
        role.kind = kind;
    }
    if role.kind == "batch" && role.renewable && data.contains_key("renewable") {
        return Err(Error::invalid(
            "'token_type' cannot be 'batch' when 'renewable' is true",
        ));
    }
    cx.put(&format!("roles/{name}"), &role)?;
    Ok(Response::empty())
}

fn show_role(name: &str, role: &Role) -> Response {
    Response::data(json!({
        "name": name,
        "allowed_policies": role.allowed_policies,
        "disallowed_policies": role.disallowed_policies,
        "allowed_policies_glob": role.allowed_policies_glob,
        "disallowed_policies_glob": role.disallowed_policies_glob,
        "allowed_entity_aliases": role.allowed_entity_aliases,
        "orphan": role.orphan,
        "renewable": role.renewable,
        "path_suffix": role.path_suffix.trim_start_matches('/'),
        "period": role.period,
        "token_period": role.period,
        "explicit_max_ttl": role.explicit_max_ttl,
        "token_explicit_max_ttl": role.explicit_max_ttl,
        "token_num_uses": role.num_uses,
        "token_no_default_policy": role.no_default_policy,
        "token_bound_cidrs": role.cidrs,
        "token_type": role.kind,
    }))
}

/// Removes whatever points to tokens that are not there any more.
fn tidy(cx: &mut Cx<'_>) -> Result<Response> {
    for (hash, _) in token::all(&mut cx.txn)? {
        if token::by_hash(&mut cx.txn, &hash, cx.now)?.is_none() {
            token::revoke(cx, &hash, false)?;
        }
    }
    let mut response = Response::empty()
        .warn("Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.");
    response.status = Some(202);
    Ok(response)
}
