//! From a request to the module that answers it: fixed paths, authorization, resources and subresources.

use super::alive::Asked;
use super::answer::{self, Answer};
use super::fairness::Turn;
use super::request::{Path, Query, Request};
use super::server::Context;
use super::{discovery, images, logs, metrics, openapi, patch, proxy, read, reviews, streams, watch, write};
use crate::auth::{Attributes, ISSUER, Rbac, User};
use crate::registry::Status;
use bytes::Bytes;
use herder_listen::{Arriving, BodyError};
use http::Method;
use http_body_util::{BodyExt as _, Limited};
use serde_json::json;

/// Kubernetes' limit for request bodies.
const MAX_BODY: usize = 3 << 20;

pub(crate) async fn answer(
    context: &Context,
    user: User,
    request: http::Request<Arriving>,
    turn: &mut Turn,
) -> Result<Answer, Status> {
    if request.uri().path() == images::PATH {
        return images::answer(context, &user, request).await;
    }
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let text = parts.uri.path();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Some(path) = Path::parse(text).filter(|path| !path.resource.is_empty()) else {
        return fixed(context, &user, &parts.method, text, &parts.headers, &query);
    };
    let found = context
        .registry
        .catalog()
        .served(&path.group, &path.version, &path.resource)
        .cloned();
    let Some(resource) = found else {
        return Err(no_such_path());
    };
    // What is not in a namespace has no path in one: whoever may do something in a namespace may not do it to these.
    if !resource.namespaced && !path.namespace.is_empty() {
        return Err(no_such_path());
    }
    let mut request = Request {
        method: parts.method,
        path,
        resource,
        query,
        headers: parts.headers,
        user,
        body: Bytes::new(),
    };
    // Nothing is read from those who may not ask.
    authorize(context, &request.user, &request.attributes())?;
    let asked = Asked {
        user: request.user.clone(),
        want: request.attributes(),
    };
    let mut answer = if streams::is_one(&request) {
        let query = parts.uri.query().unwrap_or_default();
        streams::answer(context, &request, (upgrade, query), turn)?
    } else if streams::is_log(&request) {
        streams::log(context, &request, upgrade, turn).await?
    } else if proxy::is_one(&request) {
        proxy::answer(context, request, (parts.uri, body)).await?
    } else {
        request.body = whole(body).await?;
        resource_request(context, request).await?
    };
    answer.extensions_mut().insert(asked);
    Ok(answer)
}

/// All of a request's body.
pub(super) async fn whole(body: Arriving) -> Result<Bytes, Status> {
    let collected = Limited::new(body, MAX_BODY).collect().await;
    let collected = collected.map_err(|error| {
        if let Some(BodyError::Slow) = error.downcast_ref() {
            return Status::new(
                408,
                "Timeout",
                "the body did not arrive in time: a minute is the most",
            );
        }
        Status::new(
            413,
            "RequestEntityTooLarge",
            format!("the body could not be read; it may have at most {MAX_BODY} bytes ({error})"),
        )
    })?;
    Ok(collected.to_bytes())
}

fn no_such_path() -> Status {
    Status::new(
        404,
        "NotFound",
        "the server could not find the requested resource",
    )
}

pub(crate) fn authorize(context: &Context, user: &User, want: &Attributes) -> Result<(), Status> {
    let decision = context.rbac.decide(user, want);
    if decision.allowed {
        return Ok(());
    }
    let mut refusal = Status::new(403, "Forbidden", Rbac::refusal(user, want, &decision));
    refusal.name.clone_from(&want.name);
    refusal.group.clone_from(&want.group);
    refusal.kind.clone_from(&want.resource);
    Err(refusal)
}

fn fixed(
    context: &Context,
    user: &User,
    method: &Method,
    path: &str,
    headers: &http::HeaderMap,
    query: &Query,
) -> Result<Answer, Status> {
    let verb = method.as_str().to_lowercase();
    let want = Attributes {
        verb,
        path: path.to_owned(),
        ..Attributes::default()
    };
    authorize(context, user, &want)?;
    if method != Method::GET && method != Method::HEAD {
        return Err(Status::new(
            405,
            "MethodNotAllowed",
            format!("{path} is read-only"),
        ));
    }
    let accept = headers
        .get(http::header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Ok(match parts.as_slice() {
        ["healthz" | "readyz" | "livez", ..] => answer::text(200, "ok"),
        ["version"] => answer::json(200, &discovery::version()),
        ["openid", "v1", "jwks"] => answer::json_as(200, "application/jwk-set+json", &context.tokens.jwks()),
        [".well-known", "openid-configuration"] => answer::json(
            200,
            &json!({
                "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
                "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }),
        ),
        ["openapi", "v2"] if accept.contains("protobuf") => {
            answer::bytes(200, openapi::V2_MEDIA, openapi::V2_PROTOBUF)
        }
        ["openapi", "v2"] => answer::json(200, &openapi::v2()),
        ["openapi", "v3"] => answer::json(200, &openapi::index(&context.registry.catalog())),
        ["openapi", "v3", rest @ ..] => {
            let document = openapi::document(&context.registry.catalog(), &rest.join("/"));
            answer::json(200, &document.ok_or_else(no_such_path)?)
        }
        ["metrics"] => answer::text(200, ""),
        [] => answer::json(
            200,
            &json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]}),
        ),
        ["api" | "apis", ..] => {
            let _ = query;
            return discovery::answer(&context.registry.catalog(), &parts, accept).ok_or_else(no_such_path);
        }
        _ => return Err(no_such_path()),
    })
}

async fn resource_request(context: &Context, request: Request) -> Result<Answer, Status> {
    if request.resource.namespaced
        && request.path.namespace.is_empty()
        && (!request.path.name.is_empty() || request.method == Method::POST)
        && !request.is_watch()
    {
        return Err(Status::bad_request(
            "an empty namespace may not be set when a resource name is provided",
        ));
    }
    if request.resource.answered {
        return match (request.method.as_str(), request.resource.kind.as_str()) {
            ("GET" | "HEAD", "NodeMetrics" | "PodMetrics") => metrics::answer(context, &request).await,
            (_, "NodeMetrics" | "PodMetrics") => Err(not_allowed()),
            ("POST", "Binding") => write::bind(context, &request).await,
            ("POST", _) => reviews::answer(context, &request),
            _ => Err(not_allowed()),
        };
    }
    let subresource = request.path.subresource.clone();
    if !is_served(&request) {
        return Err(no_such_path());
    }
    match (request.method.as_str(), subresource.as_str()) {
        ("GET" | "HEAD", "") if request.is_watch() => watch::answer(context, &request),
        ("GET" | "HEAD", "") if request.path.name.is_empty() => read::list(context, &request),
        ("GET" | "HEAD", "" | "status" | "ephemeralcontainers" | "resize") => read::get(context, &request),
        ("POST", "") => write::create(context, &request).await,
        ("PUT", "" | "status" | "finalize" | "approval") => write::update(context, &request).await,
        ("PATCH", "" | "status" | "finalize" | "resize" | "ephemeralcontainers") => {
            patch::answer(context, &request).await
        }
        ("DELETE", "") if request.path.name.is_empty() => write::delete_collection(context, &request).await,
        ("DELETE", "") => write::delete(context, &request).await,
        ("GET", "scale") if request.resource.scale.is_some() => read::scale(context, &request),
        ("PUT", "scale") if request.resource.scale.is_some() => write::scale(context, &request).await,
        ("PATCH", "scale") if request.resource.scale.is_some() => patch::scale(context, &request).await,
        ("POST", "binding") if request.resource.name == "pods" => write::bind(context, &request).await,
        ("POST", "eviction") if request.resource.name == "pods" => write::evict(context, &request).await,
        ("GET", "log") if request.resource.name == "pods" => logs::answer(context, &request).await,
        ("POST", "token") if request.resource.name == "serviceaccounts" => reviews::token(context, &request),
        (_, "" | "status") => Err(not_allowed()),
        _ => Err(no_such_path()),
    }
}

/// Whether the kind has the subresource. A right to a subresource must not become one to the object itself where the
/// subresource means nothing.
fn is_served(request: &Request) -> bool {
    let resource = &request.resource;
    match request.path.subresource.as_str() {
        "status" => resource.status,
        "finalize" => resource.storage_name == "namespaces",
        "approval" => resource.storage_name == "certificatesigningrequests.certificates.k8s.io",
        "resize" | "ephemeralcontainers" => resource.storage_name == "pods",
        _ => true,
    }
}

fn not_allowed() -> Status {
    Status::new(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    )
}
