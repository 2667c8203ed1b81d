//! Questions that are answered and not stored: access, rules, tokens, and who am I.

use super::answer::{self, Answer};
use super::request::Request;
use super::server::Context;
use crate::auth::{Attributes, TokenRequest, User, restrict_token};
use crate::registry::{Status, stamp};
use serde_json::{Value, json};

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn texts(value: &Value, pointer: &str) -> Vec<String> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

fn attributes(spec: &Value) -> Attributes {
    if let Some(path) = spec.get("nonResourceAttributes") {
        return Attributes {
            verb: text(path, "/verb"),
            path: text(path, "/path"),
            ..Attributes::default()
        };
    }
    let at = spec.get("resourceAttributes").cloned().unwrap_or_default();
    Attributes {
        verb: text(&at, "/verb"),
        group: text(&at, "/group"),
        resource: text(&at, "/resource"),
        subresource: text(&at, "/subresource"),
        namespace: text(&at, "/namespace"),
        name: text(&at, "/name"),
        path: String::new(),
    }
}

fn with_status(mut review: Value, request: &Request, status: Value) -> Answer {
    if let Some(map) = review.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(request.resource.api_version()));
        map.insert("kind".to_owned(), json!(request.resource.kind));
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        if metadata.is_null() {
            *metadata = json!({});
        }
        map.entry("spec").or_insert_with(|| json!({}));
        map.insert("status".to_owned(), status);
    }
    answer::json(201, &review)
}

fn access(context: &Context, user: &User, spec: &Value) -> Value {
    let decision = context.rbac.decide(user, &attributes(spec));
    let mut status = json!({"allowed": decision.allowed});
    if let (false, Some(map)) = (decision.reason.is_empty(), status.as_object_mut()) {
        map.insert("reason".to_owned(), json!(decision.reason));
    }
    status
}

pub(crate) fn answer(context: &Context, request: &Request) -> Result<Answer, Status> {
    let review = request.object()?;
    let spec = review.get("spec").cloned().unwrap_or_default();
    let status = match request.resource.kind.as_str() {
        "SelfSubjectAccessReview" => access(context, &request.user, &spec),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let mut user = User {
                name: text(&spec, "/user"),
                uid: text(&spec, "/uid"),
                groups: texts(&spec, "/groups"),
                ..User::default()
            };
            if user.name.is_empty() && user.groups.is_empty() {
                return Err(Status::bad_request("spec.user or spec.groups is required"));
            }
            if let Some(rest) = user.name.strip_prefix("system:serviceaccount:")
                && let Some((namespace, _)) = rest.split_once(':')
                && user.groups.is_empty()
            {
                user.groups = vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ];
            }
            access(context, &user, &spec)
        }
        "SelfSubjectRulesReview" => {
            let namespace = text(&spec, "/namespace");
            let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
            let paths = json!({"verbs": ["*"], "nonResourceURLs": ["*"]});
            let master = request
                .user
                .is_in("system:masters")
                .then_some([everything, paths]);
            let rules = context.rbac.rules(&request.user, &namespace);
            let rules = rules.into_iter().flat_map(|(_, rules)| rules);
            crate::auth::rules_status(master.into_iter().flatten().chain(rules))
        }
        "SelfSubjectReview" => json!({"userInfo": request.user.to_value()}),
        "TokenReview" => {
            let audiences = texts(&spec, "/audiences");
            let now = context.registry.clock().now();
            match context
                .tokens
                .check(&text(&spec, "/token"), &audiences, &context.registry, now)
            {
                Ok((user, audiences)) => {
                    json!({"authenticated": true, "user": user.to_value(), "audiences": audiences})
                }
                Err(error) => json!({"authenticated": false, "error": error.to_string()}),
            }
        }
        other => return Err(Status::internal(format!("nothing answers a {other}"))),
    };
    let mut shown = review;
    if request.resource.kind == "TokenReview"
        && let Some(spec) = shown.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.remove("token");
    }
    Ok(with_status(shown, request, status))
}

/// How long a service account token lives at most, as many clusters have it.
const LONGEST: i64 = 24 * 3600;

/// Issues a service account token.
pub(crate) fn token(context: &Context, request: &Request) -> Result<Answer, Status> {
    let asked = if request.body.is_empty() {
        json!({})
    } else {
        request.object()?
    };
    let path = &request.path;
    let account = context
        .registry
        .get("serviceaccounts", &path.namespace, &path.name)
        .ok_or_else(|| Status::not_found(&request.resource, &path.name))?;
    let seconds = match asked.pointer("/spec/expirationSeconds") {
        None | Some(Value::Null) => 3600,
        Some(seconds) => seconds.as_i64().ok_or_else(|| {
            Status::bad_request(format!(
                "spec.expirationSeconds is not a whole number of seconds: {seconds}"
            ))
        })?,
    };
    let bound = asked
        .pointer("/spec/boundObjectRef")
        .filter(|bound| bound.is_object());
    let bound = bound
        .map(|bound| {
            let (kind, name, uid) = (text(bound, "/kind"), text(bound, "/name"), text(bound, "/uid"));
            let resource = match kind.as_str() {
                "Pod" => "pods",
                "Secret" => "secrets",
                _ => return Err(Status::bad_request(format!("cannot bind token to object of kind {kind:?}; use Pod or Secret"))),
            };
            let object = context
                .registry
                .get(resource, &path.namespace, &name)
                .ok_or_else(|| Status::new(404, "NotFound", format!("{resource} \"{name}\" not found")))?;
            let actual = herder_object::uid(&object).to_owned();
            if !uid.is_empty() && uid != actual {
                return Err(Status::new(409, "Conflict", format!("the UID in the bound object reference ({uid}) does not match the UID in record ({actual})")));
            }
            Ok((kind, name, actual))
        })
        .transpose()?;
    let now = context.registry.clock().now();
    let audiences = texts(&asked, "/spec/audiences");
    if let Some(node) = request.user.node() {
        let account = (path.namespace.as_str(), path.name.as_str());
        restrict_token(&context.registry, node, account, bound.as_ref(), &audiences)
            .map_err(|why| Status::forbidden(&request.resource, &path.name, &why))?;
    }
    // Longer ones are shortened, and the answer says so: a token is not to outlive by years what it was made for.
    let seconds = if seconds <= 1 << 32 {
        seconds.min(LONGEST)
    } else {
        seconds
    };
    let token = context.tokens.issue(
        &TokenRequest {
            namespace: path.namespace.clone(),
            account: path.name.clone(),
            account_uid: herder_object::uid(&account).to_owned(),
            audiences: audiences.clone(),
            seconds,
            bound,
        },
        now,
    )?;
    let expires = now
        .saturating_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(now);
    let mut spec = asked.get("spec").cloned().unwrap_or_else(|| json!({}));
    if let Some(map) = spec.as_object_mut() {
        map.insert("expirationSeconds".to_owned(), json!(seconds));
        let audiences = if audiences.is_empty() {
            vec![crate::auth::ISSUER.to_owned()]
        } else {
            audiences
        };
        map.insert("audiences".to_owned(), json!(audiences));
        map.entry("boundObjectRef").or_insert(Value::Null);
    }
    Ok(answer::json(
        201,
        &json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": path.name, "namespace": path.namespace, "creationTimestamp": stamp(now)},
            "spec": spec, "status": {"token": token, "expirationTimestamp": stamp(expires)},
        }),
    ))
}
