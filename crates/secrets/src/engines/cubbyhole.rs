//! A private place per token, gone with the token.

use super::kv1::folder;
use crate::core::context::Cx;
use crate::core::request::{Op, Request, Response};
use crate::core::token;
use crate::{Error, Result};
use serde_json::{Map, Value};

/// Bytes that one token may keep here: every token may write, also that of any pod.
const MOST: usize = 2 << 20;

fn base(cx: &Cx<'_>) -> Result<String> {
    match &cx.token {
        Some(holder) if !holder.token.batch => Ok(token::cubbyhole(&holder.hash)),
        Some(_) => Err(Error::invalid(
            "cubbyhole operations are only supported by \"service\" type tokens",
        )),
        None => Err(Error::Denied),
    }
}

pub(crate) fn exists(cx: &mut Cx<'_>, path: &str) -> bool {
    base(cx).is_ok_and(|base| cx.txn.exists(&(base + path)))
}

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let base = base(cx)?;
    let key = base.clone() + path;
    match request.op {
        Op::List => Response::keys(cx.txn.list(&folder(&key))),
        _ if path.is_empty() => Err(Error::Unsupported),
        Op::Read => {
            let data: Map<String, Value> = cx.txn.get(&key)?.ok_or(Error::NotFound)?;
            Ok(Response::data(Value::Object(data)))
        }
        Op::Write => {
            if request.data.is_empty() {
                return Err(Error::invalid("missing data fields"));
            }
            let size = serde_json::to_vec(&request.data).map_or(usize::MAX, |bytes| bytes.len());
            if cx.txn.bytes_below(&base, &key).saturating_add(size) > MOST {
                return Err(Error::invalid(format!(
                    "the cubbyhole of this token would hold more than {MOST} bytes: delete what is not needed any more"
                )));
            }
            cx.txn.put(&key, &request.data)?;
            Ok(Response::empty())
        }
        Op::Delete => {
            cx.txn.delete(&key);
            Ok(Response::empty())
        }
        Op::Patch => Err(Error::Unsupported),
    }
}
