//! HMACs and signatures.

use super::cipher::{context, each};
use super::key::{TransitKey, Version, broken, ecdsa};
use super::load;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::{Error, Result};
use aws_lc_rs::hmac as mac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

fn algorithm_of(request: &Request, path: Option<&str>) -> String {
    path.map(str::to_owned)
        .or_else(|| request.data.text("hash_algorithm"))
        .or_else(|| request.data.text("algorithm"))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "sha2-256".to_owned())
}

fn mac_algorithm(name: &str) -> Result<mac::Algorithm> {
    Ok(match name {
        "sha2-224" => mac::HMAC_SHA224,
        "sha2-256" => mac::HMAC_SHA256,
        "sha2-384" => mac::HMAC_SHA384,
        "sha2-512" => mac::HMAC_SHA512,
        other => return Err(Error::invalid(format!("unsupported algorithm {other}"))),
    })
}

fn input(item: &Map<String, Value>) -> Result<Vec<u8>> {
    let text = item
        .text("input")
        .ok_or_else(|| Error::invalid("missing input"))?;
    STANDARD
        .decode(text)
        .map_err(|error| Error::invalid(format!("unable to decode input as base64: {error}")))
}

fn split(text: &str) -> Result<(u32, &str)> {
    text.strip_prefix("vault:v")
        .and_then(|rest| rest.split_once(':'))
        .and_then(|(number, body)| Some((number.parse().ok()?, body)))
        .ok_or_else(|| Error::invalid("invalid signature or HMAC: no prefix such as vault:v1:"))
}

pub(super) fn hmac(cx: &mut Cx<'_>, request: &Request, name: &str, path: Option<&str>) -> Result<Response> {
    let key = load(cx, name)?;
    let algorithm = mac_algorithm(&algorithm_of(request, path))?;
    each(request, |item| {
        let (number, version) = key.pick(item.int("key_version")?.unwrap_or(0))?;
        let tag = mac::sign(&hmac_key(&key, version, algorithm)?, &input(item)?);
        Ok(Map::from_iter([(
            "hmac".to_owned(),
            json!(format!("vault:v{number}:{}", STANDARD.encode(tag))),
        )]))
    })
}

fn hmac_key(key: &TransitKey, version: &Version, algorithm: mac::Algorithm) -> Result<mac::Key> {
    if key.kind == "hmac" {
        return Ok(mac::Key::new(algorithm, &version.bytes()?));
    }
    version.hmac_key(algorithm)
}

fn padding(request: &Request, hash: &str) -> Result<&'static dyn signature::RsaEncoding> {
    let pss = match request
        .data
        .text("signature_algorithm")
        .unwrap_or_default()
        .as_str()
    {
        "" | "pss" => true,
        "pkcs1v15" => false,
        other => return Err(Error::invalid(format!("unsupported signature algorithm {other}"))),
    };
    Ok(match (hash, pss) {
        ("sha2-256", true) => &signature::RSA_PSS_SHA256,
        ("sha2-384", true) => &signature::RSA_PSS_SHA384,
        ("sha2-512", true) => &signature::RSA_PSS_SHA512,
        ("sha2-256", false) => &signature::RSA_PKCS1_SHA256,
        ("sha2-384", false) => &signature::RSA_PKCS1_SHA384,
        ("sha2-512", false) => &signature::RSA_PKCS1_SHA512,
        (other, _) => {
            return Err(Error::invalid(format!(
                "hash algorithm {other} is not supported for RSA keys: use sha2-256, -384 or -512"
            )));
        }
    })
}

/// Signing digests instead of messages would let a caller choose what is signed; the library does not offer it.
fn refuse_prehashed(request: &Request) -> Result<()> {
    if request.data.flag("prehashed")?.unwrap_or(false) {
        return Err(Error::invalid(
            "prehashed input is not supported: send the message itself",
        ));
    }
    Ok(())
}

pub(super) fn sign(cx: &mut Cx<'_>, request: &Request, name: &str, path: Option<&str>) -> Result<Response> {
    let key = load(cx, name)?;
    if !key.signs() {
        return Err(Error::invalid(format!(
            "key type {} does not support signing",
            key.kind
        )));
    }
    refuse_prehashed(request)?;
    let hash = algorithm_of(request, path);
    let jws = request.data.text("marshaling_algorithm").as_deref() == Some("jws");
    each(request, |item| {
        let (number, version) = key.pick(item.int("key_version")?.unwrap_or(0))?;
        let message = input(item)?;
        let private = version.bytes()?;
        let random = SystemRandom::new();
        let mut public = None;
        let signed = match key.kind.as_str() {
            "ed25519" => {
                let pair = key.ed25519(version, &context(&key, item)?)?;
                public = Some(STANDARD.encode(pair.public_key()));
                pair.sign(&message).as_ref().to_vec()
            }
            kind if kind.starts_with("rsa-") => {
                let pair = RsaKeyPair::from_pkcs8(&private).map_err(broken)?;
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(padding(request, &hash)?, &random, &message, &mut signed)
                    .map_err(broken)?;
                signed
            }
            kind => {
                let algorithm = if jws { fixed(kind) } else { ecdsa(kind) };
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, &private).map_err(broken)?;
                pair.sign(&random, &message).map_err(broken)?.as_ref().to_vec()
            }
        };
        let text = if jws {
            URL_SAFE_NO_PAD.encode(signed)
        } else {
            STANDARD.encode(signed)
        };
        let mut result = Map::from_iter([
            ("signature".to_owned(), json!(format!("vault:v{number}:{text}"))),
            ("key_version".to_owned(), json!(number)),
        ]);
        if let Some(public) = public {
            result.insert("public_key".to_owned(), json!(public));
        }
        Ok(result)
    })
}

fn fixed(kind: &str) -> &'static signature::EcdsaSigningAlgorithm {
    match kind {
        "ecdsa-p384" => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        "ecdsa-p521" => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

pub(super) fn verify(cx: &mut Cx<'_>, request: &Request, name: &str, path: Option<&str>) -> Result<Response> {
    let key = load(cx, name)?;
    let hash = algorithm_of(request, path);
    refuse_prehashed(request)?;
    let jws = request.data.text("marshaling_algorithm").as_deref() == Some("jws");
    each(request, |item| {
        let message = input(item)?;
        let valid = if let Some(text) = item.text("hmac").filter(|text| !text.is_empty()) {
            let (number, body) = split(&text)?;
            let tag = STANDARD
                .decode(body)
                .map_err(|_| Error::invalid("invalid HMAC: could not decode base64"))?;
            let key = hmac_key(&key, key.past(number)?, mac_algorithm(&hash)?)?;
            mac::verify(&key, &message, &tag).is_ok()
        } else {
            let text = item
                .text("signature")
                .filter(|text| !text.is_empty())
                .ok_or_else(|| Error::invalid("neither a 'signature' nor an 'hmac' was given"))?;
            if !key.signs() {
                return Err(Error::invalid(format!(
                    "key type {} does not support verification",
                    key.kind
                )));
            }
            let (number, body) = split(&text)?;
            let signed = if jws {
                URL_SAFE_NO_PAD.decode(body)
            } else {
                STANDARD.decode(body)
            }
            .map_err(|_| Error::invalid("invalid signature: could not decode base64"))?;
            let algorithm = verification(&key.kind, request, &hash, jws)?;
            let version = key.past(number)?;
            let public = if key.derived {
                let pair = key.ed25519(version, &context(&key, item)?)?;
                pair.public_key().as_ref().to_vec()
            } else {
                verifying_key(&key.kind, version)?
            };
            UnparsedPublicKey::new(algorithm, public)
                .verify(&message, &signed)
                .is_ok()
        };
        Ok(Map::from_iter([("valid".to_owned(), json!(valid))]))
    })
}

/// The public key in the form verification takes: the bits inside the DER for RSA and ECDSA.
fn verifying_key(kind: &str, version: &Version) -> Result<Vec<u8>> {
    use x509_parser::prelude::FromDer;
    let public = version.public_bytes()?;
    if kind == "ed25519" {
        return Ok(public);
    }
    let (_, spki) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&public).map_err(broken)?;
    Ok(spki.subject_public_key.data.to_vec())
}

fn verification(
    kind: &str,
    request: &Request,
    hash: &str,
    jws: bool,
) -> Result<&'static dyn VerificationAlgorithm> {
    let pkcs1 = request.data.text("signature_algorithm").as_deref() == Some("pkcs1v15");
    Ok(match (kind, hash) {
        ("ed25519", _) => &signature::ED25519,
        ("ecdsa-p256", _) if jws => &signature::ECDSA_P256_SHA256_FIXED,
        ("ecdsa-p384", _) if jws => &signature::ECDSA_P384_SHA384_FIXED,
        ("ecdsa-p521", _) if jws => &signature::ECDSA_P521_SHA512_FIXED,
        ("ecdsa-p256", _) => &signature::ECDSA_P256_SHA256_ASN1,
        ("ecdsa-p384", _) => &signature::ECDSA_P384_SHA384_ASN1,
        ("ecdsa-p521", _) => &signature::ECDSA_P521_SHA512_ASN1,
        (_, "sha2-256") if pkcs1 => &signature::RSA_PKCS1_2048_8192_SHA256,
        (_, "sha2-384") if pkcs1 => &signature::RSA_PKCS1_2048_8192_SHA384,
        (_, "sha2-512") if pkcs1 => &signature::RSA_PKCS1_2048_8192_SHA512,
        (_, "sha2-256") => &signature::RSA_PSS_2048_8192_SHA256,
        (_, "sha2-384") => &signature::RSA_PSS_2048_8192_SHA384,
        (_, "sha2-512") => &signature::RSA_PSS_2048_8192_SHA512,
        (_, other) => {
            return Err(Error::invalid(format!(
                "hash algorithm {other} is not supported for this key"
            )));
        }
    })
}
