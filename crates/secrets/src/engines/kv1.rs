//! KV version 1: what is written is what is read.

use crate::core::context::Cx;
use crate::core::fields::duration;
use crate::core::request::{Lease, Op, Request, Response};
use crate::{Error, Result};
use serde_json::{Map, Value};

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    match request.op {
        Op::List => Response::keys(cx.list(&folder(path))),
        _ if path.is_empty() => Err(Error::Unsupported),
        Op::Read => {
            let data: Map<String, Value> = cx.get(path)?.ok_or(Error::NotFound)?;
            let ttl = data
                .get("ttl")
                .or_else(|| data.get("lease"))
                .and_then(duration)
                .unwrap_or_else(|| cx.mount.default_ttl());
            let mut response = Response::data(Value::Object(data));
            // A hint how long to use the value; nothing is registered.
            response.lease = Some(Lease {
                ttl,
                max_ttl: 0,
                renewable: false,
                internal: Value::Null,
                id: String::new(),
            });
            Ok(response)
        }
        Op::Write => {
            if request.data.is_empty() {
                return Err(Error::invalid("missing data fields"));
            }
            cx.put(path, &request.data)?;
            Ok(Response::empty())
        }
        Op::Delete => {
            cx.delete(path);
            Ok(Response::empty())
        }
        Op::Patch => Err(Error::Unsupported),
    }
}

/// A path as the prefix of what is below it.
pub(crate) fn folder(path: &str) -> String {
    if path.is_empty() || path.ends_with('/') {
        path.to_owned()
    } else {
        format!("{path}/")
    }
}
