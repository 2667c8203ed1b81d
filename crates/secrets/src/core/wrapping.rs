//! Response wrapping: an answer is put into the cubbyhole of a new single-use token, and the client gets only that.

use super::context::Cx;
use super::request::{Request, Response, Wrap};
use super::token::{self, NewToken};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

/// A wrapped answer as stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) response: Value,
    pub(crate) creation_time: String,
    pub(crate) creation_path: String,
    pub(crate) creation_ttl: i64,
}

/// Puts an answer away and says where.
pub(crate) fn wrap(cx: &mut Cx<'_>, request: &Request, response: &Response, ttl: i64) -> Result<Wrap> {
    let inside = response
        .auth
        .as_ref()
        .map(|auth| auth.accessor.clone())
        .unwrap_or_default();
    wrap_value(
        cx,
        &request.path,
        crate::http::envelope(request, response),
        ttl,
        inside,
    )
}

/// The same for an answer already in its final form.
pub(crate) fn wrap_value(
    cx: &mut Cx<'_>,
    path: &str,
    response: Value,
    ttl: i64,
    wrapped_accessor: String,
) -> Result<Wrap> {
    let auth = token::create(
        cx,
        NewToken {
            policies: vec!["response-wrapping".to_owned()],
            path: path.to_owned(),
            display_name: "response-wrapping".to_owned(),
            num_uses: 1,
            ttl,
            explicit_max_ttl: ttl,
            ..NewToken::default()
        },
    )?;
    let stored = Stored {
        response,
        creation_time: cx.now.to_string(),
        creation_path: path.to_owned(),
        creation_ttl: ttl,
    };
    let key = format!("{}response", token::cubbyhole(&cx.hash_token(&auth.client_token)));
    cx.txn.put(&key, &stored)?;
    Ok(Wrap {
        token: auth.client_token,
        accessor: auth.accessor,
        ttl,
        creation_time: stored.creation_time,
        creation_path: stored.creation_path,
        wrapped_accessor,
    })
}

/// The answer behind a wrapping token, by the token.
pub(crate) fn stored(cx: &mut Cx<'_>, id: &str) -> Result<(String, Stored)> {
    let wrong = || Error::invalid("wrapping token is not valid or does not exist");
    let holder = token::find(cx, id)?.ok_or_else(wrong)?;
    if !holder
        .token
        .policies
        .iter()
        .any(|policy| policy == "response-wrapping")
    {
        return Err(wrong());
    }
    let key = format!("{}response", token::cubbyhole(&holder.hash));
    let stored = cx.txn.get::<Stored>(&key)?.ok_or_else(wrong)?;
    Ok((holder.hash, stored))
}

/// Takes the answer out; the token is used up.
pub(crate) fn unwrap(cx: &mut Cx<'_>, id: &Zeroizing<String>) -> Result<Value> {
    let (hash, stored) = stored(cx, id)?;
    token::revoke(cx, &hash, false)?;
    Ok(stored.response)
}
