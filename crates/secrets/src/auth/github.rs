//! Log in with a GitHub token: GitHub is asked who its owner is, and in which organisation and teams.

use super::jwt::answered;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::params::{Login, TokenParams, clean_policies};
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::external::HttpQuestion;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Config {
    organization: String,
    organization_id: i64,
    base_url: String,
    token: TokenParams,
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match (request.op, segments.as_slice()) {
        (Op::Write, ["login"]) => login(cx, request),
        (Op::Read, ["config"]) => {
            let config: Config = cx.get("config")?.ok_or(Error::NotFound)?;
            let mut data = Map::from_iter([
                ("organization".to_owned(), json!(config.organization)),
                ("organization_id".to_owned(), json!(config.organization_id)),
                ("base_url".to_owned(), json!(config.base_url)),
            ]);
            config.token.show(&mut data);
            for (old, value) in [("ttl", config.token.ttl), ("max_ttl", config.token.max_ttl)] {
                data.insert(old.to_owned(), json!(value));
            }
            Ok(Response::data(Value::Object(data)))
        }
        (Op::Write, ["config"]) => configure(cx, request),
        (Op::List, ["map", kind @ ("teams" | "users")]) => Response::keys(cx.list(&format!("{kind}/"))),
        (Op::Read, ["map", kind @ ("teams" | "users"), name]) => {
            let stored: Option<String> = cx.get(&format!("{kind}/{}", name.to_lowercase()))?;
            // As in Vault, a name without a mapping is an answer without data, not an absence.
            Ok(Response::data(match stored {
                Some(value) => json!({ "key": name, "value": value }),
                None => json!({}),
            }))
        }
        (Op::Write, ["map", kind @ ("teams" | "users"), name]) => {
            let value = request.data.text("value").unwrap_or_default();
            cx.put(&format!("{kind}/{}", name.to_lowercase()), &value)?;
            Ok(Response::empty())
        }
        (Op::Delete, ["map", kind @ ("teams" | "users"), name]) => {
            cx.delete(&format!("{kind}/{}", name.to_lowercase()));
            Ok(Response::empty())
        }
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn ask(request: &Request, config: &Config, path: &str, token: Option<&str>) -> Result<Value> {
    let base = if config.base_url.is_empty() {
        "https://api.github.com"
    } else {
        config.base_url.trim_end_matches('/')
    };
    answered(
        request,
        HttpQuestion {
            method: "GET",
            url: format!("{base}/{path}"),
            bearer: token.map(str::to_owned),
            ..HttpQuestion::default()
        },
    )
}

fn configure(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let mut config: Config = cx.get("config")?.unwrap_or_default();
    if let Some(organization) = request.data.text("organization") {
        config.organization = organization;
        config.organization_id = 0;
    }
    if let Some(url) = request.data.text("base_url") {
        if !url.is_empty() && !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Error::invalid(
                "error parsing given base_url: write scheme and host",
            ));
        }
        config.base_url = url;
    }
    if let Some(id) = request.data.int("organization_id")? {
        config.organization_id = id;
    }
    if config.organization.is_empty() {
        return Err(Error::invalid("organization is a required parameter"));
    }
    config.token.update(&request.data)?;
    if config.organization_id == 0 {
        // The number stays the organisation's when its name is given to somebody else.
        let found = ask(request, &config, &format!("orgs/{}", config.organization), None)?;
        config.organization_id = found
            .get("id")
            .and_then(Value::as_i64)
            .filter(|id| *id != 0)
            .ok_or_else(|| {
                Error::invalid("unable to fetch the organization_id, you must manually set it in the config")
            })?;
    }
    cx.put("config", &config)?;
    Ok(Response::empty())
}

fn login(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let token = request
        .data
        .text("token")
        .filter(|token| !token.is_empty())
        .ok_or_else(|| Error::invalid("missing client token"))?;
    let config: Config = cx
        .get("config")?
        .ok_or_else(|| Error::invalid("configuration has not been set"))?;
    let list = |value: Value| match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let user = ask(request, &config, "user", Some(&token))?;
    let organizations = list(ask(request, &config, "user/orgs?per_page=100", Some(&token))?);
    let id = |value: &Value| value.get("id").and_then(Value::as_i64).unwrap_or(0);
    if !organizations
        .iter()
        .any(|organization| id(organization) == config.organization_id)
    {
        return Err(Error::Failed("user is not part of required org".to_owned()));
    }
    let teams = list(ask(request, &config, "user/teams?per_page=100", Some(&token))?);
    let name = user
        .get("login")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty() && !name.contains('/'))
        .ok_or_else(|| Error::Upstream("GitHub did not say who the token's owner is".to_owned()))?
        .to_owned();
    let mut keys = vec![
        "teams/default".to_owned(),
        format!("users/{}", name.to_lowercase()),
    ];
    for team in &teams {
        if team.get("organization").map(id) != Some(config.organization_id) {
            continue;
        }
        for field in ["name", "slug"] {
            if let Some(team) = team
                .get(field)
                .and_then(Value::as_str)
                .filter(|team| !team.contains('/'))
            {
                keys.push(format!("teams/{}", team.to_lowercase()));
            }
        }
    }
    let mut params = config.token.clone();
    for key in keys {
        if let Some(policies) = cx.get::<String>(&key)? {
            params
                .policies
                .extend(clean_policies(policies.split(',').map(str::to_owned).collect()));
        }
    }
    params.policies.retain(|policy| policy != "root");
    let login = Login {
        display_name: format!("{}-{name}", cx.mount.path.trim_end_matches('/')),
        alias: name.clone(),
        metadata: BTreeMap::from([
            ("username".to_owned(), name),
            ("org".to_owned(), config.organization.clone()),
        ]),
        role: String::new(),
    };
    let auth = params.log_in(cx, &request.path, request.remote, login)?;
    Ok(Response {
        auth: Some(auth),
        ..Response::default()
    })
}
