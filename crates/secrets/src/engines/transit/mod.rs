//! Encryption as a service: named, versioned keys that never leave unless they were made exportable. Owns the paths;
//! keys are in `key` and `import`, what is done with them in `cipher` and `sign`.

mod cipher;
mod import;
mod key;
mod manage;
mod sign;

use super::Rotation;
use crate::core::context::Cx;
use crate::core::expiry::Target;
use crate::core::mounts::Mount;
use crate::core::path::segments;
use crate::core::request::{Op, Request, Response};
use crate::core::txn::Txn;
use crate::{Error, Result, sys};
use key::TransitKey;

/// What the keys of keys begin with.
pub(crate) const KEYS: &str = "key/";

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments = segments(path);
    match (request.op, segments.as_slice()) {
        (Op::List, ["keys"]) => Response::keys(cx.list(KEYS)),
        (Op::Write, ["keys", name]) => manage::create(cx, request, name),
        (Op::Read, ["keys", name]) => manage::read(cx, request, name),
        (Op::Delete, ["keys", name]) => manage::delete(cx, name),
        (Op::Write, ["keys", name, "config"]) => manage::configure(cx, request, name),
        (Op::Write, ["keys", name, "rotate"]) => manage::rotate(cx, request, name),
        (Op::Write, ["keys", name, "trim"]) => manage::trim(cx, request, name),
        (Op::Write, ["keys", name, "import"]) => import::import(cx, request, name),
        (Op::Write, ["keys", name, "import_version"]) => import::import_version(cx, request, name),
        (Op::Read, ["wrapping_key"]) => import::wrapping_key(cx),
        (Op::Read | Op::Write, ["cache-config"]) => manage::cache(cx, request),
        (Op::Read, ["export", kind, name]) => manage::export(cx, kind, name, None),
        (Op::Read, ["export", kind, name, version]) => manage::export(cx, kind, name, Some(version)),
        (Op::Read, ["backup", name]) => manage::backup(cx, name),
        (Op::Write, ["restore"]) => manage::restore(cx, request, None),
        (Op::Write, ["restore", name]) => manage::restore(cx, request, Some(name)),
        (Op::Write, ["encrypt", name]) => cipher::encrypt(cx, request, name),
        (Op::Write, ["decrypt", name]) => cipher::decrypt(cx, request, name),
        (Op::Write, ["rewrap", name]) => cipher::rewrap(cx, request, name),
        (Op::Write, ["datakey", kind, name]) => cipher::data_key(cx, request, kind, name),
        (Op::Write, ["random", rest @ ..]) if rest.len() <= 2 => sys::tool_random(request, rest),
        (Op::Write, ["hash", rest @ ..]) if rest.len() <= 1 => sys::tool_hash(request, rest),
        (Op::Write, ["hmac", name]) => sign::hmac(cx, request, name, None),
        (Op::Write, ["hmac", name, algorithm]) => sign::hmac(cx, request, name, Some(algorithm)),
        (Op::Write, ["sign", name]) => sign::sign(cx, request, name, None),
        (Op::Write, ["sign", name, algorithm]) => sign::sign(cx, request, name, Some(algorithm)),
        (Op::Write, ["verify", name]) => sign::verify(cx, request, name, None),
        (Op::Write, ["verify", name, algorithm]) => sign::verify(cx, request, name, Some(algorithm)),
        _ => Err(super::unsupported_path()),
    }
}

fn load(cx: &mut Cx<'_>, name: &str) -> Result<TransitKey> {
    cx.get(&format!("key/{name}"))?
        .ok_or_else(|| Error::invalid("encryption key not found"))
}

fn save(cx: &mut Cx<'_>, name: &str, key: &TransitKey) -> Result<()> {
    let at = [KEYS, name].concat();
    cx.put(&at, key)?;
    if let Some(due) = key.due() {
        cx.schedule(due, Target::Rotate(cx.key(&at)));
    }
    Ok(())
}

/// When the key stored at a key below the mount gets another version by itself.
pub(crate) fn rotation(txn: &mut Txn<'_>, mount: &Mount, key: &str) -> Result<Option<Rotation>> {
    let Some(name) = key.strip_prefix(KEYS) else {
        return Ok(None);
    };
    let at = mount.key(key);
    let due = txn.get::<TransitKey>(at.as_str())?.and_then(|key| key.due());
    Ok(due.map(|due| Rotation {
        due,
        path: format!("{}keys/{name}/rotate", mount.full_path()),
        place: mount.prefix(),
        at,
    }))
}
