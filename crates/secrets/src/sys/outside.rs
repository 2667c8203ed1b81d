//! What works without the barrier: status, health, initialising, unsealing, and the ceremonies that key shares
//! authorise (rekey, generate-root). None of it needs a token, none of it is audited, as in Vault.

use crate::core::fields::Fields;
use crate::core::request::{Op, Request, Response};
use crate::core::seal::{Progress, SealConfig, Task, Verification, config_of, join, read_share};
use crate::core::{Core, VERSION};
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value, json};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Whether a path is one of these, whatever the operation.
pub(crate) fn knows(path: &str) -> bool {
    path.strip_prefix("sys/").is_some_and(|rest| {
        let first = rest.split('/').next().unwrap_or_default();
        matches!(
            first,
            "seal-status" | "health" | "leader" | "init" | "unseal" | "rekey" | "generate-root"
        )
    })
}

/// Answers a request that needs no barrier; `None` if it is not one.
pub(crate) async fn handle(core: &Core, request: &Request) -> Option<Result<Response>> {
    let path = request.path.strip_prefix("sys/")?;
    Some(match (request.op, path) {
        (Op::Read, "seal-status") => core.seal_status().map(Response::bare),
        (Op::Read, "health") => health(core, request),
        (Op::Read, "leader") => Ok(Response::bare(json!({
            "ha_enabled": false,
            "is_self": false,
            "active_time": "0001-01-01T00:00:00Z",
            "leader_address": "",
            "leader_cluster_address": "",
            "performance_standby": false,
            "performance_standby_last_remote_wal": 0,
        }))),
        (Op::Read, "init") => core
            .seal_config()
            .map(|config| Response::bare(json!({ "initialized": config.is_some() }))),
        (Op::Write, "init") => init(core, request).await,
        (Op::Write, "unseal") => unseal(core, request),
        (Op::Read | Op::Write | Op::Delete, "rekey/init") => rekey_init(core, request),
        (Op::Write, "rekey/update") => rekey_update(core, request).await,
        (Op::Read | Op::Delete, "rekey/verify") => verify_status(core, request.op),
        (Op::Write, "rekey/verify") => verify_update(core, request).await,
        (Op::Read | Op::Delete, "rekey/backup") => Err(Error::invalid("no backed-up keys found")),
        (Op::Read | Op::Write | Op::Delete, "generate-root/attempt" | "generate-root") => {
            root_init(core, request)
        }
        (Op::Write, "generate-root/update") => root_update(core, request).await,
        _ => return None,
    })
}

fn health(core: &Core, request: &Request) -> Result<Response> {
    let status = core.seal_status()?;
    let is = |key: &str| status.get(key).and_then(Value::as_bool).unwrap_or(false);
    let code = |key: &str, default: u16| -> Result<u16> {
        match request.data.int(key)? {
            None => Ok(default),
            Some(code) => u16::try_from(code)
                .ok()
                .filter(|code| (100..1000).contains(code))
                .ok_or_else(|| Error::invalid(format!("{key}: write an HTTP status"))),
        }
    };
    let code = match (is("initialized"), is("sealed")) {
        (false, _) => code("uninitcode", 501)?,
        (true, true) => code("sealedcode", 503)?,
        (true, false) => code("activecode", 200)?,
    };
    let mut body = Map::from_iter([
        ("initialized".to_owned(), json!(is("initialized"))),
        ("sealed".to_owned(), json!(is("sealed"))),
        ("standby".to_owned(), json!(!is("initialized") || is("sealed"))),
        ("performance_standby".to_owned(), json!(false)),
        ("replication_performance_mode".to_owned(), json!("disabled")),
        ("replication_dr_mode".to_owned(), json!("disabled")),
        ("server_time_utc".to_owned(), json!(core.clock.now().as_second())),
        ("version".to_owned(), json!(VERSION)),
        ("enterprise".to_owned(), json!(false)),
        ("echo_duration_ms".to_owned(), json!(0)),
        ("clock_skew_ms".to_owned(), json!(0)),
    ]);
    for key in ["cluster_name", "cluster_id"] {
        if let Some(value) = status.get(key) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    let mut response = Response::bare(Value::Object(body));
    response.status = Some(code);
    Ok(response)
}

async fn init(core: &Core, request: &Request) -> Result<Response> {
    if request.data.list("pgp_keys").is_some_and(|keys| !keys.is_empty())
        || request
            .data
            .text("root_token_pgp_key")
            .is_some_and(|key| !key.is_empty())
    {
        return Err(Error::invalid(
            "PGP keys are not supported: leave pgp_keys and root_token_pgp_key out",
        ));
    }
    let result = core.init(config_of(&request.data)?, None).await?;
    Ok(Response::bare(json!({
        "keys": result.keys.iter().map(|key| hex::encode(&**key)).collect::<Vec<_>>(),
        "keys_base64": result.keys.iter().map(|key| STANDARD.encode(&**key)).collect::<Vec<_>>(),
        "root_token": *result.root_token,
    })))
}

fn unseal(core: &Core, request: &Request) -> Result<Response> {
    if request.data.flag("reset")? == Some(true) {
        if core.is_sealed() {
            core.seal();
        }
        return core.seal_status().map(Response::bare);
    }
    let key = request
        .data
        .text("key")
        .filter(|key| !key.is_empty())
        .ok_or_else(|| {
            Error::invalid("'key' must be specified in request body as JSON, or 'reset' set to true")
        })?;
    core.unseal(read_share(&key)?)?;
    core.seal_status().map(Response::bare)
}

fn lock(task: &Mutex<Option<Task>>) -> std::sync::MutexGuard<'_, Option<Task>> {
    task.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A ceremony with all its shares, which nobody has looked at yet.
struct Collected {
    nonce: String,
    shares: Vec<Zeroizing<Vec<u8>>>,
    config: SealConfig,
    otp: String,
    backup: bool,
    verify: bool,
}

/// Adds a share to a ceremony; the collected shares when there are enough. The ceremony goes on until somebody has seen
/// that they are right: whoever only knows its nonce can begin the collecting anew, no more.
fn collect(
    core: &Core,
    slot: &Mutex<Option<Task>>,
    request: &Request,
    what: &str,
) -> Result<Option<Collected>> {
    let threshold = core.seal_config()?.ok_or(Error::NotInitialised)?.threshold;
    let share = read_share(&request.data.need("key")?)?;
    let mut slot = lock(slot);
    let task = slot
        .as_mut()
        .ok_or_else(|| Error::invalid(format!("no {what} in progress")))?;
    let nonce = request.data.text("nonce").unwrap_or_default();
    if !constant_time(nonce.as_bytes(), task.nonce.as_bytes()) {
        return Err(Error::invalid(format!(
            "incorrect nonce supplied; nonce for this {what} operation is {:?}",
            task.nonce
        )));
    }
    if !task.progress.add(share, threshold) {
        return Ok(None);
    }
    Ok(Some(Collected {
        nonce: task.nonce.clone(),
        shares: std::mem::take(&mut task.progress).shares,
        config: task.config.clone(),
        otp: task.otp.clone(),
        backup: task.backup,
        verify: task.verify,
    }))
}

/// Ends a ceremony, unless another has begun meanwhile.
fn conclude(slot: &Mutex<Option<Task>>, nonce: &str) {
    let mut slot = lock(slot);
    if slot.as_ref().is_some_and(|task| task.nonce == nonce) {
        *slot = None;
    }
}

/// Whether a ceremony may be given up. Nobody needs a token for this, so once somebody has given a share, or the new keys
/// wait to be verified, its nonce is needed: who only meant to begin another does not end this one.
fn may_cancel(request: &Request, nonce: &str, begun: bool) -> Result<()> {
    match request.data.text("nonce") {
        Some(given) if constant_time(given.as_bytes(), nonce.as_bytes()) => Ok(()),
        Some(_) => Err(Error::invalid("incorrect nonce supplied")),
        None if begun => Err(Error::invalid(
            "nonce is required to cancel: key shares have been given already",
        )),
        None => Ok(()),
    }
}

fn constant_time(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

fn rekey_init(core: &Core, request: &Request) -> Result<Response> {
    if core.is_sealed() {
        return Err(Error::Sealed);
    }
    core.seal_config()?.ok_or(Error::NotInitialised)?;
    let mut slot = lock(&core.tasks.rekey);
    let mut verification = waiting(core);
    match request.op {
        Op::Delete => {
            if let Some(task) = &*slot {
                may_cancel(request, &task.nonce, !task.progress.shares.is_empty())?;
            }
            if let Some(task) = &*verification {
                may_cancel(request, &task.nonce, true)?;
            }
            (*slot, *verification) = (None, None);
            return Ok(Response::empty());
        }
        Op::Write => {
            if slot.is_some() || verification.is_some() {
                return Err(Error::invalid("rekey already in progress"));
            }
            if request.data.list("pgp_keys").is_some_and(|keys| !keys.is_empty()) {
                return Err(Error::invalid("PGP keys are not supported: leave pgp_keys out"));
            }
            if request.data.flag("backup")?.unwrap_or(false) {
                return Err(Error::invalid(
                    "cannot request a backup of the new keys without providing PGP keys for encryption",
                ));
            }
            *slot = Some(Task {
                nonce: uuid::Uuid::new_v4().to_string(),
                progress: Progress::default(),
                config: config_of(&request.data)?,
                otp: String::new(),
                backup: false,
                verify: request.data.flag("require_verification")?.unwrap_or(false),
            });
        }
        _ => {}
    }
    drop((slot, verification));
    rekey_status(core)
}

fn rekey_status(core: &Core) -> Result<Response> {
    let required = core.seal_config()?.ok_or(Error::NotInitialised)?.threshold;
    let slot = lock(&core.tasks.rekey);
    let verification = waiting(core);
    let task = slot.as_ref();
    let config = task
        .map(|task| &task.config)
        .or(verification.as_ref().map(|task| &task.config));
    let mut answer = json!({
        "started": config.is_some(),
        "nonce": task.map(|task| task.nonce.as_str()).unwrap_or_default(),
        "t": config.map_or(0, |config| config.threshold),
        "n": config.map_or(0, |config| config.shares),
        "progress": task.map_or(0, |task| task.progress.shares.len()),
        "required": required,
        "pgp_fingerprints": null,
        "backup": task.is_some_and(|task| task.backup),
        "verification_required": verification.is_some() || task.is_some_and(|task| task.verify),
    });
    if let (Some(task), Some(answer)) = (&*verification, answer.as_object_mut()) {
        answer.insert("verification_nonce".to_owned(), json!(task.nonce));
    }
    Ok(Response::bare(answer))
}

async fn rekey_update(core: &Core, request: &Request) -> Result<Response> {
    let Some(task) = collect(core, &core.tasks.rekey, request, "rekey")? else {
        return rekey_status(core);
    };
    // The old key is proven before anything is made with it.
    let (key, keys) = join(&task.shares).and_then(|old| core.new_unseal_key(&old, &task.config))?;
    let mut answer = json!({
        "complete": true,
        "nonce": task.nonce,
        "keys": keys.iter().map(|key| hex::encode(&**key)).collect::<Vec<_>>(),
        "keys_base64": keys.iter().map(|key| STANDARD.encode(&**key)).collect::<Vec<_>>(),
        "pgp_fingerprints": null,
        "backup": task.backup,
        "verification_required": task.verify,
    });
    if task.verify {
        let nonce = uuid::Uuid::new_v4().to_string();
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("verification_nonce".to_owned(), json!(nonce));
        }
        *waiting(core) = Some(Verification {
            nonce,
            progress: Progress::default(),
            config: task.config,
            key,
        });
    } else {
        core.rekey(&key, &task.config).await?;
    }
    conclude(&core.tasks.rekey, &task.nonce);
    Ok(Response::bare(answer))
}

fn waiting(core: &Core) -> std::sync::MutexGuard<'_, Option<Verification>> {
    core.tasks
        .verification
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// How far verifying new keys is; DELETE begins it again.
fn verify_status(core: &Core, op: Op) -> Result<Response> {
    let mut slot = waiting(core);
    let task = slot
        .as_mut()
        .ok_or_else(|| Error::invalid("no rekey verification in progress"))?;
    if op == Op::Delete {
        task.progress = Progress::default();
        task.nonce = uuid::Uuid::new_v4().to_string();
    }
    Ok(Response::bare(json!({
        "nonce": task.nonce,
        "started": true,
        "t": task.config.threshold,
        "n": task.config.shares,
        "progress": task.progress.shares.len(),
    })))
}

async fn verify_update(core: &Core, request: &Request) -> Result<Response> {
    let share = read_share(&request.data.need("key")?)?;
    let complete = {
        let mut slot = waiting(core);
        let task = slot
            .as_mut()
            .ok_or_else(|| Error::invalid("no rekey verification in progress"))?;
        let nonce = request.data.text("nonce").unwrap_or_default();
        if !constant_time(nonce.as_bytes(), task.nonce.as_bytes()) {
            return Err(Error::invalid(
                "incorrect nonce supplied for this rekey verification",
            ));
        }
        if !task.progress.add(share, task.config.threshold) {
            None
        } else if join(&task.progress.shares).is_ok_and(|key| constant_time(&key, &task.key)) {
            slot.take()
        } else {
            task.progress = Progress::default();
            return Err(Error::invalid(
                "the keys do not verify: begin the verification again with the right ones",
            ));
        }
    };
    match complete {
        None => verify_status(core, Op::Read),
        Some(task) => {
            core.rekey(&task.key, &task.config).await?;
            Ok(Response::bare(json!({ "complete": true, "nonce": task.nonce })))
        }
    }
}

fn root_init(core: &Core, request: &Request) -> Result<Response> {
    if core.is_sealed() {
        return Err(Error::Sealed);
    }
    let config = core.seal_config()?.ok_or(Error::NotInitialised)?;
    let mut slot = lock(&core.tasks.generate_root);
    let mut shown_otp = String::new();
    match request.op {
        Op::Delete => {
            if let Some(task) = &*slot {
                may_cancel(request, &task.nonce, !task.progress.shares.is_empty())?;
            }
            *slot = None;
            return Ok(Response::empty());
        }
        Op::Write => {
            if slot.is_some() {
                return Err(Error::invalid("root generation already in progress"));
            }
            if request.data.text("pgp_key").is_some_and(|key| !key.is_empty()) {
                return Err(Error::invalid("PGP keys are not supported: use otp"));
            }
            let otp = match request.data.text("otp").filter(|otp| !otp.is_empty()) {
                Some(otp) if otp.len() == OTP_LENGTH => otp,
                Some(_) => {
                    return Err(Error::invalid(format!(
                        "OTP string is wrong length: it has {OTP_LENGTH} letters"
                    )));
                }
                None => {
                    shown_otp = crate::core::token::alphanumeric(OTP_LENGTH)?;
                    shown_otp.clone()
                }
            };
            *slot = Some(Task {
                nonce: uuid::Uuid::new_v4().to_string(),
                progress: Progress::default(),
                config: config.clone(),
                otp,
                backup: false,
                verify: false,
            });
        }
        _ => {}
    }
    let task = slot.as_ref();
    Ok(Response::bare(json!({
        "started": task.is_some(),
        "nonce": task.map(|task| task.nonce.as_str()).unwrap_or_default(),
        "progress": task.map_or(0, |task| task.progress.shares.len()),
        "required": config.threshold,
        "complete": false,
        "encoded_token": "",
        "encoded_root_token": "",
        "pgp_fingerprint": "",
        "otp": shown_otp,
        "otp_length": OTP_LENGTH,
    })))
}

/// As long as a token: `hvs.` and 24 letters.
const OTP_LENGTH: usize = 28;

async fn root_update(core: &Core, request: &Request) -> Result<Response> {
    let Some(task) = collect(core, &core.tasks.generate_root, request, "root generation")? else {
        return root_init(
            core,
            &Request {
                op: Op::Read,
                ..request.clone()
            },
        );
    };
    join(&task.shares).and_then(|key| core.root_key(&key))?;
    conclude(&core.tasks.generate_root, &task.nonce);
    let token = core.new_root_token().await?;
    let mixed: Vec<u8> = token.bytes().zip(task.otp.bytes()).map(|(a, b)| a ^ b).collect();
    let encoded = STANDARD_NO_PAD.encode(mixed);
    Ok(Response::bare(json!({
        "started": true,
        "nonce": task.nonce,
        "progress": task.config.threshold,
        "required": task.config.threshold,
        "complete": true,
        "encoded_token": encoded,
        "encoded_root_token": encoded,
        "pgp_fingerprint": "",
        "otp": "",
        "otp_length": OTP_LENGTH,
    })))
}

/// The root token behind `encoded_token` and the one-time password it was mixed with.
#[must_use]
pub fn decode_root_token(encoded: &str, otp: &str) -> Option<String> {
    let mixed = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    if mixed.len() != otp.len() {
        return None;
    }
    String::from_utf8(mixed.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect()).ok()
}
