//! `vault login` and `vault token`.

use super::args::{Args, fields, text};
use super::{data, show, wrap};
use anyhow::{Context, Result, bail};
use herder_base::Secret;
use herder_vault::{Client, Method};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Stores the token where every Vault client looks for it.
fn store(token: &str) -> Result<()> {
    let path = std::env::home_dir()
        .context("there is no home directory to store the token in")?
        .join(".vault-token");
    // Replaced rather than rewritten, so that an existing file's laxer mode does not stay.
    let _absent = std::fs::remove_file(&path);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(token.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

pub(super) async fn login(client: &Client, args: &Args, words: &[&str]) -> Result<()> {
    let method = args.flag("method").unwrap_or("token");
    let wrapped = args.wrap.is_some() && method != "token";
    if args.flag("wrap-ttl").is_some() && method == "token" {
        bail!("-wrap-ttl needs -method: a token that is there already cannot be wrapped");
    }
    if wrapped && args.is("no-print") {
        bail!("-no-print would lose the wrapping token, which is not stored: leave it or -wrap-ttl out");
    }
    let answer = if method == "token" {
        let token = match words.first() {
            Some(word) => text(word.strip_prefix("token=").unwrap_or(word))?,
            None => text("-")?,
        };
        let token = token.trim().to_owned();
        client.set_token(Secret::new(token.clone()));
        let found = client.call(Method::Get, "auth/token/lookup-self", None).await?;
        let mut auth = data(&found).clone();
        if let Some(auth) = auth.as_object_mut() {
            auth.remove("id");
            auth.insert("client_token".to_owned(), token.into());
        }
        json!({ "auth": auth })
    } else {
        let mount = args.flag("path").unwrap_or(method).trim_matches('/').to_owned();
        let mut body = fields(words)?;
        let name = body
            .as_object_mut()
            .filter(|_| matches!(method, "userpass" | "ldap"))
            .and_then(|body| body.remove("username"));
        let path = match name.as_ref().and_then(Value::as_str) {
            Some(name) => format!("auth/{mount}/login/{name}"),
            None => format!("auth/{mount}/login"),
        };
        wrap::call(client, args, Method::Put, &path, Some(&body)).await?
    };
    if wrap::info(&answer).is_some() {
        // It opens once and then is worth nothing: no token to work with later.
        return show::answer(args, &answer);
    }
    let token = answer
        .pointer("/auth/client_token")
        .and_then(Value::as_str)
        .context("the answer has no token")?;
    if !args.is("no-store") {
        store(token)?;
    }
    if args.is("no-print") {
        return Ok(());
    }
    show::answer(args, &answer)
}

pub(super) async fn run(client: &Client, args: &Args, words: &[&str]) -> Result<()> {
    let other = |word: &str| -> Value {
        if args.is("accessor") {
            json!({ "accessor": word })
        } else {
            json!({ "token": word })
        }
    };
    let accessor = if args.is("accessor") { "-accessor" } else { "" };
    match words {
        ["create"] => {
            let mut body = args.object(&[
                ("ttl", "ttl"),
                ("explicit-max-ttl", "explicit_max_ttl"),
                ("period", "period"),
                ("display-name", "display_name"),
                ("use-limit", "num_uses"),
                ("type", "type"),
                ("id", "id"),
                ("renewable", "renewable"),
                ("no-default-policy", "no_default_policy"),
            ]);
            let policies = args.all("policy");
            if !policies.is_empty() {
                body.insert("policies".to_owned(), json!(policies));
            }
            let metadata = args.all("metadata");
            if !metadata.is_empty() {
                body.insert("meta".to_owned(), fields(&metadata)?);
            }
            let path = match args.flag("role") {
                Some(role) => format!("auth/token/create/{role}"),
                None if args.is("orphan") => "auth/token/create-orphan".to_owned(),
                None => "auth/token/create".to_owned(),
            };
            show::answer(
                args,
                &wrap::call(client, args, Method::Post, &path, Some(&Value::Object(body))).await?,
            )
        }
        ["lookup"] => show::answer(
            args,
            &wrap::call(client, args, Method::Get, "auth/token/lookup-self", None).await?,
        ),
        ["lookup", word] => {
            let path = format!("auth/token/lookup{accessor}");
            show::answer(
                args,
                &wrap::call(client, args, Method::Post, &path, Some(&other(word))).await?,
            )
        }
        ["renew", rest @ ..] => {
            let mut body = args.object(&[("increment", "increment"), ("i", "increment")]);
            let path = match rest.first() {
                Some(word) => {
                    body.extend(other(word).as_object().cloned().unwrap_or_default());
                    format!("auth/token/renew{accessor}")
                }
                None => "auth/token/renew-self".to_owned(),
            };
            show::answer(
                args,
                &wrap::call(client, args, Method::Put, &path, Some(&Value::Object(body))).await?,
            )
        }
        ["revoke", ..] if args.flag("mode").is_some_and(|mode| mode != "orphan") => {
            bail!("-mode is orphan or left out")
        }
        ["revoke", rest @ ..] => {
            let (path, body) = match (rest.first(), args.is("self")) {
                (None, true) => ("auth/token/revoke-self".to_owned(), json!({})),
                (Some(word), _) if args.flag("mode") == Some("orphan") => {
                    ("auth/token/revoke-orphan".to_owned(), other(word))
                }
                (Some(word), _) => (format!("auth/token/revoke{accessor}"), other(word)),
                (None, false) => bail!("vault token revoke needs a token, or -self"),
            };
            let answer = client.call(Method::Put, &path, Some(&body)).await?;
            show::done(args, &answer, "Success! Revoked token (if it existed)")
        }
        ["capabilities", path] => {
            println!("{}", client.capabilities(path).await?.join(", "));
            Ok(())
        }
        _ => bail!("vault token create|lookup|renew|revoke|capabilities"),
    }
}
