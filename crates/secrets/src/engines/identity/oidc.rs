//! Signed identity tokens: named keys, roles, tokens for the caller's entity, and what verifiers need.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::identity::{self, Entity};
use crate::core::request::{Op, Request, Response};
use crate::core::token::alphanumeric;
use crate::{Error, Result};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

#[derive(Clone, Serialize, Deserialize)]
struct Version {
    id: String,
    /// Base64 of PKCS#8; gone once only verification is allowed.
    private: Option<String>,
    public: Value,
    until: Option<Timestamp>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Key {
    algorithm: String,
    rotation_period: i64,
    verification_ttl: i64,
    allowed_client_ids: Vec<String>,
    /// Newest first.
    versions: Vec<Version>,
    rotated: Timestamp,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Role {
    key: String,
    template: String,
    client_id: String,
    ttl: i64,
}

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request, path: &[&str]) -> Result<Response> {
    match (request.op, path) {
        (Op::Read, ["config"]) => Ok(Response::data(
            json!({ "issuer": cx.txn.get::<String>("identity/oidc/config")?.unwrap_or_default() }),
        )),
        (Op::Write, ["config"]) => {
            let issuer = request.data.text("issuer").unwrap_or_default();
            if !issuer.is_empty() && !issuer.starts_with("https://") && !issuer.starts_with("http://") {
                return Err(Error::invalid("invalid issuer: write scheme, host and port only"));
            }
            cx.txn
                .put("identity/oidc/config", &issuer.trim_end_matches('/'))?;
            if issuer.is_empty() {
                return Ok(Response::empty());
            }
            let response = Response::data(json!({})).warn(
                "If \"issuer\" is set explicitly, all tokens must be validated against that address, including those issued by secondary clusters.",
            );
            Ok(response)
        }
        (Op::List, ["key"]) => Response::keys(cx.txn.list("identity/oidc/key/")),
        (Op::List, ["role"]) => Response::keys(cx.txn.list("identity/oidc/role/")),
        (Op::Write, ["key", name]) => write_key(cx, request, name),
        (Op::Read, ["key", name]) => {
            let key: Key = cx
                .txn
                .get(format!("identity/oidc/key/{name}"))?
                .ok_or(Error::NotFound)?;
            Ok(Response::data(json!({
                "algorithm": key.algorithm,
                "rotation_period": key.rotation_period,
                "verification_ttl": key.verification_ttl,
                "allowed_client_ids": key.allowed_client_ids,
            })))
        }
        (Op::Delete, ["key", name]) => {
            for role in cx.txn.list("identity/oidc/role/") {
                if cx
                    .txn
                    .get::<Role>(&format!("identity/oidc/role/{role}"))?
                    .is_some_and(|role| role.key == *name)
                {
                    return Err(Error::invalid(format!(
                        "unable to delete key {name:?} because it is currently referenced by these roles: {role}"
                    )));
                }
            }
            cx.txn.delete(&format!("identity/oidc/key/{name}"));
            Ok(Response::empty())
        }
        (Op::Write, ["key", name, "rotate"]) => {
            let path = format!("identity/oidc/key/{name}");
            let mut key: Key = cx
                .txn
                .get(&path)?
                .ok_or_else(|| Error::invalid("no key found at this name"))?;
            let ttl = request
                .data
                .seconds("verification_ttl")?
                .unwrap_or(key.verification_ttl);
            rotate(cx, &mut key, ttl)?;
            cx.txn.put(&path, &key)?;
            Ok(Response::empty())
        }
        (Op::Write, ["role", name]) => write_role(cx, request, name),
        (Op::Read, ["role", name]) => {
            let role: Role = cx
                .txn
                .get(format!("identity/oidc/role/{name}"))?
                .ok_or(Error::NotFound)?;
            Ok(Response::data(
                json!({ "key": role.key, "template": role.template, "client_id": role.client_id, "ttl": role.ttl }),
            ))
        }
        (Op::Delete, ["role", name]) => {
            cx.txn.delete(&format!("identity/oidc/role/{name}"));
            Ok(Response::empty())
        }
        (Op::Read, ["token", name]) => sign(cx, name),
        (Op::Write, ["introspect"]) => introspect(cx, request),
        (Op::Read, [".well-known", "openid-configuration"]) => {
            let issuer = issuer(cx)?;
            Ok(Response::bare(json!({
                "issuer": issuer,
                "jwks_uri": format!("{issuer}/.well-known/keys"),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"],
                "authorization_endpoint": "",
                "token_endpoint": "",
            })))
        }
        (Op::Read, [".well-known", "keys"]) => {
            let keys = published(cx)?;
            Ok(Response::bare(json!({ "keys": keys })))
        }
        _ => Err(crate::engines::unsupported_path()),
    }
}

fn issuer(cx: &mut Cx<'_>) -> Result<String> {
    let configured = cx.txn.get::<String>("identity/oidc/config")?.unwrap_or_default();
    let base = if configured.is_empty() {
        cx.core.api_addr.clone()
    } else {
        configured
    };
    Ok(format!("{}/v1/identity/oidc", base.trim_end_matches('/')))
}

fn published(cx: &mut Cx<'_>) -> Result<Vec<Value>> {
    let now = cx.now;
    let mut keys = Vec::new();
    for name in cx.txn.list("identity/oidc/key/") {
        let Some(key) = cx.txn.get::<Key>(&format!("identity/oidc/key/{name}"))? else {
            continue;
        };
        keys.extend(
            key.versions
                .into_iter()
                .filter(|version| version.until.is_none_or(|at| at > now))
                .map(|version| version.public),
        );
    }
    Ok(keys)
}

fn write_key(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let data = &request.data;
    let path = format!("identity/oidc/key/{name}");
    let mut key = cx.txn.get::<Key>(&path)?.unwrap_or(Key {
        algorithm: "RS256".to_owned(),
        rotation_period: 86400,
        verification_ttl: 86400,
        allowed_client_ids: Vec::new(),
        versions: Vec::new(),
        rotated: cx.now,
    });
    for (field, value) in [
        ("rotation_period", &mut key.rotation_period),
        ("verification_ttl", &mut key.verification_ttl),
    ] {
        if let Some(seconds) = data.seconds(field)? {
            *value = seconds;
        }
    }
    if key.rotation_period < 60 {
        return Err(Error::invalid("rotation_period must be at least one minute"));
    }
    if key.verification_ttl > 10 * key.rotation_period {
        return Err(Error::invalid(
            "verification_ttl cannot be longer than 10x rotation_period",
        ));
    }
    if let Some(ids) = data.list("allowed_client_ids") {
        key.allowed_client_ids = ids;
    }
    let before = key.algorithm.clone();
    if let Some(algorithm) = data.text("algorithm") {
        key.algorithm = algorithm;
    }
    if !matches!(
        key.algorithm.as_str(),
        "RS256" | "RS384" | "RS512" | "ES256" | "ES384" | "ES512" | "EdDSA"
    ) {
        return Err(Error::invalid(format!(
            "unknown signing algorithm {:?}",
            key.algorithm
        )));
    }
    if key.versions.is_empty() || before != key.algorithm {
        let ttl = key.verification_ttl;
        rotate(cx, &mut key, ttl)?;
    }
    cx.txn.put(&path, &key)?;
    Ok(Response::empty())
}

fn broken<E>(_: E) -> Error {
    Error::Internal("a signing key cannot be made or used")
}

/// Makes a new version; the present one only verifies from now on, for a while.
fn rotate(cx: &Cx<'_>, key: &mut Key, verification_ttl: i64) -> Result<()> {
    let random = SystemRandom::new();
    let (private, spki): (Zeroizing<Vec<u8>>, Vec<u8>) = match key.algorithm.as_str() {
        "RS256" | "RS384" | "RS512" => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(broken)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(broken)?;
            (
                Zeroizing::new(der.as_ref().to_vec()),
                pair.public_key().as_der().map_err(broken)?.as_ref().to_vec(),
            )
        }
        "EdDSA" => {
            let der = Ed25519KeyPair::generate_pkcs8(&random).map_err(broken)?;
            let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).map_err(broken)?;
            (
                Zeroizing::new(der.as_ref().to_vec()),
                pair.public_key().as_ref().to_vec(),
            )
        }
        algorithm => {
            let der = EcdsaKeyPair::generate_pkcs8(ec(algorithm), &random).map_err(broken)?;
            let pair = EcdsaKeyPair::from_pkcs8(ec(algorithm), der.as_ref()).map_err(broken)?;
            (
                Zeroizing::new(der.as_ref().to_vec()),
                pair.public_key().as_ref().to_vec(),
            )
        }
    };
    let id = uuid::Uuid::new_v4().to_string();
    let public = jwk(&key.algorithm, &id, &spki)?;
    if let Some(present) = key.versions.first_mut() {
        present.private = None;
        present.until = Some(crate::core::token::after(cx.now, verification_ttl));
    }
    key.versions
        .retain(|version| version.until.is_none_or(|at| at > cx.now));
    key.versions.insert(
        0,
        Version {
            id,
            private: Some(STANDARD.encode(&*private)),
            public,
            until: None,
        },
    );
    key.rotated = cx.now;
    Ok(())
}

fn ec(algorithm: &str) -> &'static signature::EcdsaSigningAlgorithm {
    match algorithm {
        "ES384" => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        "ES512" => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

/// The public half as a JSON web key.
fn jwk(algorithm: &str, id: &str, public: &[u8]) -> Result<Value> {
    let mut key = json!({ "use": "sig", "kid": id, "alg": algorithm });
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let fields = match algorithm {
        "RS256" | "RS384" | "RS512" => {
            let (_, spki) = x509_parser::x509::SubjectPublicKeyInfo::from_der(public).map_err(broken)?;
            let x509_parser::public_key::PublicKey::RSA(rsa) = spki.parsed().map_err(broken)? else {
                return Err(broken(()));
            };
            let strip = |bytes: &[u8]| {
                bytes
                    .iter()
                    .copied()
                    .skip_while(|byte| *byte == 0)
                    .collect::<Vec<_>>()
            };
            json!({ "kty": "RSA", "n": encode(&strip(rsa.modulus)), "e": encode(&strip(rsa.exponent)) })
        }
        "EdDSA" => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(public) }),
        _ => {
            let curve = match algorithm {
                "ES384" => "P-384",
                "ES512" => "P-521",
                _ => "P-256",
            };
            let (x, y) = public
                .get(1..)
                .and_then(|point| point.split_at_checked(point.len() / 2))
                .ok_or_else(|| broken(()))?;
            json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
        }
    };
    if let (Some(key), Value::Object(fields)) = (key.as_object_mut(), fields) {
        key.extend(fields);
    }
    Ok(key)
}

fn write_role(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let path = format!("identity/oidc/role/{name}");
    let mut role: Role = cx.txn.get(&path)?.unwrap_or(Role {
        ttl: 86400,
        ..Role::default()
    });
    if let Some(key) = request.data.text("key") {
        role.key = key;
    }
    if role.key.is_empty() {
        return Err(Error::invalid("the key parameter is required"));
    }
    if let Some(template) = request.data.text("template") {
        role.template = template;
    }
    if let Some(ttl) = request.data.seconds("ttl")? {
        role.ttl = ttl;
    }
    if let Some(key) = cx.txn.get::<Key>(&format!("identity/oidc/key/{}", role.key))?
        && role.ttl > key.verification_ttl
    {
        return Err(Error::invalid(
            "a role's token ttl cannot be longer than the verification_ttl of the key it references",
        ));
    }
    if let Some(id) = request.data.text("client_id").filter(|id| !id.is_empty()) {
        role.client_id = id;
    }
    if role.client_id.is_empty() {
        role.client_id = alphanumeric(26)?;
    }
    cx.txn.put(&path, &role)?;
    Ok(Response::empty())
}

fn sign(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let role: Role = cx
        .txn
        .get(format!("identity/oidc/role/{name}"))?
        .ok_or_else(|| Error::invalid(format!("role {name:?} not found")))?;
    let entity_id = cx
        .token
        .as_ref()
        .map(|holder| holder.token.entity_id.clone())
        .unwrap_or_default();
    let entity: Entity = identity::load(&mut cx.txn, &entity_id)?
        .ok_or_else(|| Error::invalid("no entity associated with the request's token"))?;
    let path = format!("identity/oidc/key/{}", role.key);
    let mut key: Key = cx
        .txn
        .get(&path)?
        .ok_or_else(|| Error::invalid(format!("key {:?} not found", role.key)))?;
    if !key
        .allowed_client_ids
        .iter()
        .any(|id| id == "*" || *id == role.client_id)
    {
        return Err(Error::invalid(
            "the key does not list the client ID of the role as an allowed client ID",
        ));
    }
    // Keys are renewed when they are used, so nothing has to watch the clock.
    if crate::core::token::after(key.rotated, key.rotation_period) <= cx.now {
        let ttl = key.verification_ttl;
        rotate(cx, &mut key, ttl)?;
        cx.txn.put(&path, &key)?;
    }
    let now = cx.now.as_second();
    let mut claims = Map::new();
    if !role.template.is_empty() {
        claims.extend(template(&role.template, &entity)?);
    }
    claims.extend([
        ("iss".to_owned(), json!(issuer(cx)?)),
        ("sub".to_owned(), json!(entity.id)),
        ("aud".to_owned(), json!(role.client_id)),
        ("iat".to_owned(), json!(now)),
        ("exp".to_owned(), json!(now + role.ttl)),
        ("namespace".to_owned(), json!("root")),
    ]);
    let version = key.versions.first().ok_or_else(|| broken(()))?;
    let header = json!({ "alg": key.algorithm, "kid": version.id });
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string())
    );
    let private = Zeroizing::new(
        STANDARD
            .decode(version.private.as_deref().unwrap_or_default())
            .map_err(broken)?,
    );
    let signed = signature_of(&key.algorithm, &private, message.as_bytes())?;
    Ok(Response::data(json!({
        "token": format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed)),
        "client_id": role.client_id,
        "ttl": role.ttl,
    })))
}

fn signature_of(algorithm: &str, private: &[u8], message: &[u8]) -> Result<Vec<u8>> {
    let random = SystemRandom::new();
    match algorithm {
        "RS256" | "RS384" | "RS512" => {
            let pair = RsaKeyPair::from_pkcs8(private).map_err(broken)?;
            let padding: &'static dyn signature::RsaEncoding = match algorithm {
                "RS384" => &signature::RSA_PKCS1_SHA384,
                "RS512" => &signature::RSA_PKCS1_SHA512,
                _ => &signature::RSA_PKCS1_SHA256,
            };
            let mut signed = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, message, &mut signed)
                .map_err(broken)?;
            Ok(signed)
        }
        "EdDSA" => Ok(Ed25519KeyPair::from_pkcs8(private)
            .map_err(broken)?
            .sign(message)
            .as_ref()
            .to_vec()),
        _ => {
            let pair = EcdsaKeyPair::from_pkcs8(ec(algorithm), private).map_err(broken)?;
            Ok(pair.sign(&random, message).map_err(broken)?.as_ref().to_vec())
        }
    }
}

/// Claims out of a JSON template with `{{identity.entity.…}}` placeholders.
fn template(text: &str, entity: &Entity) -> Result<Map<String, Value>> {
    let text = STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_else(|| text.to_owned());
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        let value = match name.trim() {
            "identity.entity.id" => json!(entity.id),
            "identity.entity.name" => json!(entity.name),
            "identity.entity.metadata" => json!(entity.metadata),
            other => match other.strip_prefix("identity.entity.metadata.") {
                Some(field) => json!(entity.metadata.get(field).cloned().unwrap_or_default()),
                None => {
                    return Err(Error::invalid(format!(
                        "the role's template has the unknown parameter {other:?}"
                    )));
                }
            },
        };
        out.push_str(before);
        out.push_str(&value.to_string());
        rest = after;
    }
    out.push_str(rest);
    serde_json::from_str(&out)
        .map_err(|_| Error::invalid("the role's template is not JSON once it is filled in"))
}

fn introspect(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let token = request.data.need("token")?;
    let keys: Vec<_> = published(cx)?
        .iter()
        .filter_map(crate::auth::jwt::verify::PublicKey::from_jwk)
        .collect();
    let client = request.data.text("client_id").filter(|id| !id.is_empty());
    let reason = match crate::auth::jwt::verify::verified(&token, &keys, &[]) {
        None => Some("unable to validate the token signature"),
        Some(claims)
            if claims
                .get("exp")
                .and_then(Value::as_i64)
                .is_none_or(|at| at <= cx.now.as_second()) =>
        {
            Some("token is expired")
        }
        Some(claims)
            if client
                .as_ref()
                .is_some_and(|id| claims.get("aud") != Some(&json!(id))) =>
        {
            Some("token audience does not match")
        }
        Some(_) => None,
    };
    Ok(Response::bare(match reason {
        None => json!({ "active": true }),
        Some(reason) => json!({ "active": false, "error": reason }),
    }))
}
