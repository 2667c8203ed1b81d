//! Encrypting, decrypting, rewrapping and data keys, singly and in batches.

use super::key::TransitKey;
use super::{load, manage, save};
use crate::core::barrier::random;
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

fn decoded(item: &Map<String, Value>, field: &str) -> Result<Zeroizing<Vec<u8>>> {
    STANDARD
        .decode(item.text(field).unwrap_or_default())
        .map(Zeroizing::new)
        .map_err(|_| Error::invalid(format!("failed to base64-decode {field}")))
}

pub(super) fn context(key: &TransitKey, item: &Map<String, Value>) -> Result<Zeroizing<Vec<u8>>> {
    let context = decoded(item, "context")?;
    if key.derived && context.is_empty() {
        return Err(Error::invalid(
            "missing 'context' for key derivation; the key was created using a derived key",
        ));
    }
    Ok(context)
}

fn encrypt_one(key: &TransitKey, item: &Map<String, Value>) -> Result<Map<String, Value>> {
    if !item.contains_key("plaintext") {
        return Err(Error::invalid("missing plaintext to encrypt"));
    }
    let (number, version) = key.pick(item.int("key_version")?.unwrap_or(0))?;
    let sealed = key.seal(
        version,
        &decoded(item, "plaintext")?,
        &context(key, item)?,
        &decoded(item, "associated_data")?,
    )?;
    Ok(Map::from_iter([
        (
            "ciphertext".to_owned(),
            json!(format!("vault:v{number}:{}", STANDARD.encode(sealed))),
        ),
        ("key_version".to_owned(), json!(number)),
    ]))
}

fn decrypt_one(key: &TransitKey, item: &Map<String, Value>) -> Result<Zeroizing<Vec<u8>>> {
    let wrong = || Error::invalid("invalid ciphertext: no prefix");
    let text = item
        .text("ciphertext")
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Error::invalid("missing ciphertext to decrypt"))?;
    let (number, body) = text
        .strip_prefix("vault:v")
        .and_then(|rest| rest.split_once(':'))
        .ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let sealed = STANDARD
        .decode(body)
        .map_err(|_| Error::invalid("invalid ciphertext: could not decode base64"))?;
    key.open(
        key.past(number.max(1))?,
        &sealed,
        &context(key, item)?,
        &decoded(item, "associated_data")?,
    )
}

/// Does one or many; in a batch, each item has its own error.
pub(super) fn each(
    request: &Request,
    one: impl Fn(&Map<String, Value>) -> Result<Map<String, Value>>,
) -> Result<Response> {
    let Some(batch) = request.data.get("batch_input").filter(|batch| !batch.is_null()) else {
        return Ok(Response::data(Value::Object(one(&request.data)?)));
    };
    let items = batch
        .as_array()
        .ok_or_else(|| Error::invalid("batch_input: write a list of objects"))?;
    let empty = Map::new();
    let mut failed = 0;
    let results: Vec<Value> = items
        .iter()
        .map(|item| {
            let item = item.as_object().unwrap_or(&empty);
            let mut result = one(item).unwrap_or_else(|error| {
                failed += 1;
                Map::from_iter([("error".to_owned(), json!(error.to_string()))])
            });
            if let Some(reference) = item.get("reference") {
                result.insert("reference".to_owned(), reference.clone());
            }
            Value::Object(result)
        })
        .collect();
    let all_failed = failed == items.len();
    let mut response = Response::data(json!({ "batch_results": results }));
    response.status = all_failed.then_some(400);
    Ok(response)
}

pub(super) fn encrypt(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let key = if cx.exists(&format!("key/{name}")) {
        load(cx, name)?
    } else {
        // A first use makes the key, if the caller may create.
        let key = manage::make(cx, request)?;
        save(cx, name, &key)?;
        key
    };
    if !key.encrypts() {
        return Err(Error::invalid(format!(
            "message encryption not supported for key type {}",
            key.kind
        )));
    }
    each(request, |item| encrypt_one(&key, item))
}

pub(super) fn decrypt(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let key = load(cx, name)?;
    if !key.encrypts() {
        return Err(Error::invalid(format!(
            "message decryption not supported for key type {}",
            key.kind
        )));
    }
    each(request, |item| {
        let plain = decrypt_one(&key, item)?;
        Ok(Map::from_iter([(
            "plaintext".to_owned(),
            json!(STANDARD.encode(&*plain)),
        )]))
    })
}

pub(super) fn rewrap(cx: &mut Cx<'_>, request: &Request, name: &str) -> Result<Response> {
    let key = load(cx, name)?;
    each(request, |item| {
        let plain = decrypt_one(&key, item)?;
        let mut again = item.clone();
        again.insert("plaintext".to_owned(), json!(STANDARD.encode(&*plain)));
        encrypt_one(&key, &again)
    })
}

pub(super) fn data_key(cx: &mut Cx<'_>, request: &Request, kind: &str, name: &str) -> Result<Response> {
    let key = load(cx, name)?;
    let bits = request.data.int("bits")?.unwrap_or(256);
    if !matches!(bits, 128 | 256 | 512) {
        return Err(Error::invalid("invalid bit length: write 128, 256 or 512"));
    }
    let plain = random(usize::try_from(bits / 8).unwrap_or(32))?;
    let mut item = request.data.clone();
    item.insert("plaintext".to_owned(), json!(STANDARD.encode(&*plain)));
    let mut data = encrypt_one(&key, &item)?;
    match kind {
        "plaintext" => {
            data.insert("plaintext".to_owned(), json!(STANDARD.encode(&*plain)));
        }
        "wrapped" => {}
        other => {
            return Err(Error::invalid(format!(
                "invalid path, must be 'plaintext' or 'wrapped', not {other:?}"
            )));
        }
    }
    Ok(Response::data(Value::Object(data)))
}
