//! `sys/audit` and `sys/audit-hash`.

use crate::audit::{self, Device};
use crate::core::barrier::random;
use crate::core::context::{After, Cx};
use crate::core::fields::Fields;
use crate::core::request::{Op, Request, Response};
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let (root, name) = path.split_once('/').unwrap_or((path, ""));
    let mut devices = audit::load(&mut cx.txn)?;
    let name = format!("{}/", name.trim_matches('/'));
    match (request.op, root, name.as_str()) {
        (Op::Read, "audit", "/") => {
            let all: Map<String, Value> = devices
                .iter()
                .map(|(path, device)| {
                    let shown = json!({
                        "path": path,
                        "type": device.kind,
                        "description": device.description,
                        "options": device.options,
                        "local": device.local,
                    });
                    (path.clone(), shown)
                })
                .collect();
            Ok(Response::data(Value::Object(all)))
        }
        (Op::Write, "audit", path) if path != "/" => {
            if devices.contains_key(path) {
                return Err(Error::invalid(format!("path already in use: {path}")));
            }
            let kind = request.data.need("type")?;
            if kind != "file" {
                return Err(Error::invalid(format!(
                    "unknown backend type: {kind:?}; this server has \"file\""
                )));
            }
            let device = Device {
                kind,
                description: request.data.text("description").unwrap_or_default(),
                options: request.data.strings("options").unwrap_or_default(),
                local: request.data.flag("local")?.unwrap_or(false),
                salt: STANDARD.encode(&*random(32)?),
                ..Device::default()
            };
            devices.insert(path.to_owned(), device);
            // Opening the file now tells the client at once if it cannot be written.
            cx.core.sinks.probe(&devices)?;
            audit::save(&mut cx.txn, &devices)?;
            cx.after.push(After::Audit(devices));
            Ok(Response::empty())
        }
        (Op::Delete, "audit", path) if path != "/" => {
            devices.remove(path);
            audit::save(&mut cx.txn, &devices)?;
            cx.after.push(After::Audit(devices));
            Ok(Response::empty())
        }
        (Op::Write, "audit-hash", path) => {
            let device = devices
                .get(path)
                .ok_or_else(|| Error::invalid(format!("unknown audit backend {path:?}")))?;
            Ok(Response::data(
                json!({ "hash": device.hash(&request.data.need("input")?) }),
            ))
        }
        _ => Err(Error::Unsupported),
    }
}
