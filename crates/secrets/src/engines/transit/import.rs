//! Keys made elsewhere: the key that wraps them on their way here, unwrapping, and what a version of a key is made of
//! them. Public halves alone can come too.

use super::key::{TransitKey, Version, broken, ecdsa};
use super::{load, manage, save};
use crate::core::barrier::random;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::engines::pki::read_pem;
use crate::{Error, Result};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

const WRAPPING: &str = "wrapping-key";
/// RSA of 4096 bits.
const WRAPPED: usize = 512;

fn wrapping(cx: &mut Cx<'_>) -> Result<Version> {
    if let Some(there) = cx.get(WRAPPING)? {
        return Ok(there);
    }
    let pair = RsaKeyPair::generate(KeySize::Rsa4096).map_err(broken)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(broken)?;
    let made = version(der.as_ref(), &public_of(&pair)?, cx.now)?;
    cx.put(WRAPPING, &made)?;
    Ok(made)
}

fn version(secret: &[u8], public: &[u8], now: Timestamp) -> Result<Version> {
    Ok(Version {
        secret: STANDARD.encode(secret),
        hmac: STANDARD.encode(&*random(32)?),
        public: STANDARD.encode(public),
        created: now,
    })
}

fn public_of(pair: &RsaKeyPair) -> Result<Vec<u8>> {
    Ok(pair.public_key().as_der().map_err(broken)?.as_ref().to_vec())
}

/// The public half of the key that wraps what is to come here.
pub(super) fn wrapping_key(cx: &mut Cx<'_>) -> Result<Response> {
    let public = wrapping(cx)?.public_bytes()?;
    Ok(Response::data(
        json!({ "public_key": manage::public_pem(&public) }),
    ))
}

fn unwrapped(cx: &mut Cx<'_>, request: &Request, text: &str) -> Result<Zeroizing<Vec<u8>>> {
    let name = request.data.text("hash_function").unwrap_or_default();
    let padding = match name.to_uppercase().as_str() {
        "" | "SHA256" => &OAEP_SHA256_MGF1SHA256,
        "SHA1" => &OAEP_SHA1_MGF1SHA1,
        "SHA384" => &OAEP_SHA384_MGF1SHA384,
        "SHA512" => &OAEP_SHA512_MGF1SHA512,
        _ => {
            return Err(Error::invalid(format!(
                "unknown hash function: {name}: write SHA1, SHA256, SHA384 or SHA512"
            )));
        }
    };
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| Error::invalid("ciphertext: it is not base64"))?;
    let wrong = || Error::invalid("ciphertext: it was not made with this mount's wrapping key and that hash");
    let (key, rest) = bytes
        .split_at_checked(WRAPPED)
        .filter(|(_, rest)| !rest.is_empty())
        .ok_or_else(|| Error::invalid("provided ciphertext is too short"))?;
    let private = PrivateDecryptingKey::from_pkcs8(&wrapping(cx)?.bytes()?).map_err(broken)?;
    let private = OaepPrivateDecryptingKey::new(private).map_err(broken)?;
    let mut passing = Zeroizing::new(vec![0; private.min_output_size()]);
    let passing = private
        .decrypt(padding, key, &mut passing, None)
        .map_err(|_| wrong())?;
    let passing = AesKek::new(&AES_256, passing)
        .map_err(|_| Error::invalid("expected ephemeral AES key to be 256-bit"))?;
    let mut out = Zeroizing::new(vec![0; rest.len()]);
    let length = passing
        .unwrap_with_padding(rest, &mut out)
        .map_err(|_| wrong())?
        .len();
    out.truncate(length);
    Ok(out)
}

/// What kind of key a public one is.
fn kind_of(public: &[u8]) -> Option<String> {
    let (_, spki) = SubjectPublicKeyInfo::from_der(public).ok()?;
    let curve = spki
        .algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.as_oid().ok());
    Some(
        match (spki.algorithm.algorithm.to_id_string().as_str(), spki.parsed()) {
            ("1.3.101.112", _) => "ed25519".to_owned(),
            (_, Ok(PublicKey::RSA(key))) => format!("rsa-{}", key.key_size()),
            (_, Ok(PublicKey::EC(_))) => match curve?.to_id_string().as_str() {
                "1.2.840.10045.3.1.7" => "ecdsa-p256".to_owned(),
                "1.3.132.0.34" => "ecdsa-p384".to_owned(),
                "1.3.132.0.35" => "ecdsa-p521".to_owned(),
                _ => return None,
            },
            _ => return None,
        },
    )
}

fn wrong_kind(kind: &str) -> Error {
    Error::invalid(format!("the imported key is no key of type {kind}"))
}

fn secret(kind: &str, bytes: &[u8], now: Timestamp) -> Result<Version> {
    let wrong = || wrong_kind(kind);
    match kind {
        "aes128-gcm96" if bytes.len() == 16 => version(bytes, &[], now),
        "aes256-gcm96" | "chacha20-poly1305" if bytes.len() == 32 => version(bytes, &[], now),
        "hmac" if (32..=512).contains(&bytes.len()) => version(bytes, &[], now),
        "aes128-gcm96" | "aes256-gcm96" | "chacha20-poly1305" | "hmac" => Err(Error::invalid(format!(
            "invalid key size {} bytes for key type {kind}",
            bytes.len()
        ))),
        "ed25519" => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map_err(|_| wrong())?;
            let whole = pair.to_pkcs8().map_err(broken)?;
            version(whole.as_ref(), pair.public_key().as_ref(), now)
        }
        kind if kind.starts_with("rsa-") => {
            let public = public_of(&RsaKeyPair::from_pkcs8(bytes).map_err(|_| wrong())?)?;
            if kind_of(&public).as_deref() != Some(kind) {
                return Err(wrong());
            }
            version(bytes, &public, now)
        }
        kind => {
            let pair = EcdsaKeyPair::from_pkcs8(ecdsa(kind), bytes).map_err(|_| wrong())?;
            let public = pair.public_key().as_der().map_err(broken)?.as_ref().to_vec();
            version(bytes, &public, now)
        }
    }
}

fn public(kind: &str, text: &str, now: Timestamp) -> Result<Version> {
    let blocks = read_pem(text);
    let (_, der) = blocks
        .first()
        .ok_or_else(|| Error::invalid("error parsing public key: not in PEM format"))?;
    if kind_of(der).as_deref() != Some(kind) {
        return Err(wrong_kind(kind));
    }
    let (_, spki) = SubjectPublicKeyInfo::from_der(der).map_err(broken)?;
    match kind {
        "ed25519" => version(&[], &spki.subject_public_key.data, now),
        _ => version(&[], der, now),
    }
}

/// The version that a request brings.
fn given(cx: &mut Cx<'_>, request: &Request, kind: &str) -> Result<Version> {
    if let Some(text) = request.data.text("ciphertext") {
        let bytes = unwrapped(cx, request, &text)?;
        return secret(kind, &bytes, cx.now);
    }
    match request.data.text("public_key") {
        Some(text) if kind == "ed25519" || kind.starts_with("rsa-") || kind.starts_with("ecdsa-") => {
            public(kind, &text, cx.now)
        }
        Some(_) => Err(Error::invalid("provided type does not support public_key import")),
        None => Err(Error::invalid("neither a ciphertext nor a public_key was given")),
    }
}

pub(super) fn import(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    if request.data.contains_key("convergent_encryption") {
        return Err(Error::invalid(
            "import cannot be used on keys with convergent encryption enabled",
        ));
    }
    if cx.exists(&format!("key/{name}")) {
        return Err(Error::invalid(
            "the import path cannot be used with an existing key; use import-version to rotate an existing imported key",
        ));
    }
    let mut key: TransitKey = manage::described(request)?;
    key.imported = true;
    key.allow_rotation = request.data.flag("allow_rotation")?.unwrap_or(false);
    if key.auto_rotate > 0 && !key.allow_rotation {
        return Err(Error::invalid(
            "allow_rotation must be set to true if auto-rotation is enabled",
        ));
    }
    let version = given(cx, request, &key.kind)?;
    key.add(version);
    save(cx, name, &key)?;
    Ok(Response::empty())
}

pub(super) fn import_version(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let mut key = load(cx, name)?;
    if !key.imported {
        return Err(Error::invalid(
            "the import_version endpoint can only be used with an imported key",
        ));
    }
    let given = given(cx, request, &key.kind)?;
    let asked = request.data.int("version")?;
    let number = match asked {
        Some(number) => u32::try_from(number).unwrap_or_default(),
        None => key.latest,
    };
    // A private key belongs to the public one that waits for it.
    match key.versions.get_mut(&number) {
        Some(there)
            if there.secret.is_empty() && !given.secret.is_empty() && there.public == given.public =>
        {
            there.secret = given.secret;
        }
        _ if asked.is_some() => {
            return Err(Error::invalid(
                "the version to update is not there, has its private key, or has another public one",
            ));
        }
        _ => key.add(given),
    }
    save(cx, name, &key)?;
    Ok(Response::empty())
}
