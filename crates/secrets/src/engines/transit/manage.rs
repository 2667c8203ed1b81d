//! Life of a transit key: making, showing, configuring, rotating, exporting, backing up.

use super::key::{TransitKey, broken};
use super::{load, save};
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::engines::pki::pem;
use crate::{Error, Result};
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
    let mut key = TransitKey::generate(&kind, cx.now)?;
    if derived && !key.is_symmetric() {
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

pub(super) fn read(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let key: TransitKey = cx.get(&format!("key/{name}"))?.ok_or(Error::NotFound)?;
    Ok(show(name, &key))
}

fn show(name: &str, key: &TransitKey) -> Response {
    let versions: Map<String, Value> = key
        .versions
        .iter()
        .filter(|(number, _)| **number >= key.min_decryption)
        .map(|(number, version)| {
            let shown = if key.signs() {
                let public = match key.kind.as_str() {
                    "ed25519" => version.public.clone(),
                    _ => pem("PUBLIC KEY", &version.public_bytes().unwrap_or_default()),
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
        "supports_derivation": key.is_symmetric(),
        "imported_key": false,
    });
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

pub(super) fn rotate(cx: &mut Cx<'_>, name: &str) -> Result<Response> {
    let mut key = load(cx, name)?;
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
            "encryption-key" if key.is_symmetric() => material.secret.clone(),
            "encryption-key" if key.encrypts() => private_pem(&key.kind, &material.bytes()?)?,
            "signing-key" if key.signs() => private_pem(&key.kind, &material.bytes()?)?,
            "hmac-key" if key.kind == "hmac" => material.secret.clone(),
            "hmac-key" => material.hmac.clone(),
            "public-key" if key.signs() => match key.kind.as_str() {
                "ed25519" => material.public.clone(),
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
        return Ok(STANDARD.encode(pkcs8));
    }
    let ec = kind.starts_with("ecdsa");
    let inner = crate::engines::pki::inner_key(pkcs8, ec).ok_or_else(|| broken(()))?;
    Ok(pem(if ec { "EC PRIVATE KEY" } else { "RSA PRIVATE KEY" }, &inner))
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
