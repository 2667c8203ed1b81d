//! Log in with OpenID Connect through a browser: the address to send it to, and what comes back. What was begun is
//! remembered in the storage for some minutes, under a text that nobody can guess. Owns no claims; `mod` checks them.

use super::{Role, admit, answered, check, keys, list, provider, text, verify};
use crate::core::context::Cx;
use crate::core::fields::Fields;
use crate::core::request::{Request, Response};
use crate::core::token::{after, alphanumeric};
use crate::external::{Form, HttpQuestion};
use crate::{Error, Result};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// Seconds a person may take.
const PATIENCE: i64 = 600;
/// How many may be on their way at the same time on one mount: nobody needs a token to begin.
const MOST: usize = 1000;

/// One log in that was begun.
#[derive(Serialize, Deserialize)]
struct Begun {
    role: String,
    redirect_uri: String,
    nonce: String,
    verifier: String,
    /// Made up by the program that sent the browser, so that nobody else can finish what it began; may be empty.
    #[serde(default)]
    client_nonce: String,
    ends: Timestamp,
}

fn config(cx: &mut Cx<'_>) -> Result<Map<String, Value>> {
    let config: Map<String, Value> = cx
        .get("config")?
        .ok_or_else(|| Error::invalid("could not load configuration"))?;
    if text(&config, "oidc_discovery_url").is_empty() || text(&config, "oidc_client_id").is_empty() {
        return Err(Error::invalid(
            "log in by browser needs oidc_discovery_url and oidc_client_id in the configuration",
        ));
    }
    Ok(config)
}

fn role(cx: &mut Cx<'_>, name: &str) -> Result<Role> {
    let role: Role = cx
        .get(&format!("role/{name}"))?
        .ok_or_else(|| Error::invalid(format!("role {name:?} could not be found")))?;
    if text(&role.fields, "role_type") == "jwt" {
        return Err(Error::invalid("role with jwt role_type is not allowed"));
    }
    Ok(role)
}

/// An address without its port, if it leads to the person's own machine. Whatever is not plainly host and port (a name
/// and password before the host above all) is no such address: a browser might take it for another host than this does.
fn own_machine(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    ["localhost", "127.0.0.1", "[::1]"].iter().find_map(|host| {
        let after = authority.strip_prefix(host)?;
        let port = match after.strip_prefix(':') {
            Some(port) => !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()),
            None => after.is_empty(),
        };
        port.then(|| format!("{scheme}://{host}/{path}"))
    })
}

/// Whether a role lets an answer go to an address. Programs on the person's own machine may choose their port.
fn allows(role: &Role, given: &str) -> bool {
    let own = own_machine(given);
    list(&role.fields, "allowed_redirect_uris")
        .iter()
        .any(|allowed| allowed == given || own.is_some() && own_machine(allowed) == own)
}

/// Seconds since a person last proved who they are to the provider, if the role limits them.
fn max_age(role: &Role) -> Option<i64> {
    role.fields
        .get("max_age")
        .and_then(Value::as_i64)
        .filter(|seconds| *seconds > 0)
}

fn recent(claims: &Value, max_age: i64, now: i64) -> std::result::Result<(), &'static str> {
    let at = claims
        .get("auth_time")
        .and_then(Value::as_f64)
        .ok_or("the role has a max_age, and the token no auth_time")?;
    // The clocks of others may be a minute off.
    if now > (at as i64).saturating_add(max_age).saturating_add(60) {
        return Err("the log in at the provider is longer ago than the role's max_age");
    }
    Ok(())
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `oidc/auth_url`: where to send the browser.
pub(super) fn start(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let config = config(cx)?;
    let name = request
        .data
        .text("role")
        .filter(|role| !role.is_empty())
        .unwrap_or_else(|| text(&config, "default_role").to_owned());
    let role = role(cx, &name)?;
    let redirect_uri = request.data.need("redirect_uri")?;
    if !allows(&role, &redirect_uri) {
        return Err(Error::invalid(format!(
            "unauthorized redirect_uri: {redirect_uri}"
        )));
    }
    let provider = provider(request, &config)?;
    let endpoint = provider
        .get("authorization_endpoint")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Upstream("the provider names no authorization_endpoint".to_owned()))?;
    let mut waiting = 0;
    for state in cx.list("begun/") {
        match cx.get::<Begun>(&format!("begun/{state}"))? {
            Some(begun) if begun.ends > cx.now => waiting += 1,
            _ => cx.delete(&format!("begun/{state}")),
        }
    }
    if waiting >= MOST {
        return Err(Error::TooMany);
    }
    let (state, nonce, verifier) = (alphanumeric(32)?, alphanumeric(32)?, alphanumeric(64)?);
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let mut scopes = vec!["openid".to_owned()];
    scopes.extend(list(&role.fields, "oidc_scopes"));
    let mut url = format!(
        "{endpoint}?client_id={}&code_challenge={challenge}&code_challenge_method=S256&nonce={nonce}&redirect_uri={}\
         &response_type=code&scope={}&state={state}",
        escape(text(&config, "oidc_client_id")),
        escape(&redirect_uri),
        escape(&scopes.join(" ")),
    );
    if text(&config, "oidc_response_mode") == "form_post" {
        url.push_str("&response_mode=form_post");
    }
    if let Some(seconds) = max_age(&role) {
        url.push_str(&format!("&max_age={seconds}"));
    }
    let begun = Begun {
        role: name,
        redirect_uri,
        nonce,
        verifier,
        client_nonce: request.data.text("client_nonce").unwrap_or_default(),
        ends: after(cx.now, PATIENCE),
    };
    cx.put(&format!("begun/{state}"), &begun)?;
    Ok(Response::data(json!({ "auth_url": url })))
}

/// `oidc/callback`: what the browser brought back.
pub(super) fn finish(cx: &mut Cx<'_>, request: &Request) -> Result<Response> {
    let lost = || Error::invalid("Expired or missing OAuth state.");
    let state = request
        .data
        .text("state")
        .filter(|state| !state.is_empty() && !state.contains('/'))
        .ok_or_else(lost)?;
    let key = format!("begun/{state}");
    let begun: Begun = cx
        .get(&key)?
        .filter(|begun: &Begun| begun.ends > cx.now)
        .ok_or_else(lost)?;
    let client_nonce = request.data.text("client_nonce").unwrap_or_default();
    if !begun.client_nonce.is_empty()
        && verify_slices_are_equal(begun.client_nonce.as_bytes(), client_nonce.as_bytes()).is_err()
    {
        return Err(Error::invalid("invalid client_nonce"));
    }
    if let Some(error) = request.data.text("error") {
        return Err(Error::invalid(format!("the provider refused: {error}")));
    }
    let code = request.data.need("code")?;
    let config = config(cx)?;
    let mut role = role(cx, &begun.role)?;
    let client = text(&config, "oidc_client_id").to_owned();
    let endpoint = provider(request, &config)?
        .get("token_endpoint")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Upstream("the provider names no token_endpoint".to_owned()))?
        .to_owned();
    let fields = format!(
        "grant_type=authorization_code&code={}&redirect_uri={}&code_verifier={}",
        escape(&code),
        escape(&begun.redirect_uri),
        begun.verifier
    );
    let tokens = answered(
        request,
        HttpQuestion {
            method: "POST",
            url: endpoint,
            ca_pem: Some(text(&config, "oidc_discovery_ca_pem").to_owned()).filter(|ca| !ca.is_empty()),
            form: Some(Form {
                client: (
                    escape(&client),
                    Zeroizing::new(escape(text(&config, "oidc_client_secret"))),
                ),
                fields: Zeroizing::new(fields),
            }),
            ..HttpQuestion::default()
        },
    )?;
    let token = tokens
        .get("id_token")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Upstream("the provider gave no id_token".to_owned()))?;
    let (keys, issuer) = keys(request, &config)?;
    let wrong = |reason: &str| Error::invalid(format!("error validating token: {reason}"));
    let claims = verify::verified(token, &keys, &list(&config, "jwt_supported_algs"))
        .ok_or_else(|| wrong("no known key verified the token's signature"))?;
    // The token must be for this log in and for this client, whatever else the role asks.
    if claims.get("nonce").and_then(Value::as_str) != Some(begun.nonce.as_str()) {
        return Err(wrong("invalid nonce"));
    }
    let for_client = match claims.get("aud") {
        Some(Value::String(one)) => *one == client,
        Some(Value::Array(many)) => many.iter().any(|audience| audience.as_str() == Some(&client)),
        _ => false,
    };
    if !for_client {
        return Err(wrong("invalid audience (aud) claim"));
    }
    if list(&role.fields, "bound_audiences").is_empty() {
        role.fields.insert("bound_audiences".to_owned(), json!([client]));
    }
    check(&claims, &role.fields, &issuer, cx.now.as_second()).map_err(|reason| wrong(&reason))?;
    if let Some(seconds) = max_age(&role) {
        recent(&claims, seconds, cx.now.as_second()).map_err(wrong)?;
    }
    cx.delete(&key);
    admit(cx, request, role, begun.role, &claims)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::core::params::TokenParams;

    #[test]
    fn a_log_in_must_be_as_recent_as_the_role_says() {
        recent(&json!({ "auth_time": 1000 }), 100, 1100).unwrap();
        recent(&json!({ "auth_time": 1000 }), 100, 1160).unwrap();
        recent(&json!({ "auth_time": 1000 }), 100, 1161).unwrap_err();
        recent(&json!({}), 100, 1000).unwrap_err();
    }

    #[test]
    fn only_ports_of_the_own_machine_are_free() {
        let mut fields = Map::new();
        fields.insert(
            "allowed_redirect_uris".to_owned(),
            json!([
                "http://localhost:8250/cb",
                "http://[::1]/cb",
                "https://app.example.com/cb"
            ]),
        );
        let role = Role {
            fields,
            token: TokenParams::default(),
        };
        for good in [
            "http://localhost/cb",
            "http://localhost:1234/cb",
            "http://[::1]/cb",
            "http://[::1]:99/cb",
            "https://app.example.com/cb",
        ] {
            assert!(allows(&role, good), "{good}");
        }
        for bad in [
            "http://localhost:x@evil.com/cb",
            "http://localhost:80@evil.com/cb",
            "http://localhost@evil.com/cb",
            "http://localhost:@evil.com/cb",
            "http://localhost:80\\@evil.com/cb",
            "http://localhost.evil.com/cb",
            "http://evil.com:80/cb",
            "http://127.0.0.1:80/cb",
            "https://localhost:80/cb",
            "http://localhost:80/other",
            "http://[::1]x/cb",
            "https://app.example.com:444/cb",
        ] {
            assert!(!allows(&role, bad), "{bad}");
        }
    }
}
