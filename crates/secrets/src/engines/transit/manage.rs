//! Life of a transit key: making, showing, configuring, rotating, exporting, backing up.

use super::key::{TransitKey, broken, seed_and_public};
use super::{load, save};
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Op, Request, Response};
use crate::engines::pki::pem;
use crate::{Error, Result};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(super) fn create(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    if cx.exists(&format!("key/{name}")) {
        return Ok(show(name, &load(cx, name)?));
    }
    let key = make(cx, request)?;
    save(cx, name, &key)?;
    Ok(show(name, &key))
}

/// A new key as a request describes it.
pub(super) fn make(cx: &Cx<'_>, request: &Request) -> Result<TransitKey> {
    let mut key = described(request)?;
    key.rotate(cx.now)?;
    Ok(key)
}

/// A key as a request describes it, without a version.
pub(super) fn described(request: &Request) -> Result<TransitKey> {
    let data = &request.data;
    let kind = data
        .text("type")
        .filter(|kind| !kind.is_empty())
        .unwrap_or_else(|| "aes256-gcm96".to_owned());
    let derived = data.flag("derived")?.unwrap_or(false);
    let convergent = data.flag("convergent_encryption")?.unwrap_or(false);
    if convergent && !derived {
        return Err(Error::invalid(
            "convergent encryption requires derivation to be enabled",
        ));
    }
    let mut key = TransitKey::empty(&kind)?;
    if convergent && !key.is_symmetric() {
        return Err(Error::invalid(format!(
            "convergent encryption is not supported for keys of type {kind}"
        )));
    }
    if derived && !key.derives() {
        return Err(Error::invalid(format!(
            "key derivation is not supported for keys of type {kind}"
        )));
    }
    key.derived = derived;
    key.convergent = convergent;
    key.exportable = data.flag("exportable")?.unwrap_or(false);
    key.allow_plaintext_backup = data.flag("allow_plaintext_backup")?.unwrap_or(false);
    key.auto_rotate = period(data)?.unwrap_or(0);
    Ok(key)
}

fn period(data: &Map<String, Value>) -> Result<Option<i64>> {
    match data.seconds("auto_rotate_period")? {
        Some(1..3600) => Err(Error::invalid(
            "auto rotate period must be 0 to disable or at least an hour",
        )),
        other => Ok(other),
    }
}

pub(super) fn read(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let key: TransitKey = cx.get(&format!("key/{name}"))?.ok_or(Error::NotFound)?;
    let mut response = show(name, &key);
    let context = request.data.text("context").unwrap_or_default();
    if key.derived && key.signs() && !context.is_empty() {
        // Every context has a public key of its own.
        let context = STANDARD
            .decode(context)
            .map_err(|_| Error::invalid("failed to base64-decode context"))?;
        for (number, version) in &key.versions {
            let public = STANDARD.encode(key.ed25519(version, &context)?.public_key());
            let at = response.data.as_mut().and_then(|data| data.get_mut("keys"));
            if let Some(shown) = at.and_then(|keys| keys.get_mut(number.to_string())) {
                *shown.get_mut("public_key").unwrap_or(&mut Value::Null) = public.into();
            }
        }
    }
    Ok(response)
}

/// The size is kept for those who ask; nothing is cached here that could be too large.
pub(super) fn cache(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    const AT: &str = "config/cache";
    if request.op == Op::Read {
        let size = cx.get::<i64>(AT)?.unwrap_or(0);
        return Ok(Response::data(json!({ "size": size })));
    }
    let size = request.data.int("size")?.unwrap_or(0);
    if size != 0 && size < 10 {
        return Err(Error::invalid("size must be 0 or a value greater or equal to 10"));
    }
    cx.put(AT, &size)?;
    Ok(Response::data(json!({ "size": size })))
}

fn show(name: &str, key: &TransitKey) -> Response {
    let versions: Map<String, Value> = key
        .versions
        .iter()
        .filter(|(number, _)| **number >= key.min_decryption)
        .map(|(number, version)| {
            let shown = if key.signs() {
                let public = match key.kind.as_str() {
                    "ed25519" if key.derived => String::new(),
                    "ed25519" => version.public.clone(),
                    _ => public_pem(&version.public_bytes().unwrap_or_default()),
                };
                json!({ "name": key.kind, "public_key": public, "creation_time": version.created.to_string(), "certificate_chain": "" })
            } else {
                json!(version.created.as_second())
            };
            (number.to_string(), shown)
        })
        .collect();
    let mut data = json!({
        "name": name,
        "type": key.kind,
        "keys": versions,
        "latest_version": key.latest,
        "min_available_version": key.min_available,
        "min_decryption_version": key.min_decryption,
        "min_encryption_version": key.min_encryption,
        "deletion_allowed": key.deletion_allowed,
        "derived": key.derived,
        "exportable": key.exportable,
        "allow_plaintext_backup": key.allow_plaintext_backup,
        "auto_rotate_period": key.auto_rotate,
        "supports_encryption": key.encrypts(),
        "supports_decryption": key.encrypts(),
        "supports_signing": key.signs(),
        "supports_derivation": key.derives(),
        "imported_key": key.imported,
    });
    if key.imported
        && let Some(map) = data.as_object_mut()
    {
        map.insert(
            "imported_key_allow_rotation".to_owned(),
            json!(key.allow_rotation),
        );
    }
    if key.derived
        && let Some(map) = data.as_object_mut()
    {
        map.insert("kdf".to_owned(), json!("hkdf_sha256"));
        map.insert("convergent_encryption".to_owned(), json!(key.convergent));
        map.insert(
            "convergent_encryption_version".to_owned(),
            json!(if key.convergent { -1 } else { 0 }),
        );
    }
    Response::data(data)
}

/// With the line end that Vault's have.
pub(super) fn public_pem(der: &[u8]) -> String {
    pem("PUBLIC KEY", der) + "\n"
}

pub(super) fn delete(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let key: TransitKey = cx
        .get(&format!("key/{name}"))?
        .ok_or_else(|| Error::invalid("could not delete key; not found"))?;
    if !key.deletion_allowed {
        return Err(Error::invalid("deletion is not allowed for this key"));
    }
    cx.delete(&format!("key/{name}"));
    Ok(Response::empty())
}

pub(super) fn configure(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let data = &request.data;
    let mut key = load(cx, name)?;
    let version = |field: &str| -> Result<Option<u32>> {
        data.int(field)?
            .map(|number| {
                u32::try_from(number).map_err(|_| Error::invalid(format!("{field} cannot be negative")))
            })
            .transpose()
    };
    if let Some(number) = version("min_decryption_version")? {
        if number > key.latest {
            return Err(Error::invalid(format!(
                "cannot set min decryption version of {number}, latest key version is {}",
                key.latest
            )));
        }
        key.min_decryption = number.max(1);
    }
    if let Some(number) = version("min_encryption_version")? {
        if number > key.latest {
            return Err(Error::invalid(format!(
                "cannot set min encryption version of {number}, latest key version is {}",
                key.latest
            )));
        }
        key.min_encryption = number;
    }
    if key.min_encryption > 0 && key.min_encryption < key.min_decryption {
        return Err(Error::invalid(
            "min_encryption_version should be at least min_decryption_version",
        ));
    }
    if let Some(flag) = data.flag("deletion_allowed")? {
        key.deletion_allowed = flag;
    }
    // These two only ever widen: a key that could leave once may have left.
    if data.flag("exportable")? == Some(true) {
        key.exportable = true;
    }
    if data.flag("allow_plaintext_backup")? == Some(true) {
        key.allow_plaintext_backup = true;
    }
    if let Some(seconds) = period(data)? {
        key.auto_rotate = seconds;
    }
    save(cx, name, &key)?;
    Ok(show(name, &key))
}

/// A new version; the server itself only makes one that is due.
pub(super) fn rotate(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let mut key = load(cx, name)?;
    if request.own && key.due().is_none_or(|due| due > cx.now) {
        return Ok(Response::empty());
    }
    if key.imported && !key.allow_rotation {
        return Err(Error::invalid(format!(
            "imported key {name} does not allow rotation within Vault"
        )));
    }
    key.rotate(cx.now)?;
    save(cx, name, &key)?;
    Ok(show(name, &key))
}

pub(super) fn trim(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let mut key = load(cx, name)?;
    let number = request
        .data
        .int("min_available_version")?
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| Error::invalid("min available version should be positive"))?;
    if number < key.min_available
        || number > key.min_decryption
        || key.min_encryption == 0
        || number > key.min_encryption
    {
        return Err(Error::invalid(
            "min available version must not be below the present one, nor above the minimum encryption and decryption versions, which must be set",
        ));
    }
    key.versions.retain(|version, _| *version >= number);
    key.min_available = number;
    save(cx, name, &key)?;
    Ok(show(name, &key))
}

pub(super) fn export(cx: &mut Cx<'_>, kind: &str, name: &str, version: Option<&str>) -> Result<Response> {
    let key: TransitKey = cx.get(&format!("key/{name}"))?.ok_or(Error::NotFound)?;
    if !key.exportable && kind != "public-key" {
        return Err(Error::invalid("private key material is not exportable"));
    }
    let wrong = || Error::invalid(format!("a key of type {} has no {kind}", key.kind));
    let mut keys = Map::new();
    for (number, material) in &key.versions {
        let wanted = match version {
            None => *number >= key.min_decryption,
            Some("latest") => *number == key.latest,
            Some(text) => text.parse() == Ok(*number),
        };
        if !wanted {
            continue;
        }
        let text = match kind {
            "encryption-key" | "signing-key" if material.secret.is_empty() => String::new(),
            "encryption-key" if key.is_symmetric() => material.secret.clone(),
            "encryption-key" if key.encrypts() => private_pem(&key.kind, &material.bytes()?)?,
            "signing-key" if key.signs() => private_pem(&key.kind, &material.bytes()?)?,
            "hmac-key" if key.kind == "hmac" => material.secret.clone(),
            "hmac-key" => material.hmac.clone(),
            "public-key" if key.signs() => match key.kind.as_str() {
                "ed25519" => material.public.clone(),
                kind if kind.starts_with("rsa-") => public_pem(&material.public_bytes()?),
                _ => pem("PUBLIC KEY", &material.public_bytes()?),
            },
            "encryption-key" | "signing-key" | "public-key" => return Err(wrong()),
            other => return Err(Error::invalid(format!("invalid export type: {other}"))),
        };
        keys.insert(number.to_string(), json!(text));
    }
    if keys.is_empty() {
        return Err(Error::invalid("version does not exist or cannot be found"));
    }
    Ok(Response::data(
        json!({ "name": name, "type": key.kind, "keys": keys }),
    ))
}

fn private_pem(kind: &str, pkcs8: &[u8]) -> Result<String> {
    if kind == "ed25519" {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(broken)?;
        return Ok(STANDARD.encode(seed_and_public(&pair)?));
    }
    let ec = kind.starts_with("ecdsa");
    let inner = crate::engines::pki::inner_key(pkcs8, ec).ok_or_else(|| broken(()))?;
    Ok(if ec {
        pem("EC PRIVATE KEY", &inner)
    } else {
        pem("RSA PRIVATE KEY", &inner) + "\n"
    })
}

#[derive(Serialize, Deserialize)]
struct Backup {
    name: String,
    key: TransitKey,
}

pub(super) fn backup(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let key = load(cx, name).map_err(|_| Error::Failed(format!("key {name:?} not found")))?;
    if !key.exportable {
        return Err(Error::Failed("exporting is disallowed on the policy".to_owned()));
    }
    if !key.allow_plaintext_backup {
        return Err(Error::Failed(
            "plaintext backup is disallowed on the policy".to_owned(),
        ));
    }
    let backup = Backup {
        name: name.to_owned(),
        key,
    };
    let text = serde_json::to_vec(&backup).map_err(broken)?;
    Ok(Response::data(json!({ "backup": STANDARD.encode(text) })))
}

pub(super) fn restore(cx: &mut Cx<'_>, request: &Request, name: Option<&str>) -> Result<Response> {
    let bytes = STANDARD
        .decode(request.data.need("backup")?)
        .map_err(|_| Error::invalid("'backup' is not base64"))?;
    let backup: Backup =
        serde_json::from_slice(&bytes).map_err(|_| Error::invalid("'backup' is not a backup of a key"))?;
    let name = name.map_or(backup.name, str::to_owned);
    if name.contains('/') {
        return Err(Error::invalid("a key's name cannot contain a slash"));
    }
    if cx.exists(&format!("key/{name}")) && !request.data.flag("force")?.unwrap_or(false) {
        return Err(Error::Failed(format!("key {name:?} already exists")));
    }
    save(cx, &name, &backup.key)?;
    Ok(Response::empty())
}
