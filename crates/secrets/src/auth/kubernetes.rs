//! Log in with a Kubernetes service account's token, which the cluster itself is asked about (TokenReview). Owns roles
//! and the cluster's address; never decides about a token by itself.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::params::{Login, TokenParams};
use crate::core::request::{Op, Request, Response};
use crate::external::{HttpQuestion, Question};
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Config {
    host: String,
    ca_cert: String,
    reviewer_jwt: String,
    pem_keys: Vec<String>,
    issuer: String,
    disable_iss_validation: bool,
    disable_local_ca_jwt: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Role {
    names: Vec<String>,
    namespaces: Vec<String>,
    namespace_selector: String,
    audience: String,
    alias_source: String,
    token: TokenParams,
    /// Old field names answers must show again.
    legacy: BTreeMap<String, Value>,
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments: Vec<&str> = path.split('/').collect();
    match (request.op, segments.as_slice()) {
        (Op::Read, ["config"]) => {
            let config: Config = cx.get("config")?.ok_or(Error::NotFound)?;
            Ok(Response::data(json!({
                "kubernetes_host": config.host,
                "kubernetes_ca_cert": config.ca_cert,
                "pem_keys": config.pem_keys,
                "issuer": config.issuer,
                "disable_iss_validation": config.disable_iss_validation,
                "disable_local_ca_jwt": config.disable_local_ca_jwt,
                "token_reviewer_jwt_set": !config.reviewer_jwt.is_empty(),
            })))
        }
        (Op::Write, ["config"]) => write_config(cx, request),
        (Op::List, ["role"] | ["role", ""]) => Response::keys(cx.list("role/")),
        (Op::Read, ["role", name]) => {
            let role: Role = cx.get(&format!("role/{name}"))?.ok_or(Error::NotFound)?;
            Ok(show(&role))
        }
        (Op::Write, ["role", name]) => write_role(cx, request, name),
        (Op::Delete, ["role", name]) => {
            cx.delete(&format!("role/{name}"));
            Ok(Response::empty())
        }
        (Op::Write, ["login"]) => login(cx, request),
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn write_config(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let data = &request.data;
    let host = data
        .need("kubernetes_host")
        .map_err(|_| Error::invalid("no host provided"))?;
    if !(host.starts_with("https://") || host.starts_with("http://")) {
        return Err(Error::invalid(
            "kubernetes_host: write an address such as https://10.96.0.1:443",
        ));
    }
    if data.flag("disable_local_ca_jwt")?.unwrap_or(false)
        && data.text("kubernetes_ca_cert").is_none_or(|pem| pem.is_empty())
    {
        return Err(Error::invalid(
            "kubernetes_ca_cert must be given when disable_local_ca_jwt is true",
        ));
    }
    let pem_keys = data.list("pem_keys").unwrap_or_default();
    for key in &pem_keys {
        if !key.contains("-----BEGIN") {
            return Err(Error::invalid(
                "pem_keys: data does not contain any valid public keys",
            ));
        }
    }
    let config = Config {
        host: host.trim_end_matches('/').to_owned(),
        ca_cert: data.text("kubernetes_ca_cert").unwrap_or_default(),
        reviewer_jwt: data.text("token_reviewer_jwt").unwrap_or_default(),
        pem_keys,
        issuer: data.text("issuer").unwrap_or_default(),
        disable_iss_validation: data.flag("disable_iss_validation")?.unwrap_or(true),
        disable_local_ca_jwt: data.flag("disable_local_ca_jwt")?.unwrap_or(false),
    };
    cx.put("config", &config)?;
    Ok(Response::empty())
}

fn write_role(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let data = &request.data;
    let key = format!("role/{name}");
    let mut role: Role = cx.get(&key)?.unwrap_or_default();
    if let Some(names) = data.list("bound_service_account_names") {
        role.names = names;
    }
    if let Some(namespaces) = data.list("bound_service_account_namespaces") {
        role.namespaces = namespaces;
    }
    if let Some(selector) = data.text("bound_service_account_namespace_selector") {
        if !selector.is_empty() {
            return Err(Error::invalid(
                "bound_service_account_namespace_selector is not supported: list the namespaces",
            ));
        }
        role.namespace_selector = selector;
    }
    if role.names.is_empty() {
        return Err(Error::invalid("\"bound_service_account_names\" can not be empty"));
    }
    if role.namespaces.is_empty() {
        return Err(Error::invalid(
            "\"bound_service_account_namespaces\" can not be empty",
        ));
    }
    for list in [&role.names, &role.namespaces] {
        if list.len() > 1 && list.iter().any(|item| item == "*") {
            return Err(Error::invalid("can not mix \"*\" with values"));
        }
    }
    if let Some(audience) = data.text("audience") {
        role.audience = audience;
    }
    role.alias_source = match data.text("alias_name_source") {
        Some(source) if matches!(source.as_str(), "serviceaccount_uid" | "serviceaccount_name") => source,
        Some(source) => return Err(Error::invalid(format!("invalid alias_name_source {source:?}"))),
        None if role.alias_source.is_empty() => "serviceaccount_uid".to_owned(),
        None => role.alias_source,
    };
    role.token.update(data)?;
    for (old, value) in [
        ("policies", json!(role.token.policies)),
        ("ttl", json!(role.token.ttl)),
        ("max_ttl", json!(role.token.max_ttl)),
        ("period", json!(role.token.period)),
        ("num_uses", json!(role.token.num_uses)),
        ("bound_cidrs", json!(role.token.cidrs)),
    ] {
        if data.contains_key(old) {
            role.legacy.insert(old.to_owned(), value);
        }
    }
    cx.put(&key, &role)?;
    Ok(Response::empty())
}

fn show(role: &Role) -> Response {
    let mut data = Map::from_iter([
        ("bound_service_account_names".to_owned(), json!(role.names)),
        (
            "bound_service_account_namespaces".to_owned(),
            json!(role.namespaces),
        ),
        (
            "bound_service_account_namespace_selector".to_owned(),
            json!(role.namespace_selector),
        ),
        ("alias_name_source".to_owned(), json!(role.alias_source)),
    ]);
    if !role.audience.is_empty() {
        data.insert("audience".to_owned(), json!(role.audience));
    }
    role.token.show(&mut data);
    data.extend(role.legacy.clone());
    Response::data(Value::Object(data))
}

/// What a token claims. Believed only after the cluster has confirmed the token.
fn claims(jwt: &str) -> Option<Value> {
    let mut parts = jwt.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn login(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let jwt = request
        .data
        .text("jwt")
        .filter(|jwt| !jwt.is_empty())
        .ok_or_else(|| Error::invalid("missing jwt"))?;
    let name = request
        .data
        .text("role")
        .filter(|role| !role.is_empty())
        .ok_or_else(|| Error::invalid("missing role"))?;
    let role: Role = cx
        .get(&format!("role/{name}"))?
        .ok_or_else(|| Error::invalid(format!("invalid role name {name:?}")))?;
    let config: Config = cx
        .get("config")?
        .ok_or_else(|| Error::invalid("could not load backend configuration"))?;
    let claims = claims(&jwt).ok_or_else(|| Error::invalid("the jwt is not a JSON web token"))?;
    if !role.audience.is_empty() && !is_for(&claims, &role.audience) {
        // Nobody needs to be asked about a token that is not for this role.
        return Err(Error::Forbidden(
            "invalid audience (aud) claim: audience claim does not match any expected audience".to_owned(),
        ));
    }
    let mut spec = json!({ "token": jwt });
    if !role.audience.is_empty()
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("audiences".to_owned(), json!([role.audience]));
    }
    // Without a reviewer of its own, the server presents the very token it asks about, as Vault does.
    let bearer = if config.reviewer_jwt.is_empty() {
        jwt
    } else {
        config.reviewer_jwt
    };
    let question = HttpQuestion {
        method: "POST",
        url: format!("{}/apis/authentication.k8s.io/v1/tokenreviews", config.host),
        ca_pem: Some(config.ca_cert).filter(|pem| !pem.is_empty()),
        bearer: Some(bearer),
        body: Some(json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec })),
        form: None,
    };
    let question = Question::Http(question);
    let Some(answer) = request.answers.iter().find(|answer| answer.to == question) else {
        return Err(Error::Needs(Box::new(question)));
    };
    let review = match &answer.reply {
        Ok((200..=299, review)) => review,
        Ok((status @ (401 | 403), _)) => {
            tracing::warn!(
                status,
                "the cluster refused the token reviewer: check token_reviewer_jwt and its rights"
            );
            return Err(Error::Denied);
        }
        Ok((status, _)) => {
            return Err(Error::Upstream(format!(
                "the Kubernetes API answered the token review with status {status}"
            )));
        }
        Err(reason) => {
            return Err(Error::Upstream(format!(
                "the Kubernetes API at {} cannot be asked: {reason}",
                config.host
            )));
        }
    };
    let status = review.get("status").unwrap_or(&Value::Null);
    if status.get("authenticated").and_then(Value::as_bool) != Some(true) {
        return Err(Error::Denied);
    }
    if !role.audience.is_empty()
        && !status
            .get("audiences")
            .and_then(Value::as_array)
            .is_some_and(|audiences| {
                audiences
                    .iter()
                    .any(|audience| audience == role.audience.as_str())
            })
    {
        return Err(Error::Denied);
    }
    let user = status
        .pointer("/user/username")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let uid = status
        .pointer("/user/uid")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some((namespace, account)) = user
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
    else {
        return Err(Error::Denied);
    };
    if !bound(&role.names, account) {
        return Err(Error::Forbidden("service account name not authorized".to_owned()));
    }
    if !bound(&role.namespaces, namespace) {
        return Err(Error::Forbidden("namespace not authorized".to_owned()));
    }
    let alias = if role.alias_source == "serviceaccount_name" {
        format!("{namespace}/{account}")
    } else {
        uid.to_owned()
    };
    let login = Login {
        display_name: format!("{}-{namespace}-{account}", cx.mount.path.trim_end_matches('/')),
        alias,
        metadata: BTreeMap::from([
            ("service_account_name".to_owned(), account.to_owned()),
            ("service_account_namespace".to_owned(), namespace.to_owned()),
            ("service_account_uid".to_owned(), uid.to_owned()),
            ("service_account_secret_name".to_owned(), String::new()),
        ]),
        role: name,
    };
    let auth = role.token.log_in(cx, &request.path, request.remote, login)?;
    Ok(Response {
        auth: Some(auth),
        ..Response::default()
    })
}

/// Whether a token says that it is for an audience.
fn is_for(claims: &Value, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(only)) => only == audience,
        Some(Value::Array(all)) => all.iter().any(|one| one == audience),
        _ => false,
    }
}

fn bound(allowed: &[String], name: &str) -> bool {
    allowed.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(head) => name.starts_with(head),
        None => pattern == name,
    })
}
