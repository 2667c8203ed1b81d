//! `sys/policy`, `sys/policies/acl` and `sys/capabilities*`.

use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::handle::acl_of;
use crate::core::path::CanonicalPath;
use crate::core::policy::Policy;
use crate::core::request::{Op, Request, Response};
use crate::core::token::{self, Holder};
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    let (acl, name) = match path.split_once('/') {
        Some(("policy", name)) => (false, name),
        Some(("policies", rest)) => match rest.split_once('/').unwrap_or((rest, "")) {
            ("acl", name) => (true, name),
            ("password", _) => return Err(Error::Unsupported),
            _ => return Err(crate::engines::unsupported_path()),
        },
        _ => (false, ""),
    };
    let name = name.trim_matches('/').to_lowercase();
    if name.is_empty() {
        return match request.op {
            Op::Read | Op::List => {
                let mut names = cx.txn.list("sys/policy/");
                names.push("root".to_owned());
                names.sort();
                Ok(Response::data(if acl {
                    json!({ "keys": names })
                } else {
                    json!({ "keys": names, "policies": names })
                }))
            }
            _ => Err(Error::Unsupported),
        };
    }
    if name.contains('/') {
        return Err(Error::invalid("a policy's name cannot contain a slash"));
    }
    let key = format!("sys/policy/{name}");
    match request.op {
        Op::Read => {
            let text = if name == "root" {
                String::new()
            } else {
                cx.txn.get::<String>(&key)?.ok_or(Error::NotFound)?
            };
            Ok(Response::data(if acl {
                json!({ "name": name, "policy": text })
            } else {
                json!({ "name": name, "rules": text })
            }))
        }
        Op::Write => {
            let text = text_of(request)?;
            if name == "root" || name == "response-wrapping" {
                return Err(Error::invalid(format!("cannot update {name:?} policy")));
            }
            Policy::parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
            cx.txn.put(&key, &text)?;
            Ok(Response::empty())
        }
        Op::Delete => {
            if name == "root" || name == "default" || name == "response-wrapping" {
                return Err(Error::invalid(format!("cannot delete {name:?} policy")));
            }
            cx.txn.delete(&key);
            Ok(Response::empty())
        }
        _ => Err(Error::Unsupported),
    }
}

fn text_of(request: &Request) -> Result<String> {
    let given = match request.data.get("policy").or_else(|| request.data.get("rules")) {
        Some(Value::String(text)) => text.clone(),
        // Clients in dynamic languages send the object itself.
        Some(value @ Value::Object(_)) => value.to_string(),
        _ => String::new(),
    };
    if given.is_empty() {
        return Err(Error::invalid("'policy' parameter not supplied or empty"));
    }
    // Encoded texts are accepted, as Vault does: no policy is valid base64.
    Ok(STANDARD
        .decode(&given)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or(given))
}

pub(crate) fn capabilities(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    if request.op != Op::Write {
        return Err(Error::Unsupported);
    }
    let holder = match path {
        "capabilities-self" => cx.token.clone(),
        "capabilities-accessor" => {
            let accessor = request.data.need("accessor")?;
            match token::by_accessor(&mut cx.txn, &accessor)? {
                Some(hash) => token::by_hash(&mut cx.txn, &hash, cx.now)?.map(|token| Holder { hash, token }),
                None => None,
            }
        }
        _ => {
            let id = request.data.need("token")?;
            token::find(cx, &id)?
        }
    }
    .ok_or_else(|| Error::invalid("invalid token"))?;
    let paths = request
        .data
        .list("paths")
        .filter(|paths| !paths.is_empty())
        .or_else(|| request.data.list("path"))
        .filter(|paths| !paths.is_empty())
        .ok_or_else(|| Error::invalid("paths must be supplied"))?;
    let acl = acl_of(cx, &holder)?;
    let mut data: Map<String, Value> = paths
        .iter()
        .map(|path| {
            let asked = path.strip_prefix('/').unwrap_or(path);
            let op = if asked.ends_with('/') { Op::List } else { Op::Read };
            // What is refused anyway can be done by nobody.
            let words =
                CanonicalPath::new(op, asked).map_or_else(|_| vec!["deny"], |asked| acl.capabilities(&asked));
            (path.clone(), json!(words))
        })
        .collect();
    if let [only] = paths.as_slice() {
        let words = data.get(only).cloned().unwrap_or_default();
        data.insert("capabilities".to_owned(), words);
    }
    Ok(Response::data(Value::Object(data)))
}
