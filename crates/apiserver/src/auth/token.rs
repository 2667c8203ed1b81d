//! Service account tokens: ES256 JWTs. What they say is never taken for granted: the account, and the pod or secret a
//! token is bound to, must still be there, with the same uid. No claim makes anything else of them than that account.

use super::User;
use crate::registry::{Registry, Status};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Digest as _;

/// The issuer of service account tokens, and the audience of those for the API server.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Audiences that begin so are Herder's own; no token is made for them.
const RESERVED: &str = "herder:";
/// How long something that is being deleted still counts, in seconds, as Kubernetes has it.
const LEEWAY: i64 = 60;
/// The shortest and the longest a token may be asked for, in seconds.
const LIFETIMES: std::ops::RangeInclusive<i64> = 600..=1 << 32;

/// Why a token was not made or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, or altered.
    #[error("the token is not valid")]
    Invalid,
    /// Too old.
    #[error("the token has expired")]
    Expired,
    /// For somebody else.
    #[error("the token is not for this audience")]
    Audience,
    /// The account, pod or secret it is bound to is gone.
    #[error("the {0} that the token is bound to no longer exists")]
    Unbound(&'static str),
    /// A lifetime nobody may ask for.
    #[error(
        "spec.expirationSeconds: Invalid value: {0}: may not specify a duration less than 10 minutes or longer than 2^32 seconds"
    )]
    Lifetime(i64),
    /// An audience nobody may ask for.
    #[error(
        "spec.audiences: Invalid value: {0:?}: audiences that begin with \"herder:\" are reserved for Herder itself; choose another"
    )]
    Reserved(String),
    /// The key is unusable.
    #[error("the token signing key cannot be used")]
    Key,
}

/// What a service account token is asked for.
#[derive(Debug, Clone, Default)]
pub struct TokenRequest {
    /// Namespace of the account.
    pub namespace: String,
    /// Name of the account.
    pub account: String,
    /// Uid of the account.
    pub account_uid: String,
    /// Audiences; none means the API server.
    pub audiences: Vec<String>,
    /// Seconds it is valid.
    pub seconds: i64,
    /// Bound object: kind, name, uid.
    pub bound: Option<(String, String, String)>,
}

/// Makes and checks tokens.
pub struct Tokens {
    key: EcdsaKeyPair,
    key_id: String,
    random: SystemRandom,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// With a PKCS #8 P-256 key.
    ///
    /// # Errors
    /// [`TokenError::Key`] if it is not one.
    pub fn new(pkcs8: &[u8]) -> Result<Self, TokenError> {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| TokenError::Key)?;
        let key_id = B64.encode(sha2::Sha256::digest(key.public_key().as_ref()));
        Ok(Self {
            key,
            key_id,
            random: SystemRandom::new(),
        })
    }

    /// The public key as a JSON Web Key Set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| B64.encode(point.get(range).unwrap_or_default());
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": part(1..33), "y": part(33..65),
        }]})
    }

    fn sign(&self, claims: &Value) -> Result<String, TokenError> {
        let header = json!({"alg": "ES256", "kid": self.key_id});
        let signed = format!(
            "{}.{}",
            B64.encode(header.to_string()),
            B64.encode(claims.to_string())
        );
        let signature = self
            .key
            .sign(&self.random, signed.as_bytes())
            .map_err(|_| TokenError::Key)?;
        Ok(format!("{signed}.{}", B64.encode(signature.as_ref())))
    }

    /// A service account token.
    ///
    /// # Errors
    /// [`TokenError::Lifetime`] and [`TokenError::Reserved`] for what nobody may ask for; [`TokenError::Key`] if signing
    /// fails.
    pub fn issue(&self, request: &TokenRequest, now: Timestamp) -> Result<String, TokenError> {
        if !LIFETIMES.contains(&request.seconds) {
            return Err(TokenError::Lifetime(request.seconds));
        }
        let reserved = |audience: &&String| audience.starts_with(RESERVED);
        if let Some(audience) = request.audiences.iter().find(reserved) {
            return Err(TokenError::Reserved(audience.clone()));
        }
        let audiences = if request.audiences.is_empty() {
            vec![ISSUER.to_owned()]
        } else {
            request.audiences.clone()
        };
        let at = now.as_second();
        let mut bound = json!({
            "namespace": request.namespace,
            "serviceaccount": {"name": request.account, "uid": request.account_uid},
        });
        if let (Some((kind, name, uid)), Some(map)) = (&request.bound, bound.as_object_mut()) {
            map.insert(kind.to_lowercase(), json!({"name": name, "uid": uid}));
        }
        self.sign(&json!({
            "iss": ISSUER, "sub": format!("system:serviceaccount:{}:{}", request.namespace, request.account),
            "aud": audiences, "iat": at, "nbf": at, "exp": at + request.seconds,
            "jti": uuid::Uuid::new_v4().to_string(), "kubernetes.io": bound,
        }))
    }

    /// The user of a token for one of `audiences` (none: the API server), and the audiences it has of those.
    ///
    /// # Errors
    /// [`TokenError`] says why it is not accepted.
    pub fn check(
        &self,
        token: &str,
        audiences: &[String],
        registry: &Registry,
        now: Timestamp,
    ) -> Result<(User, Vec<String>), TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Invalid)?;
        let signature = B64.decode(signature).map_err(|_| TokenError::Invalid)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| TokenError::Invalid)?;
        // One algorithm and one key, whatever the header says; a header that says otherwise was not made here.
        let header = decoded(header)?;
        if header.get("alg") != Some(&json!("ES256")) || header.get("kid") != Some(&json!(self.key_id)) {
            return Err(TokenError::Invalid);
        }
        let claims = decoded(payload)?;
        let own: Vec<String> = claims
            .get("aud")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|audience| audience.as_str().map(str::to_owned))
            .collect();
        let second = |claim: &str| claims.get(claim).and_then(Value::as_i64);
        if second("exp").is_none_or(|expires| expires <= now.as_second()) {
            return Err(TokenError::Expired);
        }
        if claims.get("iss") != Some(&json!(ISSUER))
            || second("nbf").is_none_or(|from| from > now.as_second().saturating_add(LEEWAY))
        {
            return Err(TokenError::Invalid);
        }
        let default = [ISSUER.to_owned()];
        let wanted = if audiences.is_empty() {
            default.as_slice()
        } else {
            audiences
        };
        let common: Vec<String> = own
            .into_iter()
            .filter(|audience| wanted.contains(audience))
            .collect();
        if common.is_empty() {
            return Err(TokenError::Audience);
        }
        let user = bound_user(&claims, registry, now)?;
        if claims.get("sub") != Some(&json!(user.name)) {
            return Err(TokenError::Invalid);
        }
        Ok((user, common))
    }
}

fn decoded(part: &str) -> Result<Value, TokenError> {
    let bytes = B64.decode(part).map_err(|_| TokenError::Invalid)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Invalid)
}

/// Whether an object that is being deleted still counts: until its time is up, and a moment longer.
fn counts(object: &Value, now: Timestamp) -> bool {
    let Some(at) = object
        .pointer("/metadata/deletionTimestamp")
        .filter(|at| !at.is_null())
    else {
        return true;
    };
    let at = at.as_str().and_then(|at| at.parse::<Timestamp>().ok());
    at.is_some_and(|at| at.as_second().saturating_add(LEEWAY) > now.as_second())
}

fn bound_user(claims: &Value, registry: &Registry, now: Timestamp) -> Result<User, TokenError> {
    let text = |pointer: &str| {
        claims
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let alive = |resource: &str, name: &str, uid: &str, namespace: &str| {
        registry
            .get(resource, namespace, name)
            .is_some_and(|object| herder_object::uid(&object) == uid && counts(&object, now))
    };
    let namespace = text("/kubernetes.io/namespace");
    let (name, uid) = (
        text("/kubernetes.io/serviceaccount/name"),
        text("/kubernetes.io/serviceaccount/uid"),
    );
    if !alive("serviceaccounts", name, uid, namespace) {
        return Err(TokenError::Unbound("service account"));
    }
    let mut user = User::known(
        format!("system:serviceaccount:{namespace}:{name}"),
        vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ],
    );
    uid.clone_into(&mut user.uid);
    let (pod, pod_uid) = (text("/kubernetes.io/pod/name"), text("/kubernetes.io/pod/uid"));
    if !pod.is_empty() {
        if !alive("pods", pod, pod_uid, namespace) {
            return Err(TokenError::Unbound("pod"));
        }
        user.extra.insert(
            "authentication.kubernetes.io/pod-name".to_owned(),
            vec![pod.to_owned()],
        );
        user.extra.insert(
            "authentication.kubernetes.io/pod-uid".to_owned(),
            vec![pod_uid.to_owned()],
        );
    }
    let (secret, secret_uid) = (
        text("/kubernetes.io/secret/name"),
        text("/kubernetes.io/secret/uid"),
    );
    if !secret.is_empty() && !alive("secrets", secret, secret_uid, namespace) {
        return Err(TokenError::Unbound("secret"));
    }
    Ok(user)
}

impl From<TokenError> for Status {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Lifetime(_) | TokenError::Reserved(_) => Self::new(
                422,
                "Invalid",
                format!("TokenRequest.authentication.k8s.io \"\" is invalid: {error}"),
            ),
            other => Self::new(401, "Unauthorized", other.to_string()),
        }
    }
}
