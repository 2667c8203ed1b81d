//! Encryption as a service: named, versioned keys that never leave unless they were made exportable. Owns the paths;
//! keys are in `key` and `import`, what is done with them in `cipher` and `sign`.

mod cipher;
mod import;
mod key;
mod manage;
mod sign;

use crate::core::context::Cx;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result, sys};
use key::TransitKey;

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (request.op, segments.as_slice()) {
        (Op::List, ["keys"]) => Response::keys(cx.list("key/")),
        (Op::Write, ["keys", name]) => manage::create(cx, request, name),
        (Op::Read, ["keys", name]) => manage::read(cx, request, name),
        (Op::Delete, ["keys", name]) => manage::delete(cx, name),
        (Op::Write, ["keys", name, "config"]) => manage::configure(cx, request, name),
        (Op::Write, ["keys", name, "rotate"]) => manage::rotate(cx, name),
        (Op::Write, ["keys", name, "trim"]) => manage::trim(cx, request, name),
        (Op::Write, ["keys", name, "import"]) => import::import(cx, request, name),
        (Op::Write, ["keys", name, "import_version"]) => import::import_version(cx, request, name),
        (Op::Read, ["wrapping_key"]) => import::wrapping_key(cx),
        (Op::Read | Op::Write, ["cache-config"]) => manage::cache(cx, request),
        (Op::Read, ["export", kind, name, rest @ ..]) => {
            manage::export(cx, kind, name, rest.first().copied())
        }
        (Op::Read, ["backup", name]) => manage::backup(cx, name),
        (Op::Write, ["restore", rest @ ..]) => manage::restore(cx, request, rest.first().copied()),
        (Op::Write, ["encrypt", name]) => cipher::encrypt(cx, request, name),
        (Op::Write, ["decrypt", name]) => cipher::decrypt(cx, request, name),
        (Op::Write, ["rewrap", name]) => cipher::rewrap(cx, request, name),
        (Op::Write, ["datakey", kind, name]) => cipher::data_key(cx, request, kind, name),
        (Op::Write, ["random", rest @ ..]) => sys::tool_random(request, rest),
        (Op::Write, ["hash", rest @ ..]) => sys::tool_hash(request, rest),
        (Op::Write, ["hmac", name, rest @ ..]) => sign::hmac(cx, request, name, rest.first().copied()),
        (Op::Write, ["sign", name, rest @ ..]) => sign::sign(cx, request, name, rest.first().copied()),
        (Op::Write, ["verify", name, rest @ ..]) => sign::verify(cx, request, name, rest.first().copied()),
        _ => Err(super::unsupported_path()),
    }
}

fn load(cx: &mut Cx<'_>, name: &str) -> Result<TransitKey> {
    cx.get(&format!("key/{name}"))?
        .ok_or_else(|| Error::invalid("encryption key not found"))
}

fn save(cx: &mut Cx<'_>, name: &str, key: &TransitKey) -> Result<()> {
    cx.put(&format!("key/{name}"), key)
}
